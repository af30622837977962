#include "shm/channel/channel_format.h"

#include <fcntl.h>

#include <atomic>
#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/layout/memory_word.h"
#include "shm/sys/file.h"
#include "shm/sys/memfd.h"

namespace shmd {
namespace {

using layout::HostMemory;

constexpr uint64_t kPageBytes = 4096;
constexpr int kSizeSeals = F_SEAL_SHRINK | F_SEAL_GROW;

uint64_t RoundUp(uint64_t bytes) {
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
}

Error Unsuitable(absl::string_view message) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kObjectUnsuitable,
               message);
}

template <typename Word>
Word Get(const Word* word) {
  return HostMemory::Load(word, std::memory_order_relaxed);
}
template <typename Word>
void Set(Word* word, Word value) {
  HostMemory::Store(word, value, std::memory_order_relaxed);
}

// All of a file whose size can no longer change.
absl::StatusOr<sys::ScopedMmap> MapWhole(int fd, uint64_t min_bytes,
                                         bool writable) {
  ASSIGN_OR_RETURN(const sys::FileStat found, sys::Fstat(fd));
  if (!S_ISREG(found.st_mode) ||
      static_cast<uint64_t>(found.st_size) < min_bytes) {
    return Unsuitable("the descriptor is not that of a channel's part")
        .With("min_bytes", min_bytes)
        .With("found_bytes", found.st_size);
  }
  const absl::StatusOr<int> seals = sys::GetSeals(fd);
  if (!seals.ok() || (*seals & kSizeSeals) != kSizeSeals) {
    return Unsuitable("the size of a channel's part could change");
  }
  sys::MmapRequest request;
  request.fd = fd;
  request.length_bytes = static_cast<size_t>(found.st_size);
  request.writable = writable;
  return sys::ScopedMmap::Map(request);
}

template <typename Header>
absl::Status CheckHeader(const Header* header, uint64_t magic,
                         uint64_t generation) {
  const uint32_t version =
      HostMemory::Load(&header->version, std::memory_order_acquire);
  if (version != layout::kChannelVersion || Get(&header->magic) != magic) {
    return Unsuitable("a channel's part is of an unknown version")
        .With("version", layout::kChannelVersion)
        .With("found_version", version);
  }
  const uint64_t found = Get(&header->generation);
  if (found != generation) {
    return Unsuitable("a channel's part is of another generation")
        .With("generation", generation)
        .With("found_generation", found);
  }
  return absl::OkStatus();
}

template <typename Header>
void WriteVersion(Header* header, uint64_t magic) {
  Set(&header->magic, magic);
  HostMemory::Store(&header->version, layout::kChannelVersion,
                    std::memory_order_release);
}

bool IsPowerOfTwo(uint64_t number) {
  return number != 0 && (number & (number - 1)) == 0;
}

}  // namespace

absl::Status CheckChannelFields(const ChannelFields& fields) {
  if (fields.kind < layout::ChannelKind::kPublish ||
      fields.kind > layout::ChannelKind::kCall) {
    return InvalidField("kind", reason::kFieldInvalid,
                        "there is no such kind of channel");
  }
  if (!IsPowerOfTwo(fields.slots) || fields.slots < layout::kMinSlots ||
      fields.slots > layout::kMaxSlots) {
    return InvalidField("slots", reason::kFieldInvalid,
                        "slots are a power of two from 2 to 65536");
  }
  if (fields.payload_bytes < kMinPayloadBytes ||
      fields.payload_bytes > kMaxPayloadBytes) {
    return InvalidField("payload_bytes", reason::kSizeInvalid,
                        "a ring holds 4 KiB to 64 GiB of payload");
  }
  if (fields.history >= fields.slots) {
    return InvalidField("history", reason::kFieldInvalid,
                        "a ring has to have more slots than history");
  }
  return absl::OkStatus();
}

uint64_t RingBytes(uint32_t slots, uint64_t payload_bytes) {
  return RoundUp(sizeof(layout::RingHeader) +
                 uint64_t{slots} * sizeof(layout::RingSlot)) +
         RoundUp(payload_bytes);
}

uint64_t ClaimsBytes(uint32_t slots) {
  return RoundUp(sizeof(layout::ClaimsHeader) +
                 uint64_t{slots} * sizeof(uint64_t));
}

bool HasClaims(layout::ChannelKind kind, layout::MemberRole role) {
  return kind == layout::ChannelKind::kQueue ||
         (kind == layout::ChannelKind::kCall &&
          role == layout::MemberRole::kClient);
}

absl::StatusOr<UniqueFd> CreatePart(uint64_t size_bytes) {
  ASSIGN_OR_RETURN(UniqueFd fd, sys::MemfdCreate(kPageBytes));
  RETURN_IF_ERROR(sys::Ftruncate(fd.get(), size_bytes));
  RETURN_IF_ERROR(sys::AddSeals(fd.get(), kSizeSeals | F_SEAL_SEAL));
  return fd;
}

absl::Status InitChannelPage(int fd, const ChannelFields& fields) {
  ASSIGN_OR_RETURN(const sys::ScopedMmap memory,
                   MapWhole(fd, kChannelPageBytes, /*writable=*/true));
  auto* const header = static_cast<layout::ChannelHeader*>(memory.data());
  Set(&header->kind, static_cast<uint32_t>(fields.kind));
  Set(&header->generation, fields.generation);
  Set(&header->slots, fields.slots);
  Set(&header->history, fields.history);
  Set(&header->payload_bytes, fields.payload_bytes);
  Set(&header->flags, fields.checksums ? layout::kChecksums : uint64_t{0});
  Set(&header->owner, fields.owner);
  Set(&header->group, fields.group);
  Set(&header->mode, fields.mode);
  Set(&header->create_time_ns, fields.create_time_ns);
  WriteVersion(header, layout::kChannelMagic);
  return absl::OkStatus();
}

absl::Status InitRing(int fd, const ChannelFields& channel,
                      uint64_t generation) {
  const uint64_t size_bytes = RingBytes(channel.slots, channel.payload_bytes);
  ASSIGN_OR_RETURN(const sys::ScopedMmap memory,
                   MapWhole(fd, size_bytes, /*writable=*/true));
  auto* const header = static_cast<layout::RingHeader*>(memory.data());
  Set(&header->slots, channel.slots);
  Set(&header->generation, generation);
  Set(&header->payload_offset, RingBytes(channel.slots, 0));
  Set(&header->size_bytes, size_bytes);
  WriteVersion(header, layout::kRingMagic);
  return absl::OkStatus();
}

absl::Status InitReaderPage(int fd, uint64_t generation) {
  ASSIGN_OR_RETURN(const sys::ScopedMmap memory,
                   MapWhole(fd, kReaderPageBytes, /*writable=*/true));
  auto* const header = static_cast<layout::ReaderHeader*>(memory.data());
  Set(&header->generation, generation);
  WriteVersion(header, layout::kReaderMagic);
  return absl::OkStatus();
}

absl::Status InitClaims(int fd, const ChannelFields& channel,
                        uint64_t generation) {
  ASSIGN_OR_RETURN(const sys::ScopedMmap memory,
                   MapWhole(fd, ClaimsBytes(channel.slots), /*writable=*/true));
  auto* const header = static_cast<layout::ClaimsHeader*>(memory.data());
  auto* const words = static_cast<uint64_t*>(memory.data()) +
                      sizeof(layout::ClaimsHeader) / sizeof(uint64_t);
  // Of no message that will be in the slot first.
  for (uint64_t i = 0; i < channel.slots; ++i) Set(&words[i], i + 1);
  Set(&header->slots, channel.slots);
  Set(&header->generation, generation);
  WriteVersion(header, layout::kClaimsMagic);
  return absl::OkStatus();
}

absl::StatusOr<MappedChannel> MappedChannel::Map(int fd, bool writable) {
  MappedChannel mapped;
  ASSIGN_OR_RETURN(mapped.memory, MapWhole(fd, kChannelPageBytes, writable));
  const layout::ChannelHeader* const header = &mapped.page()->header;
  RETURN_IF_ERROR(
      CheckHeader(header, layout::kChannelMagic, Get(&header->generation)));
  ChannelFields& fields = mapped.fields;
  fields.kind = static_cast<layout::ChannelKind>(Get(&header->kind));
  fields.slots = Get(&header->slots);
  fields.payload_bytes = Get(&header->payload_bytes);
  fields.history = Get(&header->history);
  fields.checksums = (Get(&header->flags) & layout::kChecksums) != 0;
  fields.generation = Get(&header->generation);
  fields.owner = Get(&header->owner);
  fields.group = Get(&header->group);
  fields.mode = Get(&header->mode);
  fields.create_time_ns = Get(&header->create_time_ns);
  if (const absl::Status checked = CheckChannelFields(fields); !checked.ok()) {
    return Unsuitable("a channel's page says what no channel can be");
  }
  return mapped;
}

absl::StatusOr<MappedRing> MappedRing::Map(int fd, uint64_t generation,
                                           bool writable) {
  MappedRing mapped;
  ASSIGN_OR_RETURN(mapped.memory,
                   MapWhole(fd, sizeof(layout::RingHeader), writable));
  const layout::RingHeader* const header = mapped.header();
  RETURN_IF_ERROR(CheckHeader(header, layout::kRingMagic, generation));
  mapped.slots = Get(&header->slots);
  mapped.payload_offset = Get(&header->payload_offset);
  mapped.size_bytes = Get(&header->size_bytes);
  if (!IsPowerOfTwo(mapped.slots) || mapped.slots < layout::kMinSlots ||
      mapped.slots > layout::kMaxSlots ||
      mapped.payload_offset < RingBytes(mapped.slots, 0) ||
      mapped.payload_offset % kPageBytes != 0 ||
      mapped.size_bytes > mapped.memory.size_bytes() ||
      mapped.payload_offset > mapped.size_bytes) {
    return Unsuitable("a ring's header does not fit its size")
        .With("slots", mapped.slots)
        .With("payload_offset", mapped.payload_offset)
        .With("size_bytes", mapped.size_bytes);
  }
  return mapped;
}

absl::StatusOr<MappedReaderPage> MappedReaderPage::Map(int fd,
                                                       uint64_t generation,
                                                       bool writable) {
  MappedReaderPage mapped;
  ASSIGN_OR_RETURN(mapped.memory, MapWhole(fd, kReaderPageBytes, writable));
  RETURN_IF_ERROR(
      CheckHeader(&mapped.page()->header, layout::kReaderMagic, generation));
  return mapped;
}

absl::StatusOr<MappedClaims> MappedClaims::Map(int fd, uint64_t generation,
                                               uint32_t slots) {
  MappedClaims mapped;
  ASSIGN_OR_RETURN(mapped.memory,
                   MapWhole(fd, ClaimsBytes(slots), /*writable=*/true));
  RETURN_IF_ERROR(
      CheckHeader(mapped.header(), layout::kClaimsMagic, generation));
  if (Get(&mapped.header()->slots) != slots) {
    return Unsuitable("the claims are not those of the ring");
  }
  return mapped;
}

}  // namespace shmd
