#ifndef SHMD_SHM_CHANNEL_TAKEN_MESSAGE_H_
#define SHMD_SHM_CHANNEL_TAKEN_MESSAGE_H_

#include <cstdint>

#include "shm/channel/slot_words.h"

namespace shmd {

inline constexpr uint32_t kNoPin = ~uint32_t{0};

// A message as a subscriber has taken it from a ring: in place.
struct TakenMessage {
  const char* data = nullptr;  // payload, and the metadata behind it
  uint64_t number = 0;
  uint64_t lost = 0;
  uint32_t pin = kNoPin;
  SlotFields fields;
};

enum class Took {
  kNothing,
  kMessage,
  kDamaged,  // the message at `number` is no good, and left behind
  kPinsUsedUp,
  kCutOff,
  kMissed,  // of responses: one was taken back, once for those before the next
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_TAKEN_MESSAGE_H_
