#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/unique_fd.h"
#include "client/cpp/objects.h"
#include "gtest/gtest.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(60);
constexpr uint64_t kArenaBytes = 1 << 20;

absl::Span<const char> Bytes(const std::string& text) {
  return absl::MakeConstSpan(text);
}

std::string TextOf(const PinnedObject& object) {
  return std::string(object.data(), object.size_bytes());
}

// The inode that is mapped at an address of this process; 0 if none is.
uint64_t InodeAt(const void* address) {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  const auto wanted = reinterpret_cast<uintptr_t>(address);
  while (std::getline(maps, line)) {
    unsigned long first = 0, last = 0, inode = 0;
    if (sscanf(line.c_str(), "%lx-%lx %*s %*s %*s %lu", &first, &last,
               &inode) == 3 &&
        first <= wanted && wanted < last) {
      return inode;
    }
  }
  return 0;
}

// A copy of this process' own writable descriptor of what is mapped there: what
// a writer that means to cheat would keep.
UniqueFd KeepDescriptor(const void* address) {
  const uint64_t inode = InodeAt(address);
  DIR* const folder = opendir("/proc/self/fd");
  UniqueFd kept;
  while (const dirent* const entry = readdir(folder)) {
    const int fd = atoi(entry->d_name);
    struct stat found = {};
    if (fd > 2 && fstat(fd, &found) == 0 && found.st_ino == inode &&
        (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR) {
      kept = UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    }
  }
  closedir(folder);
  return kept;
}

// Tries to change what a descriptor is of, in every way that the kernel has;
// names those that it let pass.
std::string WhatPasses(int fd, size_t size_bytes) {
  std::string passed;
  const auto note = [&passed](bool ok, const char* what) {
    if (ok) absl::StrAppend(&passed, what, " ");
  };
  note(mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) !=
           MAP_FAILED,
       "mmap");
  // Newer kernels let it be mapped read-only, and stay so.
  void* const read_only =
      mmap(nullptr, size_bytes, PROT_READ, MAP_SHARED, fd, 0);
  note(read_only != MAP_FAILED &&
           mprotect(read_only, size_bytes, PROT_READ | PROT_WRITE) == 0,
       "mprotect");
  note(pwrite(fd, "x", 1, 0) == 1, "pwrite");
  note(ftruncate(fd, 0) == 0, "ftruncate");
  note(ftruncate(fd, static_cast<off_t>(4 * size_bytes)) == 0, "growing");
  note(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0,
       "fallocate");
  const UniqueFd again(
      open(absl::StrCat("/proc/self/fd/", fd).c_str(), O_RDWR | O_CLOEXEC));
  note(again.valid() && pwrite(again.get(), "x", 1, 0) == 1, "reopening");
  return passed;
}

class StrictObjectTest : public ::testing::Test {
 protected:
  void SetUp() override { StartServer({}); }

  void StartServer(std::vector<std::string> flags) {
    ScopedServer::Options options;
    options.flags = std::move(flags);
    auto server = ScopedServer::Start(std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  struct Program {
    std::unique_ptr<Client> client;
    std::unique_ptr<ObjectStore> store;
    ObjectStore* operator->() const { return store.get(); }
  };

  Program NewProgram() {
    Program program;
    ConnectOptions options;
    options.socket_dir = server_->socket_dir();
    options.reconnect_timeout = kDeadline;
    auto client = Client::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status();
    program.client = std::make_unique<Client>(*std::move(client));
    ObjectStoreOptions store_options;
    store_options.arena_bytes = kArenaBytes;
    auto store = ObjectStore::Open(*program.client, store_options);
    EXPECT_TRUE(store.ok()) << store.status();
    program.store = std::make_unique<ObjectStore>(*std::move(store));
    return program;
  }

  static ObjectOptions Strict() {
    ObjectOptions options;
    options.strict = true;
    return options;
  }

  // Sizes of the arenas that there are.
  static std::vector<uint64_t> Arenas(Client& client) {
    const auto segments = client.List();
    EXPECT_TRUE(segments.ok()) << segments.status();
    std::vector<uint64_t> sizes;
    for (const Segment& segment : *segments) {
      if (segment.name.find("/shmd.arena.") == std::string::npos) continue;
      sizes.push_back(segment.size_bytes);
    }
    return sizes;
  }

  template <typename Condition>
  static bool Eventually(Condition condition) {
    const absl::Time give_up = absl::Now() + kDeadline;
    while (!condition()) {
      if (absl::Now() > give_up) return false;
    }
    return true;
  }

  std::unique_ptr<ScopedServer> server_;
};

TEST_F(StrictObjectTest, NotEvenItsWriterCanChangeIt) {
  const Program writer = NewProgram();
  const Program reader = NewProgram();
  for (const size_t size_bytes : {size_t{1}, size_t{5000}, size_t{9} << 20}) {
    const std::string id = absl::StrCat("it-", size_bytes);
    auto draft = writer->Create(id, size_bytes, Strict());
    ASSERT_TRUE(draft.ok()) << draft.status();
    const UniqueFd kept = KeepDescriptor(draft->span().data());
    ASSERT_TRUE(kept.valid());
    // As one would expect, until then it can.
    ASSERT_EQ(pwrite(kept.get(), "y", 1, 0), 1);
    std::memset(draft->span().data(), 'a', size_bytes);
    ASSERT_TRUE(draft->Seal().ok());
    EXPECT_TRUE(draft->span().empty());
    EXPECT_EQ(WhatPasses(kept.get(), size_bytes), "");
    // Nor can a process that it hands the descriptor to.
    const pid_t child = fork();
    if (child == 0) _exit(WhatPasses(kept.get(), size_bytes).empty() ? 0 : 1);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    for (const Program* const program : {&writer, &reader}) {
      const auto got = (*program)->Get(id);
      ASSERT_TRUE(got.ok()) << got.status();
      EXPECT_TRUE(got->is_strict());
      EXPECT_EQ(TextOf(*got), std::string(size_bytes, 'a'));
      const uintptr_t page = reinterpret_cast<uintptr_t>(got->data()) & ~4095ul;
      EXPECT_NE(
          mprotect(reinterpret_cast<void*>(page), 4096, PROT_READ | PROT_WRITE),
          0);
    }
  }
  ASSERT_TRUE(writer->Put("other", Bytes("other")).ok());
  EXPECT_FALSE(reader->Get("other")->is_strict());
}

TEST_F(StrictObjectTest, WhileSomebodyCanWriteItIsADraft) {
  const Program writer = NewProgram();
  auto draft = writer->Create("it", 5, Strict());
  ASSERT_TRUE(draft.ok()) << draft.status();
  std::memcpy(draft->span().data(), "first", 5);
  const UniqueFd kept = KeepDescriptor(draft->span().data());
  void* const mapped =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, kept.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  EXPECT_EQ(GetErrorReason(draft->Seal().status()), reason::kSegmentInUse);
  EXPECT_FALSE(writer->Contains("it"));
  ASSERT_EQ(draft->span().size(), 5u);
  EXPECT_EQ(std::memcmp(draft->span().data(), "first", 5), 0);
  std::memcpy(draft->span().data(), "again", 5);
  ASSERT_EQ(munmap(mapped, 4096), 0);
  const auto sealed = draft->Seal();
  ASSERT_TRUE(sealed.ok()) << sealed.status();
  EXPECT_EQ(TextOf(*writer->Get("it")), "again");
}

TEST_F(StrictObjectTest, WhoseNameIsTakenIsStillADraft) {
  const Program writer = NewProgram();
  ASSERT_TRUE(writer->Put("it", Bytes("it")).ok());
  auto draft = writer->Create("it", 5, Strict());
  ASSERT_TRUE(draft.ok()) << draft.status();
  EXPECT_EQ(GetErrorReason(draft->Seal().status()), reason::kObjectExists);
  ASSERT_EQ(draft->span().size(), 5u);
  std::memcpy(draft->span().data(), "again", 5);
  ASSERT_TRUE(writer->Delete("it").ok());
  ASSERT_TRUE(draft->Seal().ok());
  EXPECT_EQ(TextOf(*writer->Get("it")), "again");
  EXPECT_EQ(GetErrorReason(draft->Seal().status()), reason::kSegmentSealed);
}

TEST_F(StrictObjectTest, ItsArenaIsAsLargeAndGoesWithIt) {
  const Program writer = NewProgram();
  const Program reader = NewProgram();
  ObjectOptions options = Strict();
  options.metadata.emplace();
  options.metadata->media_type = "text/plain";
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(writer->Put("it", Bytes("it"), options).ok());
    EXPECT_EQ(Arenas(*writer.client), std::vector<uint64_t>{4096});
    auto pinned = reader->Get("it");
    ASSERT_TRUE(pinned.ok()) << pinned.status();
    EXPECT_EQ(pinned->metadata()->media_type, "text/plain");
    ASSERT_TRUE(writer->Delete("it").ok());
    EXPECT_EQ(TextOf(*pinned), "it");
    EXPECT_EQ(Arenas(*writer.client).size(), 1u);
    pinned = PinnedObject();
    EXPECT_TRUE(Eventually([&] { return Arenas(*writer.client).empty(); }));
  }
}

TEST_F(StrictObjectTest, OneTakesThePlaceOfAnother) {
  const Program writer = NewProgram();
  ObjectOptions options = Strict();
  options.replace_existing = true;
  for (int i = 0; i < 20; ++i) {
    const std::string text = absl::StrCat("number ", i);
    const auto put = writer->Put("it", Bytes(text), options);
    ASSERT_TRUE(put.ok()) << put.status();
    EXPECT_EQ(TextOf(*writer->Get("it")), text);
  }
  EXPECT_TRUE(Eventually([&] { return Arenas(*writer.client).size() == 1; }));
}

TEST_F(StrictObjectTest, BatchesOfThem) {
  const Program writer = NewProgram();
  const std::vector<PutItem> items = {
      {"a", Bytes("a")}, {"b", Bytes("bb")}, {"c", Bytes("ccc")}};
  const absl::Status put = writer->PutAll(items, Strict());
  ASSERT_TRUE(put.ok()) << put;
  for (const PutItem& item : items) {
    const auto got = writer->Get(item.id);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_TRUE(got->is_strict());
    EXPECT_EQ(got->size_bytes(), item.data.size());
  }
  EXPECT_EQ(Arenas(*writer.client).size(), 3u);
  for (const ObjectSummary& one : writer->List()) EXPECT_TRUE(one.is_strict);
}

TEST_F(StrictObjectTest, WhatIsAbandonedIsUsedForOthers) {
  const Program writer = NewProgram();
  { ASSERT_TRUE(writer->Create("never", kArenaBytes, Strict()).ok()); }
  ASSERT_TRUE(writer->Put("it", Bytes("it")).ok());
  EXPECT_EQ(Arenas(*writer.client).size(), 1u);
  EXPECT_FALSE(writer->Get("it")->is_strict());
}

TEST_F(StrictObjectTest, WritersOfOneNameDoNotLeakArenas) {
  const Program one = NewProgram();
  const Program other = NewProgram();
  for (int i = 0; i < 50; ++i) {
    auto first = one->Create("it", 1, Strict());
    auto second = other->Create("it", 1, Strict());
    ASSERT_TRUE(first.ok() && second.ok());
    bool first_won = false;
    std::thread sealing([&] { first_won = first->Seal().ok(); });
    const bool second_won = second->Seal().ok();
    sealing.join();
    EXPECT_NE(first_won, second_won);
    ASSERT_TRUE(one->Delete("it").ok());
  }
  // What was abandoned unsealed is with its writer, for the next one.
  EXPECT_TRUE(Eventually([&] { return Arenas(*one.client).size() <= 2; }));
}

TEST_F(StrictObjectTest, TheySurviveTheDaemon) {
  StartServer({"--keeper"});
  const Program writer = NewProgram();
  ASSERT_TRUE(writer->Put("it", Bytes("it"), Strict()).ok());
  pid_t pid = 0;
  std::ifstream(absl::StrCat("/proc/", server_->pid(), "/task/", server_->pid(),
                             "/children")) >>
      pid;
  ASSERT_GT(pid, 0);
  const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  ASSERT_EQ(kill(pid, SIGKILL), 0);
  pollfd end = {pidfd.get(), POLLIN, 0};
  ASSERT_EQ(poll(&end, 1, absl::ToInt64Milliseconds(kDeadline)), 1);
  ASSERT_TRUE(writer->Put("other", Bytes("other"), Strict()).ok());
  const auto got = writer->Get("it");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(got->is_strict());
  ASSERT_TRUE(writer->Delete("other").ok());
  EXPECT_TRUE(Eventually([&] { return Arenas(*writer.client).size() == 1; }));
}

}  // namespace
}  // namespace shmd::testing
