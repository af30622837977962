#include "tests/fuzz/request_parsers.h"

#include <iterator>
#include <optional>

#include "absl/strings/str_cat.h"
#include "server/channel/channel_names.h"
#include "server/object/object_names.h"
#include "server/rpc/channel_proto.h"
#include "server/rpc/commands_from_proto.h"
#include "server/rpc/grant_names.h"
#include "server/rpc/namespace_from_proto.h"
#include "server/rpc/object_proto.h"
#include "server/rpc/options_from_proto.h"
#include "server/rpc/page.h"
#include "server/rpc/sync_proto.h"
#include "server/session/session.h"
#include "shmd/v1/namespace.pb.h"
#include "shmd/v1/node.pb.h"
#include "shmd/v1/orphan.pb.h"
#include "shmd/v1/session.pb.h"
#include "tests/fuzz/fuzz_input.h"

namespace shmd {
namespace {

std::set<std::string>& Parsed() {
  static auto* const parsed = new std::set<std::string>();
  return *parsed;
}

template <typename Request>
bool Parse(absl::string_view bytes, Request* request) {
  static const bool once =
      Parsed().insert(Request::descriptor()->full_name()).second;
  static_cast<void>(once);
  return request->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

Caller SomeCaller() {
  Caller caller;
  caller.uid = caller.gid = 1000;
  return caller;
}

void ExpectName(const std::string& name_space, const std::string& id) {
  const SegmentName name{name_space, id};
  const auto again = ParseSegmentName("name", name.ToString());
  Expect(again.ok() && again->name_space == name_space && again->id == id);
}

void TryCreate(const v1::CreateSegmentRequest& request) {
  const auto command = CreateFromProto(request, "", SomeCaller());
  if (!command.ok()) return;
  if (!command->id.empty()) ExpectName(command->name_space, command->id);
  Expect(command->options.size_bytes > 0);
  Expect((command->options.mode & ~0666u) == 0);
  Expect(CheckLabels(command->labels).ok());
}

void TryCreate(absl::string_view bytes) {
  v1::CreateSegmentRequest request;
  if (Parse(bytes, &request)) TryCreate(request);
}

void TryBatchCreate(absl::string_view bytes) {
  v1::BatchCreateSegmentsRequest batch;
  if (!Parse(bytes, &batch)) return;
  for (const auto& request : batch.requests()) {
    CreateFromProto(request, batch.parent(), SomeCaller()).IgnoreError();
  }
}

void TryAdopt(absl::string_view bytes) {
  v1::AdoptSegmentRequest request;
  if (!Parse(bytes, &request)) return;
  const auto command = AdoptFromProto(request);
  if (command.ok()) Expect(CheckLabels(command->labels).ok());
}

void TryUpdate(absl::string_view bytes) {
  v1::UpdateSegmentRequest request;
  if (!Parse(bytes, &request)) return;
  const auto command = UpdateFromProto(request);
  if (!command.ok()) return;
  ExpectName(command->name.name_space, command->name.id);
  Expect(!command->mode.has_value() || (*command->mode & ~0666u) == 0);
}

void TryList(absl::string_view bytes) {
  v1::ListSegmentsRequest request;
  if (!Parse(bytes, &request)) return;
  const auto command = ListFromProto(request);
  if (!command.ok()) return;
  Expect(command->limit >= 1 && command->limit <= 1000);
  // The token of the next page is understood.
  request.set_page_token(MakePageToken(request, "last"));
  const auto next = ListFromProto(request);
  Expect(next.ok() && next->after_id == "last");
}

void TryHandle(absl::string_view bytes) {
  v1::CreateHandleRequest request;
  if (Parse(bytes, &request)) HandleCommandFromProto(request).IgnoreError();
}

void TryGrant(absl::string_view bytes) {
  v1::CreateGrantRequest request;
  if (Parse(bytes, &request)) GrantFromProto(request.grant()).IgnoreError();
}

void TryNumbers(absl::string_view bytes) {
  v1::SealSegmentRequest seal;
  if (Parse(bytes, &seal)) ExtentFromProto(seal.extent()).IgnoreError();
  v1::FlushSegmentRequest flush;
  if (Parse(bytes, &flush)) FlushModeFromProto(flush.mode()).IgnoreError();
  v1::GetSegmentRequest get;
  if (Parse(bytes, &get)) ReadView(get.view(), v1::FULL).IgnoreError();
  v1::RenewLeaseRequest renew;
  if (Parse(bytes, &renew)) TtlFromProto("ttl", renew.ttl()).IgnoreError();
}

void TryNames(absl::string_view bytes) {
  const auto segment = ParseSegmentName("name", bytes);
  if (segment.ok()) Expect(segment->ToString() == bytes);
  const auto grant = ParseGrantName("name", bytes);
  if (grant.ok()) Expect(grant->ToString() == bytes);
  ParseNamespaceName("name", bytes).IgnoreError();
  const auto session = ParseSessionName("name", bytes);
  if (session.ok()) Expect(SessionName(*session) == bytes);
  ReadPageToken("query", bytes).IgnoreError();
}

void ExpectNamespace(const Entrants& entrants) {
  Expect(entrants.uids.size() <= kMaxEntrants);
  Expect(entrants.gids.size() <= kMaxEntrants);
  Expect(entrants.certificate_names.size() <= kMaxEntrants);
}

void TryNamespace(absl::string_view bytes) {
  v1::CreateNamespaceRequest create;
  if (Parse(bytes, &create)) {
    const auto command = CreateFromProto(create);
    if (command.ok()) ExpectNamespace(command->entrants);
  }
  v1::UpdateNamespaceRequest update;
  if (!Parse(bytes, &update)) return;
  const auto command = UpdateFromProto(update);
  if (!command.ok()) return;
  // Which no namespace need have: then there is none of that name.
  Expect(ParseNamespaceName("name", absl::StrCat("namespaces/", command->name))
             .ok());
  if (command->entrants.has_value()) ExpectNamespace(*command->entrants);
}

void TryChannel(absl::string_view bytes) {
  v1::CreateChannelRequest request;
  if (!Parse(bytes, &request)) return;
  const auto command = ChannelFromProto(SomeCaller(), request);
  if (!command.ok()) return;
  Expect(CheckChannelFields(command->fields).ok());
  Expect((command->fields.mode & ~0666u) == 0);
  const std::string name = command->name.ToString();
  const auto again = ParseChannelName("name", name);
  Expect(again.ok() && again->ToString() == name);
  v1::Channel reply;
  ChannelToProto({command->name, command->fields, 0, 0}, &reply);
  Expect(reply.name() == name);
}

template <typename Request>
void TryJoinBy(absl::string_view bytes) {
  Request request;
  if (!Parse(bytes, &request)) return;
  const auto command = JoinFromProto(request);
  if (command.ok()) Expect(command->channel.ToString() == request.parent());
}

void TryJoin(absl::string_view bytes) {
  TryJoinBy<v1::CreatePublisherRequest>(bytes);
  TryJoinBy<v1::CreateSubscriberRequest>(bytes);
}

void TryMembership(absl::string_view bytes) {
  v1::JoinChannelRequest request;
  if (!Parse(bytes, &request)) return;
  // On either socket.
  for (const auto& session :
       {std::optional<SessionId>(), std::optional<SessionId>(SessionId{})}) {
    const auto command = MembershipFromProto(SomeCaller(), request, session);
    if (!command.ok()) continue;
    Expect(!command->members.empty() && command->members.size() <= 2);
    for (const JoinCommand& member : command->members) {
      Expect(member.channel.ToString() == request.name());
    }
    if (!command->create.has_value()) continue;
    Expect(CheckChannelFields(command->create->fields).ok());
  }
}

void TrySync(absl::string_view bytes) {
  v1::CreateSyncPrimitiveRequest request;
  if (!Parse(bytes, &request)) return;
  const auto command = PrimitiveFromProto(request);
  if (!command.ok()) return;
  Expect(CheckSyncSpec(command->spec).ok() && (command->mode & ~0666u) == 0);
  Segment segment;
  segment.name = {command->name_space, SyncSegmentId(command->id)};
  segment.labels = LabelsOf(command->spec);
  Expect(SyncSegmentBytes(command->spec) > 0);
  Expect(CheckLabels(segment.labels).ok());
  const auto name = ParseSyncName("name", SyncNameOf(segment.name));
  Expect(name.ok() && name->id == segment.name.id);
  v1::SyncPrimitive reply;
  PrimitiveToProto(segment, &reply);
  Expect(reply.kind() == request.sync_primitive().kind() &&
         reply.value_bytes() == request.sync_primitive().value_bytes());
}

void TryObject(absl::string_view bytes) {
  v1::CreateObjectRequest create;
  if (Parse(bytes, &create)) PublishFromProto(create).IgnoreError();
  v1::BatchCreateObjectsRequest batch;
  if (!Parse(bytes, &batch)) return;
  for (const auto& request : batch.requests()) {
    const auto command = PublishFromProto(request);
    if (command.ok()) {
      Expect(command->metadata_bytes <= layout::kMaxObjectMetadataBytes);
    }
  }
}

void TryArena(absl::string_view bytes) {
  v1::CreateArenaRequest request;
  if (!Parse(bytes, &request)) return;
  const auto command = ArenaFromProto(request);
  if (command.ok()) Expect((command->mode & ~0666u) == 0);
}

void TryTimes(absl::string_view bytes) {
  v1::LeaseObjectRequest lease;
  if (Parse(bytes, &lease)) {
    const auto ttl = LeaseFromProto(lease);
    Expect(!ttl.ok() || *ttl > absl::ZeroDuration());
  }
  v1::MakeRoomRequest room;
  if (Parse(bytes, &room)) RoomFromProto(room).IgnoreError();
  v1::GetObjectRequest get;
  if (Parse(bytes, &get)) WaitFromProto(get).IgnoreError();
}

// Names of what the newer services have.
void TryResourceNames(absl::string_view bytes) {
  const auto channel = ParseChannelName("name", bytes);
  if (channel.ok()) Expect(channel->ToString() == bytes);
  for (const MemberKind kind :
       {MemberKind::kPublisher, MemberKind::kSubscriber}) {
    const auto member = ParseMemberName("name", bytes, kind);
    if (member.ok()) Expect(member->ToString() == bytes);
  }
  const auto primitive = ParseSyncName("name", bytes);
  if (primitive.ok()) Expect(SyncNameOf(*primitive) == bytes);
  ParseLockedName("name", bytes).IgnoreError();
  const auto object = ParseObjectName("name", bytes);
  if (object.ok())
    Expect(ObjectNameOf(object->name_space, object->id) == bytes);
  ParseArenaName("name", bytes).IgnoreError();
}

// A request whose form is a name and numbers.
template <typename Request>
void TryName(absl::string_view bytes) {
  Request request;
  if (!Parse(bytes, &request)) return;
  TryNames(request.name());
  TryResourceNames(request.name());
}

template <typename Request>
void TryParent(absl::string_view bytes) {
  Request request;
  if (!Parse(bytes, &request)) return;
  ParseNamespaceName("parent", request.parent()).IgnoreError();
  TryResourceNames(request.parent());
}

template <typename Request>
void TryPage(absl::string_view bytes) {
  Request request;
  if (!Parse(bytes, &request)) return;
  const auto limit = PageLimit(request.page_size());
  Expect(!limit.ok() || (*limit >= 1 && *limit <= 1000));
  ReadPageToken("query", request.page_token()).IgnoreError();
}

template <typename... Requests>
void TryNamesOf(absl::string_view bytes) {
  (TryName<Requests>(bytes), ...);
}
template <typename... Requests>
void TryParentsOf(absl::string_view bytes) {
  (TryParent<Requests>(bytes), ...);
}
template <typename... Requests>
void TryPagesOf(absl::string_view bytes) {
  (TryPage<Requests>(bytes), ...);
}

// The others have nothing but names and numbers, but any bytes must do.
void TryOthers(absl::string_view bytes) {
  TryPagesOf<v1::ListOrphansRequest, v1::ListSessionsRequest,
             v1::ListNamespacesRequest, v1::ListObjectsRequest,
             v1::ListChannelsRequest, v1::ListLocksRequest,
             v1::ListSyncPrimitivesRequest>(bytes);
  TryNamesOf<v1::DeleteSegmentRequest, v1::ResizeSegmentRequest,
             v1::DisownSegmentRequest, v1::ReadSegmentRequest,
             v1::WriteSegmentRequest, v1::DeleteGrantRequest,
             v1::GetNamespaceRequest, v1::DeleteNamespaceRequest,
             v1::DeleteOrphanRequest, v1::GetSessionRequest,
             v1::ListSegmentUsersRequest>(bytes);
  TryNamesOf<v1::DeleteObjectRequest, v1::ReadObjectRequest,
             v1::GetChannelRequest, v1::DeleteChannelRequest,
             v1::DeletePublisherRequest, v1::DeleteSubscriberRequest,
             v1::GetChannelStatsRequest, v1::BreakLockRequest,
             v1::GetSyncPrimitiveRequest, v1::DeleteSyncPrimitiveRequest>(
      bytes);
  TryParentsOf<v1::BatchGetSegmentsRequest, v1::BatchDeleteSegmentsRequest,
               v1::OpenDirectoryRequest, v1::ListGrantsRequest,
               v1::BatchGetObjectsRequest, v1::BatchDeleteObjectsRequest,
               v1::WatchObjectsRequest, v1::WatchChannelsRequest,
               v1::OpenSyncPageRequest>(bytes);
  v1::GetNodeRequest node;
  Parse(bytes, &node);
  v1::WatchSegmentsRequest watch;
  if (Parse(bytes, &watch)) SegmentFilter::Parse(watch.filter()).IgnoreError();
}

// Inputs name them by their numbers: new ones come last.
constexpr void (*kParsers[])(absl::string_view) = {
    &TryCreate, &TryBatchCreate,   &TryAdopt,      &TryUpdate,
    &TryList,   &TryHandle,        &TryGrant,      &TryNumbers,
    &TryNames,  &TryOthers,        &TryNamespace,  &TryChannel,
    &TryJoin,   &TrySync,          &TryObject,     &TryArena,
    &TryTimes,  &TryResourceNames, &TryMembership,
};

}  // namespace

void ParseRequest(size_t parser, absl::string_view bytes) {
  kParsers[parser % std::size(kParsers)](bytes);
}

std::set<std::string> KnownRequests() {
  for (const auto& parse : kParsers) parse("");
  return Parsed();
}

}  // namespace shmd
