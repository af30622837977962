#ifndef SHMD_SHM_CHANNEL_SLEEP_WORDS_H_
#define SHMD_SHM_CHANNEL_SLEEP_WORDS_H_

#include <atomic>
#include <cstdint>

namespace shmd {

// How who sleeps and who wakes it miss nothing. Who sleeps reads the bells,
// announces its sleep, looks once more for what it waits for, and sleeps while
// the bells are as they were. Who wakes stores what is waited for, by an
// exchange, and then looks for sleepers. The exchanges and the looks are
// sequentially consistent, so at least one of the two sees what the other has
// stored. Each sleep has a number, so that it is ended once however much is
// stored meanwhile.
template <typename Memory>
struct BasicSleepWords {
  // `sleep` is not 0, and not what any other sleep of the same word is.
  static void Announce(uint64_t* asleep, uint64_t sleep) {
    Memory::Exchange(asleep, sleep, std::memory_order_seq_cst);
  }
  static void End(uint64_t* asleep) {
    Memory::Store(asleep, uint64_t{0}, std::memory_order_release);
  }

  // The sleep to end now, or 0. `rung` is the one that this caller has ended
  // last.
  static uint64_t ToEnd(const uint64_t* asleep, uint64_t* rung) {
    const uint64_t sleep = Memory::Load(asleep, std::memory_order_seq_cst);
    if (sleep == 0 || sleep == *rung) return 0;
    *rung = sleep;
    return sleep;
  }

  // A bell is a futex that its owner alone writes.
  static uint32_t Bell(const uint32_t* bell) {
    return Memory::Load(bell, std::memory_order_acquire);
  }
  static void Ring(uint32_t* bell) {
    Memory::Store(bell, Memory::Load(bell, std::memory_order_relaxed) + 1,
                  std::memory_order_release);
  }
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_SLEEP_WORDS_H_
