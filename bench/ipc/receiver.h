#ifndef SHMD_BENCH_IPC_RECEIVER_H_
#define SHMD_BENCH_IPC_RECEIVER_H_

#include <sys/types.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/ipc/transport.h"

namespace shmd::bench {

// Puts this process onto one CPU, where there are enough; senders and
// receivers get different ones.
void PinTo(int cpu);

// A child process that receives for one transport. Ended and reaped with this
// object; the kernel ends it should its parent die first. Move-only.
class Receiver {
 public:
  // Opens `transport` and forks.
  static absl::StatusOr<Receiver> Start(Transport& transport);

  Receiver(Receiver&& other) noexcept;
  Receiver& operator=(Receiver&&) = delete;
  ~Receiver();

 private:
  explicit Receiver(pid_t pid) : pid_(pid) {}

  pid_t pid_;
};

}  // namespace shmd::bench

#endif  // SHMD_BENCH_IPC_RECEIVER_H_
