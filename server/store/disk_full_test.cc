// Writes, truncations and syncs that fail.

#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/store/store_fixture.h"

namespace shmd {
namespace {

// What the calls below do next; one test runs at a time.
std::atomic<int> short_write_bytes{-1};  // so much is written, then no more
std::atomic<bool> truncate_fails{false};
std::atomic<bool> sync_fails{false};
std::atomic<int> syncs{0};

ssize_t Write(int fd, const void* data, size_t size, off_t offset) {
  const int limit = short_write_bytes;
  if (limit < 0) return pwrite(fd, data, size, offset);
  if (limit > 0) {
    return pwrite(fd, data, std::min<size_t>(size, limit), offset);
  }
  errno = ENOSPC;
  return -1;
}

int Truncate(int fd, off_t size) {
  if (!truncate_fails) return ftruncate(fd, size);
  errno = EIO;
  return -1;
}

int SyncFile(int fd) {
  ++syncs;
  if (!sync_fails) return fdatasync(fd);
  errno = EIO;
  return -1;
}

class DiskFullTest : public StoreFixture {
 protected:
  DiskFullTest() {
    short_write_bytes = -1;
    truncate_fails = false;
    sync_fails = false;
  }

  static Store::Options Failing() {
    Store::Options options = JournalOnly();
    options.calls = {&Write, &Truncate, &SyncFile};
    return options;
  }
};

TEST_F(DiskFullTest, WriteThatFailsChangesNothing) {
  const auto store = Open(Failing());
  ASSERT_TRUE(Commit(*store, Put("a", "1")).ok());
  const std::string before = ReadFile(JournalIn(folder()));
  for (const int bytes : {0, 1, 27, 28, 30}) {
    short_write_bytes = bytes;
    const absl::Status status = Commit(*store, Put("a", "2"));
    EXPECT_EQ(GetErrorReason(status), "STORE_FAILED");
    EXPECT_TRUE(absl::StrContains(status.message(), "No space")) << status;
    EXPECT_EQ(ReadFile(JournalIn(folder())), before);
  }
  EXPECT_EQ(ContentsIn(Crash()), (Contents{{"a", "1"}}));
  EXPECT_EQ(ContentsOf(*store), (Contents{{"a", "1"}}));
  short_write_bytes = -1;
  EXPECT_TRUE(Commit(*store, Put("b", "1")).ok());
  EXPECT_EQ(ContentsIn(Crash()), (Contents{{"a", "1"}, {"b", "1"}}));
}

TEST_F(DiskFullTest, WhatIsPreparedIsGivenUpWhereItDoesNotFit) {
  Store::Options options = Failing();
  options.prepared_bytes = 8192;
  short_write_bytes = 100;  // room for a header
  const auto store = Open(options);
  ASSERT_NE(store, nullptr);
  EXPECT_LT(ReadFile(JournalIn(folder())).size(), 100u);
  short_write_bytes = -1;
  EXPECT_TRUE(Commit(*store, Put("a", "1"), Durability::kPowerLoss).ok());
  EXPECT_EQ(ContentsIn(Crash()), (Contents{{"a", "1"}}));
}

TEST_F(DiskFullTest, WriteThatFailsInWhatIsPreparedChangesNothing) {
  Store::Options options = Failing();
  options.prepared_bytes = 8192;
  const auto store = Open(options);
  ASSERT_TRUE(Commit(*store, Put("a", "1")).ok());
  short_write_bytes = 30;
  EXPECT_EQ(GetErrorReason(Commit(*store, Put("a", "2"))), "STORE_FAILED");
  short_write_bytes = -1;
  EXPECT_EQ(ContentsIn(Crash()), (Contents{{"a", "1"}}));
  EXPECT_TRUE(Commit(*store, Put("b", "1"), Durability::kPowerLoss).ok());
  EXPECT_EQ(ContentsIn(Crash()), (Contents{{"a", "1"}, {"b", "1"}}));
}

TEST_F(DiskFullTest, BatchThatDoesNotFitIsNotThereInPart) {
  const auto store = Open(Failing());
  short_write_bytes = 100;
  std::vector<Change> batch;
  for (int i = 0; i < 20; ++i) batch.push_back(Put(absl::StrCat(i), "v"));
  EXPECT_FALSE(store->Commit(batch, Durability::kDaemonDeath).ok());
  EXPECT_TRUE(ContentsIn(Crash()).empty());
  EXPECT_TRUE(ContentsOf(*store).empty());
}

TEST_F(DiskFullTest, NothingFollowsATornTail) {
  const auto store = Open(Failing());
  ASSERT_TRUE(Commit(*store, Put("a", "1")).ok());
  short_write_bytes = 30;
  truncate_fails = true;
  EXPECT_EQ(GetErrorReason(Commit(*store, Put("b", "1"))), "STORE_FAILED");
  short_write_bytes = -1;
  truncate_fails = false;
  const absl::Status later = Commit(*store, Put("c", "1"));
  EXPECT_EQ(GetErrorReason(later), "STORE_FAILED");
  EXPECT_TRUE(absl::StrContains(later.message(), "restart")) << later;
  EXPECT_EQ(ContentsOf(*store), (Contents{{"a", "1"}}));
  EXPECT_EQ(ContentsIn(Crash()), (Contents{{"a", "1"}}));
}

TEST_F(DiskFullTest, SyncThatFailsIsTheLast) {
  const auto store = Open(Failing());
  ASSERT_TRUE(Commit(*store, Put("a", "1")).ok());
  sync_fails = true;
  EXPECT_EQ(
      GetErrorReason(Commit(*store, Put("b", "1"), Durability::kPowerLoss)),
      "STORE_FAILED");
  sync_fails = false;
  EXPECT_EQ(
      GetErrorReason(Commit(*store, Put("c", "1"), Durability::kPowerLoss)),
      "STORE_FAILED");
  EXPECT_EQ(ContentsIn(Crash()).count("a"), 1u);
}

TEST_F(DiskFullTest, OnlyPowerLossCostsASync) {
  const auto store = Open(Failing());
  syncs = 0;
  ASSERT_TRUE(Commit(*store, Put("a", "1")).ok());
  EXPECT_EQ(syncs, 0);
  ASSERT_TRUE(Commit(*store, Put("b", "1"), Durability::kPowerLoss).ok());
  EXPECT_EQ(syncs, 1);
}

// In a child, since it is the whole process's limit.
TEST_F(DiskFullTest, FileSizeLimitOfTheProcess) {
  { Open(); }
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    auto store = Store::Open(folder(), JournalOnly());
    if (!store.ok()) _exit(2);
    const rlimit limit = {4096, 4096};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(3);
    int accepted = 0;
    while (Commit(**store, Put(absl::StrCat(accepted), "v")).ok()) ++accepted;
    if (Commit(**store, Put("large", std::string(5000, 'v'))).ok()) _exit(4);
    // As kill -9 would.
    _exit(accepted > 20 && accepted < 200 ? accepted : 5);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  ASSERT_GT(WEXITSTATUS(status), 20);
  EXPECT_EQ(ContentsIn(folder()).size(),
            static_cast<size_t>(WEXITSTATUS(status)));
}

TEST_F(DiskFullTest, DatabaseThatCannotGrowLeavesRecordsInTheJournal) {
  // The database alone is on a file system that fills up. Mounting takes root.
  const std::string small = folder();
  ASSERT_EQ(mount("none", small.c_str(), "tmpfs", 0, "size=1m"), 0);
  Contents expected;
  {
    Store::Options options;
    options.write_behind = absl::ZeroDuration();
    const auto store = Open(options);
    if (store != nullptr) {
      const std::string value(1000, 'v');
      for (int i = 0;; ++i) {
        const std::string key = absl::StrCat(i);
        if (!Commit(*store, Put(key, value)).ok()) break;
        expected[key] = value;
      }
    }
    const std::string copy = Crash();
    EXPECT_GT(expected.size(), 100u);
    EXPECT_EQ(ContentsIn(copy), expected);
  }
  EXPECT_EQ(umount(small.c_str()), 0);
}

}  // namespace
}  // namespace shmd
