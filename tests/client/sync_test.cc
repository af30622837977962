#include "client/cpp/sync.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/client.h"
#include "gtest/gtest.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

using layout::SyncKind;

SyncDeadline Late() { return SyncDeadline::After(absl::Seconds(60)); }
SyncDeadline Soon() { return SyncDeadline::After(absl::Milliseconds(20)); }

absl::StatusOr<Client> NewClient(const std::string& socket_dir) {
  ConnectOptions options;
  options.socket_dir = socket_dir;
  return Client::Connect(options);
}

// What a program has in its hands.
struct Program {
  Client client;
  std::shared_ptr<SyncDomain> domain;
  WritableAttached memory;

  static absl::StatusOr<std::unique_ptr<Program>> Start(
      const std::string& socket_dir, const std::string& segment) {
    absl::StatusOr<Client> client = NewClient(socket_dir);
    if (!client.ok()) return client.status();
    absl::StatusOr<Segment> found = client->Get(segment);
    if (!found.ok()) return found.status();
    absl::StatusOr<WritableAttached> memory =
        client->MapWritable(found->handle);
    if (!memory.ok()) return memory.status();
    absl::StatusOr<std::shared_ptr<SyncDomain>> domain =
        SyncDomain::Open(*client);
    if (!domain.ok()) return domain.status();
    return std::unique_ptr<Program>(new Program{
        *std::move(client), *std::move(domain), *std::move(memory)});
  }
};

absl::Status MakeSegment(Client& client, const std::string& id) {
  SegmentSpec spec;
  spec.id = id;
  spec.size_bytes = 4096;
  return client.Create(spec).status();
}

// Children that are killed while they lock. They are forked before this
// process, or an earlier test in it, has used gRPC.
TEST(SyncKillTest, OthersGoOnWhenAProgramIsKilled) {
  constexpr int kChildren = 40;
  auto server = ScopedServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string socket_dir = (*server)->socket_dir();
  // One of them runs at a time, when it is its turn.
  auto* const turn =
      static_cast<std::atomic<int>*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE,
                                          MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(turn, MAP_FAILED);
  std::atomic<int>* const locked = turn + 1;
  std::vector<pid_t> children;
  for (int i = 0; i < kChildren; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      while (*turn != i + 1) usleep(1000);
      auto program = Program::Start(socket_dir, "shared");
      if (!program.ok()) _exit(1);
      auto mutex = Mutex::Open((*program)->domain, (*program)->memory, 0);
      if (!mutex.ok()) _exit(2);
      while (mutex->Lock(SyncDeadline::Never()).ok()) ++*locked;
      _exit(3);
    }
    children.push_back(child);
  }
  auto client = NewClient(socket_dir);
  ASSERT_TRUE(client.ok()) << client.status();
  ASSERT_TRUE(MakeSegment(*client, "shared").ok());
  auto program = Program::Start(socket_dir, "shared");
  ASSERT_TRUE(program.ok()) << program.status();
  auto mutex = Mutex::Make((*program)->domain, (*program)->memory, 0);
  ASSERT_TRUE(mutex.ok()) << mutex.status();
  int told = 0;
  absl::Duration longest = absl::ZeroDuration();
  for (int i = 0; i < kChildren; ++i) {
    const int before = *locked;
    *turn = i + 1;
    // It is at work, somewhere between lock and unlock.
    while (*locked < before + 1 + i * 7) {
      ASSERT_EQ(waitpid(children[i], nullptr, WNOHANG), 0);
    }
    kill(children[i], SIGKILL);
    const absl::Time killed = absl::Now();
    auto held = mutex->Lock(Late());
    longest = std::max(longest, absl::Now() - killed);
    ASSERT_TRUE(held.ok()) << held.status();
    if (held->data_may_be_torn()) {
      ++told;
      EXPECT_TRUE(held->MarkConsistent().ok());
    }
    EXPECT_TRUE(held->Unlock().ok());
    int status = 0;
    waitpid(children[i], &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << status;
    // Its last words may have been those of an unlock: then nobody is told,
    // now or later.
    auto again = mutex->Lock(Late());
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_FALSE(again->data_may_be_torn());
  }
  std::printf("told %d of %d times; the longest wait was %s\n", told, kChildren,
              absl::FormatDuration(longest).c_str());
  munmap(turn, 4096);
}

class SyncTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = ScopedServer::Start();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    auto client = NewClient(server_->socket_dir());
    ASSERT_TRUE(client.ok()) << client.status();
    ASSERT_TRUE(MakeSegment(*client, "shared").ok());
    for (auto* const program : {&first_, &second_}) {
      auto started = Program::Start(server_->socket_dir(), "shared");
      ASSERT_TRUE(started.ok()) << started.status();
      *program = *std::move(started);
    }
  }

  // A primitive at the start of the segment, as both programs have it.
  template <typename Primitive, typename... Arguments>
  void MakeOne(std::optional<Primitive>* one, std::optional<Primitive>* other,
               Arguments... arguments) {
    auto made =
        Primitive::Make(first_->domain, first_->memory, 0, arguments...);
    ASSERT_TRUE(made.ok()) << made.status();
    one->emplace(*std::move(made));
    auto found = Primitive::Open(second_->domain, second_->memory, 0);
    ASSERT_TRUE(found.ok()) << found.status();
    other->emplace(*std::move(found));
  }

  std::unique_ptr<ScopedServer> server_;
  std::unique_ptr<Program> first_;
  std::unique_ptr<Program> second_;
};

TEST_F(SyncTest, SessionsHaveNumbersAndOnePageEach) {
  EXPECT_NE(first_->domain->number(), second_->domain->number());
  EXPECT_TRUE(first_->domain->is_helped());
  const auto again = SyncDomain::Open(first_->client);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(*again, first_->domain);
}

TEST_F(SyncTest, MutexIsSharedShownAndBroken) {
  std::optional<Mutex> mutex, same;
  MakeOne(&mutex, &same);
  auto held = mutex->Lock(Late());
  ASSERT_TRUE(held.ok()) << held.status();
  auto other = same->TryLock();
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_FALSE(other->has_value());
  EXPECT_EQ(GetErrorReason(same->Lock(Soon()).status()),
            reason::kDeadlinePassed);
  SyncCalls calls(&second_->client);
  const auto locks = calls.ListLocks("shared");
  ASSERT_TRUE(locks.ok()) << locks.status();
  ASSERT_EQ(locks->size(), 1u);
  EXPECT_EQ(locks->front().session, first_->client.session_name());
  EXPECT_EQ(locks->front().state, layout::SyncState::kHolding);
  EXPECT_EQ(locks->front().kind, SyncKind::kMutex);
  EXPECT_EQ(locks->front().pid, getpid());
  EXPECT_TRUE(calls.BreakLock("shared", 0).ok());
  other = same->TryLock();
  ASSERT_TRUE(other.ok() && other->has_value());
  EXPECT_TRUE((*other)->data_may_be_torn());
  EXPECT_EQ(GetErrorReason(held->Unlock()), reason::kLockBroken);
  EXPECT_TRUE((*other)->MarkConsistent().ok());
  EXPECT_TRUE((*other)->Unlock().ok());
  EXPECT_EQ(GetErrorReason(calls.BreakLock("shared", 0)), reason::kLockNotHeld);
}

TEST_F(SyncTest, RwLockLetsReadersInTogether) {
  std::optional<RwLock> lock, same;
  MakeOne(&lock, &same);
  auto reader = lock->LockShared(Late());
  auto another = same->LockShared(Late());
  ASSERT_TRUE(reader.ok() && another.ok());
  EXPECT_FALSE(same->LockExclusive(Soon()).ok());
  EXPECT_TRUE(reader->Unlock().ok());
  EXPECT_TRUE(another->Unlock().ok());
  EXPECT_TRUE(same->LockExclusive(Late()).ok());
  EXPECT_TRUE(lock->LockExclusive(Late()).ok());
}

TEST_F(SyncTest, SemaphoreCounts) {
  std::optional<Semaphore> semaphore, same;
  MakeOne(&semaphore, &same, 1u);
  EXPECT_TRUE(same->TryAcquire());
  EXPECT_FALSE(semaphore->TryAcquire());
  std::thread waits([&] { EXPECT_TRUE(semaphore->Acquire(Late()).ok()); });
  EXPECT_TRUE(same->Release().ok());
  waits.join();
  EXPECT_EQ(GetErrorReason(semaphore->Acquire(Soon())),
            reason::kDeadlinePassed);
  EXPECT_TRUE(same->Release(layout::kMaxSemaphoreCount).ok());
  EXPECT_EQ(GetErrorReason(same->Release()), reason::kCountTooLarge);
}

TEST_F(SyncTest, EventLetsThrough) {
  std::optional<Event> event, same;
  MakeOne(&event, &same, layout::EventReset::kAutomatic);
  std::thread waits([&] { EXPECT_TRUE(event->Wait(Late()).ok()); });
  same->Set();
  waits.join();
  EXPECT_FALSE(event->IsSet());
  EXPECT_EQ(GetErrorReason(event->Wait(Soon())), reason::kDeadlinePassed);
}

TEST_F(SyncTest, BarrierBreaks) {
  std::optional<Barrier> barrier, same;
  MakeOne(&barrier, &same, 2u);
  std::thread waits([&] { EXPECT_TRUE(barrier->Wait(Late()).ok()); });
  EXPECT_TRUE(same->Wait(Late()).ok());
  waits.join();
  EXPECT_TRUE(SyncCalls(&first_->client).BreakLock("shared", 0).ok());
  EXPECT_EQ(GetErrorReason(same->Wait(Late()).status()),
            reason::kBarrierBroken);
  barrier->Reset();
  EXPECT_EQ(GetErrorReason(same->Wait(Soon()).status()),
            reason::kDeadlinePassed);
}

TEST_F(SyncTest, ConditionIsSignalled) {
  std::optional<Condition> condition, same;
  MakeOne(&condition, &same);
  auto mutex = Mutex::Make(first_->domain, first_->memory, 64);
  auto same_mutex = Mutex::Open(second_->domain, second_->memory, 64);
  ASSERT_TRUE(mutex.ok() && same_mutex.ok());
  auto held = mutex->Lock(Late());
  ASSERT_TRUE(held.ok());
  const auto in_vain = condition->Wait(&*held, Soon(), Late());
  ASSERT_TRUE(in_vain.ok()) << in_vain.status();
  EXPECT_FALSE(*in_vain);
  std::thread signals([&] {
    auto theirs = same_mutex->Lock(Late());
    EXPECT_TRUE(theirs.ok());
    same->Signal();
  });
  const auto signalled = condition->Wait(&*held, Late(), Late());
  ASSERT_TRUE(signalled.ok()) << signalled.status();
  EXPECT_TRUE(*signalled);
  EXPECT_TRUE(held->Unlock().ok());
  signals.join();
  EXPECT_EQ(GetErrorReason(condition->Wait(&*held, Soon(), Late()).status()),
            reason::kLockBroken);
}

struct Position {
  double x, y, z;
  uint32_t id;
};

TEST_F(SyncTest, ValueIsReadAsItWasWritten) {
  auto value = SeqValue<Position>::Make(first_->domain, first_->memory, 0);
  ASSERT_TRUE(value.ok()) << value.status();
  auto same = SeqValue<Position>::Open(second_->domain, second_->memory, 0);
  ASSERT_TRUE(same.ok()) << same.status();
  ASSERT_TRUE(value->Write({1, 2, 3, 4}, Late()).ok());
  const auto read = same->Read(Late());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->z, 3);
  EXPECT_EQ(read->id, 4u);
  EXPECT_EQ(
      GetErrorReason(
          SeqValue<double>::Open(second_->domain, second_->memory, 0).status()),
      reason::kSyncPrimitiveInvalid);
}

TEST_F(SyncTest, WhatIsNotThereIsTold) {
  EXPECT_EQ(
      GetErrorReason(Mutex::Open(first_->domain, first_->memory, 0).status()),
      reason::kSyncPrimitiveInvalid);
  for (const uint64_t offset : {uint64_t{8}, uint64_t{4096}, UINT64_MAX - 63}) {
    EXPECT_EQ(GetErrorReason(
                  Mutex::Make(first_->domain, first_->memory, offset).status()),
              reason::kSyncPrimitiveInvalid);
  }
  EXPECT_EQ(GetErrorReason(
                RwLock::Make(first_->domain, first_->memory, 4032).status()),
            reason::kSyncPrimitiveInvalid);
  ASSERT_TRUE(Mutex::Make(first_->domain, first_->memory, 0).ok());
  EXPECT_EQ(
      GetErrorReason(Mutex::Make(first_->domain, first_->memory, 0).status()),
      reason::kSyncPrimitiveExists);
  EXPECT_EQ(
      GetErrorReason(RwLock::Open(first_->domain, first_->memory, 0).status()),
      reason::kSyncPrimitiveInvalid);
}

TEST_F(SyncTest, SessionIsAtSoManyPrimitivesAtOnce) {
  auto mutex = Mutex::Make(first_->domain, first_->memory, 0);
  ASSERT_TRUE(mutex.ok());
  for (uint32_t i = 0; i < layout::kSyncSlots; ++i) {
    first_->domain->locker()->Announce({}, SyncKind::kMutex,
                                       layout::SyncState::kWaiting);
  }
  EXPECT_EQ(GetErrorReason(mutex->Lock(Late()).status()),
            reason::kSyncLimitExceeded);
}

TEST_F(SyncTest, PrimitivesStandAloneUnderAName) {
  SyncCalls calls(&first_->client);
  SyncPrimitiveSpec spec;
  spec.kind = SyncKind::kSemaphore;
  spec.initial_count = 2;
  const auto made = calls.Create("door", spec);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->spec.initial_count, 2u);
  EXPECT_EQ(GetErrorReason(calls.Create("door", spec).status()),
            reason::kSyncPrimitiveExists);
  EXPECT_EQ(GetErrorReason(calls.Create("a/b", spec).status()),
            reason::kSyncIdInvalid);
  auto door = Semaphore::Open(second_->client, "door");
  ASSERT_TRUE(door.ok()) << door.status();
  EXPECT_TRUE(door->Acquire(Late()).ok());
  EXPECT_EQ(GetErrorReason(Mutex::Open(second_->client, "door").status()),
            reason::kSyncPrimitiveInvalid);
  const auto all = calls.List();
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->size(), 1u);
  EXPECT_EQ(all->front().id(), "door");
  EXPECT_TRUE(calls.Delete("door").ok());
  // As after sem_unlink(3).
  EXPECT_TRUE(door->Acquire(Late()).ok());
  EXPECT_EQ(GetErrorReason(calls.Get("door").status()),
            reason::kSyncPrimitiveNotFound);
}

}  // namespace
}  // namespace shmd::testing
