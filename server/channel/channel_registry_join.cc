// Who joins a channel, and who leaves it.

#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "server/channel/channel_access.h"
#include "server/channel/channel_parts.h"
#include "server/channel/channel_registry.h"

namespace shmd {
namespace {

// Whether a member is what the same request asked for.
bool IsOf(const MemberView& member, const JoinCommand& command) {
  return member.role == command.role &&
         (member.kind == MemberKind::kPublisher ||
          member.policy == command.policy);
}

}  // namespace

absl::StatusOr<MemberParts> ChannelRegistry::MakeParts(
    const Caller& caller, const LiveChannel& channel,
    const MemberView& member) {
  SHMD_FAILPOINT("channel.make_parts");
  ASSIGN_OR_RETURN(MemberParts parts,
                   MakeMemberParts(segments_, caller, channel, member));
  SHMD_FAILPOINT("channel.parts_made");
  const absl::Status formatted =
      FormatMemberParts(segments_, channel, member, parts);
  SHMD_FAILPOINT("channel.parts_formatted");
  if (formatted.ok()) return parts;
  RemoveParts(parts);
  return formatted;
}

absl::Status ChannelRegistry::MakeMember(const Caller& caller,
                                         LiveChannel& channel,
                                         const JoinCommand& command,
                                         Joined* joined) {
  ASSIGN_OR_RETURN(joined->member, channel.Reserve(caller, command));
  ASSIGN_OR_RETURN(joined->parts, MakeParts(caller, channel, joined->member));
  return absl::OkStatus();
}

absl::StatusOr<ChannelRegistry::Joined> ChannelRegistry::Join(
    const Caller& caller, JoinCommand command) {
  ASSIGN_OR_RETURN(const ChannelPtr channel, FindToJoin(caller, &command));
  // Of others nobody learns whether they exist.
  RETURN_IF_ERROR(segments_->CheckSession(caller, command.session));
  RETURN_IF_ERROR(CheckRole(channel->fields().kind, command));
  absl::MutexLock joining(channel->joining());
  Joined joined;
  joined.channel = channel->page();
  if (const auto earlier = channel->FindRequest(command)) {
    if (!IsOf(earlier->view, command)) {
      return InvalidField("request_id", reason::kRequestIdReused,
                          "was used to join in another way");
    }
    joined.member = earlier->view;
    joined.parts = earlier->parts;
    joined.is_repeated = true;
    return joined;
  }
  ASSIGN_OR_RETURN(GrantRegistry::Use use, UseGrant(caller, *channel, command));
  absl::Status made = MakeMember(caller, *channel, command, &joined);
  while (!made.ok() && MakeRoom(caller, *channel, command, made)) {
    made = MakeMember(caller, *channel, command, &joined);
  }
  RETURN_IF_ERROR(made);
  absl::Status published = use.Keep();
  if (published.ok()) published = channel->Publish(joined.member, joined.parts);
  SHMD_FAILPOINT("channel.joined");
  if (!published.ok()) {
    RemoveParts(joined.parts);
    return published;
  }
  NoteMember(command.session, channel);
  NoteChange(*channel);
  // The session may have ended before it could be found here.
  if (!segments_->SessionExists(command.session)) EndSession(command.session);
  return joined;
}

absl::StatusOr<std::vector<ChannelRegistry::Joined>> ChannelRegistry::JoinAll(
    const Caller& caller, const MembershipCommand& command) {
  if (command.create.has_value()) {
    RETURN_IF_ERROR(Create(caller, *command.create).status());
  }
  std::vector<Joined> all;
  for (const JoinCommand& member : command.members) {
    absl::StatusOr<Joined> joined = Join(caller, member);
    if (!joined.ok()) {
      for (const Joined& before : all) Undo(member.channel, before);
      return joined.status();
    }
    all.push_back(*std::move(joined));
  }
  return all;
}

void ChannelRegistry::Undo(const ChannelName& name, const Joined& joined) {
  // Who has joined by an earlier call was told so.
  if (joined.is_repeated) return;
  const ChannelPtr channel = FindAny(name);
  if (channel != nullptr) Remove(channel, joined.member).IgnoreError();
}

absl::Status ChannelRegistry::Remove(const ChannelPtr& channel,
                                     const MemberView& member) {
  SHMD_FAILPOINT("channel.leave");
  std::vector<MemberParts> removed = channel->Remove(member);
  if (removed.empty()) {
    return MemberNotFound(
        {channel->name(), member.kind, member.index, member.generation});
  }
  SHMD_FAILPOINT("channel.left");
  ForgetMember(member.session, channel);
  Discard(std::move(removed));
  SHMD_FAILPOINT("channel.parts_removed");
  AwaitReaders(channel);
  NoteChange(*channel);
  return absl::OkStatus();
}

}  // namespace shmd
