#ifndef SHMD_SHM_LAYOUT_CHANNEL_LAYOUT_H_
#define SHMD_SHM_LAYOUT_CHANNEL_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace shmd::layout {

// What a channel is in memory: memfds, each with one writer but for the claims
// of queues. docs/memory_layout.md draws them.
//
//   the channel's page, written by the daemon alone: who takes part
//     0       4096                8192                 12288
//     ┌────────┬───────────────────┬────────────────────┐
//     │ header │ 64 publishers     │ 64 subscribers     │
//     └────────┴───────────────────┴────────────────────┘
//   a ring, written by its publisher alone
//     0       4096          4096 + 64 * slots
//     ┌────────┬─────────────┬──────────────────────────┐
//     │ header │ slots       │ payload                  │
//     └────────┴─────────────┴──────────────────────────┘
//   a reader's page, written by its subscriber alone
//     0       4096                8192                 12288
//     ┌────────┬───────────────────┬────────────────────┐
//     │ header │ 64 cursors        │ 512 pins           │
//     └────────┴───────────────────┴────────────────────┘
//   the claims on a ring, written by all consumers of a queue
//     0       64
//     ┌────────┬──────────────┐
//     │ header │ slots words  │
//     └────────┴──────────────┘
//
// None can change its size. Who maps a part of somebody else's copies its
// geometry once, checks it against the file's size, and bounds each offset and
// length that it reads by the copy.

inline constexpr uint64_t kChannelMagic = 0x4E4148434D48534D;  // "MSHMCHAN"
inline constexpr uint64_t kRingMagic = 0x474E49524D48534D;     // "MSHMRING"
inline constexpr uint64_t kReaderMagic = 0x444145524D48534D;   // "MSHMREAD"
inline constexpr uint64_t kClaimsMagic = 0x4D4C43524D48534D;   // "MSHMRCLM"
inline constexpr uint32_t kChannelVersion = 1;

inline constexpr uint32_t kMaxPublishers = 64;
inline constexpr uint32_t kMaxSubscribers = 64;
inline constexpr uint32_t kMinSlots = 2;
inline constexpr uint32_t kMaxSlots = 65536;
inline constexpr uint32_t kReaderPins = 512;

enum class ChannelKind : uint32_t {
  kNone = 0,
  kPublish = 1,  // every message to every subscriber
  kQueue = 2,    // every message to one subscriber, which acknowledges it
  kCall = 3,     // requests to one server each, responses to who asked
};

// What becomes of a subscriber that does not keep up.
enum class SlowPolicy : uint32_t {
  kNone = 0,
  kBlock = 1,       // its publishers wait for it
  kDropOldest = 2,  // it loses messages, and learns how many
  kCutOff = 3,      // it is told so and gets nothing more
};

// In kCall: clients publish requests and subscribe to the rings of servers,
// servers the reverse. In the other kinds there are peers only.
enum class MemberRole : uint32_t {
  kNone = 0,
  kPeer = 1,
  kClient = 2,
  kServer = 3,
};

// One publisher, or one subscriber. The daemon stores all else before
// `generation` (release), and 0 there before all else when it has left.
struct ChannelMember {
  uint64_t generation;  // 0: nobody. Never given out twice within a channel
  uint32_t role;        // MemberRole
  uint32_t policy;      // SlowPolicy, of subscribers; of publishers kHasLeft
  uint64_t part_bytes;  // of its ring or page
  // For the daemon and for people.
  uint64_t session[2];
  uint32_t uid;
  int32_t pid;
  uint64_t join_time_ns;  // since 1970
  uint64_t request;       // a digest of its join's request id; 0: it had none
};
static_assert(sizeof(ChannelMember) == 64);
static_assert(alignof(ChannelMember) == 8);
static_assert(std::is_trivially_copyable_v<ChannelMember>);
static_assert(offsetof(ChannelMember, generation) == 0);
static_assert(offsetof(ChannelMember, role) == 8);
static_assert(offsetof(ChannelMember, policy) == 12);
static_assert(offsetof(ChannelMember, part_bytes) == 16);
static_assert(offsetof(ChannelMember, session) == 24);
static_assert(offsetof(ChannelMember, uid) == 40);
static_assert(offsetof(ChannelMember, pid) == 44);
static_assert(offsetof(ChannelMember, join_time_ns) == 48);
static_assert(offsetof(ChannelMember, request) == 56);

// Of a publisher that takes part no more, but stays on the page until those
// have opened its ring who are to read it.
inline constexpr uint32_t kHasLeft = 256;  // no SlowPolicy

struct ChannelHeader {
  uint64_t magic;
  uint32_t version;  // written last, with release
  uint32_t kind;     // ChannelKind
  uint64_t generation;
  uint32_t slots;          // of each ring; a power of two
  uint32_t history;        // how many messages a ring keeps for who comes late
  uint64_t payload_bytes;  // of each ring
  uint64_t flags;          // kChecksums
  uint32_t owner;
  uint32_t group;
  uint64_t unused;
  // Goes up by one, sequentially consistent, after each change of who takes
  // part; a futex that the daemon then wakes.
  uint32_t change;
  uint32_t change_line[15];
  uint32_t closed;  // not 0: the channel is deleted
  uint32_t mode;
  uint64_t last_generation;  // of members
  uint64_t create_time_ns;
  uint8_t reserved[3944];
};
static_assert(sizeof(ChannelHeader) == 4096);
static_assert(alignof(ChannelHeader) == 8);
static_assert(std::is_trivially_copyable_v<ChannelHeader>);
static_assert(offsetof(ChannelHeader, magic) == 0);
static_assert(offsetof(ChannelHeader, version) == 8);
static_assert(offsetof(ChannelHeader, kind) == 12);
static_assert(offsetof(ChannelHeader, generation) == 16);
static_assert(offsetof(ChannelHeader, slots) == 24);
static_assert(offsetof(ChannelHeader, history) == 28);
static_assert(offsetof(ChannelHeader, payload_bytes) == 32);
static_assert(offsetof(ChannelHeader, flags) == 40);
static_assert(offsetof(ChannelHeader, owner) == 48);
static_assert(offsetof(ChannelHeader, group) == 52);
static_assert(offsetof(ChannelHeader, unused) == 56);
static_assert(offsetof(ChannelHeader, change) == 64);
static_assert(offsetof(ChannelHeader, change_line) == 68);
static_assert(offsetof(ChannelHeader, closed) == 128);
static_assert(offsetof(ChannelHeader, mode) == 132);
static_assert(offsetof(ChannelHeader, last_generation) == 136);
static_assert(offsetof(ChannelHeader, create_time_ns) == 144);
static_assert(offsetof(ChannelHeader, reserved) == 152);

// Flags of a channel.
inline constexpr uint64_t kChecksums = 1;

struct ChannelPage {
  ChannelHeader header;
  ChannelMember publishers[kMaxPublishers];
  ChannelMember subscribers[kMaxSubscribers];
};
static_assert(sizeof(ChannelPage) == 12288);
static_assert(alignof(ChannelPage) == 8);
static_assert(std::is_trivially_copyable_v<ChannelPage>);
static_assert(offsetof(ChannelPage, header) == 0);
static_assert(offsetof(ChannelPage, publishers) == 4096);
static_assert(offsetof(ChannelPage, subscribers) == 8192);

// One message: its line in the ring. Message n, counted from 0, is in slot
// n modulo the slots.
struct RingSlot {
  uint64_t sequence;      // n + 1; 0 while it is changed
  uint64_t offset_bytes;  // of the payload, from the start of the ring
  uint64_t size_bytes;
  uint64_t time_ns;         // since 1970, when it was published
  uint32_t metadata_bytes;  // the user's, behind the payload
  uint32_t flags;           // of messages
  uint64_t to;              // a subscriber's generation; 0: all
  // The user's own; of a response: bits 0-47 which request, 48-63 how many
  // responses to that came before this one.
  uint64_t correlation;
  uint32_t checksum;  // CRC32C of payload and metadata, if kHasChecksum
  uint32_t unused;
};
static_assert(sizeof(RingSlot) == 64);
static_assert(alignof(RingSlot) == 8);
static_assert(std::is_trivially_copyable_v<RingSlot>);
static_assert(offsetof(RingSlot, sequence) == 0);
static_assert(offsetof(RingSlot, offset_bytes) == 8);
static_assert(offsetof(RingSlot, size_bytes) == 16);
static_assert(offsetof(RingSlot, time_ns) == 24);
static_assert(offsetof(RingSlot, metadata_bytes) == 32);
static_assert(offsetof(RingSlot, flags) == 36);
static_assert(offsetof(RingSlot, to) == 40);
static_assert(offsetof(RingSlot, correlation) == 48);
static_assert(offsetof(RingSlot, checksum) == 56);
static_assert(offsetof(RingSlot, unused) == 60);

// Flags of a message.
inline constexpr uint32_t kHasChecksum = 1;
inline constexpr uint32_t kLastResponse = 2;
inline constexpr uint32_t kErrorResponse = 4;  // the payload says which

// The last response that a server has taken back from a client, unread.
struct MissedResponse {
  uint64_t generation;  // of the client's subscriber; stored last, with release
  uint64_t number;      // of the message, + 1
};
static_assert(sizeof(MissedResponse) == 16);
static_assert(alignof(MissedResponse) == 8);
static_assert(std::is_trivially_copyable_v<MissedResponse>);
static_assert(offsetof(MissedResponse, generation) == 0);
static_assert(offsetof(MissedResponse, number) == 8);

struct RingHeader {
  uint64_t magic;
  uint32_t version;  // written last, with release
  uint32_t slots;
  uint64_t generation;      // of the publisher
  uint64_t payload_offset;  // bytes
  uint64_t size_bytes;      // of the whole ring
  uint64_t unused[3];
  // Messages that were published, counted from 0.
  uint64_t published;
  uint64_t published_line[7];
  // The first message that is still there.
  uint64_t oldest;
  uint64_t oldest_line[7];
  // Not 0 while the publisher sleeps until a subscriber releases something, or
  // is about to: which of its sleeps it is, so that each subscriber wakes it
  // once.
  uint64_t waiting;
  uint64_t waiting_line[7];
  uint64_t reserved_lines[32];
  // The generation of a subscriber that was cut off, by its index.
  uint64_t cut_off[kMaxSubscribers];
  // A futex for each subscriber, which goes up when it is woken.
  uint32_t bells[kMaxSubscribers];
  // Of servers of kCall: what a client has not read in time, by its index.
  MissedResponse missed[kMaxSubscribers];
  uint8_t reserved[1792];
};
static_assert(sizeof(RingHeader) == 4096);
static_assert(alignof(RingHeader) == 8);
static_assert(std::is_trivially_copyable_v<RingHeader>);
static_assert(offsetof(RingHeader, magic) == 0);
static_assert(offsetof(RingHeader, version) == 8);
static_assert(offsetof(RingHeader, slots) == 12);
static_assert(offsetof(RingHeader, generation) == 16);
static_assert(offsetof(RingHeader, payload_offset) == 24);
static_assert(offsetof(RingHeader, size_bytes) == 32);
static_assert(offsetof(RingHeader, unused) == 40);
static_assert(offsetof(RingHeader, published) == 64);
static_assert(offsetof(RingHeader, published_line) == 72);
static_assert(offsetof(RingHeader, oldest) == 128);
static_assert(offsetof(RingHeader, oldest_line) == 136);
static_assert(offsetof(RingHeader, waiting) == 192);
static_assert(offsetof(RingHeader, waiting_line) == 200);
static_assert(offsetof(RingHeader, reserved_lines) == 256);
static_assert(offsetof(RingHeader, cut_off) == 512);
static_assert(offsetof(RingHeader, bells) == 1024);
static_assert(offsetof(RingHeader, missed) == 1280);
static_assert(offsetof(RingHeader, reserved) == 2304);

// How far a subscriber is with one publisher.
struct ReaderCursor {
  uint64_t released;    // all messages before this one are done with
  uint64_t generation;  // of the publisher that the rest is about
  uint64_t lost;        // messages that were gone before they were read
  // A futex that goes up when a publisher that waits is woken.
  uint32_t bell;
  uint32_t unused_word;
  uint64_t unused[4];
};
static_assert(sizeof(ReaderCursor) == 64);
static_assert(alignof(ReaderCursor) == 8);
static_assert(std::is_trivially_copyable_v<ReaderCursor>);
static_assert(offsetof(ReaderCursor, released) == 0);
static_assert(offsetof(ReaderCursor, generation) == 8);
static_assert(offsetof(ReaderCursor, lost) == 16);
static_assert(offsetof(ReaderCursor, bell) == 24);
static_assert(offsetof(ReaderCursor, unused_word) == 28);
static_assert(offsetof(ReaderCursor, unused) == 32);

struct ReaderHeader {
  uint64_t magic;
  uint32_t version;  // written last, with release
  uint32_t unused_word;
  uint64_t generation;  // of the subscriber
  uint64_t unused[5];
  // 0 while it is awake, else bits 0-1 kSleepsOnFutex, kSleepsOnDescriptor, or
  // both, and 2-63 which of its sleeps it is, so that each publisher wakes it
  // once. Cleared by who sleeps, never by who wakes.
  uint64_t asleep;
  uint64_t asleep_line[7];
  // Pins from the first that a publisher has to look at; never shrinks.
  uint32_t pins_used;
  uint8_t reserved[3964];
};
static_assert(sizeof(ReaderHeader) == 4096);
static_assert(alignof(ReaderHeader) == 8);
static_assert(std::is_trivially_copyable_v<ReaderHeader>);
static_assert(offsetof(ReaderHeader, magic) == 0);
static_assert(offsetof(ReaderHeader, version) == 8);
static_assert(offsetof(ReaderHeader, unused_word) == 12);
static_assert(offsetof(ReaderHeader, generation) == 16);
static_assert(offsetof(ReaderHeader, unused) == 24);
static_assert(offsetof(ReaderHeader, asleep) == 64);
static_assert(offsetof(ReaderHeader, asleep_line) == 72);
static_assert(offsetof(ReaderHeader, pins_used) == 128);
static_assert(offsetof(ReaderHeader, reserved) == 132);

inline constexpr uint64_t kSleepsOnFutex = 1;
inline constexpr uint64_t kSleepsOnDescriptor = 2;

// A pin: bits 0-47 the message's number + 1, 48-55 the publisher's index, 56-63
// the first 8 of its generation; 0 pins nothing. Of subscribers whom publishers
// do not wait for, what they read in place; of consumers, what they have
// claimed.
struct ReaderPage {
  ReaderHeader header;
  ReaderCursor cursors[kMaxPublishers];
  uint64_t pins[kReaderPins];
};
static_assert(sizeof(ReaderPage) == 12288);
static_assert(alignof(ReaderPage) == 8);
static_assert(std::is_trivially_copyable_v<ReaderPage>);
static_assert(offsetof(ReaderPage, header) == 0);
static_assert(offsetof(ReaderPage, cursors) == 4096);
static_assert(offsetof(ReaderPage, pins) == 8192);

// A claim on the message in the slot of the same index: bits 0-23 of the
// message's number; 24-29 the consumer's index; 30-31 ClaimState; 32-63 the
// first 32 of the consumer's generation. A word of another number is as good
// as kFree.
enum class ClaimState : uint32_t {
  kFree = 0,
  kClaimed = 1,
  kDone = 2,
  kCancelled = 3,
};

struct ClaimsHeader {
  uint64_t magic;
  uint32_t version;  // written last, with release
  uint32_t slots;
  uint64_t generation;  // of the publisher
  // Goes up when claimed messages are given back.
  uint32_t returned;
  uint32_t unused_word;
  uint64_t unused[4];
};
static_assert(sizeof(ClaimsHeader) == 64);
static_assert(alignof(ClaimsHeader) == 8);
static_assert(std::is_trivially_copyable_v<ClaimsHeader>);
static_assert(offsetof(ClaimsHeader, magic) == 0);
static_assert(offsetof(ClaimsHeader, version) == 8);
static_assert(offsetof(ClaimsHeader, slots) == 12);
static_assert(offsetof(ClaimsHeader, generation) == 16);
static_assert(offsetof(ClaimsHeader, returned) == 24);
static_assert(offsetof(ClaimsHeader, unused_word) == 28);
static_assert(offsetof(ClaimsHeader, unused) == 32);

}  // namespace shmd::layout

#endif  // SHMD_SHM_LAYOUT_CHANNEL_LAYOUT_H_
