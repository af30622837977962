#ifndef SHMD_SHM_CHANNEL_CRASH_CHANNEL_H_
#define SHMD_SHM_CHANNEL_CRASH_CHANNEL_H_

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "shm/channel/channel_format.h"

// What tests have in common that kill who takes part in a channel.

namespace shmd {

inline const absl::Time kNow = absl::InfinitePast();

inline absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

// One whose ring soon begins anew.
inline ChannelFields SmallChannel(layout::ChannelKind kind) {
  ChannelFields fields;
  fields.kind = kind;
  fields.slots = 4;
  fields.payload_bytes = 16384;
  fields.checksums = true;
  return fields;
}

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_CRASH_CHANNEL_H_
