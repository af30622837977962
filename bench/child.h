#ifndef SHMD_BENCH_CHILD_H_
#define SHMD_BENCH_CHILD_H_

#include <sys/types.h>

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shmd::bench {

// Puts this thread, and those that it will start, onto one CPU, where there
// are enough.
void PinTo(int cpu);

// The same for all threads that another process has now. False when one of
// them could not be moved.
bool PinProcessTo(pid_t pid, int cpu);

// A process that runs one function for ever. Ended and reaped with this
// object; the kernel ends it should its parent die first. Move-only.
class Child {
 public:
  // Forks; no gRPC call may have been made before. `run` returns only to fail,
  // and `name` says in the message who did.
  static absl::StatusOr<Child> Start(const std::string& name,
                                     const std::function<absl::Status()>& run);

  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  ~Child();

  pid_t pid() const { return pid_; }

 private:
  explicit Child(pid_t pid) : pid_(pid) {}

  pid_t pid_;
};

}  // namespace shmd::bench

#endif  // SHMD_BENCH_CHILD_H_
