#include "bench/ipc/receiver.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <thread>
#include <utility>

#include "base/error.h"
#include "base/status_macros.h"

namespace shmd::bench {

void PinTo(int cpu) {
  if (static_cast<unsigned>(cpu) >= std::thread::hardware_concurrency()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  // Only a wish: a container may allow other CPUs than these.
  (void)sched_setaffinity(0, sizeof set, &set);
}

absl::StatusOr<Receiver> Receiver::Start(Transport& transport) {
  RETURN_IF_ERROR(transport.Open());
  const pid_t pid = fork();
  if (pid < 0) return ErrnoStatus(errno, "fork");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    PinTo(1);
    const absl::Status status = transport.Receive();
    const std::string text(status.message());
    fprintf(stderr, "receiver of %s: %s\n", transport.name().c_str(),
            text.c_str());
    _exit(1);
  }
  return Receiver(pid);
}

Receiver::Receiver(Receiver&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)) {}

Receiver::~Receiver() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

}  // namespace shmd::bench
