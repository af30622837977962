// Channels: joined, left, and their parts.

#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/attach/attach_connection.h"
#include "server/attach/handle_proto.h"
#include "server/rpc/channel_proto.h"

namespace shmd {
namespace {

absl::StatusOr<PartKind> PartKindFromProto(v1::ChannelPart::Kind kind) {
  switch (kind) {
    case v1::ChannelPart::RING:
      return PartKind::kRing;
    case v1::ChannelPart::PAGE:
      return PartKind::kPage;
    case v1::ChannelPart::CLAIMS:
      return PartKind::kClaims;
    case v1::ChannelPart::BELL:
      return PartKind::kBell;
    default:
      return absl::StatusOr<PartKind>(InvalidField(
          "attach.channel_part.kind", reason::kRequestInvalid, "is unknown"));
  }
}

}  // namespace

absl::Status AttachConnection::AttachPart(const v1::ChannelPart& request,
                                          Access access,
                                          v1::Attachment* attachment,
                                          UniqueFd* fd) {
  ASSIGN_OR_RETURN(
      const ChannelName channel,
      ParseChannelName("attach.channel_part.channel", request.channel()));
  PartRequest wanted;
  ASSIGN_OR_RETURN(wanted.kind, PartKindFromProto(request.kind()));
  wanted.index = request.index();
  wanted.generation = request.generation();
  if (channels_ == nullptr) return ChannelNotFound(channel);
  ASSIGN_OR_RETURN(
      LiveChannel::Part part,
      channels_->OpenPart(caller_, session_.id, channel, wanted, access));
  if (!part.segment.has_value()) {
    // A bell, which is no segment: nothing to map, or to detach.
    attachment->set_access(AccessToProto(access));
    *fd = std::move(part.bell);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(SegmentRegistry::Attached grant,
                   registry_->AttachReserved(part.segment->entry, access));
  return Hold(std::move(grant), attachment, fd);
}

absl::Status AttachConnection::Join(const v1::JoinChannelRequest& request,
                                    v1::Joined* joined,
                                    std::vector<UniqueFd>* fds) {
  ASSIGN_OR_RETURN(const MembershipCommand command,
                   MembershipFromProto(caller_, request, session_.id));
  const ChannelName& channel = command.members.front().channel;
  if (channels_ == nullptr) return ChannelNotFound(channel);
  ASSIGN_OR_RETURN(const std::vector<ChannelRegistry::Joined> members,
                   channels_->JoinAll(caller_, command));
  const absl::Status status = HandOver(members, joined, fds);
  if (status.ok()) {
    MembershipToProto(*registry_, channel, members, joined->mutable_members());
    return status;
  }
  for (const v1::Attachment& granted : joined->attachments()) {
    LetGo(granted.attachment_id());
  }
  for (const ChannelRegistry::Joined& one : members) {
    channels_->Undo(channel, one);
  }
  return status;
}

absl::Status AttachConnection::HandOver(
    const std::vector<ChannelRegistry::Joined>& members, v1::Joined* joined,
    std::vector<UniqueFd>* fds) {
  RETURN_IF_ERROR(
      HandOver(members.front().channel, Access::kRead, joined, fds));
  for (const MemberKind kind :
       {MemberKind::kPublisher, MemberKind::kSubscriber}) {
    for (const ChannelRegistry::Joined& one : members) {
      if (one.member.kind != kind) continue;
      RETURN_IF_ERROR(
          HandOver(one.parts.part, Access::kReadWrite, joined, fds));
      if (!one.parts.claims.has_value()) continue;
      RETURN_IF_ERROR(
          HandOver(*one.parts.claims, Access::kReadWrite, joined, fds));
    }
  }
  return absl::OkStatus();
}

absl::Status AttachConnection::HandOver(const SegmentView& part, Access access,
                                        v1::Joined* joined,
                                        std::vector<UniqueFd>* fds) {
  // Who has joined was let in by the channel's mode.
  ASSIGN_OR_RETURN(SegmentRegistry::Attached grant,
                   registry_->AttachReserved(part.entry, access));
  UniqueFd fd;
  RETURN_IF_ERROR(Hold(std::move(grant), joined->add_attachments(), &fd));
  fds->push_back(std::move(fd));
  return absl::OkStatus();
}

absl::Status AttachConnection::Leave(const v1::Leave& request) {
  const MemberKind kind = absl::StrContains(request.name(), "/subscribers/")
                              ? MemberKind::kSubscriber
                              : MemberKind::kPublisher;
  ASSIGN_OR_RETURN(const MemberName name,
                   ParseMemberName("leave.name", request.name(), kind));
  if (channels_ == nullptr) return ChannelNotFound(name.channel);
  return channels_->Leave(caller_, name);
}

}  // namespace shmd
