// Objects when memory is full: evicted, spilled, or refused.

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/objects.h"
#include "gtest/gtest.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(60);
constexpr uint64_t kArenaBytes = 1 << 20;
constexpr uint64_t kQuarter = kArenaBytes / 4;
constexpr uid_t kOtherUid = 12345;

// Tells its object and size.
std::string Content(const std::string& id, uint64_t size_bytes = kQuarter) {
  std::string text;
  while (text.size() < size_bytes) absl::StrAppend(&text, id, "|");
  text.resize(size_bytes);
  return text;
}

class RoomTest : public ::testing::Test {
 protected:
  void SetUp() override { StartServer({}); }

  void StartServer(ScopedServer::Options options) {
    server_.reset();
    auto server = ScopedServer::Start(std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  struct Program {
    std::unique_ptr<Client> client;
    std::unique_ptr<ObjectStore> store;
    ObjectStore* operator->() const { return store.get(); }

    absl::Status Put(const std::string& id, uint64_t size_bytes = kQuarter,
                     const ObjectOptions& options = {}) const {
      return store->Put(id, Content(id, size_bytes), options).status();
    }
    // Whether it is there, whole; used by that.
    bool Has(const std::string& id, uint64_t size_bytes = kQuarter) const {
      const auto got = store->Get(id);
      return got.ok() && std::string(got->data(), got->size_bytes()) ==
                             Content(id, size_bytes);
    }
    std::vector<bool> Contains(const std::vector<std::string>& ids) const {
      std::vector<bool> found;
      for (const std::string& id : ids) found.push_back(store->Contains(id));
      return found;
    }
    size_t Spilled() const {
      size_t spilled = 0;
      for (const ObjectSummary& one : store->List()) spilled += one.is_spilled;
      return spilled;
    }
  };

  Program NewProgram(mode_t mode = 0600) {
    Program program;
    ConnectOptions options;
    options.socket_dir = server_->socket_dir();
    options.reconnect_timeout = kDeadline;
    auto client = Client::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status();
    program.client = std::make_unique<Client>(*std::move(client));
    ObjectStoreOptions store_options;
    store_options.mode = mode;
    store_options.arena_bytes = kArenaBytes;
    auto store = ObjectStore::Open(*program.client, store_options);
    EXPECT_TRUE(store.ok()) << store.status();
    program.store = std::make_unique<ObjectStore>(*std::move(store));
    return program;
  }

  // From now on there may be so many arenas more.
  static void Limit(Client& client, uint64_t arenas, WhenFull when_full,
                    std::optional<uint64_t> spilled_bytes = std::nullopt) {
    const auto now = client.GetNamespace("default");
    ASSERT_TRUE(now.ok()) << now.status();
    NamespaceSpec spec;
    spec.quota = now->quota;
    // Also for the pages of sessions to come, of 200 KiB each.
    spec.quota->bytes =
        *now->usage.bytes + arenas * kArenaBytes + kArenaBytes / 2;
    spec.quota->spilled_bytes = spilled_bytes;
    spec.when_full = when_full;
    const auto changed = client.UpdateNamespace("default", spec);
    ASSERT_TRUE(changed.ok()) << changed.status();
    ASSERT_EQ(changed->when_full, when_full);
  }

  // One program, and room for four objects.
  Program Full(WhenFull when_full, mode_t mode = 0600) {
    Program program = NewProgram(mode);
    Limit(*program.client, 1, when_full);
    for (const char* id : {"a", "b", "c", "d"}) {
      EXPECT_TRUE(program.Put(id).ok()) << id;
    }
    return program;
  }

  static uint64_t SpilledBytes(Client& client) {
    const auto now = client.GetNamespace("default");
    EXPECT_TRUE(now.ok()) << now.status();
    return now.ok() ? *now->usage.spilled_bytes : 0;
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

void ExpectNoRoom(const absl::Status& status) {
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
  EXPECT_EQ(GetErrorReason(status), reason::kObjectsInUse) << status;
}

TEST_F(RoomTest, ARefusalTakesNothing) {
  const Program program = Full(WhenFull::kRefuse);
  ExpectNoRoom(program.Put("e"));
  for (const char* id : {"a", "b", "c", "d"}) EXPECT_TRUE(program.Has(id));
  EXPECT_FALSE(program->Contains("e"));
}

TEST_F(RoomTest, TheLeastRecentlyUsedIsEvicted) {
  const Program program = Full(WhenFull::kEvict);
  const Program reader = NewProgram();
  EXPECT_TRUE(reader.Has("a"));
  EXPECT_TRUE(program.Put("e").ok());
  EXPECT_EQ(program.Contains({"a", "b", "c", "d", "e"}),
            (std::vector<bool>{true, false, true, true, true}));
  EXPECT_TRUE(program.Has("c"));
  EXPECT_TRUE(program.Put("f").ok());
  EXPECT_EQ(program.Contains({"a", "c", "d", "e", "f"}),
            (std::vector<bool>{true, true, false, true, true}));
  for (const char* id : {"a", "c", "e", "f"}) EXPECT_TRUE(reader.Has(id)) << id;
}

TEST_F(RoomTest, TheLowestPriorityIsEvictedFirst) {
  const Program program = NewProgram();
  Limit(*program.client, 1, WhenFull::kEvict);
  ObjectOptions options;
  for (const auto& [id, priority] : std::vector<std::pair<std::string, int>>{
           {"a", 9}, {"b", 5}, {"c", 7}, {"d", 5}}) {
    options.priority = static_cast<uint8_t>(priority);
    ASSERT_TRUE(program.Put(id, kQuarter, options).ok());
  }
  EXPECT_TRUE(program.Has("b"));
  options.priority = 6;
  ASSERT_TRUE(program.Put("e", kQuarter, options).ok());
  ASSERT_TRUE(program.Put("f", kQuarter, options).ok());
  ASSERT_TRUE(program.Put("g", kQuarter, options).ok());
  EXPECT_EQ(program.Contains({"a", "b", "c", "d", "e", "f", "g"}),
            (std::vector<bool>{true, false, true, false, false, true, true}));
}

TEST_F(RoomTest, WhatIsPinnedOrLeasedIsSpared) {
  const Program program = Full(WhenFull::kEvict);
  const Program reader = NewProgram();
  ASSERT_TRUE(reader->Lease("a", absl::Hours(1)).ok());
  const auto b = reader->Get("b");
  auto c = std::make_unique<PinnedObject>(*reader->Get("c"));
  const auto d = program->Get("d");
  ASSERT_TRUE(b.ok() && d.ok());
  ExpectNoRoom(program.Put("e"));
  c.reset();
  EXPECT_TRUE(program.Put("e").ok());
  EXPECT_EQ(program.Contains({"a", "b", "c", "d", "e"}),
            (std::vector<bool>{true, true, false, true, true}));
  EXPECT_EQ(std::string(b->data(), b->size_bytes()), Content("b"));
  EXPECT_EQ(std::string(d->data(), d->size_bytes()), Content("d"));
}

TEST_F(RoomTest, LeasesEnd) {
  const Program program = Full(WhenFull::kEvict);
  for (const char* id : {"a", "b", "c", "d"}) {
    ASSERT_TRUE(program->Lease(id, absl::Milliseconds(1)).ok());
  }
  ObjectOptions patient;
  patient.wait_for_room = kDeadline;
  EXPECT_TRUE(program.Put("e", kQuarter, patient).ok());
  EXPECT_EQ(GetErrorReason(program->Lease("none", absl::Seconds(1))),
            reason::kObjectNotFound);
}

TEST_F(RoomTest, APutWaitsForRoom) {
  for (const WhenFull when_full :
       {WhenFull::kRefuse, WhenFull::kEvict, WhenFull::kSpill}) {
    StartServer({});
    const Program program = Full(when_full);
    std::vector<PinnedObject> pins;
    for (const char* id : {"a", "b", "c", "d"}) {
      pins.push_back(*program->Get(id));
    }
    ObjectOptions options;
    options.wait_for_room = absl::Milliseconds(30);
    const absl::Time begun = absl::Now();
    ExpectNoRoom(program.Put("e", kQuarter, options));
    EXPECT_GE(absl::Now() - begun, options.wait_for_room);
    options.wait_for_room = kDeadline;
    std::thread waiting([&] {
      const absl::Status put = program.Put("e", kQuarter, options);
      EXPECT_TRUE(put.ok()) << put;
    });
    pins.clear();
    if (when_full == WhenFull::kRefuse) {
      EXPECT_TRUE(program->Delete("b").ok());
    }
    waiting.join();
    EXPECT_TRUE(program.Has("e"));
  }
}

TEST_F(RoomTest, NeighboursGoForALargerObject) {
  const Program program = Full(WhenFull::kEvict);
  EXPECT_TRUE(program.Has("b"));
  ASSERT_TRUE(program.Put("large", 2 * kQuarter).ok());
  EXPECT_TRUE(program.Has("large", 2 * kQuarter));
  EXPECT_EQ(program.Contains({"a", "b", "c", "d"}),
            (std::vector<bool>{true, true, false, false}));
  // What no arena of the program's has room for takes nothing.
  ExpectNoRoom(program.Put("too large", 2 * kArenaBytes));
  EXPECT_EQ(program->List().size(), 3u);
}

// More than a session can be told of at once.
TEST_F(RoomTest, ManySmallOnesGoForALargeOneOnce) {
  constexpr uint64_t kSmall = 256;
  constexpr uint64_t kCount = kArenaBytes / kSmall;
  Program program = NewProgram();
  Limit(*program.client, 1, WhenFull::kEvict);
  const std::string content = Content("s", kSmall);
  std::vector<std::string> ids;
  for (uint64_t i = 0; i < kCount; ++i) ids.push_back(absl::StrCat("s", i));
  std::vector<PutItem> items;
  for (const std::string& id : ids) items.push_back({id, content});
  const absl::Status put = program.store->PutAll(items);
  ASSERT_TRUE(put.ok()) << put;
  ASSERT_TRUE(program.Put("large", kArenaBytes / 2).ok());
  EXPECT_TRUE(program.Has("large", kArenaBytes / 2));
  // A half, and at most one in 256 besides.
  const size_t left = program.store->List().size() - 1;
  EXPECT_LE(left, kCount / 2);
  EXPECT_GE(left, kCount / 2 - kCount / 128);
}

TEST_F(RoomTest, ArenasOfEndedWritersGo) {
  {
    const Program gone = NewProgram();
    Limit(*gone.client, 2, WhenFull::kEvict);
    for (const char* id : {"a", "b", "c", "d", "e"}) {
      ASSERT_TRUE(gone.Put(id).ok()) << id;
    }
  }
  const Program program = NewProgram();
  ObjectOptions patient;  // the daemon learns of the end in its own time
  patient.wait_for_room = kDeadline;
  ASSERT_TRUE(program.Put("f", kQuarter, patient).ok());
  EXPECT_EQ(program.Contains({"a", "b", "c", "d", "e", "f"}),
            (std::vector<bool>{false, false, false, false, true, true}));
}

TEST_F(RoomTest, ArenasOfOtherWritersAreLeftAlone) {
  const Program other = Full(WhenFull::kEvict);
  const Program program = NewProgram();
  Limit(*program.client, 0, WhenFull::kEvict);
  ExpectNoRoom(program.Put("e"));
  for (const char* id : {"a", "b", "c", "d"}) EXPECT_TRUE(other.Has(id)) << id;
}

TEST_F(RoomTest, SpilledObjectsAreFoundAsBefore) {
  const Program program = Full(WhenFull::kSpill, 0644);
  const Program reader = NewProgram();
  ObjectOptions options;
  options.metadata.emplace();
  options.metadata->media_type = "text/plain";
  ASSERT_TRUE(program->Delete("a").ok());
  const auto a = program->Put("a", Content("a", kQuarter - 4096), options);
  ASSERT_TRUE(a.ok()) << a.status();
  EXPECT_TRUE(reader.Has("b"));
  for (const char* id : {"e", "f", "g", "h"}) {
    ASSERT_TRUE(program.Put(id).ok()) << id;
  }
  EXPECT_EQ(reader.Spilled(), 4u);
  EXPECT_GT(SpilledBytes(*program.client), 0u);
  for (const char* id : {"b", "c", "d", "e", "f", "g", "h"}) {
    EXPECT_TRUE(reader.Has(id)) << id;
    EXPECT_TRUE(program.Has(id)) << id;
  }
  const auto spilled = reader->Get("a");
  ASSERT_TRUE(spilled.ok()) << spilled.status();
  EXPECT_EQ(spilled->generation(), *a);
  EXPECT_EQ(spilled->metadata()->media_type, "text/plain");
  EXPECT_TRUE(reader.Has("a", kQuarter - 4096));
}

TEST_F(RoomTest, FilesGoWithTheirObjects) {
  const Program program = Full(WhenFull::kSpill);
  ASSERT_TRUE(program.Put("e").ok());
  ASSERT_EQ(server_->Ledger().root_files.size(), 1u);
  // Its place is used again.
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(program.Put(absl::StrCat("more-", i)).ok());
    if (i >= 8) {
      ASSERT_TRUE(program->Delete(absl::StrCat("more-", i - 8)).ok());
    }
  }
  EXPECT_LE(server_->Ledger().root_files.size(), 4u);
  for (const ObjectSummary& one : program->List()) {
    ASSERT_TRUE(program->Delete(one.id).ok());
  }
  EXPECT_TRUE(Eventually([&] {
    return server_->Ledger().root_files.empty() &&
           SpilledBytes(*program.client) == 0;
  }));
}

TEST_F(RoomTest, FilesMayTakeNoMoreThanTheirQuota) {
  const Program program = NewProgram();
  Limit(*program.client, 1, WhenFull::kSpill, 2 * kQuarter);
  for (const char* id : {"a", "b", "c", "d", "e", "f"}) {
    ASSERT_TRUE(program.Put(id).ok()) << id;
  }
  EXPECT_LE(SpilledBytes(*program.client), 2 * kQuarter);
  ExpectNoRoom(program.Put("g"));
  for (const char* id : {"a", "b", "c", "d", "e", "f"}) {
    EXPECT_TRUE(program.Has(id)) << id;
  }
}

TEST_F(RoomTest, WithoutARootForFilesNothingIsSpilled) {
  ScopedServer::Options options;
  options.with_file_root = false;
  StartServer(std::move(options));
  const Program program = Full(WhenFull::kSpill);
  ExpectNoRoom(program.Put("e"));
  EXPECT_EQ(program.Spilled(), 0u);
}

TEST_F(RoomTest, ArenasOfEndedWritersAreSpilledWhole) {
  {
    const Program gone = NewProgram();
    Limit(*gone.client, 1, WhenFull::kSpill);
    for (const char* id : {"a", "b", "c"}) ASSERT_TRUE(gone.Put(id).ok());
  }
  const Program program = NewProgram();
  ObjectOptions patient;
  patient.wait_for_room = kDeadline;
  ASSERT_TRUE(program.Put("d", kQuarter, patient).ok());
  EXPECT_EQ(program.Spilled(), 3u);
  for (const char* id : {"a", "b", "c", "d"}) EXPECT_TRUE(program.Has(id));
}

TEST_F(RoomTest, WhoMayReadAnObjectMayReadItWhenItIsSpilled) {
  const Program secret = Full(WhenFull::kSpill, 0600);
  const Program open = NewProgram(0644);
  Limit(*open.client, 1, WhenFull::kSpill);
  for (const char* id : {"open-1", "open-2", "open-3", "open-4", "open-5"}) {
    ASSERT_TRUE(open.Put(id).ok());
  }
  ASSERT_TRUE(secret.Put("e").ok());
  ASSERT_EQ(open.Spilled(), 2u);
  for (const std::string& file : server_->Ledger().root_files) {
    struct stat found = {};
    ASSERT_EQ(stat(file.c_str(), &found), 0) << file;
    EXPECT_EQ(found.st_mode & 07777, 0600u);
    EXPECT_EQ(found.st_uid, geteuid());
  }
  const pid_t child = fork();
  if (child == 0) {
    if (setresgid(kOtherUid, kOtherUid, kOtherUid) != 0) _exit(10);
    if (setresuid(kOtherUid, kOtherUid, kOtherUid) != 0) _exit(11);
    const Program other = NewProgram();
    if (GetErrorReason(other->Get("a").status()) != reason::kCallerNotAllowed) {
      _exit(12);
    }
    if (GetErrorReason(other->Lease("a", absl::Seconds(1))) !=
        reason::kCallerNotAllowed) {
      _exit(13);
    }
    if (!other.Has("open-1")) _exit(14);
    _exit(other->Lease("open-1", absl::Seconds(1)).ok() ? 0 : 15);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << WEXITSTATUS(status);
}

// A writer puts and deletes objects of many sizes where there is never room
// for all, and readers compare every byte.
class ChurnTest : public RoomTest,
                  public ::testing::WithParamInterface<WhenFull> {};

TEST_P(ChurnTest, NobodyReadsTornBytes) {
  const Program writer = NewProgram();
  Limit(*writer.client, 2, GetParam());
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> reads{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&, i] {
      const Program reader = NewProgram();
      for (int n = i; !stop; ++n) {
        const std::string id = absl::StrCat(n % 200);
        const auto got = reader->Get(id);
        if (!got.ok()) {
          ASSERT_EQ(GetErrorReason(got.status()), reason::kObjectNotFound)
              << got.status();
          continue;
        }
        ASSERT_EQ(std::string(got->data(), got->size_bytes()),
                  Content(id, got->size_bytes()));
        ++reads;
      }
    });
  }
  ObjectOptions options;
  options.replace_existing = true;
  options.wait_for_room = kDeadline;
  for (int i = 0; i < 1000 || reads < 1000; ++i) {
    const int n = i * 37 % 200;
    const uint64_t size_bytes = 1 + static_cast<uint64_t>(i) * 7919 % 60000;
    const absl::Status put = writer.Put(absl::StrCat(n), size_bytes, options);
    ASSERT_TRUE(put.ok()) << i << ": " << put;
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  if (GetParam() == WhenFull::kSpill) {
    EXPECT_EQ(writer->List().size(), 200u);
    EXPECT_GT(writer.Spilled(), 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ChurnTest,
                         ::testing::Values(WhenFull::kEvict, WhenFull::kSpill));

class RestartTest : public RoomTest {
 protected:
  void SetUp() override {
    ScopedServer::Options options;
    options.flags = {"--keeper"};
    StartServer(std::move(options));
  }

  void KillDaemon() {
    pid_t pid = 0;
    ASSERT_TRUE(Eventually([&] {
      std::ifstream(absl::StrCat("/proc/", server_->pid(), "/task/",
                                 server_->pid(), "/children")) >>
          pid;
      return pid > 0;
    }));
    ASSERT_EQ(kill(pid, SIGKILL), 0);
  }
};

TEST_F(RestartTest, SpilledObjectsAndLeasesAreThereAgain) {
  const Program program = Full(WhenFull::kSpill);
  const Program reader = NewProgram();
  ASSERT_TRUE(program.Put("e").ok());
  ASSERT_TRUE(program.Put("f").ok());
  const auto pinned = reader->Get("b");
  ASSERT_TRUE(pinned.ok()) << pinned.status();
  for (const char* id : {"c", "d", "e", "f"}) {
    ASSERT_TRUE(program->Lease(id, absl::Hours(1)).ok());
  }
  KillDaemon();
  ExpectNoRoom(program.Put("g"));
  for (const char* id : {"a", "b", "c", "d", "e", "f"}) {
    EXPECT_TRUE(reader.Has(id)) << id;
  }
  const Program late = NewProgram();
  EXPECT_TRUE(late.Has("a"));
  ASSERT_TRUE(program->Delete("b").ok());
  // What is spilled from now on takes no place that is used.
  ASSERT_TRUE(program->Delete("c").ok());
  for (const char* id : {"g", "h", "i"}) ASSERT_TRUE(program.Put(id).ok());
  EXPECT_EQ(std::string(pinned->data(), pinned->size_bytes()), Content("b"));
  for (const char* id : {"a", "d", "e", "f", "g", "h", "i"}) {
    EXPECT_TRUE(late.Has(id)) << id;
  }
}

TEST_F(RoomTest, FilesGoWithADirectoryThatIsGone) {
  {
    const Program program = Full(WhenFull::kSpill);
    ASSERT_TRUE(program.Put("e").ok());
  }
  ASSERT_EQ(server_->Ledger().root_files.size(), 1u);
  server_->Kill();
  ASSERT_TRUE(server_->Restart().ok());
  EXPECT_TRUE(server_->Ledger().root_files.empty());
  const Program program = NewProgram();
  EXPECT_EQ(SpilledBytes(*program.client), 0u);
  EXPECT_TRUE(program->List().empty());
}

}  // namespace
}  // namespace shmd::testing
