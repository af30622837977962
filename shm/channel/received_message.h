#ifndef SHMD_SHM_CHANNEL_RECEIVED_MESSAGE_H_
#define SHMD_SHM_CHANNEL_RECEIVED_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "shm/channel/channel_view.h"
#include "shm/channel/member_parts.h"
#include "shm/channel/ring_source.h"
#include "shm/layout/channel_layout.h"

namespace shmd {

// A message that was received: in place, in its publisher's ring, which stays
// as it is until this is destroyed, in any order, unless the publisher breaks
// the rules: what must not change while it is looked at has to be copied.
// In a queue, and for servers, it is given back by the destructor unless it was
// acknowledged. Must not outlive its subscriber, and is used by the same
// thread. Move-only.
template <typename Memory, typename Wait>
class BasicReceivedMessage {
 public:
  using Source = BasicRingSource<Memory, Wait>;

  BasicReceivedMessage() = default;
  BasicReceivedMessage(BasicReceivedMessage&& other) noexcept
      : source_(std::exchange(other.source_, nullptr)),
        publisher_(other.publisher_),
        taken_(other.taken_),
        is_claimed_(other.is_claimed_),
        copy_(std::move(other.copy_)) {}
  BasicReceivedMessage& operator=(BasicReceivedMessage&& other) noexcept {
    if (this == &other) return *this;
    Release();
    source_ = std::exchange(other.source_, nullptr);
    publisher_ = other.publisher_;
    taken_ = other.taken_;
    is_claimed_ = other.is_claimed_;
    copy_ = std::move(other.copy_);
    return *this;
  }
  ~BasicReceivedMessage() { Release(); }

  // False when it was released, acknowledged, given back or moved from; then
  // there is no payload any more.
  bool valid() const { return source_ != nullptr || copy_ != nullptr; }

  const char* data() const { return taken_.data; }
  uint64_t size_bytes() const { return taken_.fields.size_bytes; }
  absl::Span<const char> payload() const {
    return {taken_.data, taken_.fields.size_bytes};
  }
  absl::Span<const char> metadata() const {
    return {taken_.data + taken_.fields.size_bytes,
            taken_.fields.metadata_bytes};
  }
  // Counted from 0, by its publisher.
  uint64_t number() const { return taken_.number; }
  const MemberId& publisher() const { return publisher_; }
  uint64_t publish_time_ns() const { return taken_.fields.time_ns; }
  uint64_t to() const { return taken_.fields.to; }
  uint64_t correlation() const { return taken_.fields.correlation; }
  uint32_t flags() const { return taken_.fields.flags; }
  // Messages of the same publisher that were gone since the last one.
  uint64_t lost_before() const { return taken_.lost; }

  // In a queue: it is done, and nobody else gets it. CLAIM_LOST when it was not
  // this consumer's any more.
  absl::Status Acknowledge() { return Finish(layout::ClaimState::kDone); }
  // In a queue: another consumer, or this one, gets it again.
  absl::Status GiveBack() { return Finish(layout::ClaimState::kFree); }
  // In a queue: whether it is still this consumer's. For servers: false when
  // the client has cancelled the call.
  bool IsMine() const {
    return source_ != nullptr && is_claimed_ && source_->IsMine(taken_.number);
  }

  // Copies payload and metadata, so that nobody waits for this any more, and it
  // may outlive its subscriber. Nothing happens to what has to be acknowledged.
  void Detach() {
    if (source_ == nullptr || is_claimed_) return;
    const size_t bytes =
        taken_.fields.size_bytes + taken_.fields.metadata_bytes;
    copy_ = std::make_unique<char[]>(bytes);
    if (bytes > 0) std::memcpy(copy_.get(), taken_.data, bytes);
    taken_.data = copy_.get();
    std::exchange(source_, nullptr)->Release(taken_);
  }

  // What the destructor does.
  void Release() {
    copy_.reset();
    if (source_ == nullptr) return;
    if (is_claimed_) {
      source_->Finish(taken_, layout::ClaimState::kFree);
    } else {
      source_->Release(taken_);
    }
    source_ = nullptr;
  }

 private:
  template <typename M, typename W>
  friend class BasicRingSubscriber;

  absl::Status Finish(layout::ClaimState state) {
    if (source_ == nullptr || !is_claimed_) return ClaimLostError();
    Source* const source = std::exchange(source_, nullptr);
    return source->Finish(taken_, state) ? absl::OkStatus() : ClaimLostError();
  }

  Source* source_ = nullptr;
  MemberId publisher_;
  TakenMessage taken_;
  bool is_claimed_ = false;
  std::unique_ptr<char[]> copy_;  // of a detached one
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_RECEIVED_MESSAGE_H_
