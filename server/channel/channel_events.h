#ifndef SHMD_SERVER_CHANNEL_CHANNEL_EVENTS_H_
#define SHMD_SERVER_CHANNEL_CHANNEL_EVENTS_H_

#include <cstddef>
#include <cstdint>

#include "server/channel/channel.h"
#include "server/registry/change_log.h"

namespace shmd {

// A channel is new, others take part in it, or it is deleted.
struct ChannelEvent {
  enum class Type : uint8_t { kChanged, kDeleted };

  Type type = Type::kChanged;
  ChannelSnapshot channel;  // as it is then
};

// Of all namespaces. A watcher that falls behind by more starts anew.
using ChannelEvents = ChangeLog<ChannelEvent>;

inline constexpr size_t kKeptChannelEvents = 4096;

}  // namespace shmd

#endif  // SHMD_SERVER_CHANNEL_CHANNEL_EVENTS_H_
