// Publishers that have left, or were killed, before everybody who was there
// first had opened their rings.

#include <algorithm>
#include <utility>

#include "server/channel/live_channel.h"
#include "server/channel/member_head.h"

namespace shmd {
namespace {

// Of one channel; then the oldest go.
constexpr size_t kMaxDeparted = 16;

// The part of a publisher's that a subscriber opens last.
PartKind LastPart(layout::ChannelKind kind, const MemberView& publisher) {
  return HasClaims(kind, publisher.role) ? PartKind::kClaims : PartKind::kRing;
}

bool HasMessages(const SegmentRegistry& segments, const MemberParts& parts) {
  const MemberHead<layout::RingHeader> ring(segments, parts.part);
  return ring.get() != nullptr &&
         ReadWord(ring.get()->published) != ReadWord(ring.get()->oldest);
}

}  // namespace

std::vector<uint64_t> LiveChannel::WhoIsToOpen(
    const MemberView& publisher) const {
  std::vector<uint64_t> subscribers;
  // Requests are not served after their client's end, and a server's clients
  // learn of its.
  if (publisher.kind != MemberKind::kPublisher ||
      publisher.role != layout::MemberRole::kPeer) {
    return subscribers;
  }
  for (const auto& [index, subscriber] : subscribers_) {
    if (subscriber.view.generation < publisher.generation) {
      subscribers.push_back(subscriber.view.generation);
    }
  }
  return subscribers;
}

void LiveChannel::ReadUnopened() {
  std::vector<MemberParts> none;  // nobody of an earlier run has left
  absl::MutexLock lock(&mutex_);
  for (auto& [index, publisher] : publishers_) {
    publisher.unopened = WhoIsToOpen(publisher.view);
  }
  for (const auto& [index, subscriber] : subscribers_) {
    const MemberHead<layout::ReaderPage> page(*segments_,
                                              subscriber.parts.part);
    if (page.get() == nullptr) continue;
    for (auto at = publishers_.begin(); at != publishers_.end();) {
      const uint64_t opened =
          ReadWord(page.get()->cursors[at->first].generation);
      if (opened == at->second.view.generation) {
        StopAwaiting(subscriber.view.generation, at, &none);
      } else {
        ++at;
      }
    }
  }
}

void LiveChannel::RemoveOrKeep(Members& members, Members::iterator& at,
                               std::vector<MemberParts>* parts) {
  Member& member = at->second;
  if (member.view.has_left || member.unopened.empty() ||
      !HasMessages(*segments_, member.parts) || !Hold(member.parts)) {
    RemoveLocked(members, at, parts);
    return;
  }
  MakeRoomForDeparted(parts);
  member.view.has_left = true;
  parts->push_back(member.parts);
  ++at;
}

void LiveChannel::MakeRoomForDeparted(std::vector<MemberParts>* parts) {
  size_t departed = 0;
  auto oldest = publishers_.end();
  for (auto at = publishers_.begin(); at != publishers_.end(); ++at) {
    const MemberView& view = at->second.view;
    if (!view.has_left) continue;
    ++departed;
    if (oldest == publishers_.end() ||
        view.generation < oldest->second.view.generation) {
      oldest = at;
    }
  }
  if (departed >= kMaxDeparted) RemoveLocked(publishers_, oldest, parts);
}

bool LiveChannel::Hold(const MemberParts& parts) {
  // As if they were attached: they count until they are let go.
  if (!segments_->AttachReserved(parts.part.entry, Access::kRead).ok()) {
    return false;
  }
  if (!parts.claims.has_value() ||
      segments_->AttachReserved(parts.claims->entry, Access::kRead).ok()) {
    return true;
  }
  segments_->Release(parts.part.entry);
  return false;
}

void LiveChannel::LetGo(const MemberParts& parts) {
  segments_->Release(parts.part.entry);
  if (parts.claims.has_value()) segments_->Release(parts.claims->entry);
}

void LiveChannel::StopAwaiting(uint64_t subscriber,
                               Members::iterator& publisher,
                               std::vector<MemberParts>* parts) {
  std::vector<uint64_t>& unopened = publisher->second.unopened;
  unopened.erase(std::remove(unopened.begin(), unopened.end(), subscriber),
                 unopened.end());
  if (publisher->second.view.has_left && unopened.empty()) {
    RemoveLocked(publishers_, publisher, parts);
  } else {
    ++publisher;
  }
}

std::vector<MemberParts> LiveChannel::ForgetDeparted() {
  std::vector<MemberParts> parts;
  absl::MutexLock lock(&mutex_);
  for (auto at = publishers_.begin(); at != publishers_.end();) {
    if (at->second.view.has_left) {
      RemoveLocked(publishers_, at, &parts);
    } else {
      ++at;
    }
  }
  return parts;
}

std::vector<MemberParts> LiveChannel::NoteOpened(const SessionId& session,
                                                 const PartRequest& request,
                                                 uint64_t subscriber) {
  std::vector<MemberParts> parts;
  absl::MutexLock lock(&mutex_);
  const auto at = publishers_.find(request.index);
  if (at == publishers_.end() ||
      at->second.view.generation != request.generation ||
      request.kind != LastPart(fields_.kind, at->second.view)) {
    return parts;
  }
  for (const auto& [index, member] : subscribers_) {
    const MemberView& view = member.view;
    const std::vector<uint64_t>& unopened = at->second.unopened;
    if (view.session != session ||
        (subscriber != 0 && view.generation != subscriber) ||
        std::find(unopened.begin(), unopened.end(), view.generation) ==
            unopened.end()) {
      continue;
    }
    auto publisher = at;
    StopAwaiting(view.generation, publisher, &parts);
    break;
  }
  return parts;
}

}  // namespace shmd
