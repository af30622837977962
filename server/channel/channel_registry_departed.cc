// Publishers that have left before all had opened their rings who are to read
// them.

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "server/channel/channel_registry.h"

namespace shmd {
namespace {

// Who has been handed a ring has mapped it within a moment; who is stopped may
// take for ever.
constexpr absl::Duration kFirstLook = absl::Milliseconds(10);
constexpr absl::Duration kLookInterval = absl::Seconds(1);

}  // namespace

void ChannelRegistry::AwaitReaders(const ChannelPtr& channel) {
  if (!channel->HasDeparted()) return;
  const absl::Duration now = segments_->clock().SinceBoot();
  absl::MutexLock lock(&mutex_);
  departed_.insert(channel);
  until_next_look_ = kFirstLook;
  // Never put off: who asks again and again is not the only one.
  next_look_ = std::min(next_look_, now + until_next_look_);
  segments_->expiries().Set(timer_, next_look_);
}

void ChannelRegistry::LookAfterDeparted() {
  std::vector<MemberParts> discarded;
  absl::flat_hash_set<ChannelPtr> channels;
  const absl::Duration now = segments_->clock().SinceBoot();
  {
    absl::MutexLock lock(&mutex_);
    discarded.swap(discarded_);
    if (now < next_look_) return;
    channels.swap(departed_);
    next_look_ = absl::InfiniteDuration();
  }
  for (const ChannelPtr& channel : channels) Discard(channel->ForgetRead());
  absl::erase_if(channels,
                 [](const auto& channel) { return !channel->HasDeparted(); });
  if (channels.empty()) return;
  absl::MutexLock lock(&mutex_);
  departed_.merge(channels);
  // Sooner where somebody has left meanwhile.
  until_next_look_ = std::min(2 * until_next_look_, kLookInterval);
  next_look_ = std::min(next_look_, now + until_next_look_);
  segments_->expiries().Set(timer_, next_look_);
}

bool ChannelRegistry::MakeRoom(const Caller& caller, LiveChannel& channel,
                               const JoinCommand& command,
                               const absl::Status& refusal) {
  if (!absl::IsResourceExhausted(refusal) ||
      command.kind != MemberKind::kPublisher) {
    return false;
  }
  std::vector<MemberParts> parts = channel.ForgetOldest(caller.uid);
  // Places are everybody's.
  if (parts.empty() && GetErrorReason(refusal) == reason::kChannelFull) {
    parts = channel.ForgetOldest(std::nullopt);
  }
  if (parts.empty()) return false;
  Discard(std::move(parts));
  return true;
}

void ChannelRegistry::Discard(std::vector<MemberParts> parts) {
  if (parts.empty()) return;
  for (const MemberParts& one : parts) RemoveParts(one);
  GiveBackLater(std::move(parts));
}

void ChannelRegistry::GiveBackLater(std::vector<MemberParts> parts) {
  {
    absl::MutexLock lock(&mutex_);
    std::move(parts.begin(), parts.end(), std::back_inserter(discarded_));
  }
  segments_->expiries().Wake();
}

}  // namespace shmd
