// Segments that end with a session, and leases.

#include "server/registry/registry_fixture.h"

namespace shmd {
namespace {

class RegistrySessionTest : public RegistryTest {
 protected:
  SessionId Begin(const Caller& caller = Root()) {
    Process process;
    process.pid = caller.pid;
    return sessions().Begin(caller, process, kDefaultNamespace).id;
  }
  static CreateCommand Owned(CreateCommand command, const SessionId& session,
                             Lifetime lifetime = Lifetime::kSession) {
    command.lifetime = lifetime;
    command.owner_session = session;
    return command;
  }
  // The end of a session, and what the reaper does about it.
  void End(const SessionId& session) {
    sessions().End(session);
    CleanUp();
  }
  void CleanUp() {
    registry().CleanUpSessions();
    registry().RemoveExpired();
  }
  absl::StatusOr<SegmentView> Renew(const std::string& id,
                                    std::optional<absl::Duration> ttl,
                                    const Caller& caller = Root()) {
    return registry().RenewLease(caller, Name(id), ttl);
  }
};

TEST_F(RegistrySessionTest, SegmentsOfEachBackendEndWithTheirSession) {
  const SessionId mine = Begin(), other = Begin();
  Made(Memfd("stays"));
  Made(Owned(Memfd("other"), other));
  for (CreateCommand& command : OneOfEach()) Made(Owned(command, mine));
  EXPECT_EQ(sessions().Get(Root(), mine)->owned_count, 4u);
  End(mine);
  EXPECT_EQ(Ids(), (std::vector<std::string>{"other", "stays"}));
}

TEST_F(RegistrySessionTest, SealedWorkStaysUnsealedWorkGoes) {
  const SessionId session = Begin();
  for (const char* id : {"done", "open", "closed"}) {
    Made(Owned(Memfd(id), session, Lifetime::kSessionUntilSealed));
  }
  const auto seal = [&](const char* id, SealExtent extent) {
    return registry().Seal(Root(), Name(id), "", extent).status();
  };
  ASSERT_TRUE(seal("done", SealExtent::kAllWrites).ok());
  ASSERT_TRUE(seal("closed", SealExtent::kNewWriters).ok());
  End(session);
  EXPECT_EQ(Ids(), std::vector<std::string>{"done"});
}

TEST_F(RegistrySessionTest, OnlyTheOwnProcessCanNameASession) {
  Caller alice = Alice();
  alice.pid = 10;
  const SessionId session = Begin(alice);
  EXPECT_EQ(ReasonOf(Create(Owned(Memfd("a"), session))), "SESSION_NOT_FOUND");
  Caller child = alice;
  child.pid = 11;
  EXPECT_EQ(ReasonOf(Create(Owned(Memfd("a", child), session), child)),
            "SESSION_NOT_FOUND");
  EXPECT_EQ(ReasonOf(Create(Owned(Memfd("a"), RandomUid()))),
            "SESSION_NOT_FOUND");
  EXPECT_TRUE(Create(Owned(Memfd("a", alice), session), alice).ok());
  // What was refused has left nothing.
  EXPECT_EQ(registry().budget().used().segments, 1u);
}

TEST_F(RegistrySessionTest, CreateAfterTheEndLeavesNothing) {
  const SessionId session = Begin();
  sessions().End(session);
  EXPECT_EQ(ReasonOf(Create(Owned(Posix("a"), session))), "SESSION_NOT_FOUND");
  EXPECT_EQ(registry().budget().used().bytes, 0u);
  CleanUp();
  EXPECT_TRUE(Create(Posix("a")).ok());
}

TEST_F(RegistrySessionTest, BatchWithOneForeignSessionMakesNothing) {
  const SessionId session = Begin();
  std::vector<CreateCommand> commands = {Owned(Memfd("a"), session),
                                         Owned(Memfd("b"), RandomUid())};
  EXPECT_EQ(ReasonOf(registry().Create(Root(), commands)), "SESSION_NOT_FOUND");
  EXPECT_EQ(sessions().Get(Root(), session)->owned_count, 0u);
  EXPECT_TRUE(Ids().empty());
}

TEST_F(RegistrySessionTest, DeletedSegmentIsNoLongerOwned) {
  const SessionId session = Begin();
  Made(Owned(Memfd("a"), session));
  ASSERT_TRUE(Delete("a").ok());
  EXPECT_EQ(sessions().Get(Root(), session)->owned_count, 0u);
  Made(Memfd("a"));
  End(session);
  EXPECT_EQ(Ids(), std::vector<std::string>{"a"});
}

TEST_F(RegistrySessionTest, WhatAnotherHoldsStaysTheirsAndIsCounted) {
  const SessionId writer = Begin(), reader = Begin();
  const SegmentView view = Made(Owned(Memfd("a"), writer));
  auto grant = registry().Attach(
      Root(), registry().WholeHandle(Root(), *view.segment), Access::kRead);
  ASSERT_TRUE(grant.ok());
  Holding holding;
  holding.entry = grant->view.entry;
  holding.segment = grant->view.segment;
  ASSERT_TRUE(sessions().Hold(reader, holding).has_value());
  holding = Holding();
  End(writer);
  EXPECT_TRUE(Ids().empty());
  EXPECT_EQ(registry().budget().used().descriptors, 1u);
  EXPECT_EQ(sessions().Get(Root(), reader)->held_bytes, BasePageSizeBytes());
  End(reader);
  EXPECT_EQ(registry().budget().used().descriptors, 0u);
}

TEST_F(RegistrySessionTest, RemovalThatFailsIsTriedAgain) {
  const SessionId session = Begin();
  Made(Owned(Posix("a"), session));
  BreakStore();
  End(session);
  MendStore();
  clock_.Advance(absl::Seconds(1));
  CleanUp();
  EXPECT_TRUE(Ids().empty());
}

TEST_F(RegistrySessionTest, LeaseIsRenewedByItsOwnTimeOrAnother) {
  CreateCommand command = Memfd("a");
  command.expiration.ttl = absl::Seconds(10);
  Made(command);
  clock_.Advance(absl::Seconds(9));
  const auto renewed = Renew("a", std::nullopt);
  ASSERT_TRUE(renewed.ok()) << renewed.status();
  EXPECT_EQ(*renewed->segment->expire_time,
            clock_.WallTime() + absl::Seconds(10));
  clock_.Advance(absl::Seconds(9));
  CleanUp();
  EXPECT_EQ(Ids().size(), 1u);
  ASSERT_TRUE(Renew("a", absl::Seconds(60)).ok());
  clock_.Advance(absl::Seconds(59));
  CleanUp();
  EXPECT_EQ(Ids().size(), 1u);
  // The time that was given last is the lease's own from then on.
  EXPECT_EQ(Renew("a", std::nullopt)->segment->lease_ttl, absl::Seconds(60));
  clock_.Advance(absl::Seconds(60));
  CleanUp();
  EXPECT_TRUE(Ids().empty());
  EXPECT_EQ(ReasonOf(Renew("a", std::nullopt)), "SEGMENT_NOT_FOUND");
}

TEST_F(RegistrySessionTest, LeaseIsNotWhatTheWallClockSays) {
  CreateCommand command = Memfd("a");
  command.expiration.ttl = absl::Seconds(10);
  Made(command);
  clock_.JumpWallTime(absl::Hours(24));
  CleanUp();
  EXPECT_EQ(Ids().size(), 1u);
  clock_.JumpWallTime(absl::Hours(-48));
  clock_.Advance(absl::Seconds(10));
  CleanUp();
  EXPECT_TRUE(Ids().empty());
}

TEST_F(RegistrySessionTest, LeaseIsForTheOwnerAndForSegmentsThatHaveOne) {
  Made(Memfd("a"));
  EXPECT_EQ(ReasonOf(Renew("a", std::nullopt)), "LEASE_MISSING");
  EXPECT_EQ(ReasonOf(Renew("a", absl::Seconds(1), Alice())),
            "CALLER_NOT_ALLOWED");
  EXPECT_TRUE(Renew("a", absl::Seconds(1)).ok());
}

}  // namespace
}  // namespace shmd
