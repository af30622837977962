#include "server/rpc/commands_from_proto.h"

#include <functional>
#include <string>
#include <variant>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "gtest/gtest.h"
#include "server/registry/grant_table.h"
#include "server/rpc/grant_names.h"
#include "server/rpc/namespace_from_proto.h"

namespace shmd {
namespace {

constexpr char kName[] = "namespaces/default/segments/a";

Caller Alice() {
  Caller caller;
  caller.uid = 1001;
  caller.gid = 1001;
  return caller;
}

void ExpectRefusal(const absl::Status& status, const std::string& reason,
                   const std::string& field) {
  EXPECT_EQ(GetErrorReason(status), reason) << status;
  EXPECT_EQ(GetErrorDetail(status).field, field) << status;
}

v1::CreateSegmentRequest CreateRequest() {
  v1::CreateSegmentRequest request;
  request.set_parent("namespaces/default");
  request.set_segment_id("a");
  request.mutable_segment()->set_size_bytes(1);
  return request;
}

TEST(CreateFromProtoTest, WrongFieldsAreNamed) {
  using R = v1::CreateSegmentRequest;
  const struct {
    std::function<void(R&)> change;
    const char* reason;
    const char* field;
  } kCases[] = {
      {[](R& r) { r.clear_parent(); }, "NAME_INVALID", "parent"},
      {[](R& r) { r.set_parent("default"); }, "NAME_INVALID", "parent"},
      {[](R& r) { r.set_segment_id(".."); }, "SEGMENT_ID_INVALID",
       "segment_id"},
      {[](R& r) { r.set_segment_id("a/b"); }, "SEGMENT_ID_INVALID",
       "segment_id"},
      {[](R& r) { r.clear_segment(); }, "SIZE_INVALID", "segment.size_bytes"},
      {[](R& r) { (*r.mutable_segment()->mutable_labels())["A"] = ""; },
       "LABEL_INVALID", "segment.labels"},
      {[](R& r) { r.mutable_segment()->mutable_ttl(); }, "FIELD_INVALID",
       "segment.ttl"},
      {[](R& r) { r.set_request_id("a\n"); }, "REQUEST_ID_INVALID",
       "request_id"},
      {[](R& r) { r.set_request_id(std::string(65, 'x')); },
       "REQUEST_ID_INVALID", "request_id"},
  };
  for (const auto& one : kCases) {
    v1::CreateSegmentRequest request = CreateRequest();
    one.change(request);
    ExpectRefusal(CreateFromProto(request, "", Alice()).status(), one.reason,
                  one.field);
  }
}

TEST(CreateFromProtoTest, ParentOfTheBatchStandsIn) {
  v1::CreateSegmentRequest request = CreateRequest();
  request.clear_parent();
  EXPECT_EQ(CreateFromProto(request, "namespaces/x", Alice())->name_space, "x");
  request.set_parent("namespaces/x");
  EXPECT_TRUE(CreateFromProto(request, "namespaces/x", Alice()).ok());
  request.set_parent("namespaces/y");
  ExpectRefusal(CreateFromProto(request, "namespaces/x", Alice()).status(),
                "NAME_INVALID", "parent");
}

TEST(CreateFromProtoTest, FingerprintIsOfTheWholeRequest) {
  v1::CreateSegmentRequest request = CreateRequest();
  const auto fingerprint = [&] {
    return CreateFromProto(request, "", Alice())->fingerprint;
  };
  EXPECT_EQ(fingerprint(), "");  // without an id there is nothing to compare
  request.set_request_id("r");
  for (int i = 0; i < 30; ++i) {
    (*request.mutable_segment()->mutable_labels())["k" + std::to_string(i)] =
        "v";
  }
  const std::string first = fingerprint();
  // The order in which a map was filled does not count.
  v1::CreateSegmentRequest other = request;
  other.mutable_segment()->clear_labels();
  for (int i = 29; i >= 0; --i) {
    (*other.mutable_segment()->mutable_labels())["k" + std::to_string(i)] = "v";
  }
  EXPECT_EQ(CreateFromProto(other, "", Alice())->fingerprint, first);
  (*request.mutable_segment()->mutable_labels())["k0"] = "w";
  EXPECT_NE(fingerprint(), first);
}

TEST(AdoptFromProtoTest, ExactlyTheOneNameOfTheBackend) {
  using R = v1::AdoptSegmentRequest;
  const struct {
    std::function<void(R&)> change;
    bool ok;
  } kCases[] = {
      {[](R& r) { r.mutable_segment()->set_posix_name("/x"); }, true},
      {[](R&) {}, false},
      {[](R& r) { r.mutable_segment()->set_file_path("x"); }, false},
      {[](R& r) { r.mutable_segment()->set_sysv_key(1); }, false},
      {[](R& r) { r.set_sysv_id(0); }, false},
      {[](R& r) {
         r.mutable_segment()->set_posix_name("/x");
         r.mutable_segment()->set_file_path("x");
       },
       false},
      {[](R& r) { r.mutable_segment()->set_backend(v1::Segment::MEMFD); },
       false},
      {[](R& r) {
         r.mutable_segment()->set_backend(v1::Segment::MAPPED_FILE);
         r.mutable_segment()->set_file_path("x");
       },
       true},
      {[](R& r) {
         r.mutable_segment()->set_backend(v1::Segment::SYSV);
         r.mutable_segment()->set_sysv_key(1);
       },
       true},
      {[](R& r) {
         r.mutable_segment()->set_backend(v1::Segment::SYSV);
         r.set_sysv_id(0);
       },
       true},
      {[](R& r) {
         r.mutable_segment()->set_backend(v1::Segment::SYSV);
         r.mutable_segment()->set_sysv_key(1);
         r.set_sysv_id(0);
       },
       false},
  };
  for (size_t i = 0; i < std::size(kCases); ++i) {
    v1::AdoptSegmentRequest request;
    request.set_parent("namespaces/default");
    request.mutable_segment()->set_backend(v1::Segment::POSIX);
    kCases[i].change(request);
    const auto command = AdoptFromProto(request);
    EXPECT_EQ(command.ok(), kCases[i].ok) << i << ": " << command.status();
    if (!command.ok()) {
      ExpectRefusal(command.status(), "BACKEND_INVALID", "segment.backend");
    }
  }
}

v1::UpdateSegmentRequest UpdateRequest(const std::vector<std::string>& paths) {
  v1::UpdateSegmentRequest request;
  request.mutable_segment()->set_name(kName);
  for (const std::string& path : paths) {
    request.mutable_update_mask()->add_paths(path);
  }
  return request;
}

TEST(UpdateFromProtoTest, WhatCannotBeChangedIsRefused) {
  for (const char* path :
       {"", "*", "name", "size_bytes", "backend", "uid", "state", "etag",
        "Labels", "labels.", "labels/x", "owner", "group", "segment.mode"}) {
    const absl::Status status =
        UpdateFromProto(UpdateRequest({"mode", path})).status();
    ExpectRefusal(status, "FIELD_NOT_UPDATABLE", "update_mask");
    EXPECT_EQ(GetErrorDetail(status).metadata["path"], path);
  }
  ExpectRefusal(UpdateFromProto(UpdateRequest({})).status(),
                "FIELD_NOT_UPDATABLE", "update_mask");
  ExpectRefusal(UpdateFromProto(v1::UpdateSegmentRequest()).status(),
                "NAME_INVALID", "segment.name");
}

TEST(UpdateFromProtoTest, MaskTellsWhatIsChangedAndWhatIsCleared) {
  v1::UpdateSegmentRequest request =
      UpdateRequest({"labels.a", "labels.b.c", "mode", "expire_time"});
  (*request.mutable_segment()->mutable_labels())["a"] = "1";
  (*request.mutable_segment()->mutable_labels())["not-named"] = "2";
  request.mutable_segment()->set_owner(5);
  const UpdateCommand command = UpdateFromProto(request).value();
  EXPECT_FALSE(command.labels.has_value());
  ASSERT_EQ(command.label_changes->size(), 2u);
  EXPECT_EQ(command.label_changes->at("a"), "1");
  EXPECT_EQ(command.label_changes->at("b.c"), std::nullopt);
  EXPECT_EQ(command.mode, 0600u);
  EXPECT_FALSE(command.owner.has_value());
  ASSERT_TRUE(command.expiration.has_value());
  EXPECT_FALSE(command.expiration->time.has_value());
}

// What one request has room for. Were each path applied as often as it is
// there, this would take many minutes, and the test run out of its time.
TEST(UpdateFromProtoTest, APathCountsOnceHoweverOftenItIsNamed) {
  v1::UpdateSegmentRequest request =
      UpdateRequest(std::vector<std::string>(50000, "labels"));
  for (int i = 0; i < 30000; ++i) {
    (*request.mutable_segment()->mutable_labels())[absl::StrCat(i)] = "x";
  }
  ASSERT_LT(request.ByteSizeLong(), size_t{1} << 20);
  EXPECT_EQ(UpdateFromProto(request).value().labels->size(), 30000u);

  v1::UpdateNamespaceRequest change;
  v1::Namespace& name_space = *change.mutable_namespace_();
  name_space.set_name("namespaces/blue");
  for (uint32_t i = 0; i < kMaxEntrants; ++i) {
    name_space.mutable_entrants()->add_uids(i);
    name_space.mutable_entrants()->add_certificate_names(std::string(200, 'x'));
  }
  for (int i = 0; i < 70000; ++i) {
    change.mutable_update_mask()->add_paths("entrants");
  }
  ASSERT_LT(change.ByteSizeLong(), size_t{1} << 20);
  EXPECT_EQ(UpdateFromProto(change).value().entrants->uids.size(),
            kMaxEntrants);
}

TEST(UpdateFromProtoTest, WithoutAMaskAllThatIsSet) {
  v1::UpdateSegmentRequest request = UpdateRequest({});
  request.mutable_segment()->set_owner(5);
  request.mutable_segment()->set_group(6);
  request.mutable_segment()->mutable_ttl()->set_seconds(7);
  const UpdateCommand command = UpdateFromProto(request).value();
  EXPECT_EQ(command.owner, 5u);
  EXPECT_EQ(command.group, 6u);
  EXPECT_EQ(command.expiration->ttl, absl::Seconds(7));
  EXPECT_FALSE(command.mode.has_value() || command.labels.has_value());
}

TEST(UpdateFromProtoTest, WrongValuesAreNamed) {
  v1::UpdateSegmentRequest request = UpdateRequest({});
  request.mutable_segment()->set_mode(0777);
  ExpectRefusal(UpdateFromProto(request).status(), "MODE_INVALID",
                "segment.mode");
  // To the kernel this is "leave it", to the metadata it would be a uid.
  request = UpdateRequest({"owner"});
  request.mutable_segment()->set_owner(UINT32_MAX);
  ExpectRefusal(UpdateFromProto(request).status(), "FIELD_INVALID",
                "segment.owner");
  request = UpdateRequest({"group"});
  request.mutable_segment()->set_group(UINT32_MAX);
  ExpectRefusal(UpdateFromProto(request).status(), "FIELD_INVALID",
                "segment.group");
}

TEST(ListFromProtoTest, PageSizes) {
  const struct {
    int asked;
    size_t expected;
  } kCases[] = {
      {0, 100}, {1, 1}, {1000, 1000}, {1001, 1000}, {INT32_MAX, 1000}};
  for (const auto& one : kCases) {
    v1::ListSegmentsRequest request;
    request.set_parent("namespaces/default");
    request.set_page_size(one.asked);
    EXPECT_EQ(ListFromProto(request)->limit, one.expected) << one.asked;
  }
  v1::ListSegmentsRequest request;
  request.set_parent("namespaces/default");
  for (const int negative : {-1, INT32_MIN}) {
    request.set_page_size(negative);
    ExpectRefusal(ListFromProto(request).status(), "PAGE_SIZE_INVALID",
                  "page_size");
  }
}

TEST(ListFromProtoTest, TokenIsGoodForItsListOnly) {
  v1::ListSegmentsRequest request;
  request.set_parent("namespaces/default");
  request.set_filter("labels:a");
  const std::string token = MakePageToken(request, "last");
  request.set_page_token(token);
  request.set_page_size(7);  // may change from page to page
  EXPECT_EQ(ListFromProto(request)->after_id, "last");
  request.set_filter("labels:b");
  ExpectRefusal(ListFromProto(request).status(), "PAGE_TOKEN_INVALID",
                "page_token");
  request.set_filter("labels:a");
  request.set_parent("namespaces/other");
  ExpectRefusal(ListFromProto(request).status(), "PAGE_TOKEN_INVALID",
                "page_token");
}

TEST(ListFromProtoTest, OtherTokensAreInvalid) {
  v1::ListSegmentsRequest request;
  request.set_parent("namespaces/default");
  for (const std::string& token :
       {std::string("x"), std::string("!!!"), std::string("AAAA"),
        MakePageToken(request, ""), MakePageToken(request, ".."),
        MakePageToken(request, "a/b"),
        MakePageToken(request, std::string(129, 'x')),
        absl::WebSafeBase64Escape(std::string(100000, 'x'))}) {
    request.set_page_token(token);
    ExpectRefusal(ListFromProto(request).status(), "PAGE_TOKEN_INVALID",
                  "page_token");
  }
}

TEST(EnumsFromProtoTest, UnknownNumbersAreNamed) {
  ExpectRefusal(
      ExtentFromProto(static_cast<v1::SealSegmentRequest::Extent>(3)).status(),
      "FIELD_INVALID", "extent");
  ExpectRefusal(
      FlushModeFromProto(static_cast<v1::FlushSegmentRequest::Mode>(4))
          .status(),
      "FIELD_INVALID", "mode");
  ExpectRefusal(ReadView(static_cast<v1::SegmentView>(9), v1::FULL).status(),
                "FIELD_INVALID", "view");
  v1::CreateHandleRequest request;
  request.set_name(kName);
  request.set_access(static_cast<v1::Access>(3));
  ExpectRefusal(HandleCommandFromProto(request).status(), "FIELD_INVALID",
                "access");
  request.set_access(v1::READ_WRITE);
  request.mutable_ttl();
  ExpectRefusal(HandleCommandFromProto(request).status(), "FIELD_INVALID",
                "ttl");
  request.clear_name();
  ExpectRefusal(HandleCommandFromProto(request).status(), "NAME_INVALID",
                "name");
}

TEST(GrantFromProtoTest, NamesAreThoseOfSegmentsAndOfChannels) {
  for (const std::string parent :
       {"namespaces/n/segments/s", "namespaces/n/channels/c"}) {
    const auto parsed = ParseGrantName("name", parent + "/grants/0123");
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->ToString(), parent + "/grants/0123");
    EXPECT_EQ(parsed->id, "0123");
    EXPECT_EQ(std::holds_alternative<ChannelName>(parsed->parent),
              absl::StrContains(parent, "channels"));
  }
  for (const std::string name :
       {"", "namespaces/n/channels/c", "namespaces/n/channels/c/grants/",
        "namespaces/n/channels/c/grants/a/b", "namespaces/n/grants/a",
        "namespaces/n/objects/o/grants/a"}) {
    ExpectRefusal(ParseGrantName("name", name).status(), "NAME_INVALID",
                  "name");
  }
}

TEST(GrantFromProtoTest, RolesAreBits) {
  v1::Grant grant;
  EXPECT_EQ(GrantFromProto(grant)->roles, 0u);
  for (const auto role : {v1::Grant::PUBLISHER, v1::Grant::SERVER}) {
    grant.add_roles(role);
    grant.add_roles(role);
  }
  EXPECT_EQ(GrantFromProto(grant)->roles,
            static_cast<uint32_t>(GrantRole::kPublisher) |
                static_cast<uint32_t>(GrantRole::kServer));
  grant.add_roles(static_cast<v1::Grant::Role>(5));
  ExpectRefusal(GrantFromProto(grant).status(), "FIELD_INVALID", "grant.roles");
  grant.set_roles(4, v1::Grant::ROLE_UNSPECIFIED);
  ExpectRefusal(GrantFromProto(grant).status(), "FIELD_INVALID", "grant.roles");
}

TEST(EnumsFromProtoTest, UnspecifiedMeansTheDefault) {
  EXPECT_EQ(ExtentFromProto(v1::SealSegmentRequest::EXTENT_UNSPECIFIED).value(),
            SealExtent::kAllWrites);
  EXPECT_EQ(
      FlushModeFromProto(v1::FlushSegmentRequest::MODE_UNSPECIFIED).value(),
      FlushMode::kSynchronous);
  EXPECT_EQ(ReadView(v1::SEGMENT_VIEW_UNSPECIFIED, v1::FULL).value(), v1::FULL);
  EXPECT_EQ(ReadView(v1::SEGMENT_VIEW_UNSPECIFIED, v1::BASIC).value(),
            v1::BASIC);
  EXPECT_EQ(ReadView(v1::FULL, v1::BASIC).value(), v1::FULL);
  for (const v1::SegmentView brief : {v1::IDENTITY, v1::HANDLE}) {
    EXPECT_EQ(ReadView(brief, v1::BASIC).value(), brief);
  }
  v1::CreateHandleRequest request;
  request.set_name(kName);
  EXPECT_EQ(HandleCommandFromProto(request)->access, Access::kRead);
}

}  // namespace
}  // namespace shmd
