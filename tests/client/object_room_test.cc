// The memory of arenas: given back when it is idle, and never lost for good.

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
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
// Two of them do not fit into one arena.
constexpr uint64_t kMoreThanHalf = 600 << 10;

// Nothing else than so many of them; not by EXPECT_EQ, which would print all.
bool Holds(const PinnedObject& object, char fill,
           uint64_t size_bytes = kMoreThanHalf) {
  return absl::string_view(object.data(), object.size_bytes()) ==
         std::string(size_bytes, fill);
}

class ObjectRoomTest : public ::testing::Test {
 protected:
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

  Program NewProgram(absl::Duration trim_after = absl::InfiniteDuration()) {
    Program program;
    ConnectOptions options;
    options.socket_dir = server_->socket_dir();
    options.reconnect_timeout = kDeadline;
    auto client = Client::Connect(options);
    EXPECT_TRUE(client.ok()) << client.status();
    program.client = std::make_unique<Client>(*std::move(client));
    ObjectStoreOptions store_options;
    store_options.arena_bytes = kArenaBytes;
    store_options.trim_after = trim_after;
    auto store = ObjectStore::Open(*program.client, store_options);
    EXPECT_TRUE(store.ok()) << store.status();
    program.store = std::make_unique<ObjectStore>(*std::move(store));
    return program;
  }

  static std::vector<Segment> Arenas(Client& client) {
    const auto segments = client.List();
    EXPECT_TRUE(segments.ok()) << segments.status();
    std::vector<Segment> arenas;
    for (const Segment& segment : *segments) {
      if (absl::StrContains(segment.name, "/shmd.arena.")) {
        arenas.push_back(segment);
      }
    }
    return arenas;
  }

  // As the kernel has it, and as a listing says: to count pages by their nodes,
  // as Get does, may bring those back that go meanwhile.
  static uint64_t ResidentBytes(Client& client) {
    uint64_t bytes = 0;
    for (const Segment& arena : Arenas(client)) {
      EXPECT_TRUE(arena.status.has_value()) << arena.name;
      if (arena.status.has_value()) bytes += arena.status->resident_bytes;
    }
    return bytes;
  }

  static void Put(const Program& program, const std::string& id, char fill,
                  uint64_t size_bytes = kMoreThanHalf) {
    const std::string data(size_bytes, fill);
    const auto put = program->Put(id, absl::MakeConstSpan(data));
    ASSERT_TRUE(put.ok()) << put.status();
  }

  // That may have happened before the daemon was killed.
  static void Remove(const Program& program, const std::string& id) {
    const absl::Status status = program->Delete(id);
    ASSERT_TRUE(status.ok() ||
                GetErrorReason(status) == reason::kObjectNotFound)
        << status;
  }

  template <typename Condition>
  static bool Eventually(Condition condition) {
    const absl::Time give_up = absl::Now() + kDeadline;
    while (!condition()) {
      if (absl::Now() > give_up) return false;
    }
    return true;
  }

  // Its keeper starts another one.
  void KillDaemon() {
    pid_t pid = 0;
    ASSERT_TRUE(Eventually([&] {
      std::ifstream(absl::StrCat("/proc/", server_->pid(), "/task/",
                                 server_->pid(), "/children")) >>
          pid;
      return pid > 0;
    }));
    const UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
    ASSERT_TRUE(pidfd.valid());
    ASSERT_EQ(kill(pid, SIGKILL), 0);
    pollfd end = {pidfd.get(), POLLIN, 0};
    ASSERT_EQ(poll(&end, 1, absl::ToInt64Milliseconds(kDeadline)), 1);
  }

  std::unique_ptr<ScopedServer> server_;
};

TEST_F(ObjectRoomTest, TrimGivesBackWhatNoObjectIsIn) {
  StartServer({});
  const Program program = NewProgram();
  Put(program, "gone", 'g');
  Put(program, "stays", 's', 10000);
  EXPECT_GE(ResidentBytes(*program.client), kMoreThanHalf);
  ASSERT_TRUE(program->Delete("gone").ok());
  EXPECT_GE(ResidentBytes(*program.client), kMoreThanHalf);
  ASSERT_TRUE(Eventually([&] {
    const auto trimmed = program->Trim();
    EXPECT_TRUE(trimmed.ok()) << trimmed.status();
    return *trimmed >= kMoreThanHalf - 8192;
  }));
  EXPECT_LE(ResidentBytes(*program.client), 10000u + 8192);
  EXPECT_EQ(*program->Trim(), 0u);
  EXPECT_TRUE(Holds(*program->Get("stays"), 's', 10000));
  // The room is there as before.
  Put(program, "again", 'a');
  EXPECT_EQ(Arenas(*program.client).size(), 1u);
  EXPECT_TRUE(Holds(*program->Get("again"), 'a'));
}

// Its arena is there for as long as an object is in it.
TEST_F(ObjectRoomTest, WhatAnEndedWriterWasWritingIsGivenBack) {
  StartServer({});
  const Program watcher = NewProgram();
  {
    const Program writer = NewProgram();
    Put(writer, "kept", 'k', 1000);
    Put(writer, "deleted", 'd', 200 << 10);
    ASSERT_TRUE(writer->Delete("deleted").ok());
    auto draft = writer->Create("never", kMoreThanHalf);
    ASSERT_TRUE(draft.ok()) << draft.status();
    memset(draft->span().data(), 'n', draft->span().size());
    ASSERT_GT(ResidentBytes(*watcher.client), kMoreThanHalf);
  }
  EXPECT_TRUE(
      Eventually([&] { return ResidentBytes(*watcher.client) <= 2 * 4096; }));
  const auto kept = watcher->Get("kept");
  ASSERT_TRUE(kept.ok()) << kept.status();
  EXPECT_TRUE(Holds(*kept, 'k', 1000));
}

TEST_F(ObjectRoomTest, ThreadsThatAllFindNoArenaShareOne) {
  StartServer({});
  const Program program = NewProgram();
  constexpr int kThreads = 8;
  std::vector<absl::Status> statuses(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      statuses[i] =
          program->Put(absl::StrCat("by-", i), absl::MakeConstSpan("x"))
              .status();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const absl::Status& status : statuses)
    EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(Arenas(*program.client).size(), 1u);
}

TEST_F(ObjectRoomTest, IdleMemoryGoesBackByItself) {
  StartServer({});
  const Program program = NewProgram(absl::Milliseconds(1));
  Put(program, "gone", 'g');
  Put(program, "stays", 's', 100);
  ASSERT_TRUE(program->Delete("gone").ok());
  // In the course of other work.
  EXPECT_TRUE(Eventually([&] {
    EXPECT_TRUE(program->Put("little", absl::MakeConstSpan("x", 1)).ok());
    EXPECT_TRUE(program->Delete("little").ok());
    return ResidentBytes(*program.client) <= 3 * 4096;
  }));
  EXPECT_TRUE(Holds(*program->Get("stays"), 's', 100));
}

TEST_F(ObjectRoomTest, MemoryIsKeptWarmWhenAskedTo) {
  StartServer({});
  const Program program = NewProgram(absl::InfiniteDuration());
  Put(program, "gone", 'g');
  ASSERT_TRUE(program->Delete("gone").ok());
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(program->Put("little", absl::MakeConstSpan("x", 1)).ok());
    ASSERT_TRUE(program->Delete("little").ok());
  }
  EXPECT_GE(ResidentBytes(*program.client), kMoreThanHalf);
}

// While it gives memory back as fast as it can.
TEST_F(ObjectRoomTest, ObjectsKeepTheirBytesWhileTheirNeighboursGo) {
  StartServer({});
  const Program program = NewProgram(absl::ZeroDuration());
  std::mt19937_64 random(20261122);
  std::map<std::string, std::string> model;
  for (int i = 0; i < 3000; ++i) {
    const std::string id = absl::StrCat("object-", random() % 40);
    const auto known = model.find(id);
    if (known == model.end()) {
      const std::string data(random() % (uint64_t{1} << (random() % 18)),
                             static_cast<char>('a' + i % 26));
      ASSERT_TRUE(program->Put(id, absl::MakeConstSpan(data)).ok());
      model[id] = data;
    } else {
      const auto got = program->Get(id);
      ASSERT_TRUE(got.ok()) << got.status();
      ASSERT_TRUE(absl::string_view(got->data(), got->size_bytes()) ==
                  known->second)
          << id;
      if (random() % 2 == 0) {
        ASSERT_TRUE(program->Delete(id).ok());
        model.erase(known);
      }
    }
    if (i % 500 == 0) {
      ASSERT_TRUE(program->Trim().ok());
    }
  }
  for (const auto& [id, data] : model) {
    const auto got = program->Get(id);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_TRUE(absl::string_view(got->data(), got->size_bytes()) == data)
        << id;
  }
}

// The daemon is killed when it has freed an object and before it has told: the
// next one knows nothing of it.
TEST_F(ObjectRoomTest, PlaceComesBackWhoseFreeingWasNotTold) {
  const std::string points = absl::StrCat(
      std::getenv("TEST_TMPDIR") == nullptr ? "/tmp" : getenv("TEST_TMPDIR"),
      "/points-", getpid());
  // For the first daemon alone.
  std::ofstream(points) << "object.freed=kill@1";
  StartServer({"--keeper", absl::StrCat("--failpoints=@", points)});
  const Program program = NewProgram();
  Put(program, "gone", 'g');
  Remove(program, "gone");
  Put(program, "next", 'n');
  EXPECT_EQ(Arenas(*program.client).size(), 1u);
  EXPECT_TRUE(Holds(*program->Get("next"), 'n'));
}

TEST_F(ObjectRoomTest, PlaceOfWhatIsPinnedIsNotUsedAgain) {
  StartServer({"--keeper"});
  const Program writer = NewProgram();
  const Program reader = NewProgram();
  Put(writer, "pinned", 'p');
  auto pinned = reader->Get("pinned");
  ASSERT_TRUE(pinned.ok()) << pinned.status();
  Remove(writer, "pinned");
  for (int i = 0; i < 3; ++i) {
    KillDaemon();
    const std::string id = absl::StrCat("next-", i);
    Put(writer, id, 'n');
    // Beside the pinned one, which keeps an arena to itself.
    EXPECT_EQ(Arenas(*writer.client).size(), 2u);
    EXPECT_TRUE(Holds(*pinned, 'p'));
    Remove(writer, id);
  }
  *pinned = PinnedObject();
  // Both places are free, once that is known.
  EXPECT_TRUE(Eventually([&] {
    Put(writer, "one", '1');
    Put(writer, "other", '2');
    const size_t arenas = Arenas(*writer.client).size();
    Remove(writer, "one");
    Remove(writer, "other");
    return arenas == 2;
  }));
}

// Many deaths, each in the middle of frees: in the end there is as much room
// as in the beginning, and nothing was overwritten.
TEST_F(ObjectRoomTest, ManyDeathsLoseNoRoom) {
  StartServer({"--keeper"});
  const Program writer = NewProgram();
  const Program reader = NewProgram();
  constexpr int kObjects = 16;
  constexpr uint64_t kSize = 50000;  // as many as fit, and some room
  for (int round = 0; round < 8; ++round) {
    for (int i = 0; i < kObjects; ++i) {
      Put(writer, absl::StrCat(i), static_cast<char>('a' + round), kSize);
    }
    std::vector<PinnedObject> pinned;
    for (int i = 0; i < kObjects; ++i) {
      auto got = reader->Get(absl::StrCat(i));
      ASSERT_TRUE(got.ok()) << got.status();
      EXPECT_TRUE(Holds(*got, static_cast<char>('a' + round), kSize));
      pinned.push_back(*std::move(got));
    }
    for (int i = 0; i < kObjects; ++i) Remove(writer, absl::StrCat(i));
    // From now on they are freed, one by one.
    pinned.clear();
    KillDaemon();
  }
  EXPECT_TRUE(Eventually([&] {
    const auto trimmed = writer->Trim();
    EXPECT_TRUE(trimmed.ok()) << trimmed.status();
    return ResidentBytes(*writer.client) == 0;
  }));
  EXPECT_LE(Arenas(*writer.client).size(), 2u);
}

}  // namespace
}  // namespace shmd::testing
