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
    teaches_ = !estimate_.IsPaused();
    spin_ns_ = estimate_.NextNs();
    // Sleeps at once, and no clock is read.
    if (!teaches_) return;
    begin_ns_ = ReadClockNs(CLOCK_MONOTONIC);
    has_come_ = false;
    if (spin_ns_ == 0) return;
    // What was there before anybody looked tells nothing of whether spinning
    // pays: one who sends two at a time is never waited for, and then long.
    teaches_ = !SpinForDatagram(socket, 0);
    if (teaches_) has_come_ = SpinForDatagram(socket, begin_ns_ + spin_ns_);
  }
  void NoteEnd() {
    if (!teaches_) return;
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
  bool teaches_ = false;  // how long this wait takes, whether it spins
  bool has_come_ = false;
};

}  // namespace shmd::sys

#endif  // SHMD_SHM_SYS_DATAGRAM_SPIN_H_
