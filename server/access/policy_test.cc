#include "server/access/policy.h"

#include <unistd.h>

#include "base/error.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

Caller MakeCaller(uid_t uid, gid_t gid, std::vector<gid_t> groups = {}) {
  Caller caller;
  caller.uid = uid;
  caller.gid = gid;
  caller.groups = std::move(groups);
  return caller;
}

TEST(MayAccessTest, OnlyTheFirstClassThatFitsCounts) {
  const Ownership ownership{1000, 50, 0064};
  // The owner is bound by the owner's bits, though others have more.
  EXPECT_FALSE(MayAccess(MakeCaller(1000, 50), ownership, Access::kRead));
  EXPECT_TRUE(MayAccess(MakeCaller(7, 50), ownership, Access::kReadWrite));
  EXPECT_TRUE(MayAccess(MakeCaller(7, 8, {9, 50}), ownership, Access::kRead));
  EXPECT_TRUE(MayAccess(MakeCaller(7, 8), ownership, Access::kRead));
  EXPECT_FALSE(MayAccess(MakeCaller(7, 8), ownership, Access::kReadWrite));
}

TEST(MayAccessTest, WriteNeedsReadToo) {
  const Ownership ownership{1000, 50, 0200};
  EXPECT_FALSE(MayAccess(MakeCaller(1000, 1), ownership, Access::kReadWrite));
}

TEST(MayManageTest, OwnerAndAdministratorOnly) {
  const Ownership ownership{1000, 50, 0666};
  Caller administrator = MakeCaller(5, 5);
  administrator.is_administrator = true;
  EXPECT_TRUE(MayManage(MakeCaller(1000, 1), ownership));
  EXPECT_TRUE(MayManage(administrator, ownership));
  EXPECT_FALSE(MayManage(MakeCaller(5, 50), ownership));
}

TEST(CheckNewOwnershipTest, ForeignOwnerOrGroupIsRefused) {
  const Caller caller = MakeCaller(1000, 50, {60});
  EXPECT_TRUE(CheckNewOwnership(caller, 1000, 60).ok());
  EXPECT_EQ(GetErrorReason(CheckNewOwnership(caller, 1001, 50)),
            "CALLER_NOT_ALLOWED");
  EXPECT_EQ(GetErrorReason(CheckNewOwnership(caller, 1000, 0)),
            "CALLER_NOT_ALLOWED");
}

TEST(CallerPolicyTest, KnowsAdministrators) {
  const CallerPolicy policy({42});
  sys::PeerCredentials peer;
  for (const uid_t uid : {uid_t{0}, geteuid(), uid_t{42}}) {
    peer.uid = uid;
    EXPECT_TRUE(policy.Identify(peer)->is_administrator);
  }
  peer.uid = 43;
  EXPECT_FALSE(policy.Identify(peer)->is_administrator);
}

TEST(CallerPolicyTest, NoUidIsNobody) {
  sys::PeerCredentials peer;
  peer.uid = static_cast<uid_t>(-1);
  EXPECT_EQ(GetErrorReason(CallerPolicy({}).Identify(peer).status()),
            "CALLER_UNKNOWN");
}

TEST(CallerPolicyTest, CertificatesAreAdministratorsByWholeName) {
  const CallerPolicy policy({}, {"a.example", "b.example"});
  const auto caller = policy.IdentifyCertificate({"x", "b.example"});
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_TRUE(caller->is_administrator);
  for (const char* name : {"", "example", "a.example.", "xa.example"}) {
    EXPECT_EQ(GetErrorReason(policy.IdentifyCertificate({name}).status()),
              "CALLER_NOT_ALLOWED")
        << name;
  }
  EXPECT_FALSE(CallerPolicy({}).IdentifyCertificate({}).ok());
}

TEST(CallerPolicyTest, CertificatesThatAreLetInHaveNoUid) {
  CallerPolicy policy({}, {"a.example"});
  policy.LetIn([](const Caller& caller) {
    return caller.certificate_names == std::vector<std::string>{"guest"};
  });
  const auto caller = policy.IdentifyCertificate({"guest"});
  ASSERT_TRUE(caller.ok()) << caller.status();
  EXPECT_FALSE(caller->is_administrator);
  EXPECT_FALSE(MayManage(*caller, {0, 0, 0666}));
  EXPECT_EQ(CheckNewOwnership(*caller, 0, 0).code(),
            absl::StatusCode::kPermissionDenied);
  EXPECT_FALSE(policy.IdentifyCertificate({"other"}).ok());
}

}  // namespace
}  // namespace shmd
