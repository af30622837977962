#include "server/channel/channel_registry.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/access/policy.h"
#include "server/channel/channel_parts.h"
#include "server/registry/change_log.h"

namespace shmd {
namespace {

Error ChannelExists(const ChannelName& name) {
  return Error(absl::StatusCode::kAlreadyExists, reason::kChannelExists,
               "the name is taken by another channel")
      .With("name", name.ToString());
}

bool MayRead(const Caller& caller, const LiveChannel& channel) {
  return MayAccess(caller, channel.ownership(), Access::kRead);
}

// One that exists, for who asks for one like it.
absl::StatusOr<ChannelSnapshot> Existing(const Caller& caller,
                                         const LiveChannel& channel,
                                         const ChannelCommand& command) {
  if (!command.allow_existing || !AreAlike(channel.fields(), command.fields)) {
    return ChannelExists(command.name);
  }
  // Who may only publish asks as well.
  if (!MayRead(caller, channel) &&
      !ModeAllows(caller, channel.ownership(), 02)) {
    return CallerNotAllowed(caller);
  }
  return channel.View();
}

}  // namespace

ChannelRegistry::ChannelRegistry(SegmentRegistry* segments)
    : segments_(segments),
      events_(RandomEpoch(), kKeptChannelEvents),
      timer_(RandomUid()) {}

ChannelRegistry::ChannelPtr ChannelRegistry::FindAny(
    const ChannelName& name) const {
  absl::MutexLock lock(&mutex_);
  const auto of_namespace = by_namespace_.find(name.name_space);
  if (of_namespace == by_namespace_.end()) return nullptr;
  const auto found = of_namespace->second.find(name.id);
  return found == of_namespace->second.end() ? nullptr : found->second;
}

absl::StatusOr<ChannelRegistry::ChannelPtr> ChannelRegistry::Find(
    const Caller& caller, const ChannelName& name) const {
  RETURN_IF_ERROR(segments_->namespaces().CheckEntry(caller, name.name_space));
  ChannelPtr channel = FindAny(name);
  if (channel == nullptr) return ChannelNotFound(name);
  return channel;
}

absl::StatusOr<ChannelRegistry::ChannelPtr> ChannelRegistry::FindReadable(
    const Caller& caller, const ChannelName& name) const {
  ASSIGN_OR_RETURN(ChannelPtr channel, Find(caller, name));
  if (!MayRead(caller, *channel)) return CallerNotAllowed(caller);
  return channel;
}

void ChannelRegistry::NoteChange(const LiveChannel& channel,
                                 ChannelEvent::Type type) {
  ChannelSnapshot view = channel.View();
  events_.Append([&](uint64_t) { return ChannelEvent{type, view}; });
  segments_->events().signal().Note();
}

absl::StatusOr<ChannelSnapshot> ChannelRegistry::Create(
    const Caller& caller, const ChannelCommand& command) {
  RETURN_IF_ERROR(
      segments_->namespaces().CheckEntry(caller, command.name.name_space));
  RETURN_IF_ERROR(
      CheckNewOwnership(caller, command.fields.owner, command.fields.group));
  absl::MutexLock making(&making_);
  if (const ChannelPtr found = FindAny(command.name)) {
    return Existing(caller, *found, command);
  }
  ASSIGN_OR_RETURN(const ChannelPtr channel, MakeChannel(caller, command));
  {
    absl::MutexLock lock(&mutex_);
    by_namespace_[command.name.name_space][command.name.id] = channel;
  }
  NoteChange(*channel);
  return channel->View();
}

absl::StatusOr<ChannelRegistry::ChannelPtr> ChannelRegistry::MakeChannel(
    const Caller& caller, const ChannelCommand& command) {
  {
    absl::MutexLock lock(&mutex_);
    const auto found = by_namespace_.find(command.name.name_space);
    if (found != by_namespace_.end() && found->second.size() >= kMaxChannels) {
      return absl::StatusOr<ChannelPtr>(Exhausted(reason::kQuotaExceeded,
                                                  "channels of a namespace", 1,
                                                  0, "channels")
                                            .With("limit_value", kMaxChannels));
    }
  }
  SHMD_FAILPOINT("channel.create");
  absl::StatusOr<SegmentView> page =
      MakeChannelPage(segments_, caller, command);
  if (GetErrorReason(page.status()) == reason::kSegmentExists) {
    // A page of that name is out of reach until the next start.
    return ChannelExists(command.name);
  }
  RETURN_IF_ERROR(page.status());
  SHMD_FAILPOINT("channel.created");
  absl::StatusOr<ChannelPtr> channel =
      LiveChannel::Make(segments_, *page, command);
  SHMD_FAILPOINT("channel.formatted");
  if (!channel.ok()) RemoveSegment(page->entry);
  return channel;
}

absl::StatusOr<ChannelSnapshot> ChannelRegistry::Get(
    const Caller& caller, const ChannelName& name) const {
  ASSIGN_OR_RETURN(const ChannelPtr channel, FindReadable(caller, name));
  return channel->View();
}

absl::StatusOr<std::vector<ChannelSnapshot>> ChannelRegistry::List(
    const Caller& caller, const std::string& name_space,
    const std::string& after_id, size_t limit) const {
  RETURN_IF_ERROR(segments_->namespaces().CheckEntry(caller, name_space));
  std::vector<ChannelPtr> found;
  {
    absl::MutexLock lock(&mutex_);
    const auto of_namespace = by_namespace_.find(name_space);
    if (of_namespace != by_namespace_.end()) {
      const ById& all = of_namespace->second;
      for (auto at = all.upper_bound(after_id);
           at != all.end() && found.size() < limit; ++at) {
        if (MayRead(caller, *at->second)) found.push_back(at->second);
      }
    }
  }
  std::vector<ChannelSnapshot> views;
  views.reserve(found.size());
  for (const ChannelPtr& channel : found) views.push_back(channel->View());
  return views;
}

void ChannelRegistry::RemoveSegment(const EntryPtr& entry) {
  const absl::Status removed = segments_->RemoveReserved(entry);
  if (!removed.ok()) Log(LogLevel::kError, removed.message());
}

void ChannelRegistry::RemoveParts(const MemberParts& parts) {
  if (parts.part.entry != nullptr) RemoveSegment(parts.part.entry);
  if (parts.claims.has_value()) RemoveSegment(parts.claims->entry);
}

absl::Status ChannelRegistry::Delete(const Caller& caller,
                                     const ChannelName& name, bool force) {
  ASSIGN_OR_RETURN(const std::vector<LiveChannel::Taken> members,
                   DeletePage(caller, name, force));
  // To give memory back may take its time, for which nobody waits.
  for (const LiveChannel::Taken& member : members) RemoveParts(member.parts);
  SHMD_FAILPOINT("channel.deleted");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<LiveChannel::Taken>> ChannelRegistry::DeletePage(
    const Caller& caller, const ChannelName& name, bool force) {
  // Nobody makes another one of that name meanwhile.
  absl::MutexLock making(&making_);
  ASSIGN_OR_RETURN(const ChannelPtr channel, FindManaged(caller, name));
  SHMD_FAILPOINT("channel.delete");
  ASSIGN_OR_RETURN(std::vector<LiveChannel::Taken> members,
                   channel->Close(force));
  SHMD_FAILPOINT("channel.closed");
  {
    absl::MutexLock lock(&mutex_);
    ById& all = by_namespace_[name.name_space];
    all.erase(name.id);
    if (all.empty()) by_namespace_.erase(name.name_space);
  }
  RemoveSegment(channel->page().entry);
  SHMD_FAILPOINT("channel.page_removed");
  for (const LiveChannel::Taken& member : members) {
    ForgetMember(member.view.session, channel);
  }
  NoteChange(*channel, ChannelEvent::Type::kDeleted);
  return members;
}

absl::Status ChannelRegistry::Leave(const Caller& caller,
                                    const MemberName& name) {
  ChannelPtr channel = FindAny(name.channel);
  absl::StatusOr<MemberView> member = MemberNotFound(name).ToStatus();
  if (channel != nullptr) member = channel->Find(name);
  // Who takes part need not be let in any more to leave; others have to be.
  if (!member.ok() || member->uid != caller.uid) {
    ASSIGN_OR_RETURN(channel, Find(caller, name.channel));
    ASSIGN_OR_RETURN(member, channel->Find(name));
    if (member->uid != caller.uid && !MayManage(caller, channel->ownership())) {
      return CallerNotAllowed(caller);
    }
  }
  return Remove(channel, *member);
}

absl::StatusOr<ChannelStats> ChannelRegistry::Stats(
    const Caller& caller, const ChannelName& name) const {
  ASSIGN_OR_RETURN(const ChannelPtr channel, FindReadable(caller, name));
  return ReadStats(*channel);
}

absl::StatusOr<LiveChannel::Part> ChannelRegistry::OpenPart(
    const Caller& caller, const SessionId& session, const ChannelName& name,
    const PartRequest& request, Access access) {
  const ChannelPtr channel = FindAny(name);
  if (channel != nullptr && channel->HasSession(session)) {
    AwaitReaders(channel);
    return channel->OpenPart(caller, session, request, access);
  }
  // Who takes part need not be let in any more; who does not, has to be.
  RETURN_IF_ERROR(Find(caller, name).status());
  return CallerNotAllowed(caller);
}

void ChannelRegistry::NoteMember(const SessionId& session,
                                 const ChannelPtr& channel) {
  absl::MutexLock lock(&mutex_);
  std::vector<ChannelPtr>& channels = by_session_[session];
  if (std::find(channels.begin(), channels.end(), channel) == channels.end()) {
    channels.push_back(channel);
  }
}

void ChannelRegistry::ForgetMember(const SessionId& session,
                                   const ChannelPtr& channel) {
  absl::MutexLock lock(&mutex_);
  const auto found = by_session_.find(session);
  if (found == by_session_.end() || channel->HasSession(session)) return;
  std::vector<ChannelPtr>& channels = found->second;
  channels.erase(std::remove(channels.begin(), channels.end(), channel),
                 channels.end());
  if (channels.empty()) by_session_.erase(found);
}

void ChannelRegistry::EndSession(const SessionId& session) {
  absl::MutexLock ending(&ending_);
  std::vector<ChannelPtr> channels;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = by_session_.find(session);
    if (found == by_session_.end()) return;
    channels = std::move(found->second);
    by_session_.erase(found);
  }
  for (const ChannelPtr& channel : channels) {
    SHMD_FAILPOINT("channel.end_session");
    // Its segments are the session's, and go with it.
    std::vector<MemberParts> left = channel->RemoveSession(session);
    if (left.empty()) continue;
    GiveBackLater(std::move(left));
    SHMD_FAILPOINT("channel.session_ended");
    AwaitReaders(channel);
    NoteChange(*channel);
  }
}

void ChannelRegistry::Drain() {
  if (segments_->KeepsMemfds()) return;
  for (const ChannelPtr& channel : All()) {
    // Its segments end with the daemon.
    channel->Close(/*force=*/true).status().IgnoreError();
  }
}

std::vector<ChannelRegistry::ChannelPtr> ChannelRegistry::All() const {
  std::vector<ChannelPtr> channels;
  absl::MutexLock lock(&mutex_);
  for (const auto& [name_space, all] : by_namespace_) {
    for (const auto& [id, channel] : all) channels.push_back(channel);
  }
  return channels;
}

}  // namespace shmd
