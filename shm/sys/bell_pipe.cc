#include "shm/sys/bell_pipe.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "base/error.h"
#include "base/error_reason.h"

namespace shmd::sys {

absl::StatusOr<BellPipe> CreateBellPipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
    if (errno == EMFILE || errno == ENFILE) {
      return Error(absl::StatusCode::kResourceExhausted,
                   reason::kDescriptorsExhausted,
                   "there is no descriptor left for a pipe");
    }
    return ErrnoStatus(errno, "pipe2");
  }
  BellPipe bell;
  bell.read_end.Reset(ends[0]);
  bell.write_end.Reset(ends[1]);
  return bell;
}

void RingBellPipe(int write_end) {
  // A program that ignores SIGPIPE anyway is the exception, and its signals are
  // not ours to set. So this thread's is held back, and taken if it comes.
  sigset_t pipe_signal;
  sigset_t before;
  sigset_t pending;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  sigpending(&pending);
  if (pthread_sigmask(SIG_BLOCK, &pipe_signal, &before) != 0) return;
  const char byte = 1;
  // A pipe that is full rings already.
  if (write(write_end, &byte, 1) < 0 && errno == EPIPE &&
      sigismember(&pending, SIGPIPE) == 0) {
    const timespec now = {};
    while (sigtimedwait(&pipe_signal, nullptr, &now) < 0 && errno == EINTR) {
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

bool DrainBellPipe(int read_end) {
  char bytes[4096];
  ssize_t count = 0;
  do {
    count = read(read_end, bytes, sizeof(bytes));
  } while (count == static_cast<ssize_t>(sizeof(bytes)));
  return count != 0;
}

}  // namespace shmd::sys
