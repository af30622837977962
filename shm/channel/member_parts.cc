#include "shm/channel/member_parts.h"

#include <algorithm>

#include "absl/strings/string_view.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"

namespace shmd {
namespace {

Error Precondition(absl::string_view reason, absl::string_view message) {
  return Error(absl::StatusCode::kFailedPrecondition, reason, message);
}

absl::StatusOr<Member> FindMember(const MappedChannel& channel, MemberKind kind,
                                  uint32_t index, uint64_t generation) {
  const uint32_t most = kind == MemberKind::kPublisher
                            ? layout::kMaxPublishers
                            : layout::kMaxSubscribers;
  std::optional<Member> found;
  if (index < most) found = ChannelView(channel.page()).Get(kind, index);
  if (!found.has_value() || found->id.generation != generation) {
    return MemberGoneError();
  }
  return *found;
}

}  // namespace

absl::StatusOr<MappedPublisherParts> MappedPublisherParts::Map(
    const PublisherParts& parts) {
  MappedPublisherParts mapped;
  ASSIGN_OR_RETURN(mapped.channel, MappedChannel::Map(parts.channel.get(),
                                                      /*writable=*/false));
  ASSIGN_OR_RETURN(const Member self,
                   FindMember(mapped.channel, MemberKind::kPublisher,
                              parts.index, parts.generation));
  mapped.role = self.fields.role;
  ASSIGN_OR_RETURN(mapped.ring,
                   MappedRing::Map(parts.ring.get(), parts.generation,
                                   /*writable=*/true));
  if (mapped.ring.slots != mapped.channel.fields.slots) {
    return Precondition(reason::kObjectUnsuitable,
                        "the ring is not one of the channel's");
  }
  if (HasClaims(mapped.channel.fields.kind, mapped.role)) {
    ASSIGN_OR_RETURN(mapped.claims,
                     MappedClaims::Map(parts.claims.get(), parts.generation,
                                       mapped.ring.slots));
  }
  return mapped;
}

absl::StatusOr<MappedSubscriberParts> MappedSubscriberParts::Map(
    const SubscriberParts& parts) {
  MappedSubscriberParts mapped;
  ASSIGN_OR_RETURN(mapped.channel, MappedChannel::Map(parts.channel.get(),
                                                      /*writable=*/false));
  ASSIGN_OR_RETURN(const Member self,
                   FindMember(mapped.channel, MemberKind::kSubscriber,
                              parts.index, parts.generation));
  mapped.role = self.fields.role;
  mapped.policy = self.fields.policy;
  ASSIGN_OR_RETURN(mapped.page,
                   MappedReaderPage::Map(parts.page.get(), parts.generation,
                                         /*writable=*/true));
  return mapped;
}

layout::MemberRole OtherRole(layout::MemberRole role) {
  switch (role) {
    case layout::MemberRole::kClient:
      return layout::MemberRole::kServer;
    case layout::MemberRole::kServer:
      return layout::MemberRole::kClient;
    default:
      return role;
  }
}

absl::Status ClosedError() {
  return Precondition(reason::kChannelClosed, "the channel was deleted");
}

absl::Status MemberGoneError() {
  return Precondition(reason::kMemberNotFound,
                      "the channel's page does not list this one (any more)");
}

absl::Status NotBorrowedError() {
  return InvalidField("loan", reason::kFieldInvalid,
                      "the place was not borrowed from this publisher, or was "
                      "published");
}

absl::Status MetadataTooLargeError(uint64_t size_bytes, uint64_t room_bytes) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kMessageTooLarge,
               "the metadata does not fit behind what was borrowed")
      .With("metadata_bytes", size_bytes)
      .With("room_bytes", std::min<uint64_t>(room_bytes, kMaxMetadataBytes));
}

absl::Status MessageTooLargeError(uint64_t size_bytes, uint64_t room_bytes) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kMessageTooLarge,
               "the message with its metadata is larger than any that the ring "
               "can hold")
      .With("size_bytes", size_bytes)
      .With("payload_bytes", room_bytes)
      .With("max_metadata_bytes", kMaxMetadataBytes);
}

absl::Status BlockedError() {
  return Error(absl::StatusCode::kDeadlineExceeded, reason::kChannelBlocked,
               "there was no room in the ring before the deadline: a "
               "subscriber does not keep up");
}

absl::Status NoMessageError() {
  return Error(absl::StatusCode::kDeadlineExceeded, reason::kNoMessage,
               "there was no message before the deadline");
}

absl::Status CutOffError() {
  return Precondition(reason::kCutOff,
                      "the subscriber did not keep up and was cut off");
}

absl::Status DamagedError(const MemberId& publisher, uint64_t number) {
  return Error(absl::StatusCode::kDataLoss, reason::kMessageDamaged,
               "a message is not as it was published")
      .With("publisher", publisher.index)
      .With("publisher_generation", publisher.generation)
      .With("number", number);
}

absl::Status HeldError() {
  return Exhausted(reason::kMessagesHeld, "messages that a subscriber holds", 1,
                   0, "messages");
}

absl::Status ClaimLostError() {
  return Precondition(reason::kClaimLost,
                      "the message is no longer this consumer's");
}

uint32_t MessageChecksum(const char* data, uint64_t size_bytes,
                         uint32_t metadata_bytes) {
  return ExtendCrc32c(0, absl::string_view(data, size_bytes + metadata_bytes));
}

uint64_t UnixNanos() { return ReadClockNs(CLOCK_REALTIME); }

}  // namespace shmd
