#ifndef SHMD_SHM_CHANNEL_MESSAGE_H_
#define SHMD_SHM_CHANNEL_MESSAGE_H_

#include <cstdint>
#include <utility>

#include "absl/types/span.h"
#include "shm/arena/extent_allocator.h"
#include "shm/channel/place_allocator.h"

namespace shmd {

// What goes with a payload.
struct MessageOptions {
  absl::Span<const char> metadata;  // up to kMaxMetadataBytes
  // The generation of the only subscriber that is to get it; 0: all.
  uint64_t to = 0;
  uint64_t correlation = 0;  // the caller's own, but in kCall
  uint32_t flags = 0;        // kLastResponse, kErrorResponse
};

// A payload to be copied, for PublishAll.
struct OutgoingMessage {
  absl::Span<const char> payload;
  MessageOptions options;
};

// A place in a publisher's own ring, for the caller to write a message in: it
// is published without being copied, or given back by the destructor. Starts at
// a multiple of 64 bytes, large ones at a page. What is in it is of no meaning.
// Must not outlive its publisher, and is used by the same thread. Move-only.
class Loan {
 public:
  Loan() = default;
  Loan(Loan&& other) noexcept { *this = std::move(other); }
  Loan& operator=(Loan&& other) noexcept {
    if (this == &other) return *this;
    Return();
    places_ = std::exchange(other.places_, nullptr);
    place_ = other.place_;
    data_ = other.data_;
    size_bytes_ = other.size_bytes_;
    return *this;
  }
  ~Loan() { Return(); }

  // False when it was published, moved from, or never borrowed.
  bool valid() const { return places_ != nullptr; }

  char* data() const { return data_; }
  uint64_t size_bytes() const { return size_bytes_; }
  absl::Span<char> span() const { return {data_, size_bytes_}; }

  // Publishes less than was borrowed: the first `size_bytes`, no more than
  // there are.
  void Shrink(uint64_t size_bytes) {
    if (size_bytes < size_bytes_) size_bytes_ = size_bytes;
  }

 private:
  template <typename Memory, typename Wait>
  friend class BasicRingPublisher;
  template <typename Memory, typename Wait>
  friend class BasicRingRoom;

  Loan(PlaceAllocator* places, const Extent& place, char* data,
       uint64_t size_bytes)
      : places_(places), place_(place), data_(data), size_bytes_(size_bytes) {
    ++places->loans;
  }

  void Return() {
    if (places_ == nullptr) return;
    places_->Free(place_);
    --places_->loans;
    places_ = nullptr;
  }
  // The place, which is the publisher's again.
  Extent Take() {
    --places_->loans;
    places_ = nullptr;
    return place_;
  }

  PlaceAllocator* places_ = nullptr;
  Extent place_;
  char* data_ = nullptr;
  uint64_t size_bytes_ = 0;
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_MESSAGE_H_
