#ifndef SHMD_SHM_CHANNEL_CALL_WORDS_H_
#define SHMD_SHM_CHANNEL_CALL_WORDS_H_

#include <cstdint>

namespace shmd {

// `correlation` of a response: which request it answers, and how many responses
// to that came before it, so that who misses one knows.
struct ResponseWord {
  static constexpr uint64_t kNumberMask = (uint64_t{1} << 48) - 1;

  static uint64_t Of(uint64_t request, uint64_t before) {
    return (request & kNumberMask) | before << 48;
  }
  static uint64_t Request(uint64_t word) { return word & kNumberMask; }
  static bool Follows(uint64_t word, uint64_t before) {
    return word >> 48 == (before & 0xFFFF);
  }
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_CALL_WORDS_H_
