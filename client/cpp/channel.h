#ifndef SHMD_CLIENT_CPP_CHANNEL_H_
#define SHMD_CLIENT_CPP_CHANNEL_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/cpp/watch.h"

namespace shmd {
inline namespace client {

// Channels as plain values; protos/shmd/v1/channel.proto says what each field
// means, channels.h is how messages go through them.

// What happens to a message.
enum class ChannelKind : uint8_t {
  kPublish,  // it goes to every subscriber
  kQueue,    // it goes to one consumer, which acknowledges it
  kCall,     // a request, which one server answers
};

// What happens to a subscriber that does not keep up with a publisher.
enum class SlowPolicy : uint8_t {
  kBlock,       // the publisher waits for it
  kDropOldest,  // it loses the oldest messages, and learns how many
  kCutOff,      // it gets nothing more, and is told so
};

enum class ChannelRole : uint8_t { kPeer, kClient, kServer };

// What to make. What is 0 or absent is the daemon's choice.
struct ChannelSpec {
  ChannelKind kind = ChannelKind::kPublish;
  uint32_t slots = 0;          // messages that a ring holds; a power of two
  uint64_t payload_bytes = 0;  // of a ring
  // How many messages a publisher keeps for who comes late: less than slots.
  uint32_t history = 0;
  // Publishers add a CRC32C, which subscribers check.
  bool checksums = false;
  std::optional<uint32_t> owner;
  std::optional<uint32_t> group;
  // Who may read subscribes, who may write publishes; consumers and servers
  // need both. 0600 by default.
  std::optional<uint32_t> mode;
};

struct Channel {
  std::string name;  // namespaces/default/channels/frames
  ChannelKind kind = ChannelKind::kPublish;
  uint32_t slots = 0;
  uint64_t payload_bytes = 0;
  uint32_t history = 0;
  bool checksums = false;
  uint32_t owner = 0;
  uint32_t group = 0;
  uint32_t mode = 0;
  uint64_t generation = 0;
  absl::Time create_time;
  uint32_t publishers = 0;  // how many
  uint32_t subscribers = 0;

  // The last part of `name`.
  std::string id() const { return name.substr(name.rfind('/') + 1); }
};

// What has gone through a channel, as the pages of those tell who take part.
struct ChannelStats {
  // Who takes part.
  struct Member {
    // namespaces/default/channels/frames/publishers/0.1
    std::string name;
    std::string session;  // sessions/{session}
    ChannelRole role = ChannelRole::kPeer;
    pid_t pid = 0;  // 0: none that the daemon can see
    uint32_t uid = 0;
  };
  struct PublisherStats : Member {
    uint64_t published = 0;   // messages, from its first on
    uint64_t oldest = 0;      // the number of the first that it still holds
    bool is_waiting = false;  // for a subscriber
    bool has_left = false;    // and is kept for who has yet to open its ring
  };
  struct SubscriberStats : Member {
    SlowPolicy policy = SlowPolicy::kBlock;
    uint64_t lag = 0;        // messages that it has yet to release
    uint64_t lost = 0;       // messages that were gone before it read them
    bool is_asleep = false;  // until something is published
    bool is_cut_off = false;
  };

  std::vector<PublisherStats> publishers;
  std::vector<SubscriberStats> subscribers;
};

// For Client::WatchChannels.
struct ChannelWatchOptions {
  std::string name_space;  // empty: the client's
  CancelToken cancel;
  // How long the daemon may be away at a stretch.
  absl::Duration patience = absl::InfiniteDuration();
};

// One event of a watch.
struct ChannelWatchEvent {
  enum class Type : uint8_t {
    kChanged,  // it is there, or new, or others take part in it
    kDeleted,
    kSynced,  // all that was there has been told
    // Changes may have been lost: forget what you knew; what exists is told
    // again, up to kSynced.
    kRelisted,
  };

  Type type = Type::kChanged;
  // Absent for kSynced and kRelisted; of kDeleted name and generation.
  std::optional<Channel> channel;
};

// "PUBLISH", "DROP_OLDEST", "CHANGED", and so on.
const char* ChannelKindName(ChannelKind kind);
const char* SlowPolicyName(SlowPolicy policy);
const char* ChannelRoleName(ChannelRole role);
const char* ChannelWatchEventTypeName(ChannelWatchEvent::Type type);

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_CHANNEL_H_
