#include "server/keeper/kept_descriptors.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

UniqueFd Memfd(const char* name = "kept") {
  return UniqueFd(memfd_create(name, MFD_CLOEXEC));
}

TEST(KeptDescriptorsTest, TheSameFileOfANameIsKeptOnce) {
  KeptDescriptors kept(10);
  UniqueFd memfd = Memfd();
  UniqueFd again(dup(memfd.get()));
  UniqueFd other(dup(memfd.get()));
  EXPECT_TRUE(kept.Add("a", std::move(memfd)).ok());
  EXPECT_TRUE(kept.Add("a", std::move(again)).ok());
  EXPECT_EQ(kept.size(), 1u);
  EXPECT_TRUE(kept.Add("b", std::move(other)).ok());
  EXPECT_TRUE(kept.Add("b", Memfd()).ok());
  EXPECT_EQ(kept.size(), 3u);
  kept.Remove("b");
  kept.Remove("none");
  EXPECT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept.List()[0].name, "a");
}

TEST(KeptDescriptorsTest, BeyondTheNumberIsRefusedAndClosed) {
  KeptDescriptors kept(2);
  EXPECT_TRUE(kept.Add("a", Memfd()).ok());
  EXPECT_TRUE(kept.Add("b", Memfd()).ok());
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const UniqueFd reader(ends[0]);
  EXPECT_EQ(GetErrorReason(kept.Add("c", UniqueFd(ends[1]))),
            reason::kDescriptorsExhausted);
  char byte = 0;
  EXPECT_EQ(read(reader.get(), &byte, 1), 0) << "nobody has the other end";
}

TEST(KeptDescriptorsTest, NamesNeverTakeMoreThanTheEnvironmentHas) {
  KeptDescriptors kept(100000);
  const std::string long_name(kMaxFdNameBytes - 4, 'x');
  absl::Status status;
  int added = 0;
  for (; status.ok(); ++added) {
    status = kept.Add(absl::StrCat(long_name, added), Memfd());
  }
  EXPECT_EQ(GetErrorReason(status), reason::kDescriptorsExhausted);
  std::string joined;
  for (const auto& listed : kept.List())
    absl::StrAppend(&joined, listed.name, ":");
  EXPECT_LE(joined.size() - 1, kMaxFdNamesBytes);
  kept.Remove(absl::StrCat(long_name, 0));
  EXPECT_TRUE(kept.Add(absl::StrCat(long_name, 0), Memfd()).ok());
}

TEST(KeptDescriptorsTest, AChildHasThemFromThreeOnInOrder) {
  KeptDescriptors kept(100);
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(
        kept.Add(absl::StrCat(i), Memfd(absl::StrCat("m", i).c_str())).ok());
  }
  for (int i = 0; i < 50; i += 3) kept.Remove(absl::StrCat(i));
  const auto listed = kept.List();
  const pid_t child = fork();
  if (child == 0) {
    if (!MoveToListedNumbers(listed)) _exit(1);
    for (size_t i = 0; i < listed.size(); ++i) {
      char target[64] = {};
      const std::string link = absl::StrCat("/proc/self/fd/", 3 + i);
      if (readlink(link.c_str(), target, sizeof(target) - 1) < 0) _exit(2);
      if (target != absl::StrCat("/memfd:m", listed[i].name, " (deleted)")) {
        _exit(3);
      }
    }
    _exit(0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace shmd
