#ifndef SHMD_SHM_CHANNEL_MEMBER_PARTS_H_
#define SHMD_SHM_CHANNEL_MEMBER_PARTS_H_

#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "shm/channel/channel_format.h"
#include "shm/channel/channel_view.h"
#include "shm/channel/open_part.h"

namespace shmd {

// What the daemon hands to who publishes.
struct PublisherParts {
  UniqueFd channel;  // the channel's page, to read
  UniqueFd ring;     // its own, to read and write
  UniqueFd claims;   // on its ring, to read and write; if HasClaims
  uint32_t index = 0;
  uint64_t generation = 0;
  OpenPart open_part;  // pages and bells of subscribers
};

// The same as it is mapped.
struct MappedPublisherParts {
  // The descriptors are not needed any more then. MEMBER_NOT_FOUND when the
  // channel's page does not list the publisher.
  static absl::StatusOr<MappedPublisherParts> Map(const PublisherParts& parts);

  MappedChannel channel;
  MappedRing ring;
  std::optional<MappedClaims> claims;
  layout::MemberRole role = layout::MemberRole::kPeer;
};

// What the daemon hands to who subscribes.
struct SubscriberParts {
  UniqueFd channel;  // the channel's page, to read
  UniqueFd page;     // its own, to read and write
  uint32_t index = 0;
  uint64_t generation = 0;
  // Rings, claims on them, pages of other consumers, its own bell.
  OpenPart open_part;
};

struct MappedSubscriberParts {
  static absl::StatusOr<MappedSubscriberParts> Map(
      const SubscriberParts& parts);

  MappedChannel channel;
  MappedReaderPage page;
  layout::MemberRole role = layout::MemberRole::kPeer;
  layout::SlowPolicy policy = layout::SlowPolicy::kBlock;
};

// Whom a publisher or subscriber of `role` has to do with.
layout::MemberRole OtherRole(layout::MemberRole role);

// What can go wrong, in words.
absl::Status ClosedError();
absl::Status MemberGoneError();
absl::Status NotBorrowedError();
absl::Status MetadataTooLargeError(uint64_t size_bytes, uint64_t room_bytes);
absl::Status MessageTooLargeError(uint64_t size_bytes, uint64_t room_bytes);
absl::Status BlockedError();
absl::Status NoMessageError();
absl::Status CutOffError();
absl::Status DamagedError(const MemberId& publisher, uint64_t number);
absl::Status HeldError();
absl::Status ClaimLostError();

// CRC32C of a payload and the metadata behind it.
uint32_t MessageChecksum(const char* data, uint64_t size_bytes,
                         uint32_t metadata_bytes);

// Nanoseconds since 1970; no system call where the kernel lets user space read
// its clock.
uint64_t UnixNanos();

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_MEMBER_PARTS_H_
