#ifndef SHMD_SHM_CHANNEL_RING_SOURCE_H_
#define SHMD_SHM_CHANNEL_RING_SOURCE_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/failpoint.h"
#include "shm/channel/channel_format.h"
#include "shm/channel/channel_view.h"
#include "shm/channel/claim_words.h"
#include "shm/channel/consumer_pages.h"
#include "shm/channel/member_parts.h"
#include "shm/channel/missed_words.h"
#include "shm/channel/reader_pins.h"
#include "shm/channel/sleep_words.h"
#include "shm/channel/slot_words.h"
#include "shm/channel/taken_message.h"
#include "shm/layout/channel_layout.h"
#include "shm/sys/futex_any.h"

namespace shmd {

// What the rings that one subscriber reads share.
template <typename Memory>
struct RingReader {
  MemberId self;
  layout::ChannelKind kind = layout::ChannelKind::kPublish;
  layout::SlowPolicy policy = layout::SlowPolicy::kBlock;
  bool claims = false;  // messages before they are read
  uint32_t history = 0;
  layout::ReaderPage* page = nullptr;
  BasicReaderPins<Memory>* pins = nullptr;
  BasicConsumerPages<Memory>* consumers = nullptr;
};

// One publisher's ring as one subscriber reads it. Believes no word further
// than that it may lose or repeat what that publisher has to say. Not
// thread-safe.
template <typename Memory, typename Wait>
class BasicRingSource {
 public:
  BasicRingSource(const RingReader<Memory>* reader, const MemberId& publisher,
                  MappedRing ring, std::optional<MappedClaims> claims)
      : reader_(reader),
        publisher_(publisher),
        ring_(std::move(ring)),
        claims_part_(std::move(claims)),
        claims_(claims_part_.has_value() ? claims_part_->words() : nullptr,
                ring_.slots),
        header_(ring_.header()),
        slots_(ring_.slot_array()),
        cursor_(&reader->page->cursors[publisher.index]),
        mask_(ring_.slots - 1),
        done_((ring_.slots + 63) / 64) {}

  // Says where it begins, so that the publisher waits for it from there on:
  // with its first message when that came after this subscriber.
  void Begin() {
    const uint64_t oldest = Oldest();
    // A response may be there already: who calls may come by its server's ring
    // only after it, if the daemon was away. Those to others are passed over.
    if (reader_->claims || reader_->kind == layout::ChannelKind::kCall) {
      next_ = oldest;
    } else if (publisher_.generation < reader_->self.generation) {
      const uint64_t published =
          Memory::Load(&header_->published, std::memory_order_seq_cst);
      next_ = published - std::min<uint64_t>(published, reader_->history);
      next_ = std::max(next_, oldest);
    }
    released_ = next_;
    Memory::Store(&cursor_->lost, uint64_t{0}, std::memory_order_relaxed);
    Memory::Store(&cursor_->released, released_, std::memory_order_release);
    Memory::Exchange(&cursor_->generation, publisher_.generation,
                     std::memory_order_seq_cst);
    // Either the publisher has seen this before it took what is older than
    // `oldest`, or it has said so before.
    const uint64_t now_oldest = Oldest();
    if (publisher_.generation < reader_->self.generation &&
        now_oldest > next_) {
      next_ = released_ = now_oldest;
      Memory::Exchange(&cursor_->released, released_,
                       std::memory_order_seq_cst);
    }
    // It may be waiting for subscribers.
    WakePublisher();
  }

  const MemberId& publisher() const { return publisher_; }
  bool is_alive() const { return is_alive_; }
  // The publisher has left; another one may have its index, and the cursor.
  // Its requests are nobody's then, for nobody is there to be answered. It may
  // have been sent away, and write on for ever: from here on no more comes than
  // a ring holds.
  void End() {
    is_alive_ = false;
    is_over_ = reader_->claims && reader_->kind == layout::ChannelKind::kCall;
    first_ = Oldest();
    // One step for each message, and as many over what was taken.
    steps_left_ = 2 * ring_.slots;
  }
  uint32_t held() const { return held_; }
  uint64_t lost() const { return lost_; }

  Took TryTake(TakenMessage* out) {
    if (!reader_->claims) return TryRead(out);
    return TryClaim(out, std::exchange(verify_, false));
  }

  // Whether TryTake is worth while. Cheap.
  bool IsReady(std::memory_order order) const {
    return !IsSpent() && Slots::Look(SlotOf(next_), &header_->oldest, next_,
                                     order) != SlotLook::kNotYet;
  }

  // The last look before sleeping, sequentially consistent: whether there is
  // something to take, also what others have claimed and do not have pinned.
  bool LookAgain() {
    if (reader_->claims) {
      Rescan();
      for (uint32_t i = 0; IsReady(std::memory_order_seq_cst); ++i) {
        if (IsAvailable(next_, /*verify=*/true)) return verify_ = true;
        // More than once round is a publisher's that makes fun of us.
        if (!StepOver() || i > ring_.slots) return true;
      }
      return false;
    }
    return IsReady(std::memory_order_seq_cst) || IsCutOff();
  }

  // From the first message anew: claims may have become nobody's.
  void Rescan() {
    if (!reader_->claims) return;
    next_ = First();
    seen_returned_ = Returned();
  }

  // What goes up when there is something to take.
  void AppendWords(std::vector<sys::FutexWord>* words) const {
    if (is_alive_) {
      const uint32_t* const bell = &header_->bells[reader_->self.index];
      words->push_back({bell, Sleeps::Bell(bell)});
    }
    if (reader_->claims) {
      words->push_back({&claims_part_->header()->returned, seen_returned_});
    }
  }

  // A message is done with: of kPublish, and responses.
  void Release(const TakenMessage& message) {
    --held_;
    MarkReleased(message.number);
    // Not only the cursor: what a pin holds is waited for as well.
    if (message.pin != kNoPin) {
      SHMD_FAILPOINT("release.marked");
      reader_->pins->Unpin(message.pin);
      WakePublisher();
    }
  }

  // Turns the claim on a message into `state`; false when it is no longer this
  // consumer's.
  bool Finish(const TakenMessage& message, layout::ClaimState state) {
    --held_;
    const bool was_mine = claims_.Finish(message.number, state, reader_->self);
    if (was_mine && state == layout::ClaimState::kDone)
      MarkDone(message.number);
    SHMD_FAILPOINT("claim.finished");
    reader_->pins->Unpin(message.pin);
    SHMD_FAILPOINT("claim.unpinned");
    if (!was_mine || state == layout::ClaimState::kFree) GaveBack();
    WakePublisher();
    return was_mine;
  }
  bool IsMine(uint64_t number) const {
    return claims_.Get(number) ==
           Claim::Word(number, layout::ClaimState::kClaimed, reader_->self);
  }

  // Whether the claimed messages of a publisher that has left are all done.
  bool IsExhausted() {
    if (is_alive_ || held_ > 0) return false;
    if (is_over_) return true;
    if (!reader_->claims) return !IsReady(std::memory_order_acquire);
    for (uint64_t i = First(); i != first_ + ring_.slots; ++i) {
      if (Slots::Look(SlotOf(i), &header_->oldest, i) != SlotLook::kThere) {
        return true;
      }
      const layout::ClaimState state = Claim::State(claims_.Get(i), i);
      if ((state == layout::ClaimState::kFree ||
           state == layout::ClaimState::kClaimed) &&
          !IsDone(i)) {
        return false;
      }
    }
    return true;
  }

 private:
  using Slots = BasicSlotWords<Memory>;
  using Sleeps = BasicSleepWords<Memory>;

  const layout::RingSlot* SlotOf(uint64_t number) const {
    return &slots_[number & mask_];
  }
  uint64_t Oldest() const {
    return Memory::Load(&header_->oldest, std::memory_order_seq_cst);
  }
  // The first message to claim.
  uint64_t First() const {
    const uint64_t oldest = Oldest();
    if (is_alive_) return oldest;
    return first_ + std::min<uint64_t>(oldest - first_, ring_.slots);
  }
  // Whether nothing comes any more of who has left.
  bool IsSpent() const {
    if (is_alive_) return false;
    if (is_over_) return true;
    return reader_->claims ? next_ - first_ >= ring_.slots : steps_left_ == 0;
  }
  void Step() {
    if (!is_alive_) --steps_left_;
  }
  uint32_t Returned() const {
    return Memory::Load(&claims_part_->header()->returned,
                        std::memory_order_seq_cst);
  }
  bool NeedsPin() const {
    return reader_->policy != layout::SlowPolicy::kBlock ||
           reader_->kind == layout::ChannelKind::kCall;
  }
  bool IsCutOff() const {
    return reader_->policy == layout::SlowPolicy::kCutOff &&
           Memory::Load(&header_->cut_off[reader_->self.index],
                        std::memory_order_seq_cst) == reader_->self.generation;
  }

  Took TryRead(TakenMessage* out) {
    // More than once round is a publisher's that makes fun of us.
    for (uint32_t i = 0; i <= ring_.slots; ++i) {
      const SlotLook look = Slots::Look(SlotOf(next_), &header_->oldest, next_);
      if (look != SlotLook::kThere && IsCutOff()) return Took::kCutOff;
      if (look == SlotLook::kNotYet || IsSpent()) return Took::kNothing;
      if (look == SlotLook::kTaken) {
        Step();
        if (SkipGone()) return Took::kMissed;
        continue;
      }
      out->pin = kNoPin;
      if (NeedsPin()) {
        if (PassOver()) continue;
        const std::optional<uint32_t> pin =
            reader_->pins->Pin(PinWord(publisher_, next_));
        if (!pin.has_value()) return Took::kPinsUsedUp;
        out->pin = *pin;
      }
      Step();
      Slots::Copy(SlotOf(next_), &out->fields);
      if (!Slots::IsStill(SlotOf(next_), next_)) {
        if (out->pin != kNoPin) reader_->pins->Unpin(out->pin);
        continue;
      }
      SHMD_FAILPOINT("receive.found");
      ++held_;
      out->number = next_++;
      if (out->fields.to != 0 && out->fields.to != reader_->self.generation) {
        Release(*out);
        continue;
      }
      if (Locate(out)) return Took::kMessage;
      Release(*out);
      return Took::kDamaged;
    }
    return Took::kNothing;
  }

  // A response to somebody else, without a pin.
  bool PassOver() {
    const uint64_t to = Slots::To(SlotOf(next_));
    if (to == 0 || to == reader_->self.generation) return false;
    if (!Slots::IsStill(SlotOf(next_), next_)) return false;
    Step();
    MarkReleased(next_++);
    return true;
  }

  Took TryClaim(TakenMessage* out, bool verify) {
    for (uint32_t i = 0; i <= ring_.slots; ++i) {
      if (!IsReady(std::memory_order_acquire)) {
        if (is_over_ || Returned() == seen_returned_) return Took::kNothing;
        Rescan();
        continue;
      }
      const uint64_t number = next_;
      if (!IsAvailable(number, verify)) {
        StepOver();
        continue;
      }
      // Before the claim, which without a pin is nobody's.
      const std::optional<uint32_t> pin =
          reader_->pins->Pin(PinWord(publisher_, number));
      if (!pin.has_value()) return Took::kPinsUsedUp;
      ++next_;
      SHMD_FAILPOINT("claim.pinned");
      if (!claims_.TryClaim(number, seen_claim_, reader_->self)) {
        reader_->pins->Unpin(*pin);
        continue;
      }
      SHMD_FAILPOINT("claim.claimed");
      ++held_;
      out->number = number;
      out->pin = *pin;
      Slots::Copy(SlotOf(number), &out->fields);
      if (!Slots::IsStill(SlotOf(number), number)) {
        MarkDone(number);
        Finish(*out, layout::ClaimState::kFree);
        continue;
      }
      if (Locate(out)) return Took::kMessage;
      Finish(*out, layout::ClaimState::kDone);
      return Took::kDamaged;
    }
    return Took::kNothing;
  }

  // Whether message `number`, which is there, is nobody's. With `verify` also
  // what somebody has claimed who does not have it pinned.
  bool IsAvailable(uint64_t number, bool verify) {
    if (Slots::Look(SlotOf(number), &header_->oldest, number) !=
            SlotLook::kThere ||
        (!is_alive_ && IsDone(number))) {
      return false;
    }
    seen_claim_ = claims_.Get(number);
    switch (Claim::State(seen_claim_, number)) {
      case layout::ClaimState::kFree:
        return true;
      case layout::ClaimState::kClaimed:
        break;
      default:
        return false;
    }
    if (!reader_->consumers->IsPresent(seen_claim_)) {
      // Who has called learns that the server has gone.
      return reader_->kind == layout::ChannelKind::kQueue;
    }
    return verify &&
           !reader_->consumers->HasPinned(seen_claim_, publisher_, number);
  }

  // Over a message that is not available. False when there is no end of them.
  bool StepOver() {
    const uint64_t first = First();
    next_ = std::max(next_ + 1, first);
    return next_ - first <= ring_.slots;
  }

  // Bounds what the slot says, by the geometry as it was when it was mapped.
  bool Locate(TakenMessage* out) {
    const SlotFields& fields = out->fields;
    if (fields.offset_bytes < ring_.payload_offset ||
        fields.offset_bytes > ring_.size_bytes ||
        fields.size_bytes > ring_.size_bytes - fields.offset_bytes ||
        fields.metadata_bytes >
            ring_.size_bytes - fields.offset_bytes - fields.size_bytes) {
      return false;
    }
    out->data = ring_.start() + fields.offset_bytes;
    if ((fields.flags & layout::kHasChecksum) != 0 &&
        MessageChecksum(out->data, fields.size_bytes, fields.metadata_bytes) !=
            fields.checksum) {
      return false;
    }
    out->lost = lost_ - told_lost_;
    told_lost_ = lost_;
    return true;
  }

  // Over what was taken; whether a response to this subscriber was.
  bool SkipGone() {
    uint64_t number = next_;
    const bool missed = BasicMissedWords<Memory>::Skip(
        &header_->oldest, &header_->missed[reader_->self.index],
        reader_->self.generation, &number);
    SkipTo(number);
    return missed && reader_->kind == layout::ChannelKind::kCall;
  }

  // The publisher did not wait.
  void SkipTo(uint64_t number) {
    // Of responses, those before are others'.
    if (reader_->kind == layout::ChannelKind::kPublish) lost_ += number - next_;
    std::fill(done_.begin(), done_.end(), 0);
    next_ = released_ = number;
    if (!is_alive_) return;
    Memory::Store(&cursor_->lost, lost_, std::memory_order_relaxed);
    Memory::Exchange(&cursor_->released, released_, std::memory_order_seq_cst);
    WakePublisher();
  }

  void MarkReleased(uint64_t number) {
    // Taken by the publisher long ago.
    if (number < released_ || !is_alive_) return;
    if (number != released_) {
      SetDone(number);
      return;
    }
    do {
      done_[(released_ & mask_) / 64] &=
          ~(uint64_t{1} << (released_ & mask_) % 64);
      ++released_;
    } while (released_ < next_ && IsDone(released_));
    // Who waits says so and then looks at this word; here it is the other way
    // about, all sequentially consistent.
    Memory::Exchange(&cursor_->released, released_, std::memory_order_seq_cst);
    WakePublisher();
  }
  void SetDone(uint64_t number) {
    done_[(number & mask_) / 64] |= uint64_t{1} << (number & mask_) % 64;
  }
  // A message that was claimed is not to be claimed here again. While its
  // publisher is there the claim says so, which that can write as well.
  void MarkDone(uint64_t number) {
    if (!is_alive_) SetDone(number);
  }
  bool IsDone(uint64_t number) const {
    return (done_[(number & mask_) / 64] >> (number & mask_) % 64 & 1) != 0;
  }

  void WakePublisher() {
    if (!is_alive_ || Sleeps::ToEnd(&header_->waiting, &rung_) == 0) return;
    Sleeps::Ring(&cursor_->bell);
    Wait::Wake(&cursor_->bell);
  }

  // Other consumers look again.
  void GaveBack() {
    uint32_t* const returned = &claims_part_->header()->returned;
    for (uint32_t i = 0; i < ring_.slots; ++i) {
      const uint32_t before = Returned();
      if (Memory::CompareExchange(returned, before, before + 1,
                                  std::memory_order_seq_cst)) {
        break;
      }
    }
    Wait::Wake(returned);
    reader_->consumers->RingSleepers(Wait::RecentNs());
  }

  const RingReader<Memory>* reader_;
  MemberId publisher_;
  MappedRing ring_;
  std::optional<MappedClaims> claims_part_;
  BasicClaimWords<Memory> claims_;
  const layout::RingHeader* header_;
  const layout::RingSlot* slots_;
  layout::ReaderCursor* cursor_;
  uint64_t mask_;
  // Bits by slot: released out of order; or, of who has left, not to be claimed
  // again.
  std::vector<uint64_t> done_;
  uint64_t next_ = 0;  // to look at
  uint64_t released_ = 0;
  uint64_t lost_ = 0;
  uint64_t told_lost_ = 0;
  uint64_t rung_ = 0;
  uint64_t first_ = 0;  // the oldest message when the publisher left
  uint32_t steps_left_ = 0;
  uint64_t seen_claim_ = 0;
  uint32_t seen_returned_ = 0;
  uint32_t held_ = 0;
  bool is_alive_ = true;
  bool is_over_ = false;
  bool verify_ = false;  // the next look, as LookAgain has
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_RING_SOURCE_H_
