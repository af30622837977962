#ifndef SHMD_SHM_CHANNEL_DESCRIPTOR_BELL_H_
#define SHMD_SHM_CHANNEL_DESCRIPTOR_BELL_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "shm/channel/channel_view.h"
#include "shm/channel/open_part.h"
#include "shm/sys/bell_pipe.h"

namespace shmd {

// The pipe of a subscriber that sleeps on a descriptor, as somebody has it who
// wakes it: asked for when it is first rung. Not thread-safe.
class DescriptorBell {
 public:
  // False when it could not be had for now, so that it is to be rung again. It
  // is not asked for again at once: who says that it sleeps so, and has no
  // pipe, costs no more than this. `now_ns` only goes forward.
  bool Ring(const OpenPart& open, const MemberId& subscriber, uint64_t now_ns) {
    if (!end_.valid()) {
      if (now_ns < next_try_ns_) return false;
      absl::StatusOr<UniqueFd> end =
          open({PartKind::kBell, subscriber.index, subscriber.generation});
      if (!end.ok()) {
        next_try_ns_ = now_ns + static_cast<uint64_t>(
                                    absl::ToInt64Nanoseconds(kPartRetryAfter));
        // Who has left sleeps no more.
        return absl::IsNotFound(end.status());
      }
      end_ = *std::move(end);
    }
    sys::RingBellPipe(end_.get());
    return true;
  }

  // The daemon is there again, perhaps: the next ring asks at once.
  void TryAgain() { next_try_ns_ = 0; }

 private:
  UniqueFd end_;
  uint64_t next_try_ns_ = 0;
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_DESCRIPTOR_BELL_H_
