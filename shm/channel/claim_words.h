#ifndef SHMD_SHM_CHANNEL_CLAIM_WORDS_H_
#define SHMD_SHM_CHANNEL_CLAIM_WORDS_H_

#include <atomic>
#include <cstdint>

#include "shm/channel/channel_view.h"
#include "shm/layout/channel_layout.h"

namespace shmd {

// A claim's word in parts. A word of another message's number means kFree.
struct Claim {
  static constexpr uint64_t kNumberMask = (uint64_t{1} << 24) - 1;

  static uint64_t Word(uint64_t number, layout::ClaimState state,
                       const MemberId& consumer) {
    return (number & kNumberMask) | uint64_t{consumer.index & 63} << 24 |
           static_cast<uint64_t>(state) << 30 | consumer.generation << 32;
  }
  // What `word` says of message `number`.
  static layout::ClaimState State(uint64_t word, uint64_t number) {
    if ((word & kNumberMask) != (number & kNumberMask)) {
      return layout::ClaimState::kFree;
    }
    return static_cast<layout::ClaimState>(word >> 30 & 3);
  }
  static uint32_t Index(uint64_t word) {
    return static_cast<uint32_t>(word >> 24 & 63);
  }
  // Whether the claim is that of a subscriber of this generation.
  static bool IsOf(uint64_t word, uint64_t generation) {
    return generation != 0 && static_cast<uint32_t>(word >> 32) ==
                                  static_cast<uint32_t>(generation);
  }
};

// The claims on one ring, as all consumers and the publisher change them.
template <typename Memory>
class BasicClaimWords {
 public:
  BasicClaimWords(uint64_t* words, uint32_t slots)
      : words_(words), mask_(slots - 1) {}

  // Acquire, with the release of who has acknowledged.
  uint64_t Get(uint64_t number) const {
    return Memory::Load(&words_[number & mask_], std::memory_order_seq_cst);
  }

  // Claims what is nobody's by `word`, as Get told; the message is pinned.
  // False when somebody was faster.
  bool TryClaim(uint64_t number, uint64_t word, const MemberId& consumer) {
    return Change(number, word, layout::ClaimState::kClaimed, consumer);
  }

  // Turns a consumer's own claim into `state`; false when it is no longer
  // there.
  bool Finish(uint64_t number, layout::ClaimState state,
              const MemberId& consumer) {
    return Change(number,
                  Claim::Word(number, layout::ClaimState::kClaimed, consumer),
                  state, consumer);
  }

  // Whatever it is, unless it is done: it is cancelled. For the publisher.
  void Cancel(uint64_t number) {
    for (int i = 0; i < kAttempts; ++i) {
      const uint64_t word = Get(number);
      const layout::ClaimState state = Claim::State(word, number);
      if (state == layout::ClaimState::kDone ||
          state == layout::ClaimState::kCancelled ||
          Change(number, word, layout::ClaimState::kCancelled, MemberId())) {
        return;
      }
    }
  }

 private:
  // Whoever makes it more changes the words for no reason.
  static constexpr int kAttempts = 1000;

  bool Change(uint64_t number, uint64_t from, layout::ClaimState state,
              const MemberId& consumer) {
    return Memory::CompareExchange(&words_[number & mask_], from,
                                   Claim::Word(number, state, consumer),
                                   std::memory_order_seq_cst);
  }

  uint64_t* words_;
  uint64_t mask_;
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_CLAIM_WORDS_H_
