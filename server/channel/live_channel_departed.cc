// Publishers that have left, or were killed, before all who are to read what
// they had published had opened their rings.

#include <algorithm>
#include <utility>

#include "server/channel/live_channel.h"
#include "server/channel/member_memory.h"
#include "shm/channel/claim_words.h"

namespace shmd {
namespace {

// Of one user, in one channel: somebody who is killed and started again and
// again must not fill the quota, and the daemon, for a reader that stands
// still.
constexpr size_t kMaxDeparted = 16;

// Whether a message in the queue's ring is neither acknowledged nor cancelled.
// Where that cannot be found out, there may be one.
bool HasWork(const ChannelFields& fields, uint64_t oldest, uint64_t published,
             const MemberParts& parts) {
  const MemberMemory memory(*parts.claims, ClaimsBytes(fields.slots));
  if (memory.data() == nullptr) return true;
  const auto* const words = reinterpret_cast<const uint64_t*>(
      memory.data() + sizeof(layout::ClaimsHeader));
  const uint64_t count = std::min<uint64_t>(published - oldest, fields.slots);
  for (uint64_t i = published - count; i != published; ++i) {
    const layout::ClaimState state =
        Claim::State(ReadWord(words[i & (fields.slots - 1)]), i);
    if (state == layout::ClaimState::kFree ||
        state == layout::ClaimState::kClaimed) {
      return true;
    }
  }
  return false;
}

// Messages that were shown. Who was killed may not have counted those that it
// showed together, the first of them last.
uint64_t Published(const layout::RingHeader& ring,
                   const ChannelFields& fields) {
  const auto* const slots =
      reinterpret_cast<const layout::RingSlot*>(&ring + 1);
  const uint64_t counted = ReadWord(ring.published);
  uint64_t shown = counted;
  while (shown - counted < fields.slots &&
         ReadWord(slots[shown & (fields.slots - 1)].sequence) == shown + 1) {
    ++shown;
  }
  return shown;
}

// Whether there is anything to read.
bool HasMessages(const ChannelFields& fields, const MemberParts& parts) {
  const MemberMemory memory(
      parts.part, sizeof(layout::RingHeader) +
                      uint64_t{fields.slots} * sizeof(layout::RingSlot));
  if (memory.data() == nullptr) return true;
  const auto& ring =
      *reinterpret_cast<const layout::RingHeader*>(memory.data());
  const uint64_t published = Published(ring, fields);
  const uint64_t oldest = ReadWord(ring.oldest);
  if (published == oldest) return false;
  return !parts.claims.has_value() || HasWork(fields, oldest, published, parts);
}

bool HasOpened(const MemberParts& reader, const MemberView& publisher) {
  const MemberHead<layout::ReaderPage> page(reader.part);
  return page.get() != nullptr &&
         ReadWord(page.get()->cursors[publisher.index].generation) ==
             publisher.generation;
}

}  // namespace

bool LiveChannel::IsAwaited(const Member& publisher) const {
  // Requests are not served after their client's end, and a server's clients
  // learn of its.
  if (publisher.view.role != layout::MemberRole::kPeer) return false;
  // Work is for any consumer, also for one that is yet to come: the only one
  // may have died of it.
  const bool is_work = publisher.parts.claims.has_value();
  const auto is_to_open = [&](const auto& one) {
    const Member& reader = one.second;
    return reader.view.generation < publisher.view.generation &&
           !HasOpened(reader.parts, publisher.view);
  };
  return (is_work ||
          std::any_of(subscribers_.begin(), subscribers_.end(), is_to_open)) &&
         HasMessages(fields_, publisher.parts);
}

void LiveChannel::RemoveOrKeep(Members& members, Members::iterator& at,
                               std::vector<MemberParts>* parts) {
  Member& member = at->second;
  if (member.view.kind != MemberKind::kPublisher || !IsAwaited(member) ||
      !Hold(member.parts)) {
    RemoveLocked(members, at, parts);
    return;
  }
  if (CountDeparted(member.view.uid) >= kMaxDeparted) {
    ForgetOldestLocked(member.view.uid, parts);
  }
  writer_.MarkLeft(IdOf(member.view));
  member.view.has_left = true;
  parts->push_back(member.parts);
  ++at;
}

LiveChannel::~LiveChannel() {
  absl::MutexLock lock(&mutex_);
  for (const auto& [index, publisher] : publishers_) {
    if (publisher.view.has_left) LetGo(publisher.parts);
  }
}

bool LiveChannel::Hold(const MemberParts& parts) {
  if (!segments_->Hold(parts.part.entry)) return false;
  if (!parts.claims.has_value() || segments_->Hold(parts.claims->entry)) {
    return true;
  }
  segments_->Release(parts.part.entry);
  return false;
}

void LiveChannel::LetGo(const MemberParts& parts) {
  segments_->Release(parts.part.entry);
  if (parts.claims.has_value()) segments_->Release(parts.claims->entry);
}

void LiveChannel::ForgetReadLocked(std::vector<MemberParts>* parts) {
  for (auto at = publishers_.begin(); at != publishers_.end();) {
    if (at->second.view.has_left && !IsAwaited(at->second)) {
      RemoveLocked(publishers_, at, parts);
    } else {
      ++at;
    }
  }
}

std::vector<MemberParts> LiveChannel::ForgetRead() {
  std::vector<MemberParts> parts;
  absl::MutexLock lock(&mutex_);
  ForgetReadLocked(&parts);
  if (!parts.empty()) RingAll();
  return parts;
}

bool LiveChannel::HasDeparted() const {
  absl::MutexLock lock(&mutex_);
  return std::any_of(publishers_.begin(), publishers_.end(),
                     [](const auto& one) { return one.second.view.has_left; });
}

size_t LiveChannel::CountDeparted(uid_t uid) const {
  return static_cast<size_t>(std::count_if(
      publishers_.begin(), publishers_.end(), [uid](const auto& one) {
        return one.second.view.has_left && one.second.view.uid == uid;
      }));
}

bool LiveChannel::ForgetOldestLocked(std::optional<uid_t> uid,
                                     std::vector<MemberParts>* parts) {
  auto oldest = publishers_.end();
  for (auto at = publishers_.begin(); at != publishers_.end(); ++at) {
    const MemberView& view = at->second.view;
    if (!view.has_left || (uid.has_value() && view.uid != *uid)) continue;
    if (oldest == publishers_.end() ||
        view.generation < oldest->second.view.generation) {
      oldest = at;
    }
  }
  if (oldest == publishers_.end()) return false;
  RemoveLocked(publishers_, oldest, parts);
  return true;
}

std::vector<MemberParts> LiveChannel::ForgetOldest(std::optional<uid_t> uid) {
  std::vector<MemberParts> parts;
  absl::MutexLock lock(&mutex_);
  if (ForgetOldestLocked(uid, &parts)) RingAll();
  return parts;
}

}  // namespace shmd
