#include <string>
#include <utility>

#include "server/registry/registry_fixture.h"

namespace shmd {
namespace {

class RegistryNamespaceTest : public RegistryTest {
 protected:
  ~RegistryNamespaceTest() override {
    for (const SegmentName& name : made_) {
      RemoveCommand command;
      command.names = {name};
      command.force = true;
      registry().Delete(Root(), command).IgnoreError();
    }
  }

  void MakeTeam(const Entrants& entrants = {},
                const Amounts& quota = Amounts::Unlimited(),
                const Amounts& uid_quota = Amounts::Unlimited()) {
    NamespaceRegistry::CreateCommand command;
    command.id = "team";
    command.entrants = entrants;
    command.quota = quota;
    command.uid_quota = uid_quota;
    const auto made = namespace_registry().Create(Root(), command);
    ASSERT_TRUE(made.ok()) << made.status();
  }

  CreateCommand InTeam(const std::string& id, const Caller& owner) {
    CreateCommand command = Memfd(id, owner);
    command.name_space = "team";
    made_.push_back({"team", id});
    return command;
  }

  Amounts UseOfTeam(const Caller& user) {
    const auto found = namespaces().Get(Root(), "team");
    for (const UidUsage& one : found->uid_usages) {
      if (one.uid == user.uid) return one.usage;
    }
    return Amounts();
  }

  RemoveCommand RemoveInTeam(const std::string& id) {
    RemoveCommand command;
    command.names = {{"team", id}};
    command.force = true;
    return command;
  }

 private:
  std::vector<SegmentName> made_;
};

Entrants OnlyAlice() {
  Entrants entrants;
  entrants.uids = {1001};
  return entrants;
}

TEST_F(RegistryNamespaceTest, NamesOfNamespacesAreApart) {
  MakeTeam();
  const SegmentView one = Made(Memfd("same"));
  const SegmentView other = Made(InTeam("same", Root()));
  EXPECT_NE(one.segment->uid, other.segment->uid);
  EXPECT_EQ(Ids(), std::vector<std::string>{"same"});
  ASSERT_TRUE(registry().Delete(Root(), RemoveInTeam("same")).ok());
  EXPECT_EQ(Ids(), std::vector<std::string>{"same"});
}

TEST_F(RegistryNamespaceTest, WhoMayNotEnterFindsNothing) {
  MakeTeam(OnlyAlice());
  CreateCommand open = InTeam("open", Alice());
  open.options.mode = 0666;
  const SegmentView made = Made(open, Alice());
  const SegmentName name{"team", "open"};
  const Handle handle = registry().WholeHandle(Alice(), *made.segment);
  ListCommand list;
  list.name_space = "team";
  list.limit = 10;
  UpdateCommand update;
  update.name = name;
  HandleCommand handle_command;
  handle_command.name = name;
  GrantCommand grant;
  grant.name = name;
  AdoptCommand adopt;
  adopt.name_space = "team";
  const Caller bob = Bob();
  SegmentRegistry& all = registry();
  for (const std::string& reason :
       {ReasonOf(Create(InTeam("bob", bob), bob)),
        ReasonOf(all.Adopt(bob, adopt)), ReasonOf(all.Get(bob, name)),
        ReasonOf(all.List(bob, list)), ReasonOf(all.Update(bob, update)),
        ReasonOf(all.RenewLease(bob, name, std::nullopt)),
        ReasonOf(all.Delete(bob, RemoveInTeam("open"))),
        ReasonOf(all.Disown(bob, RemoveInTeam("open"))),
        ReasonOf(all.Seal(bob, name, "", SealExtent::kAllWrites)),
        ReasonOf(all.Resize(bob, name, "", 8192)),
        ReasonOf(all.Flush(bob, name, FlushMode::kSynchronous, 0, 0)),
        ReasonOf(all.Read(bob, name, 0, 1)),
        ReasonOf(all.Write(bob, name, 0, "x")),
        ReasonOf(all.MakeHandle(bob, handle_command)),
        ReasonOf(all.CreateGrant(bob, grant)),
        ReasonOf(all.ListGrants(bob, name)),
        ReasonOf(all.DeleteGrant(bob, name, "0123456789abcdef")),
        ReasonOf(all.Attach(bob, handle, Access::kRead))}) {
    EXPECT_EQ(reason, "NAMESPACE_NOT_FOUND");
  }
  EXPECT_FALSE(all.DeleteAtOnce(bob, RemoveInTeam("open")));
  const auto attached = all.Attach(Alice(), handle, Access::kRead);
  ASSERT_TRUE(attached.ok()) << attached.status();
  all.Release(attached->view.entry);
}

TEST_F(RegistryNamespaceTest, AGrantLetsInAcrossTheRule) {
  MakeTeam(OnlyAlice());
  Made(InTeam("shared", Alice()), Alice());
  GrantCommand command;
  command.name = {"team", "shared"};
  const auto grant = registry().CreateGrant(Alice(), command);
  ASSERT_TRUE(grant.ok()) << grant.status();
  const auto attached = registry().Attach(Bob(), grant->handle, Access::kRead);
  ASSERT_TRUE(attached.ok()) << attached.status();
  registry().Release(attached->view.entry);
  ASSERT_TRUE(
      registry().DeleteGrant(Alice(), command.name, grant->grant.id).ok());
  EXPECT_EQ(ReasonOf(registry().Attach(Bob(), grant->handle, Access::kRead)),
            "GRANT_INVALID");
}

TEST_F(RegistryNamespaceTest, UseIsTheOwnersAndMovesWithTheSegment) {
  Amounts one;
  one.segments = 1;
  Amounts uid_quota = Amounts::Unlimited();
  uid_quota.segments = 2;
  MakeTeam({}, Amounts::Unlimited(), uid_quota);
  for (const char* const id : {"a1", "a2"}) Made(InTeam(id, Alice()));
  Made(InTeam("b1", Bob()));
  const absl::Status refused = Create(InTeam("a3", Alice())).status();
  EXPECT_EQ(GetErrorDetail(refused).metadata.at("uid"), "1001");
  UpdateCommand update;
  update.name = {"team", "a1"};
  update.owner = Bob().uid;
  ASSERT_TRUE(registry().Update(Root(), update).ok());
  EXPECT_EQ(UseOfTeam(Alice()).segments, 1u);
  EXPECT_EQ(UseOfTeam(Bob()).segments, 2u);
  EXPECT_EQ(UseOfTeam(Bob()).bytes, 2 * BasePageSizeBytes());
  EXPECT_EQ(UseOfTeam(Bob()).descriptors, 2u);
  update.name = {"team", "a2"};
  EXPECT_EQ(ReasonOf(registry().Update(Root(), update)), "QUOTA_EXCEEDED");
  EXPECT_EQ(registry().Get(Root(), update.name)->segment->options.owner,
            Alice().uid);
  EXPECT_EQ(UseOfTeam(Alice()).segments, 1u);
}

TEST_F(RegistryNamespaceTest, AnOwnerThatCannotBeSetIsNotCharged) {
  MakeTeam();
  CreateCommand posix = Posix("posix");
  posix.name_space = "team";
  InTeam("posix", Root());
  Made(posix);
  UpdateCommand update;
  update.name = {"team", "posix"};
  update.owner = Bob().uid;
  // The kernel refuses where the test's user namespace has no such uid, the
  // store elsewhere.
  BreakStore();
  EXPECT_FALSE(registry().Update(Root(), update).ok());
  MendStore();
  EXPECT_EQ(UseOfTeam(Bob()).segments, 0u);
  EXPECT_EQ(UseOfTeam(Root()).segments, 1u);
}

TEST_F(RegistryNamespaceTest, ARemovedSegmentCountsWhileItIsAttached) {
  MakeTeam();
  const SegmentView made = Made(InTeam("held", Alice()), Alice());
  const Handle handle = registry().WholeHandle(Alice(), *made.segment);
  const auto attached = registry().Attach(Alice(), handle, Access::kRead);
  ASSERT_TRUE(attached.ok()) << attached.status();
  ASSERT_TRUE(registry().Delete(Root(), RemoveInTeam("held")).ok());
  EXPECT_EQ(UseOfTeam(Alice()).segments, 0u);
  EXPECT_EQ(UseOfTeam(Alice()).bytes, BasePageSizeBytes());
  EXPECT_EQ(ReasonOf(namespace_registry().Delete(Root(), "team", "")),
            "NAMESPACE_IN_USE");
  registry().Release(attached->view.entry);
  EXPECT_TRUE(UseOfTeam(Alice()) == Amounts());
  EXPECT_TRUE(namespace_registry().Delete(Root(), "team", "").ok());
}

TEST_F(RegistryNamespaceTest, AFailedCreateGivesEverythingBack) {
  Amounts quota = Amounts::Unlimited();
  quota.segments = 2;
  MakeTeam({}, quota);
  std::vector<CreateCommand> batch = {
      InTeam("one", Alice()), InTeam("two", Bob()), InTeam("three", Alice())};
  EXPECT_EQ(ReasonOf(registry().Create(Root(), std::move(batch))),
            "QUOTA_EXCEEDED");
  EXPECT_TRUE(namespaces().Get(Root(), "team")->usage == Amounts());
  EXPECT_EQ(registry().budget().used().segments, 0u);
}

TEST_F(RegistryNamespaceTest, ResizeCountsAndGivesBack) {
  Amounts quota = Amounts::Unlimited();
  quota.bytes = 4 * BasePageSizeBytes();
  MakeTeam({}, quota);
  CreateCommand command = Posix("posix");
  command.name_space = "team";
  command.options.resizable = true;
  InTeam("posix", Root());
  Made(command);
  const SegmentName name{"team", "posix"};
  EXPECT_TRUE(registry().Resize(Root(), name, "", quota.bytes).ok());
  EXPECT_EQ(ReasonOf(registry().Resize(Root(), name, "", quota.bytes + 1)),
            "QUOTA_EXCEEDED");
  EXPECT_EQ(UseOfTeam(Root()).bytes, quota.bytes);
  EXPECT_TRUE(registry().Resize(Root(), name, "", 1).ok());
  EXPECT_EQ(UseOfTeam(Root()).bytes, BasePageSizeBytes());
}

TEST_F(RegistryNamespaceTest, TheNextRunFindsNamespacesAndTheirUse) {
  Amounts quota = Amounts::Unlimited();
  quota.segments = 7;
  MakeTeam(OnlyAlice(), quota);
  const std::string etag = EtagOf(namespaces().Get(Root(), "team")->name_space);
  CreateCommand command = Posix("posix");
  command.name_space = "team";
  InTeam("posix", Root());
  Made(command);
  Restart();
  const auto found = namespaces().Get(Alice(), "team");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(found->name_space.quota.segments, 7u);
  EXPECT_EQ(EtagOf(found->name_space), etag);
  EXPECT_EQ(found->name_space.create_time, clock_.WallTime());
  EXPECT_EQ(UseOfTeam(Root()).segments, 1u);
  EXPECT_FALSE(namespaces().CheckEntry(Bob(), "team").ok());
  EXPECT_EQ(ReasonOf(namespace_registry().Delete(Root(), "team", "")),
            "NAMESPACE_IN_USE");
}

TEST_F(RegistryNamespaceTest, SegmentsOfALostNamespaceAreOutOfReachNotLost) {
  MakeTeam();
  CreateCommand command = Posix("posix");
  command.name_space = "team";
  InTeam("posix", Root());
  Made(command);
  ForgetNamespace("team");
  Restart();
  EXPECT_EQ(taken_up_.out_of_reach, 1u);
  EXPECT_EQ(taken_up_.gone, 0u);
  EXPECT_EQ(ReasonOf(registry().Get(Root(), {"team", "posix"})),
            "NAMESPACE_NOT_FOUND");
  MakeTeam();
  EXPECT_EQ(ReasonOf(Create(InTeam("posix", Root()))), "SEGMENT_EXISTS");
  Restart();
  EXPECT_EQ(taken_up_.taken_up, 1u);
  EXPECT_TRUE(registry().Get(Root(), {"team", "posix"}).ok());
}

TEST_F(RegistryNamespaceTest, WhatIsNotRecordedIsNotThere) {
  BreakStore();
  NamespaceRegistry::CreateCommand create;
  create.id = "team";
  EXPECT_EQ(ReasonOf(namespace_registry().Create(Root(), create)),
            "STORE_FAILED");
  EXPECT_EQ(ReasonOf(namespaces().Get(Root(), "team")), "NAMESPACE_NOT_FOUND");
  MendStore();
}

TEST_F(RegistryNamespaceTest, AFailedChangeOrDeleteChangesNothing) {
  MakeTeam();
  NamespaceRegistry::UpdateCommand update;
  update.name = "team";
  update.entrants = OnlyAlice();
  BreakStore();
  EXPECT_EQ(ReasonOf(namespace_registry().Update(Root(), update)),
            "STORE_FAILED");
  EXPECT_EQ(ReasonOf(namespace_registry().Delete(Root(), "team", "")),
            "STORE_FAILED");
  MendStore();
  EXPECT_TRUE(namespaces().CheckEntry(Bob(), "team").ok());
}

TEST_F(RegistryNamespaceTest, DefaultIsFromFlagsUntilItIsChanged) {
  default_namespace_.quota.segments = 5;
  Restart();
  EXPECT_EQ(namespaces().Get(Root(), "default")->name_space.quota.segments, 5u);
  NamespaceRegistry::UpdateCommand update;
  update.name = "default";
  update.quota = Amounts::Unlimited();
  update.quota->segments = 9;
  ASSERT_TRUE(namespace_registry().Update(Root(), update).ok());
  default_namespace_.quota.segments = 6;
  Restart();
  EXPECT_EQ(namespaces().Get(Root(), "default")->name_space.quota.segments, 9u);
}

TEST_F(RegistryNamespaceTest, OnlyAdministratorsChangeNamespaces) {
  MakeTeam(OnlyAlice());
  NamespaceRegistry::CreateCommand create;
  create.id = "own";
  EXPECT_EQ(ReasonOf(namespace_registry().Create(Alice(), create)),
            "CALLER_NOT_ALLOWED");
  NamespaceRegistry::UpdateCommand update;
  update.name = "team";
  for (const auto& [caller, reason] :
       {std::pair<Caller, std::string>{Alice(), "CALLER_NOT_ALLOWED"},
        {Bob(), "NAMESPACE_NOT_FOUND"}}) {
    EXPECT_EQ(ReasonOf(namespace_registry().Update(caller, update)), reason);
    EXPECT_EQ(ReasonOf(namespace_registry().Delete(caller, "team", "")),
              reason);
  }
}

TEST_F(RegistryNamespaceTest, EtagsTellOfEveryChange) {
  MakeTeam();
  const std::string first =
      EtagOf(namespaces().Get(Root(), "team")->name_space);
  NamespaceRegistry::UpdateCommand update;
  update.name = "team";
  update.etag = first;
  update.entrants = OnlyAlice();
  ASSERT_TRUE(namespace_registry().Update(Root(), update).ok());
  EXPECT_EQ(ReasonOf(namespace_registry().Update(Root(), update)),
            "ETAG_MISMATCH");
  EXPECT_EQ(ReasonOf(namespace_registry().Delete(Root(), "team", first)),
            "ETAG_MISMATCH");
  ASSERT_TRUE(namespace_registry().Delete(Root(), "team", "").ok());
  // One of the same name is another.
  MakeTeam();
  EXPECT_EQ(ReasonOf(namespace_registry().Delete(Root(), "team", first)),
            "ETAG_MISMATCH");
}

TEST_F(RegistryNamespaceTest, SessionsCountWhereTheyAre) {
  Amounts uid_quota = Amounts::Unlimited();
  uid_quota.sessions = 1;
  MakeTeam({}, Amounts::Unlimited(), uid_quota);
  const SessionIdentity first =
      sessions().Begin(Alice(), Process(), kDefaultNamespace);
  const SessionIdentity second =
      sessions().Begin(Alice(), Process(), kDefaultNamespace);
  EXPECT_TRUE(sessions().Enter(first.id, "team").ok());
  EXPECT_EQ(ReasonOf(sessions().Enter(second.id, "team")), "QUOTA_EXCEEDED");
  EXPECT_EQ(UseOfTeam(Alice()).sessions, 1u);
  EXPECT_EQ(namespaces().Get(Root(), "default")->usage.sessions, 1u);
  sessions().End(first.id);
  EXPECT_EQ(UseOfTeam(Alice()).sessions, 0u);
  EXPECT_TRUE(sessions().Enter(second.id, "team").ok());
  sessions().End(second.id);
  EXPECT_EQ(namespaces().Get(Root(), "default")->usage.sessions, 0u);
}

}  // namespace
}  // namespace shmd
