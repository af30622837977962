#ifndef SHMD_SHM_CHANNEL_MISSED_WORDS_H_
#define SHMD_SHM_CHANNEL_MISSED_WORDS_H_

#include <atomic>
#include <cstdint>

#include "shm/layout/channel_layout.h"

namespace shmd {

// How a client learns that a server has taken back a response which it had not
// read. The server says so before it says that the response is gone (`oldest`);
// the client sees that it is gone, and then looks here.
template <typename Memory>
struct BasicMissedWords {
  // Response `number` is about to be taken from the subscriber of this
  // generation.
  static void Tell(layout::MissedResponse* missed, uint64_t generation,
                   uint64_t number) {
    Memory::Store(&missed->number, number + 1, std::memory_order_release);
    Memory::Store(&missed->generation, generation, std::memory_order_release);
  }

  // Goes from message `*next`, which is gone, to the oldest one that is there;
  // whether a response in between was taken that this subscriber had not read.
  // It may have read what comes before `*next`, and only not released that.
  // Says so once more when one that comes later is being taken.
  static bool Skip(const uint64_t* oldest, const layout::MissedResponse* missed,
                   uint64_t generation, uint64_t* next) {
    // In this order: what is taken between the two looks is told twice, and not
    // passed over in silence.
    const uint64_t first = *next;
    *next = Memory::Load(oldest, std::memory_order_seq_cst);
    return Memory::Load(&missed->generation, std::memory_order_acquire) ==
               generation &&
           Memory::Load(&missed->number, std::memory_order_acquire) > first;
  }
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_MISSED_WORDS_H_
