#include "client/cpp/channel_place.h"

#include <algorithm>
#include <ctime>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "client/cpp/channel_convert.h"

namespace shmd {
inline namespace client {
namespace {

using Stub = v1::ChannelService::Stub;

// How soon who waits learns that its place is lost.
constexpr absl::Duration kSlice = absl::Milliseconds(200);

AttachSocket::PartKind PartKindOf(PartKind kind) {
  switch (kind) {
    case PartKind::kRing:
      return AttachSocket::PartKind::kRing;
    case PartKind::kPage:
      return AttachSocket::PartKind::kPage;
    case PartKind::kClaims:
      return AttachSocket::PartKind::kClaims;
    case PartKind::kBell:
      break;
  }
  return AttachSocket::PartKind::kBell;
}

}  // namespace

absl::Time ChannelPlace::SliceOf(absl::Time deadline) {
  // A tick's precision is enough, at a fifth of the price.
  timespec now = {};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  return std::min(deadline, absl::TimeFromTimespec(now) + kSlice);
}

absl::StatusOr<std::unique_ptr<ChannelPlace>> ChannelPlace::Find(
    Client& client, absl::string_view channel, const Entrance& entrance) {
  // What somebody has a grant for is there, and may be another's.
  if (entrance.create.has_value() && entrance.grant.empty()) {
    RETURN_IF_ERROR(
        client.CreateChannel(channel, *entrance.create, /*allow_existing=*/true)
            .status());
  }
  ASSIGN_OR_RETURN(std::shared_ptr<SessionLink> link, client.impl_->Link());
  return std::unique_ptr<ChannelPlace>(new ChannelPlace(
      client.impl_, std::move(link), client.impl_->ChannelName(channel)));
}

absl::StatusOr<ChannelPlace::Publishing> ChannelPlace::Publish(
    Client& client, absl::string_view channel, ChannelRole role,
    const Entrance& entrance) {
  Publishing out;
  ASSIGN_OR_RETURN(out.place, Find(client, channel, entrance));
  ChannelPlace& place = *out.place;
  v1::CreatePublisherRequest request;
  request.set_parent(place.channel_);
  request.mutable_publisher()->set_role(RoleToProto(role));
  request.set_grant_handle(entrance.grant);
  v1::Publisher reply;
  // Not again: a publisher that nobody knows of would stay until the session
  // ends.
  RETURN_IF_ERROR(place.client_->CallInSession(
      [&](const std::string& session) { request.set_session(session); },
      [&] {
        return place.client_->Call(&Stub::CreatePublisher, request, reply,
                                   Repeat::kHarmful);
      }));
  place.member_ = reply.name();
  place.is_publisher_ = true;
  ASSIGN_OR_RETURN(out.parts.channel,
                   place.Attach(reply.channel_handle(), Access::kRead,
                                &place.attachments_[0]));
  ASSIGN_OR_RETURN(out.parts.ring,
                   place.Attach(reply.ring_handle(), Access::kReadWrite,
                                &place.attachments_[1]));
  if (!reply.claims_handle().empty()) {
    ASSIGN_OR_RETURN(out.parts.claims,
                     place.Attach(reply.claims_handle(), Access::kReadWrite,
                                  &place.attachments_[2]));
  }
  place.is_lost_ = place.attachments_[0].lost_flag();
  out.parts.index = reply.index();
  out.parts.generation = reply.generation();
  out.parts.open_part = place.Opener();
  return out;
}

absl::StatusOr<ChannelPlace::Subscribing> ChannelPlace::Subscribe(
    Client& client, absl::string_view channel, ChannelRole role,
    SlowPolicy policy, const Entrance& entrance) {
  Subscribing out;
  ASSIGN_OR_RETURN(out.place, Find(client, channel, entrance));
  ChannelPlace& place = *out.place;
  v1::CreateSubscriberRequest request;
  request.set_parent(place.channel_);
  request.mutable_subscriber()->set_role(RoleToProto(role));
  request.mutable_subscriber()->set_slow_policy(PolicyToProto(policy));
  request.set_grant_handle(entrance.grant);
  v1::Subscriber reply;
  RETURN_IF_ERROR(place.client_->CallInSession(
      [&](const std::string& session) { request.set_session(session); },
      [&] {
        return place.client_->Call(&Stub::CreateSubscriber, request, reply,
                                   Repeat::kHarmful);
      }));
  place.member_ = reply.name();
  ASSIGN_OR_RETURN(out.parts.channel,
                   place.Attach(reply.channel_handle(), Access::kRead,
                                &place.attachments_[0]));
  ASSIGN_OR_RETURN(out.parts.page,
                   place.Attach(reply.page_handle(), Access::kReadWrite,
                                &place.attachments_[1]));
  place.is_lost_ = place.attachments_[0].lost_flag();
  out.parts.index = reply.index();
  out.parts.generation = reply.generation();
  out.parts.open_part = place.Opener();
  return out;
}

ChannelPlace::~ChannelPlace() {
  if (member_.empty() || IsLost() || !link_->owned_by_this_process()) return;
  google::protobuf::Empty reply;
  // What cannot be told now ends with the session.
  if (is_publisher_) {
    v1::DeletePublisherRequest request;
    request.set_name(member_);
    client_->Call(&Stub::DeletePublisher, request, reply).IgnoreError();
  } else {
    v1::DeleteSubscriberRequest request;
    request.set_name(member_);
    client_->Call(&Stub::DeleteSubscriber, request, reply).IgnoreError();
  }
}

absl::Status ChannelPlace::status() const {
  if (!IsLost()) return absl::OkStatus();
  return Error(absl::StatusCode::kUnavailable, reason::kServerUnreachable,
               "the daemon was started anew and knows nothing of who took part "
               "in the channel; open it again")
      .With("channel", channel_)
      .ToStatus();
}

absl::StatusOr<UniqueFd> ChannelPlace::Attach(const std::string& handle,
                                              Access access,
                                              Attachment* attachment) {
  ASSIGN_OR_RETURN(OpenedSegment opened, client_->Open(handle, access));
  auto* const fd = std::get_if<UniqueFd>(&opened.object);
  if (fd == nullptr) {
    return Error(absl::StatusCode::kFailedPrecondition,
                 reason::kObjectUnsuitable,
                 "what the daemon gave for a part of a channel is no memfd");
  }
  *attachment = std::move(opened.attachment);
  return std::move(*fd);
}

OpenPart ChannelPlace::Opener() const {
  return [link = link_, channel = channel_, publishes = is_publisher_](
             const PartRequest& request) -> absl::StatusOr<UniqueFd> {
    AttachSocket::Part part;
    part.channel = channel;
    part.kind = PartKindOf(request.kind);
    part.index = request.index;
    part.generation = request.generation;
    // Of a bell publishers get the end to write to, also of their own.
    if (request.kind == PartKind::kClaims ||
        (request.kind == PartKind::kBell && publishes)) {
      part.access = Access::kReadWrite;
    }
    return link->OpenPart(part);
  };
}

}  // namespace client
}  // namespace shmd
