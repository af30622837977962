// Grants: who is let in that the mode would not.

#include "server/registry/registry_fixture.h"

namespace shmd {
namespace {

class RegistryGrantTest : public RegistryTest {
 protected:
  void SetUp() override { Made(Memfd("a")); }

  absl::StatusOr<SegmentRegistry::NewGrant> Grant(
      const std::function<void(GrantCommand&)>& change = [](GrantCommand&) {},
      const Caller& caller = Root()) {
    GrantCommand command;
    command.name = Name("a");
    change(command);
    return registry().CreateGrant(caller, command);
  }
  // The reason of the refusal; empty when Alice is let in.
  std::string Attach(const Handle& handle, Access access = Access::kRead,
                     const Caller& caller = Alice()) {
    const auto attached = registry().Attach(caller, handle, access);
    if (attached.ok()) registry().Release(attached->view.entry);
    return ReasonOf(attached);
  }
  uint64_t Uses() {
    return registry().ListGrants(Root(), Name("a"))->at(0).uses;
  }
};

TEST_F(RegistryGrantTest, LetsInWhomTheModeDoesNot) {
  const SegmentView view = *registry().Get(Root(), Name("a"));
  EXPECT_EQ(Attach(registry().WholeHandle(Root(), *view.segment)),
            "CALLER_NOT_ALLOWED");
  const auto grant = Grant();
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(Attach(grant->handle), "");
  EXPECT_EQ(Attach(*DecodeHandle(EncodeHandle(grant->handle))), "");
  EXPECT_EQ(Uses(), 2u);
  // The owner needs none, and uses none up.
  EXPECT_EQ(Attach(grant->handle, Access::kRead, Root()), "");
  EXPECT_EQ(Uses(), 2u);
}

TEST_F(RegistryGrantTest, AccessIsThatOfTheGrant) {
  EXPECT_EQ(Attach(Grant()->handle, Access::kReadWrite), "CALLER_NOT_ALLOWED");
  const auto writer =
      Grant([](GrantCommand& c) { c.access = Access::kReadWrite; });
  EXPECT_EQ(Attach(writer->handle, Access::kReadWrite), "");
}

TEST_F(RegistryGrantTest, EndsByTimeUsesUserAndRevocation) {
  const auto timed =
      Grant([](GrantCommand& c) { c.expiration.ttl = absl::Seconds(5); });
  EXPECT_EQ(Attach(timed->handle), "");
  clock_.Advance(absl::Seconds(5));
  EXPECT_EQ(Attach(timed->handle), "GRANT_INVALID");
  const auto once = Grant([](GrantCommand& c) { c.max_uses = 1; });
  EXPECT_EQ(Attach(once->handle), "");
  EXPECT_EQ(Attach(once->handle), "GRANT_INVALID");
  const auto personal = Grant([](GrantCommand& c) { c.uid = Bob().uid; });
  EXPECT_EQ(Attach(personal->handle), "GRANT_INVALID");
  EXPECT_EQ(Attach(personal->handle, Access::kRead, Bob()), "");
  const auto revoked = Grant();
  ASSERT_TRUE(
      registry().DeleteGrant(Root(), Name("a"), revoked->grant.id).ok());
  EXPECT_EQ(Attach(revoked->handle), "GRANT_INVALID");
}

TEST_F(RegistryGrantTest, SecretCannotBeAlteredOrMoved) {
  Handle handle = Grant()->handle;
  Made(Memfd("b"));
  const SegmentView other = *registry().Get(Root(), Name("b"));
  Handle moved = registry().WholeHandle(Root(), *other.segment);
  moved.grant = handle.grant;
  EXPECT_EQ(Attach(moved), "HANDLE_INVALID");
  for (size_t bit = 0; bit < 128; ++bit) {
    Handle flipped = handle;
    (*flipped.grant)[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_EQ(Attach(flipped), "HANDLE_INVALID");
  }
  handle.grant.reset();
  EXPECT_EQ(Attach(handle), "HANDLE_INVALID");
}

TEST_F(RegistryGrantTest, ManagedByTheOwnerOnlyAndListedWithoutSecret) {
  EXPECT_EQ(ReasonOf(Grant([](GrantCommand&) {}, Alice())),
            "CALLER_NOT_ALLOWED");
  EXPECT_EQ(ReasonOf(registry().ListGrants(Alice(), Name("a"))),
            "CALLER_NOT_ALLOWED");
  EXPECT_EQ(ReasonOf(registry().DeleteGrant(Alice(), Name("a"), "x")),
            "CALLER_NOT_ALLOWED");
  EXPECT_EQ(ReasonOf(registry().DeleteGrant(Root(), Name("a"), "x")),
            "GRANT_NOT_FOUND");
  EXPECT_EQ(ReasonOf(Grant([](GrantCommand& c) {
              c.expiration.time = absl::UnixEpoch();
            })),
            "FIELD_INVALID");
  const auto grant = Grant();
  const auto listed = registry().ListGrants(Root(), Name("a"));
  ASSERT_EQ(listed->size(), 1u);
  EXPECT_EQ(listed->at(0).id, grant->grant.id);
  EXPECT_FALSE(std::equal(grant->handle.grant->begin(),
                          grant->handle.grant->end(),
                          listed->at(0).key.begin()));
}

TEST_F(RegistryGrantTest, EndsWithItsSegment) {
  const auto grant = Grant();
  ASSERT_TRUE(Delete("a").ok());
  EXPECT_EQ(Attach(grant->handle), "HANDLE_STALE");
  Made(Memfd("a"));
  EXPECT_EQ(Attach(grant->handle), "HANDLE_STALE");
  EXPECT_TRUE(registry().ListGrants(Root(), Name("a"))->empty());
}

TEST_F(RegistryGrantTest, AreLimited) {
  for (size_t i = 0; i < kMaxGrantsOfSegment; ++i) ASSERT_TRUE(Grant().ok());
  EXPECT_EQ(ReasonOf(Grant()), "GRANT_LIMIT_EXCEEDED");
  const std::string id = registry().ListGrants(Root(), Name("a"))->at(0).id;
  ASSERT_TRUE(registry().DeleteGrant(Root(), Name("a"), id).ok());
  EXPECT_TRUE(Grant().ok());
}

}  // namespace
}  // namespace shmd
