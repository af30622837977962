// What a program of another uid can do with what it was handed. Changes its
// uid in children, which takes root.

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "shm/backend.h"

namespace shmd {
namespace {

constexpr uid_t kOtherUid = 12345;
constexpr uint64_t kSizeBytes = 8192;

// Runs `body` as another uid; what it returns, or -1 when it did not get so
// far. A child that hangs is ended by its alarm.
int RunAsOther(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    if (setgroups(0, nullptr) != 0 || setgid(kOtherUid) != 0 ||
        setuid(kOtherUid) != 0) {
      _exit(99);
    }
    _exit(body());
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

int ErrnoOfReopen(int fd) {
  const std::string path = absl::StrCat("/proc/self/fd/", fd);
  const int reopened = open(path.c_str(), O_RDWR);
  return reopened >= 0 ? 0 : errno;
}

class OtherUidTest : public testing::TestWithParam<BackendKind> {
 protected:
  SegmentOptions Options() {
    SegmentOptions options;
    options.backend = GetParam();
    options.size_bytes = kSizeBytes;
    options.page_size_bytes = 4096;
    return options;
  }

  const Backend& backend() { return backends_.Get(GetParam()); }

  BackendSet backends_{BackendSettings()};
};

TEST_P(OtherUidTest, AReaderCannotGetWriteAccess) {
  const auto object = backend().Create(Options());
  ASSERT_TRUE(object.ok()) << object.status();
  const auto ref = backend().Open(*object, Access::kRead);
  ASSERT_TRUE(ref.ok()) << ref.status();
  const int fd = std::get<UniqueFd>(*ref).get();
  EXPECT_EQ(RunAsOther([fd] { return ErrnoOfReopen(fd); }), EACCES);
  EXPECT_EQ(RunAsOther([fd] {
              void* const page =
                  mmap(nullptr, kSizeBytes, PROT_READ, MAP_SHARED, fd, 0);
              if (page == MAP_FAILED) return 98;
              const int upgraded =
                  mprotect(page, kSizeBytes, PROT_READ | PROT_WRITE);
              return upgraded == 0 ? 0 : errno;
            }),
            EACCES);
  EXPECT_EQ(RunAsOther([fd] { return fchmod(fd, 0666) == 0 ? 0 : errno; }),
            EPERM);
  EXPECT_EQ(RunAsOther([fd] { return ftruncate(fd, 0) == 0 ? 0 : errno; }),
            EINVAL);
  EXPECT_TRUE(backend().Remove(*object).ok());
}

INSTANTIATE_TEST_SUITE_P(Backends, OtherUidTest,
                         testing::Values(BackendKind::kMemfd,
                                         BackendKind::kPosix),
                         [](const testing::TestParamInfo<BackendKind>& kind) {
                           return BackendName(kind.param);
                         });

TEST(OtherUidNamedTest, OwnershipDecidesWhoOpensANamedObject) {
  const BackendSet backends{BackendSettings()};
  const Backend& backend = backends.Get(BackendKind::kPosix);
  SegmentOptions options;
  options.backend = BackendKind::kPosix;
  options.size_bytes = kSizeBytes;
  options.page_size_bytes = 4096;
  const auto object = backend.Create(options);
  ASSERT_TRUE(object.ok()) << object.status();
  const auto open_by_name = [&object] {
    const int fd = shm_open(object->name.posix_name.c_str(), O_RDWR, 0);
    return fd >= 0 ? 0 : errno;
  };
  EXPECT_EQ(RunAsOther(open_by_name), EACCES);
  ASSERT_TRUE(backend.SetOwnership(*object, 0600, kOtherUid, kOtherUid).ok());
  EXPECT_EQ(RunAsOther(open_by_name), 0);
  EXPECT_TRUE(backend.Remove(*object).ok());
}

TEST(OtherUidNamedTest, OwnershipDecidesWhoAttachesASysvSegment) {
  const BackendSet backends{BackendSettings()};
  const Backend& backend = backends.Get(BackendKind::kSysv);
  SegmentOptions options;
  options.backend = BackendKind::kSysv;
  options.size_bytes = kSizeBytes;
  options.page_size_bytes = 4096;
  options.mode = 0644;
  const auto object = backend.Create(options);
  ASSERT_TRUE(object.ok()) << object.status();
  const int id = object->name.sysv_id;
  const auto attach = [id](int flags) {
    return shmat(id, nullptr, flags) != MAP_FAILED ? 0 : errno;
  };
  EXPECT_EQ(RunAsOther([&] { return attach(SHM_RDONLY); }), 0);
  EXPECT_EQ(RunAsOther([&] { return attach(0); }), EACCES);
  ASSERT_TRUE(backend.SetOwnership(*object, 0600, kOtherUid, kOtherUid).ok());
  EXPECT_EQ(RunAsOther([&] { return attach(0); }), 0);
  EXPECT_TRUE(backend.Remove(*object).ok());
}

}  // namespace
}  // namespace shmd
