#ifndef SHMD_SHM_CHANNEL_RING_ROOM_H_
#define SHMD_SHM_CHANNEL_RING_ROOM_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "shm/channel/channel_view.h"
#include "shm/channel/claim_words.h"
#include "shm/channel/member_parts.h"
#include "shm/channel/message.h"
#include "shm/channel/open_part.h"
#include "shm/channel/place_allocator.h"
#include "shm/channel/reader_set.h"
#include "shm/channel/sleep_words.h"
#include "shm/channel/slot_words.h"
#include "shm/channel/spin.h"
#include "shm/layout/channel_layout.h"

namespace shmd {

// How long a server that has no room waits for a client to read a response,
// when there are other clients.
inline constexpr uint64_t kResponsePatienceNs = 40'000'000;

// What of a publisher's ring can be used (again): it takes back slots and
// places of messages that nobody needs any more, and waits for who needs them.
// Looks at subscribers only when there is no room, and for large messages, so
// that these are written where the last ones were. Not thread-safe.
template <typename Memory, typename Wait>
class BasicRingRoom {
 public:
  using Readers = BasicReaderSet<Memory, Wait>;

  BasicRingRoom(const MappedPublisherParts& parts,
                BasicChannelView<Memory> view, const MemberId& self,
                OpenPart open_part)
      : fields_(parts.channel.fields),
        mode_(ModeOf(fields_.kind, parts.role)),
        view_(view),
        self_(self),
        start_(parts.ring.start()),
        payload_offset_(parts.ring.payload_offset),
        payload_bytes_(parts.ring.size_bytes - parts.ring.payload_offset),
        header_(parts.ring.header()),
        slots_(parts.ring.slot_array()),
        claims_(parts.claims.has_value() ? parts.claims->words() : nullptr,
                parts.ring.slots),
        places_(payload_bytes_),
        kept_(parts.ring.slots),
        readers_(view, header_, self, OtherRole(parts.role),
                 std::move(open_part)) {}

  absl::StatusOr<Loan> Borrow(uint64_t size_bytes, uint32_t metadata_bytes,
                              const Deadline& deadline) {
    if (size_bytes > payload_bytes_ || metadata_bytes > kMaxMetadataBytes ||
        metadata_bytes > payload_bytes_ - size_bytes) {
      return MessageTooLargeError(size_bytes, payload_bytes_);
    }
    RefreshIfChanged();
    if (!status_.ok()) return status_;
    const uint64_t bytes = std::max<uint64_t>(size_bytes + metadata_bytes, 1);
    std::optional<Extent> place = FindRoom(bytes);
    if (!place.has_value()) {
      ASSIGN_OR_RETURN(place, WaitForRoom(bytes, deadline));
    }
    return Loan(&places_, *place,
                start_ + payload_offset_ + place->offset_bytes, size_bytes);
  }

  // Message `number`, which is being written, is at `place`, for `to`.
  void Keep(uint64_t number, const Extent& place, uint64_t to) {
    const uint64_t now_ns = mode_ == Mode::kOne ? Wait::RecentNs() : 0;
    kept_[number & mask()] = {place, to, now_ns};
  }
  // When the last message was filled in.
  void NotePace(uint64_t time_ns) {
    pace_ns_ = time_ns - last_time_ns_;
    last_time_ns_ = time_ns;
  }
  // After they were shown.
  void Published(uint64_t count) {
    published_ += count;
    Memory::Store(&header_->published, published_, std::memory_order_release);
  }

  // After what was shown, when its readers have something to do: who publishes
  // mostly has not.
  void ReclaimLarge() {
    const uint64_t few = pace_ns_ < kFillingNs ? kFewMessages : kFewerMessages;
    if (published_ - first_ >= few &&
        kept_[first_ & mask()].place.size_bytes >= kEagerBytes) {
      Reclaim();
    }
  }

  // After `count` messages, each for `to` alone unless that is 0.
  void WakeSleepers(uint64_t count, uint64_t to) {
    if (mode_ == Mode::kOne && to != 0) return readers_.WakeOne(to);
    readers_.WakeSleepers(mode_ == Mode::kClaims ? count : ~uint64_t{0});
  }

  // After what was shown, so that who has joined is woken too.
  void RefreshIfChanged() {
    if (view_.change() != seen_change_ ||
        (!complete_ && ++tries_ % kBetweenTries == 0)) {
      Refresh();
    }
    if (readers_.owes()) readers_.RingOwed();
  }
  void Refresh() {
    // Whatever changes from here on is looked at the next time.
    seen_change_ = view_.change();
    complete_ = readers_.Refresh();
    // Who deletes a channel says so before it ends the parts.
    const bool is_gone = !view_.HasPublisher(self_);
    if (view_.closed()) {
      status_ = ClosedError();
    } else if (is_gone) {
      status_ = MemberGoneError();
    }
  }

  // Until all that are waited for have released, or acknowledged, what was
  // published; CHANNEL_BLOCKED.
  absl::Status AwaitReleased(const Deadline& deadline) {
    return SleepUntil(
        [this] {
          if (mode_ != Mode::kAll) {
            ReclaimOneByOne();
            return complete_ && first_ == published_;
          }
          return complete_ &&
                 readers_.Released(published_, first_, [](const auto& reader) {
                   return reader.IsWaitedFor();
                 }) == published_;
        },
        deadline);
  }
  // Until so many get all that is published from then on; CHANNEL_BLOCKED.
  absl::Status AwaitReaders(size_t count, const Deadline& deadline) {
    return SleepUntil(
        [this, count] { return readers_.CountBegun(published_) >= count; },
        deadline);
  }

  void set_spin_ns(uint64_t most_ns) { spin_.set_most_ns(most_ns); }
  const absl::Status& status() const { return status_; }
  uint64_t published() const { return published_; }
  uint64_t first_kept() const { return first_; }
  const PlaceAllocator& places() const { return places_; }
  const Readers& readers() const { return readers_; }
  BasicClaimWords<Memory>& claims() { return claims_; }

 private:
  using Slots = BasicSlotWords<Memory>;
  using Sleeps = BasicSleepWords<Memory>;

  // Whose word it is that a message is done with.
  enum class Mode { kAll, kClaims, kOne };

  struct Kept {
    Extent place;
    uint64_t to = 0;
    uint64_t time_ns = 0;  // of Wait::RecentNs, in Mode::kOne
  };
  struct SetAside {
    uint64_t number;
    Extent place;
  };

  // From here on what was released is used again before it gets cold. Not with
  // each message: a look takes the line of a cursor from the subscriber that
  // is about to write it.
  static constexpr uint64_t kEagerBytes = 32768;
  static constexpr uint64_t kFewMessages = 8;
  // Where messages come no faster than large ones are filled, a look costs
  // little beside that, and four places stay in more of the caches than eight.
  static constexpr uint64_t kFewerMessages = 4;
  static constexpr uint64_t kFillingNs = 20'000;
  // From here on, where messages take as long as it takes to fill them, a look
  // before each is nothing beside filling a place that has got cold.
  static constexpr uint64_t kVeryLargeBytes = 8 << 20;
  static constexpr uint64_t kSlowNs = 500'000;
  static constexpr uint64_t kLeastSleepNs = 1'000'000;
  static constexpr uint32_t kTurnsBetweenLooks = 8;
  // Messages from one try to map a newcomer's page to the next.
  static constexpr uint32_t kBetweenTries = 4096;

  static Mode ModeOf(layout::ChannelKind kind, layout::MemberRole role) {
    if (HasClaims(kind, role)) return Mode::kClaims;
    return kind == layout::ChannelKind::kCall ? Mode::kOne : Mode::kAll;
  }

  uint64_t mask() const { return kept_.size() - 1; }

  // nullopt when somebody has to be waited for.
  std::optional<Extent> FindRoom(uint64_t bytes) {
    // What was just read is in the cache that all processors share.
    if (pace_ns_ >= kSlowNs && bytes >= kVeryLargeBytes &&
        first_ < published_) {
      Reclaim();
    }
    for (;;) {
      if (published_ + places_.loans - first_ < kept_.size()) {
        const std::optional<Extent> place = places_.Allocate(bytes);
        if (place.has_value()) return place;
      }
      if (!Reclaim() && !ReclaimSetAside() && !TakeOldest()) {
        return std::nullopt;
      }
    }
  }

  // Takes back all that is done with; whether that was anything.
  bool Reclaim() {
    if (mode_ != Mode::kAll) return ReclaimOneByOne();
    uint64_t end = ReleasedByAll();
    if (end <= first_) return false;
    Announce(end);
    // Who joins meanwhile begins at `oldest`, or was seen to begin before.
    end = std::min(end, ReleasedByAll());
    const uint64_t before = first_;
    // Who was cut off may still be reading, whatever its cursor said.
    const bool has_cut_off = readers_.HasCutOff();
    while (first_ < end) {
      if (has_cut_off) Slots::Take(&slots_[first_ & mask()]);
      FreeFirst(has_cut_off);
    }
    return first_ > before;
  }

  // The slot and the place of the first message, unless somebody reads that.
  void FreeFirst(bool may_be_pinned) {
    const Kept& kept = kept_[first_ & mask()];
    if (may_be_pinned && readers_.IsPinned(first_)) {
      set_aside_.push_back({first_, kept.place});
    } else {
      places_.Free(kept.place);
    }
    ++first_;
  }

  uint64_t ReleasedByAll() {
    const uint64_t least =
        readers_.Released(published_, first_, [](const auto&) { return true; });
    return std::min(
        least, published_ - std::min<uint64_t>(published_, fields_.history));
  }

  void Announce(uint64_t oldest) {
    if (oldest > announced_) {
      announced_ = oldest;
      Memory::Exchange(&header_->oldest, oldest, std::memory_order_seq_cst);
    }
    RefreshIfChanged();
  }

  bool ReclaimOneByOne() {
    const uint64_t before = first_;
    while (first_ < published_ && IsDone(first_)) {
      // The server may be reading what its client has cancelled.
      FreeFirst(/*may_be_pinned=*/mode_ == Mode::kClaims &&
                fields_.kind == layout::ChannelKind::kCall);
    }
    if (first_ == before) return false;
    Announce(first_);
    return true;
  }

  bool IsDone(uint64_t number) {
    if (mode_ == Mode::kOne) {
      return !readers_.IsWaitedForBy(kept_[number & mask()].to, number,
                                     published_);
    }
    const uint64_t word = claims_.Get(number);
    switch (Claim::State(word, number)) {
      case layout::ClaimState::kDone:
      case layout::ClaimState::kCancelled:
        return true;
      case layout::ClaimState::kClaimed:
        // In a queue another consumer takes it.
        return fields_.kind == layout::ChannelKind::kCall &&
               !Claim::IsOf(word, view_.generation(MemberKind::kSubscriber,
                                                   Claim::Index(word)));
      case layout::ClaimState::kFree:
        break;
    }
    return false;
  }

  bool ReclaimSetAside() {
    const size_t before = set_aside_.size();
    for (size_t i = 0; i < set_aside_.size();) {
      if (readers_.IsPinned(set_aside_[i].number)) {
        ++i;
        continue;
      }
      places_.Free(set_aside_[i].place);
      set_aside_[i] = set_aside_.back();
      set_aside_.pop_back();
    }
    return set_aside_.size() < before;
  }

  // Takes the first message from subscribers that are not waited for. False
  // when one that is has not released it, or there is none.
  bool TakeOldest() {
    if (mode_ == Mode::kOne) return TakeUnread();
    if (mode_ != Mode::kAll || first_ == published_ || IsBlocked()) {
      return false;
    }
    Announce(first_ + 1);
    // Somebody may have joined before that.
    if (IsBlocked()) return false;
    readers_.CutOff(first_, published_);
    Slots::Take(&slots_[first_ & mask()]);
    FreeFirst(/*may_be_pinned=*/true);
    return true;
  }

  // The same for the first response, from a client that has had the time to
  // read it, when others have to wait behind it.
  bool TakeUnread() {
    if (!IsHeldUpByOne() || PatienceLeftNs() > 0) return false;
    // The client sees these in the reverse order.
    readers_.Miss(kept_[first_ & mask()].to, first_);
    Announce(first_ + 1);
    Slots::Take(&slots_[first_ & mask()]);
    FreeFirst(/*may_be_pinned=*/true);
    return true;
  }
  bool IsHeldUpByOne() const {
    return mode_ == Mode::kOne && first_ < published_ && readers_.size() > 1;
  }
  uint64_t PatienceLeftNs() const {
    const uint64_t age_ns = Wait::RecentNs() - kept_[first_ & mask()].time_ns;
    return age_ns < kResponsePatienceNs ? kResponsePatienceNs - age_ns : 0;
  }

  bool IsBlocked() {
    return readers_.Released(published_, first_, [](const auto& reader) {
      return reader.IsWaitedFor();
    }) <= first_;
  }

  absl::StatusOr<std::optional<Extent>> WaitForRoom(uint64_t bytes,
                                                    const Deadline& deadline) {
    std::optional<Extent> place;
    if (!deadline.IsNow()) {
      place = SpinForRoom(bytes);
      if (!place.has_value()) place = SleepForRoom(bytes, deadline);
    }
    if (place.has_value()) return place;
    return status_.ok() ? BlockedError() : status_;
  }

  std::optional<Extent> SpinForRoom(uint64_t bytes) {
    std::optional<Extent> place;
    uint32_t turns = 0;
    spin_.Until([&] {
      // A look takes the line of a cursor from who is about to write it.
      if (++turns % kTurnsBetweenLooks != 0) return false;
      place = FindRoom(bytes);
      return place.has_value();
    });
    return place;
  }

  std::optional<Extent> SleepForRoom(uint64_t bytes, const Deadline& deadline) {
    std::optional<Extent> place;
    for (bool in_time = true; in_time;) {
      RefreshIfChanged();
      std::vector<sys::FutexWord> words;
      words.push_back({view_.change_word(), seen_change_});
      readers_.AppendWords(&words);
      Sleeps::Announce(&header_->waiting, ++sleeps_);
      place = FindRoom(bytes);
      if (place.has_value() || !status_.ok()) break;
      Wait::Any(words, WakeTime(deadline));
      // Not only when that says so: bells may ring for no reason.
      in_time = !deadline.HasPassed();
      if (!complete_) Refresh();
      if (!in_time) place = FindRoom(bytes);
    }
    Sleeps::End(&header_->waiting);
    spin_.Slept();
    return place;
  }

  // As WaitForRoom, without spinning: for what is seldom waited for.
  template <typename Done>
  absl::Status SleepUntil(const Done& done, const Deadline& deadline) {
    bool is_done = false;
    for (bool in_time = true; in_time && !is_done;) {
      RefreshIfChanged();
      std::vector<sys::FutexWord> words;
      words.push_back({view_.change_word(), seen_change_});
      readers_.AppendWords(&words);
      Sleeps::Announce(&header_->waiting, ++sleeps_);
      is_done = done();
      if (is_done || !status_.ok()) break;
      Wait::Any(words, WakeTime(deadline));
      in_time = !deadline.HasPassed();
      if (!complete_) Refresh();
      is_done = done();
    }
    Sleeps::End(&header_->waiting);
    if (!status_.ok()) return status_;
    return is_done ? absl::OkStatus() : BlockedError();
  }

  // Until when to sleep, if nothing happens before: not for long while the page
  // or the bell of somebody could not be had, or a response waits for its
  // client.
  Deadline WakeTime(const Deadline& deadline) const {
    const bool has_all = complete_ && !readers_.owes();
    absl::Duration most = has_all ? absl::InfiniteDuration() : kPartRetryAfter;
    if (IsHeldUpByOne()) {
      most = std::min(
          most, absl::Nanoseconds(std::max(PatienceLeftNs(), kLeastSleepNs)));
    }
    return deadline.NoLaterThan(most);
  }

  const ChannelFields fields_;
  const Mode mode_;
  const BasicChannelView<Memory> view_;
  const MemberId self_;
  char* const start_;
  const uint64_t payload_offset_;
  const uint64_t payload_bytes_;
  layout::RingHeader* const header_;
  layout::RingSlot* const slots_;
  BasicClaimWords<Memory> claims_;
  PlaceAllocator places_;
  std::vector<Kept> kept_;  // by slot
  std::vector<SetAside> set_aside_;
  Readers readers_;
  BasicSpin<Wait> spin_;
  absl::Status status_;
  uint64_t published_ = 0;
  uint64_t first_ = 0;  // that is not taken back yet
  uint64_t last_time_ns_ = 0;
  uint64_t pace_ns_ = 0;  // from one message to the next
  uint64_t announced_ = 0;
  uint64_t sleeps_ = 0;
  uint32_t tries_ = 0;
  uint32_t seen_change_ = 0;
  bool complete_ = true;
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_RING_ROOM_H_
