#ifndef SHMD_BENCH_CHILD_H_
#define SHMD_BENCH_CHILD_H_

#include <sched.h>
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

// This thread on the CPUs that another process may use, for as long as the
// object lives: what is compared with that process's work is as near to the
// devices, and to their interrupts, as that is.
class OnCpusOf {
 public:
  explicit OnCpusOf(pid_t pid);
  ~OnCpusOf();
  OnCpusOf(const OnCpusOf&) = delete;
  OnCpusOf& operator=(const OnCpusOf&) = delete;

 private:
  cpu_set_t own_;
};

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
