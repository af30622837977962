#ifndef SHMD_CLIENT_CPP_OBJECT_ARENA_H_
#define SHMD_CLIENT_CPP_OBJECT_ARENA_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "client/cpp/attached.h"
#include "shm/arena/extent_allocator.h"

namespace shmd {
inline namespace client {

// An arena that this program writes, and what it has in it. A place is used
// again when the daemon has said that the object of that generation is gone
// from it: a second word about the same object changes nothing, whatever is
// there by then. Thread-safe, but while it is for one strict object only
// whoever writes that may touch it.
class ObjectArena {
 public:
  // For many objects; or, with what it is mapped from, for one strict object.
  ObjectArena(uint32_t number, WritableAttached memory,
              std::optional<ObjectRef> object);

  uint32_t number() const { return number_; }
  // Null while it is not mapped.
  char* data() const { return static_cast<char*>(memory_.data()); }
  uint64_t size_bytes() const { return size_bytes_; }
  bool is_attached() const { return memory_.is_attached(); }

  // Of a strict one: until MapAgain, nobody can write it by us. What it holds
  // stays.
  void Unmap() { static_cast<WritableMapping&>(memory_) = WritableMapping(); }
  // Elsewhere, perhaps; CALLER_NOT_ALLOWED when it is sealed.
  absl::Status MapAgain();
  // It is for many from now on.
  void Share();
  // The reverse, for one that Share was called of: false unless it is of that
  // size and nothing is in it.
  bool TakeBack(uint64_t size_bytes);

  // None in one that is for a strict object.
  std::optional<Extent> Allocate(uint64_t size_bytes, uint64_t alignment);
  // A draft ends that nobody has heard of.
  void Abandon(uint64_t offset_bytes);
  // A draft was submitted, and nobody knows what became of it: should it be
  // published yet, readers must not see another object's bytes.
  void Doubt(uint64_t offset_bytes);
  // A draft was published as an object of this generation, which is never 0.
  void Publish(uint64_t offset_bytes, uint64_t generation);
  // The object is gone, and nobody has it pinned. May come before the thread
  // that published it has got to Publish.
  void Free(uint64_t offset_bytes, uint64_t generation);

  // What was published here and is not known to be gone.
  struct Published {
    uint64_t offset_bytes = 0;
    uint64_t generation = 0;
  };
  std::vector<Published> AllPublished() const;

  // Gives pages back to the kernel that were not needed for `age_ms`, of runs
  // that are worth a call, and no more than `max_bytes`; how many bytes.
  absl::StatusOr<uint64_t> Trim(uint64_t min_bytes, uint64_t max_bytes,
                                uint32_t age_ms);

  // Of a clock that only ages are told by; wraps. Costs no system call.
  static uint32_t NowMs();

 private:
  enum class State : uint8_t { kDraft, kDoubted, kPublished };
  // In use; the tag of its extent. `generation` of a draft: of an object that
  // is gone from its place, which may be the one that it is about to be; or 0.
  struct Place {
    State state = State::kDraft;
    uint64_t generation = 0;

    static Place Of(uint64_t tag) {
      return {static_cast<State>(tag & 3), tag >> 2};
    }
    uint64_t tag() const {
      return generation << 2 | static_cast<uint64_t>(state);
    }
  };
  static_assert(static_cast<uint8_t>(State::kDraft) == 0);

  void Drop(uint64_t offset_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const uint32_t number_;
  const uint64_t size_bytes_;
  WritableAttached memory_;
  std::optional<ObjectRef> object_;
  const bool has_huge_pages_;
  std::atomic<bool> is_strict_;
  mutable absl::Mutex mutex_;
  ExtentAllocator extents_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_OBJECT_ARENA_H_
