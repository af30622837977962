#ifndef SHMD_SERVER_RPC_WAIT_SLOTS_H_
#define SHMD_SERVER_RPC_WAIT_SLOTS_H_

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"

namespace shmd {

// How many calls may wait for something to happen: each holds a thread until
// then, also when its caller has gone, and others need threads too. No user can
// take them all. Thread-safe.
class WaitSlots {
 public:
  // Of all the threads of CallQueue half.
  static constexpr size_t kAll = 32;
  static constexpr size_t kOfOneUser = 16;

  // Gives it back at its end. Move-only.
  class Slot {
   public:
    Slot(WaitSlots* slots, uid_t uid) : slots_(slots), uid_(uid) {}
    Slot(Slot&& other) noexcept
        : slots_(std::exchange(other.slots_, nullptr)), uid_(other.uid_) {}
    Slot& operator=(Slot&&) = delete;
    ~Slot() {
      if (slots_ != nullptr) slots_->GiveBack(uid_);
    }

   private:
    WaitSlots* slots_;
    const uid_t uid_;
  };

  // nullopt when too many wait.
  std::optional<Slot> Take(uid_t uid) {
    absl::MutexLock lock(&mutex_);
    size_t& of_user = waiting_[uid];
    if (of_user >= kOfOneUser || all_ >= kAll) {
      if (of_user == 0) waiting_.erase(uid);
      return std::nullopt;
    }
    ++of_user;
    ++all_;
    return Slot(this, uid);
  }

 private:
  void GiveBack(uid_t uid) {
    absl::MutexLock lock(&mutex_);
    --all_;
    const auto of_user = waiting_.find(uid);
    if (--of_user->second == 0) waiting_.erase(of_user);
  }

  absl::Mutex mutex_;
  size_t all_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::flat_hash_map<uid_t, size_t> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_WAIT_SLOTS_H_
