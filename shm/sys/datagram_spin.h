#ifndef SHMD_SHM_SYS_DATAGRAM_SPIN_H_
#define SHMD_SHM_SYS_DATAGRAM_SPIN_H_

#include <time.h>

#include <cstdint>

#include "base/clock.h"
#include "base/spin_estimate.h"
#include "shm/sys/socket.h"

namespace shmd::sys {

// Looks for the next datagram of a socket before who waits for it sleeps, as
// long as that has paid (docs/adr/0017-spinning.md). Not thread-safe.
class DatagramSpin {
 public:
  explicit DatagramSpin(uint64_t most_ns) : estimate_(most_ns) {}

  // Call before the receive, and NoteEnd when that has ended.
  void Look(int socket) {
    is_paused_ = estimate_.IsPaused();
    if (is_paused_) {
      estimate_.NextNs();
      return;
    }
    begin_ns_ = ReadClockNs(CLOCK_MONOTONIC);
    spin_ns_ = estimate_.NextNs();
    was_there_ = spin_ns_ > 0 && SpinForDatagram(socket, 0);
    has_come_ = was_there_ ||
                (spin_ns_ > 0 && SpinForDatagram(socket, begin_ns_ + spin_ns_));
  }
  void NoteEnd() {
    // What was there before anybody looked tells nothing of whether spinning
    // pays: one who sends two at a time is never waited for, and then long.
    if (is_paused_ || was_there_) return;
    const uint64_t took_ns = ReadClockNs(CLOCK_MONOTONIC) - begin_ns_;
    if (has_come_) {
      estimate_.Came(took_ns);
    } else {
      estimate_.Slept(took_ns, spin_ns_ > 0);
    }
  }

  const SpinEstimate& estimate() const { return estimate_; }

 private:
  SpinEstimate estimate_;
  uint64_t begin_ns_ = 0;
  uint64_t spin_ns_ = 0;
  bool is_paused_ = false;  // it sleeps at once, and no clock is read
  bool was_there_ = false;
  bool has_come_ = false;
};

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_DATAGRAM_SPIN_H_
