#ifndef SHMD_SHM_CHANNEL_SLOT_WORDS_H_
#define SHMD_SHM_CHANNEL_SLOT_WORDS_H_

#include <atomic>
#include <cstdint>

#include "shm/layout/channel_layout.h"

namespace shmd {

// What a slot says of its message, without the number.
struct SlotFields {
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;
  uint64_t time_ns = 0;
  uint64_t to = 0;
  uint64_t correlation = 0;
  uint32_t metadata_bytes = 0;
  uint32_t flags = 0;
  uint32_t checksum = 0;
};

enum class SlotLook {
  kThere,
  kNotYet,
  kTaken,  // it was there, and its publisher has taken it
};

// How a publisher writes the slots of its ring and others read them. The
// number is 0 while the rest changes, so that a reader that sees a new word of
// the rest does not see the old number after it.
template <typename Memory, typename Slot = layout::RingSlot>
struct BasicSlotWords {
  // The message before this one in the slot is nobody's any more, or Take was
  // called for it. Fill does the same; but the slot's line is with who read it
  // last, and after this it comes while the fields are made.
  static void Begin(Slot* slot) {
    Memory::Store(&slot->sequence, uint64_t{0}, std::memory_order_release);
  }
  // Show comes after.
  static void Fill(Slot* slot, const SlotFields& fields) {
    Begin(slot);
    Set(&slot->offset_bytes, fields.offset_bytes);
    Set(&slot->size_bytes, fields.size_bytes);
    Set(&slot->time_ns, fields.time_ns);
    Set(&slot->metadata_bytes, fields.metadata_bytes);
    Set(&slot->flags, fields.flags);
    Set(&slot->to, fields.to);
    Set(&slot->correlation, fields.correlation);
    Set(&slot->checksum, fields.checksum);
  }

  // Sequentially consistent, for the look at who sleeps. Messages that come
  // together are shown in reverse order, with ShowLater for all but the first:
  // readers see none of them before that one.
  static void Show(Slot* slot, uint64_t number) {
    Memory::Exchange(&slot->sequence, number + 1, std::memory_order_seq_cst);
  }
  static void ShowLater(Slot* slot, uint64_t number) {
    Memory::Store(&slot->sequence, number + 1, std::memory_order_release);
  }

  // Takes a message that somebody may be about to read. Whoever does not see
  // this has pinned it, which is seen by a look at the pins that comes after.
  static void Take(Slot* slot) {
    Memory::Exchange(&slot->sequence, uint64_t{0}, std::memory_order_seq_cst);
  }

  // Looks for a message. `oldest` is the ring's.
  static SlotLook Look(const Slot* slot, const uint64_t* oldest,
                       uint64_t number,
                       std::memory_order order = std::memory_order_acquire) {
    const uint64_t sequence = Memory::Load(&slot->sequence, order);
    if (sequence == number + 1) return SlotLook::kThere;
    if (sequence != 0 && sequence <= number) return SlotLook::kNotYet;
    // Stored before the number was changed.
    return Memory::Load(oldest, std::memory_order_acquire) > number
               ? SlotLook::kTaken
               : SlotLook::kNotYet;
  }

  // Each word once, after Look has said that the message is there. What is
  // read is only of that message when IsStill says so afterwards.
  static void Copy(const Slot* slot, SlotFields* fields) {
    fields->offset_bytes = Get(&slot->offset_bytes);
    fields->size_bytes = Get(&slot->size_bytes);
    fields->time_ns = Get(&slot->time_ns);
    fields->metadata_bytes = Get(&slot->metadata_bytes);
    fields->flags = Get(&slot->flags);
    fields->to = Get(&slot->to);
    fields->correlation = Get(&slot->correlation);
    fields->checksum = Get(&slot->checksum);
  }

  // To whom it is, under the same condition.
  static uint64_t To(const Slot* slot) { return Get(&slot->to); }

  // After a pin: sequentially consistent.
  static bool IsStill(const Slot* slot, uint64_t number) {
    return Memory::Load(&slot->sequence, std::memory_order_seq_cst) ==
           number + 1;
  }

 private:
  template <typename Word>
  static void Set(Word* word, Word value) {
    Memory::Store(word, value, std::memory_order_release);
  }
  template <typename Word>
  static Word Get(const Word* word) {
    return Memory::Load(word, std::memory_order_acquire);
  }
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_SLOT_WORDS_H_
