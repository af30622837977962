#ifndef SHMD_SERVER_CHANNEL_CHANNEL_STATS_H_
#define SHMD_SERVER_CHANNEL_CHANNEL_STATS_H_

#include <cstdint>
#include <vector>

#include "server/channel/channel.h"
#include "server/channel/live_channel.h"

namespace shmd {

struct PublisherStats {
  MemberView publisher;
  uint64_t published = 0;
  uint64_t oldest = 0;
  bool is_waiting = false;
};

struct SubscriberStats {
  MemberView subscriber;
  uint64_t lag = 0;
  uint64_t lost = 0;
  bool is_asleep = false;
  bool is_cut_off = false;
};

struct ChannelStats {
  std::vector<PublisherStats> publishers;
  std::vector<SubscriberStats> subscribers;
};

// What the members' own pages tell, each word read once. They may tell
// anything: no number here is more than what was said. One whose pages cannot
// be mapped has only zeroes.
ChannelStats ReadStats(const LiveChannel& channel);

}  // namespace shmd

#endif  // SHMD_SERVER_CHANNEL_CHANNEL_STATS_H_
