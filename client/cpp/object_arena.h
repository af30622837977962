#ifndef SHMD_CLIENT_CPP_OBJECT_ARENA_H_
#define SHMD_CLIENT_CPP_OBJECT_ARENA_H_

#include <cstdint>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "client/cpp/attached.h"
#include "shm/arena/extent_allocator.h"

namespace shmd {
inline namespace client {

// An arena that this program writes. Thread-safe.
class ObjectArena {
 public:
  ObjectArena(uint32_t number, WritableAttached memory)
      : number_(number),
        memory_(std::move(memory)),
        extents_(memory_.size_bytes()) {}

  uint32_t number() const { return number_; }
  char* data() const { return static_cast<char*>(memory_.data()); }
  uint64_t size_bytes() const { return memory_.size_bytes(); }
  bool is_attached() const { return memory_.is_attached(); }

  std::optional<Extent> Allocate(uint64_t size_bytes, uint64_t alignment) {
    absl::MutexLock lock(&mutex_);
    return extents_.Allocate(size_bytes, alignment);
  }
  void Free(uint64_t offset_bytes) {
    absl::MutexLock lock(&mutex_);
    extents_.Free(offset_bytes);
  }

 private:
  const uint32_t number_;
  const WritableAttached memory_;
  absl::Mutex mutex_;
  ExtentAllocator extents_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_OBJECT_ARENA_H_
