#ifndef SHMD_SHM_CHANNEL_CHANNEL_FORMAT_H_
#define SHMD_SHM_CHANNEL_CHANNEL_FORMAT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "shm/layout/channel_layout.h"
#include "shm/sys/memory.h"

namespace shmd {

// The parts of a channel: how large they are, what the daemon writes before it
// hands them over, and how who gets one from somebody else checks it. All
// functions are thread-safe.

inline constexpr uint32_t kDefaultSlots = 1024;
inline constexpr uint64_t kDefaultPayloadBytes = uint64_t{64} << 20;
inline constexpr uint64_t kMinPayloadBytes = 4096;
inline constexpr uint64_t kMaxPayloadBytes = uint64_t{1} << 36;
inline constexpr uint32_t kMaxMetadataBytes = 65536;

// What does not change while a channel lives.
struct ChannelFields {
  layout::ChannelKind kind = layout::ChannelKind::kPublish;
  uint32_t slots = kDefaultSlots;
  uint64_t payload_bytes = kDefaultPayloadBytes;
  uint32_t history = 0;
  bool checksums = false;
  uint64_t generation = 0;
  uint32_t owner = 0;
  uint32_t group = 0;
  uint32_t mode = 0600;
  uint64_t create_time_ns = 0;
};

// FIELD_INVALID or SIZE_INVALID with the field's name in the Channel message.
absl::Status CheckChannelFields(const ChannelFields& fields);

// Sizes of the files. Whole pages.
inline constexpr uint64_t kChannelPageBytes = sizeof(layout::ChannelPage);
inline constexpr uint64_t kReaderPageBytes = sizeof(layout::ReaderPage);
uint64_t RingBytes(uint32_t slots, uint64_t payload_bytes);
uint64_t ClaimsBytes(uint32_t slots);

// Whether what a publisher publishes is claimed: of all in kQueue, of clients
// in kCall.
bool HasClaims(layout::ChannelKind kind, layout::MemberRole role);

// A memfd of a part's size, of zeroes, that never changes its size.
absl::StatusOr<UniqueFd> CreatePart(uint64_t size_bytes);

// What the daemon writes into a new part, `version` last. `generation` is that
// of the publisher or subscriber. The descriptors have to be writable.
absl::Status InitChannelPage(int fd, const ChannelFields& fields);
absl::Status InitRing(int fd, const ChannelFields& channel,
                      uint64_t generation);
absl::Status InitReaderPage(int fd, uint64_t generation);
absl::Status InitClaims(int fd, const ChannelFields& channel,
                        uint64_t generation);

// Parts as they are mapped: the geometry is copied once and checked against
// the file's size. OBJECT_UNSUITABLE when a part is not of the generation that
// was asked for, could change its size, or is no such part at all. Move-only.

struct MappedChannel {
  static absl::StatusOr<MappedChannel> Map(int fd, bool writable);
  layout::ChannelPage* page() const {
    return static_cast<layout::ChannelPage*>(memory.data());
  }

  ChannelFields fields;
  sys::ScopedMmap memory;
};

struct MappedRing {
  static absl::StatusOr<MappedRing> Map(int fd, uint64_t generation,
                                        bool writable);
  char* start() const { return static_cast<char*>(memory.data()); }
  layout::RingHeader* header() const {
    return static_cast<layout::RingHeader*>(memory.data());
  }
  layout::RingSlot* slot_array() const {
    // SAFETY: within the mapping and aligned: Map has checked it.
    return reinterpret_cast<layout::RingSlot*>(start() +
                                               sizeof(layout::RingHeader));
  }

  uint32_t slots = 0;
  uint64_t payload_offset = 0;
  uint64_t size_bytes = 0;
  sys::ScopedMmap memory;
};

struct MappedReaderPage {
  static absl::StatusOr<MappedReaderPage> Map(int fd, uint64_t generation,
                                              bool writable);
  layout::ReaderPage* page() const {
    return static_cast<layout::ReaderPage*>(memory.data());
  }

  sys::ScopedMmap memory;
};

// Always writable.
struct MappedClaims {
  static absl::StatusOr<MappedClaims> Map(int fd, uint64_t generation,
                                          uint32_t slots);
  layout::ClaimsHeader* header() const {
    return static_cast<layout::ClaimsHeader*>(memory.data());
  }
  uint64_t* words() const {
    return static_cast<uint64_t*>(memory.data()) +
           sizeof(layout::ClaimsHeader) / sizeof(uint64_t);
  }

  sys::ScopedMmap memory;
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_CHANNEL_FORMAT_H_
