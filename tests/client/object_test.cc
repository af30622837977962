#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <numeric>
#include <optional>
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
constexpr uid_t kOtherUid = 12345;
constexpr uint64_t kArenaBytes = 1 << 20;

std::string TextOf(const PinnedObject& object) {
  return std::string(object.data(), object.size_bytes());
}

absl::Span<const char> Bytes(const std::string& text) {
  return absl::MakeConstSpan(text);
}

class ObjectTest : public ::testing::Test {
 protected:
  void SetUp() override { StartServer({}); }

  void StartServer(std::vector<std::string> flags) {
    server_.reset();
    ScopedServer::Options options;
    options.flags = std::move(flags);
    auto server = ScopedServer::Start(std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  // A program of its own, as far as the daemon can tell.
  struct Program {
    std::unique_ptr<Client> client;
    std::unique_ptr<ObjectStore> store;
    ObjectStore* operator->() const { return store.get(); }
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

  size_t Arenas(Client& client) {
    const auto segments = client.List();
    EXPECT_TRUE(segments.ok()) << segments.status();
    size_t arenas = 0;
    for (const Segment& segment : *segments) {
      if (segment.name.find("/shmd.arena.") != std::string::npos) ++arenas;
    }
    return arenas;
  }

  static size_t Holdings(Client& client) {
    const auto session = client.GetSession(client.session_name());
    EXPECT_TRUE(session.ok()) << session.status();
    return session.ok() ? session->holdings.size() : 0;
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

TEST_F(ObjectTest, WhatOneProgramPutsAnotherGets) {
  const Program writer = NewProgram();
  const Program reader = NewProgram();
  ObjectOptions options;
  options.metadata.emplace();
  options.metadata->media_type = "text/plain";
  options.metadata->shape = {2, 3};
  options.metadata->labels["camera"] = "left";
  const auto put = writer->Put("hello", Bytes("hello, world"), options);
  ASSERT_TRUE(put.ok()) << put.status();
  const auto got = reader->Get("hello");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(TextOf(*got), "hello, world");
  EXPECT_EQ(got->generation(), *put);
  const auto metadata = got->metadata();
  ASSERT_TRUE(metadata.ok()) << metadata.status();
  EXPECT_EQ(metadata->media_type, "text/plain");
  EXPECT_EQ(metadata->shape, (std::vector<uint64_t>{2, 3}));
  EXPECT_EQ(metadata->labels.at("camera"), "left");
  EXPECT_TRUE(reader->Contains("hello"));
}

TEST_F(ObjectTest, AReaderCannotWrite) {
  const Program writer = NewProgram();
  const Program reader = NewProgram();
  ASSERT_TRUE(writer->Put("it", Bytes("it")).ok());
  const auto got = reader->Get("it");
  ASSERT_TRUE(got.ok()) << got.status();
  const uintptr_t page = reinterpret_cast<uintptr_t>(got->data()) & ~4095ul;
  EXPECT_NE(
      mprotect(reinterpret_cast<void*>(page), 4096, PROT_READ | PROT_WRITE), 0);
}

TEST_F(ObjectTest, WhatIsNotThereIsNotFound) {
  const Program program = NewProgram();
  EXPECT_EQ(GetErrorReason(program->Get("it").status()),
            reason::kObjectNotFound);
  EXPECT_FALSE(program->Contains("it"));
  EXPECT_EQ(GetErrorReason(program->Delete("it")), reason::kObjectNotFound);
  EXPECT_EQ(GetErrorReason(program->Get("it", absl::Milliseconds(5)).status()),
            reason::kObjectNotFound);
}

TEST_F(ObjectTest, BadIdsAreRefused) {
  const Program program = NewProgram();
  for (const std::string& id :
       {std::string(), std::string("a/b"), std::string(".."),
        std::string(65, 'a'), std::string("a\0b", 3), std::string("\xff")}) {
    EXPECT_EQ(GetErrorReason(program->Put(id, Bytes("x")).status()),
              reason::kObjectIdInvalid)
        << id;
  }
  EXPECT_TRUE(program->Put(std::string(64, 'a'), Bytes("x")).ok());
}

TEST_F(ObjectTest, EmptyObjectsAreObjects) {
  const Program program = NewProgram();
  ASSERT_TRUE(program->Put("empty", {}).ok());
  const auto got = program->Get("empty");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->size_bytes(), 0u);
}

TEST_F(ObjectTest, ANameIsTakenUntilItIsReplacedOrDeleted) {
  const Program program = NewProgram();
  ASSERT_TRUE(program->Put("it", Bytes("first")).ok());
  EXPECT_EQ(GetErrorReason(program->Put("it", Bytes("second")).status()),
            reason::kObjectExists);
  const auto first = program->Get("it");
  ObjectOptions replace;
  replace.replace_existing = true;
  ASSERT_TRUE(program->Put("it", Bytes("second"), replace).ok());
  const auto second = program->Get("it");
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(TextOf(*first), "first");
  EXPECT_EQ(TextOf(*second), "second");
  EXPECT_GT(second->generation(), first->generation());
  ASSERT_TRUE(program->Delete("it").ok());
  EXPECT_EQ(TextOf(*second), "second");
  EXPECT_FALSE(program->Contains("it"));
  EXPECT_TRUE(program->Put("it", Bytes("third")).ok());
}

TEST_F(ObjectTest, WhatIsPinnedIsNotWrittenOver) {
  const Program writer = NewProgram();
  const Program reader = NewProgram();
  const std::string first(kArenaBytes / 2, 'a');
  ASSERT_TRUE(writer->Put("it", Bytes(first)).ok());
  auto pinned = reader->Get("it");
  ASSERT_TRUE(pinned.ok()) << pinned.status();
  ASSERT_TRUE(writer->Delete("it").ok());
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(
        writer->Put("other", Bytes(std::string(kArenaBytes / 2, 'b'))).ok());
    ASSERT_TRUE(writer->Delete("other").ok());
  }
  EXPECT_EQ(TextOf(*pinned), first);
}

TEST_F(ObjectTest, MemoryThatWasFreedIsUsedAgain) {
  const Program program = NewProgram();
  const std::string data(kArenaBytes / 4, 'x');
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(program->Put("it", Bytes(data)).ok()) << i;
    ASSERT_TRUE(program->Delete("it").ok());
  }
  EXPECT_LE(Arenas(*program.client), 2u);
}

TEST_F(ObjectTest, LargeObjectsHaveArenasOfTheirOwn) {
  const Program writer = NewProgram();
  const Program reader = NewProgram();
  std::string data(3 * kArenaBytes + 5, '\0');
  std::iota(data.begin(), data.end(), 0);
  ASSERT_TRUE(writer->Put("large", Bytes(data)).ok());
  const auto got = reader->Get("large");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(TextOf(*got), data);
}

TEST_F(ObjectTest, ADraftIsSeenOnceItIsSealed) {
  const Program writer = NewProgram();
  const Program reader = NewProgram();
  {
    auto abandoned = writer->Create("never", 100);
    ASSERT_TRUE(abandoned.ok()) << abandoned.status();
  }
  auto draft = writer->Create("draft", 5);
  ASSERT_TRUE(draft.ok()) << draft.status();
  std::memcpy(draft->span().data(), "draft", 5);
  EXPECT_FALSE(reader->Contains("draft"));
  ASSERT_TRUE(draft->Seal().ok());
  const auto got = reader->Get("draft");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(TextOf(*got), "draft");
  EXPECT_EQ(GetErrorReason(draft->Seal().status()), reason::kSegmentSealed);
  EXPECT_FALSE(reader->Contains("never"));
}

TEST_F(ObjectTest, GetWaitsForTheObject) {
  const Program writer = NewProgram();
  const Program reader = NewProgram();
  std::thread waiting([&] {
    const auto got = reader->Get("late", kDeadline);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(TextOf(*got), "at last");
  });
  std::thread waiting_for_another([&] {
    const auto got = reader->Get("later", kDeadline);
    ASSERT_TRUE(got.ok()) << got.status();
  });
  ASSERT_TRUE(writer->Put("early", Bytes("x")).ok());
  ASSERT_TRUE(writer->Put("late", Bytes("at last")).ok());
  waiting.join();
  ASSERT_TRUE(writer->Put("later", Bytes("y")).ok());
  waiting_for_another.join();
}

TEST_F(ObjectTest, ObjectsEndAtTheirTime) {
  const Program program = NewProgram();
  ObjectOptions options;
  options.ttl = absl::Milliseconds(1);
  ASSERT_TRUE(program->Put("short", Bytes("x"), options).ok());
  EXPECT_TRUE(Eventually([&] { return !program->Contains("short"); }));
}

TEST_F(ObjectTest, ObjectsOutliveTheirWriterAndArenasGoWhenEmpty) {
  const Program reader = NewProgram();
  {
    const Program writer = NewProgram();
    ASSERT_TRUE(writer->Put("it", Bytes("it")).ok());
    ASSERT_TRUE(writer->Create("unsealed", 100).ok());
  }
  const auto got = reader->Get("it");
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(TextOf(*got), "it");
  EXPECT_EQ(Arenas(*reader.client), 1u);
  ASSERT_TRUE(reader->Delete("it").ok());
  EXPECT_EQ(TextOf(*got), "it");
}

TEST_F(ObjectTest, NothingIsLeftWhenAllAreGone) {
  const KernelLedger before = server_->Ledger();
  {
    const Program program = NewProgram();
    ASSERT_TRUE(program->Put("it", Bytes("it")).ok());
    ASSERT_TRUE(program->Delete("it").ok());
  }
  EXPECT_TRUE(Eventually([&] {
    return DiffLedgers(before, server_->Ledger()).empty();
  })) << DiffLedgers(before, server_->Ledger());
}

TEST_F(ObjectTest, WhomTheModeDoesNotLetInCannotRead) {
  const Program secret = NewProgram(0600);
  const Program open = NewProgram(0644);
  ASSERT_TRUE(secret->Put("secret", Bytes("secret")).ok());
  ASSERT_TRUE(open->Put("open", Bytes("open")).ok());
  const pid_t child = fork();
  if (child == 0) {
    if (setresgid(kOtherUid, kOtherUid, kOtherUid) != 0) _exit(10);
    if (setresuid(kOtherUid, kOtherUid, kOtherUid) != 0) _exit(11);
    const Program other = NewProgram();
    if (GetErrorReason(other->Get("secret").status()) !=
        reason::kCallerNotAllowed) {
      _exit(12);
    }
    const auto got = other->Get("open");
    if (!got.ok() || TextOf(*got) != "open") _exit(13);
    if (GetErrorReason(other->Delete("open")) != reason::kCallerNotAllowed) {
      _exit(14);
    }
    ObjectOptions replace;
    replace.replace_existing = true;
    if (GetErrorReason(other->Put("open", Bytes("x"), replace).status()) !=
        reason::kCallerNotAllowed) {
      _exit(15);
    }
    _exit(other->Put("own", Bytes("own")).ok() ? 0 : 16);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << WEXITSTATUS(status);
}

TEST_F(ObjectTest, TheDaemonsOwnSegmentsAreTheDaemons) {
  const Program program = NewProgram();
  ASSERT_TRUE(program->Put("it", Bytes("it")).ok());
  const auto segments = program.client->List();
  ASSERT_TRUE(segments.ok());
  size_t reserved = 0;
  for (const Segment& segment : *segments) {
    if (segment.name.find("/shmd.") == std::string::npos) continue;
    ++reserved;
    DeleteOptions force;
    force.force = true;
    EXPECT_EQ(GetErrorReason(program.client->Delete(segment.name, force)),
              reason::kSegmentReserved)
        << segment.name;
    EXPECT_EQ(GetErrorReason(program.client->Write(segment.name, 0, "x")),
              reason::kSegmentReserved)
        << segment.name;
  }
  EXPECT_EQ(reserved, 4u);  // directory, page, answers, arena
  SegmentSpec spec;
  spec.id = "shmd.mine";
  spec.size_bytes = 4096;
  EXPECT_EQ(GetErrorReason(program.client->Create(spec).status()),
            reason::kSegmentIdInvalid);
}

// Each has rings and pins of its own: none hears the other's answers, and none
// lets go of what the other has pinned.
TEST_F(ObjectTest, StoresOfOneClientAreIndependent) {
  Program first = NewProgram();
  absl::StatusOr<ObjectStore> second = ObjectStore::Open(*first.client);
  ASSERT_TRUE(second.ok()) << second.status();
  const auto replace = [](ObjectStore& store, const std::string& id) {
    ObjectOptions options;
    options.replace_existing = true;
    for (int i = 0; i < 200; ++i) {
      const std::string text = absl::StrCat(id, i);
      const auto put = store.Put(id, Bytes(text), options);
      ASSERT_TRUE(put.ok()) << put.status();
      const auto got = store.Get(id);
      ASSERT_TRUE(got.ok()) << got.status();
      EXPECT_EQ(TextOf(*got), text);
    }
  };
  ASSERT_TRUE(first->Put("pinned", Bytes("here")).ok());
  const auto pinned = first->Get("pinned");
  ASSERT_TRUE(pinned.ok()) << pinned.status();
  std::thread thread([&] { replace(*second, "b"); });
  replace(*first.store, "a");
  thread.join();
  ASSERT_TRUE(first->Delete("pinned").ok());
  replace(*first.store, "a");
  EXPECT_EQ(TextOf(*pinned), "here");
}

TEST_F(ObjectTest, ReadersLetGoOfArenasThatAreGone) {
  const Program reader = NewProgram();
  size_t holdings = 0;
  {
    const Program writer = NewProgram();
    ASSERT_TRUE(writer->Put("it", Bytes("it")).ok());
    ASSERT_TRUE(reader->Get("it").ok());
    holdings = Holdings(*reader.client);
    ASSERT_TRUE(writer->Delete("it").ok());
  }
  EXPECT_TRUE(Eventually([&] {
    // Listens as it goes.
    EXPECT_FALSE(reader->Get("it").ok());
    return Holdings(*reader.client) == holdings - 1;
  }));
}

TEST_F(ObjectTest, AStoreSaysThatItsObjectsAreLost) {
  const Program program = NewProgram();
  ASSERT_TRUE(program->Put("it", Bytes("it")).ok());
  const auto pinned = program->Get("it");
  ASSERT_TRUE(pinned.ok());
  server_->Kill();
  ASSERT_TRUE(server_->Restart().ok());
  EXPECT_EQ(GetErrorReason(program->Put("other", Bytes("other")).status()),
            reason::kServerUnreachable);
  EXPECT_EQ(GetErrorReason(program->Get("it").status()),
            reason::kServerUnreachable);
  EXPECT_EQ(TextOf(*pinned), "it");
  auto again = ObjectStore::Open(*program.client);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(again->Contains("it"));
  EXPECT_TRUE(again->Put("it", Bytes("anew")).ok());
}

// Readers check what they read against what was put under that generation.
TEST_F(ObjectTest, NobodyReadsTornBytes) {
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> reads{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      const Program reader = NewProgram();
      while (!stop) {
        const auto got = reader->Get("it");
        if (!got.ok()) continue;
        const std::string text = TextOf(*got);
        ASSERT_EQ(text, std::string(text.size(), text.front()));
        ++reads;
      }
    });
  }
  const Program writer = NewProgram();
  ObjectOptions replace;
  replace.replace_existing = true;
  for (int i = 0; i < 3000 || reads < 1000; ++i) {
    const std::string data(1000 + static_cast<size_t>(i % 5000),
                           static_cast<char>('a' + i % 26));
    const auto put = writer->Put("it", Bytes(data), replace);
    ASSERT_TRUE(put.ok()) << put.status();
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
}

// A daemon whose keeper starts it again.
class KeptObjectTest : public ObjectTest {
 protected:
  void SetUp() override { StartServer({"--keeper"}); }

  void KillDaemon() {
    pid_t pid = 0;
    // None while the keeper is starting the next one.
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
};

TEST_F(KeptObjectTest, ObjectsAndPinsOutliveTheDaemon) {
  const Program writer = NewProgram();
  const Program reader = NewProgram();
  ASSERT_TRUE(writer->Put("pinned", Bytes("pinned")).ok());
  ASSERT_TRUE(writer->Put("it", Bytes("it")).ok());
  const auto pinned = reader->Get("pinned");
  ASSERT_TRUE(pinned.ok());
  for (int i = 0; i < 3; ++i) {
    KillDaemon();
    const auto got = reader->Get("it");
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(TextOf(*got), "it");
    const auto put = writer->Put(absl::StrCat("after-", i), Bytes("after"));
    ASSERT_TRUE(put.ok()) << put.status();
    EXPECT_TRUE(reader->Contains(absl::StrCat("after-", i)));
  }
  ASSERT_TRUE(writer->Delete("pinned").ok());
  KillDaemon();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(writer->Put("more", Bytes(std::string(4096, 'm'))).ok());
    ASSERT_TRUE(writer->Delete("more").ok());
  }
  EXPECT_EQ(TextOf(*pinned), "pinned");
  // A program that comes only now finds them too.
  const Program late = NewProgram();
  EXPECT_TRUE(late->Contains("it"));
  EXPECT_FALSE(late->Contains("pinned"));
}

TEST_F(KeptObjectTest, NothingThatWasAnsweredIsLost) {
  const Program writer = NewProgram();
  std::atomic<bool> stop{false};
  std::vector<std::string> put;
  std::thread writing([&] {
    for (int i = 0; !stop; ++i) {
      const std::string id = absl::StrCat("object-", i);
      const auto generation = writer->Put(id, Bytes(id));
      ASSERT_TRUE(generation.ok()) << generation.status();
      put.push_back(id);
    }
  });
  const Program watcher = NewProgram();
  for (int i = 0; i < 5; ++i) {
    KillDaemon();
    // Work goes on.
    const size_t before = watcher->List().size();
    EXPECT_TRUE(Eventually([&] { return watcher->List().size() > before; }));
  }
  stop = true;
  writing.join();
  const Program reader = NewProgram();
  EXPECT_EQ(reader->List().size(), put.size());
  for (const std::string& id : put) {
    const auto got = reader->Get(id);
    ASSERT_TRUE(got.ok()) << id << ": " << got.status();
    EXPECT_EQ(TextOf(*got), id);
  }
}

}  // namespace
}  // namespace shmd::testing
