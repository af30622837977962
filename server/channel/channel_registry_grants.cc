// Grants of channels, and who joins by one.

#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/access/policy.h"
#include "server/channel/channel_access.h"
#include "server/channel/channel_registry.h"

namespace shmd {
namespace {

const Uid& PageOf(const LiveChannel& channel) {
  return channel.page().segment->uid;
}

}  // namespace

absl::StatusOr<ChannelRegistry::ChannelPtr> ChannelRegistry::FindManaged(
    const Caller& caller, const ChannelName& name) const {
  ASSIGN_OR_RETURN(ChannelPtr channel, Find(caller, name));
  if (!MayManage(caller, channel->ownership())) return CallerNotAllowed(caller);
  return channel;
}

absl::StatusOr<SegmentRegistry::NewGrant> ChannelRegistry::CreateGrant(
    const Caller& caller, const ChannelName& name,
    const GrantCommand& command) {
  ASSIGN_OR_RETURN(const ChannelPtr channel, FindManaged(caller, name));
  RETURN_IF_ERROR(CheckGrantRoles(channel->fields().kind, command.roles));
  absl::StatusOr<SegmentRegistry::NewGrant> made =
      segments_->CreateGrantOf(channel->page().entry, command);
  if (GetErrorReason(made.status()) == reason::kSegmentNotFound) {
    return ChannelNotFound(name);
  }
  return made;
}

absl::StatusOr<std::vector<Grant>> ChannelRegistry::ListGrants(
    const Caller& caller, const ChannelName& name) const {
  ASSIGN_OR_RETURN(const ChannelPtr channel, FindManaged(caller, name));
  return segments_->grants().Of(PageOf(*channel));
}

absl::Status ChannelRegistry::DeleteGrant(const Caller& caller,
                                          const ChannelName& name,
                                          const std::string& id) {
  ASSIGN_OR_RETURN(const ChannelPtr channel, FindManaged(caller, name));
  return segments_->grants().Delete(PageOf(*channel), id);
}

absl::StatusOr<ChannelRegistry::ChannelPtr> ChannelRegistry::FindToJoin(
    const Caller& caller, JoinCommand* command) const {
  absl::StatusOr<ChannelPtr> found = Find(caller, command->channel);
  absl::Status let_in = found.status();
  if (let_in.ok()) let_in = CheckJoin(caller, (*found)->View(), *command);
  if (let_in.ok()) {
    command->grant.reset();  // which is not used up
    return found;
  }
  if (!command->grant.has_value()) return let_in;
  // A grant is an invitation: it counts for more than the namespace's rule.
  const Handle& handle = *command->grant;
  RETURN_IF_ERROR(segments_->CheckHandle(caller, handle, Access::kRead));
  ChannelPtr channel = FindAny(command->channel);
  if (channel == nullptr || PageOf(*channel) != handle.uid) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kHandleStale,
                 "the grant is of another channel, or of one that is gone")
        .With("generation", handle.generation);
  }
  return channel;
}

absl::StatusOr<GrantRegistry::Use> ChannelRegistry::UseGrant(
    const Caller& caller, const LiveChannel& channel,
    const JoinCommand& command) {
  if (!command.grant.has_value()) return GrantRegistry::Use();
  GrantWish wish;
  wish.role = RoleOf(command);
  wish.is_counted = !channel.CompletesPair(command);
  return segments_->grants().Redeem(*command.grant->grant, PageOf(channel),
                                    caller, wish);
}

EntryPtr ChannelRegistry::FindOwnPage(const SessionId& session,
                                      const Handle& handle) const {
  absl::MutexLock lock(&mutex_);
  const auto found = by_session_.find(session);
  if (found == by_session_.end()) return nullptr;
  for (const ChannelPtr& channel : found->second) {
    if (PageOf(*channel) == handle.uid) return channel->page().entry;
  }
  return nullptr;
}

}  // namespace shmd
