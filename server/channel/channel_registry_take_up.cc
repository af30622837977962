// What an earlier run left: channels whose pages say who takes part.

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "server/channel/channel_registry.h"

namespace shmd {
namespace {

bool IsPart(SegmentRole role) {
  return role == SegmentRole::kRing || role == SegmentRole::kReaderPage ||
         role == SegmentRole::kClaims;
}

}  // namespace

void ChannelRegistry::TakeUp() {
  const std::vector<SegmentView> reserved = segments_->ListReserved();
  TakeUpChannels(reserved);
  SHMD_FAILPOINT("channel.taken_up");
  TakeUpParts(reserved);
  for (const ChannelPtr& channel : All()) {
    for (const MemberParts& lost : channel->RemoveLost()) RemoveParts(lost);
    std::vector<SessionId> sessions;
    channel->Visit([&](const MemberView& member, const MemberParts&) {
      sessions.push_back(member.session);
    });
    for (const SessionId& session : sessions) NoteMember(session, channel);
  }
}

void ChannelRegistry::TakeUpChannels(const std::vector<SegmentView>& reserved) {
  for (const SegmentView& view : reserved) {
    if (view.segment->role != SegmentRole::kChannel) continue;
    const SegmentName& segment = view.segment->name;
    const std::optional<std::string> id = ChannelIdOf(segment.id);
    absl::StatusOr<ChannelPtr> channel;
    if (id.has_value()) {
      channel = LiveChannel::TakeUp(segments_, view, {segment.name_space, *id});
    }
    if (!channel.ok() || *channel == nullptr) {
      // It was not finished, or its deletion was not: nobody was told of it,
      // or it is gone for all who were.
      Log(LogLevel::kDebug, absl::StrCat("a channel goes: ", segment.ToString(),
                                         ": ", channel.status().message()));
      RemoveSegment(view.entry);
      continue;
    }
    absl::MutexLock lock(&mutex_);
    by_namespace_[segment.name_space][*id] = *std::move(channel);
  }
}

void ChannelRegistry::TakeUpParts(const std::vector<SegmentView>& reserved) {
  absl::flat_hash_map<uint64_t, ChannelPtr> by_generation;
  for (ChannelPtr& channel : All()) {
    const uint64_t generation = channel->fields().generation;
    by_generation[generation] = std::move(channel);
  }
  for (const SegmentView& view : reserved) {
    const SegmentRole role = view.segment->role;
    if (!IsPart(role)) continue;
    const std::optional<PartPlace> place =
        PartPlaceOf(role, view.segment->name.id);
    const auto channel = place.has_value() ? by_generation.find(place->channel)
                                           : by_generation.end();
    const MemberKind kind = role == SegmentRole::kReaderPage
                                ? MemberKind::kSubscriber
                                : MemberKind::kPublisher;
    // Of who never took part, or has left.
    if (channel == by_generation.end() ||
        !channel->second->AddPart(kind, view, role == SegmentRole::kClaims,
                                  *place)) {
      RemoveSegment(view.entry);
    }
  }
}

}  // namespace shmd
