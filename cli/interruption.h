#ifndef SHMD_CLI_INTERRUPTION_H_
#define SHMD_CLI_INTERRUPTION_H_

#include <csignal>

namespace shmd::cli {

// While one exists, the first SIGINT or SIGTERM does not end the program but
// is kept for whoever asks, so that what is half done can be undone. A second
// of the same kind ends it, in case that takes too long. What the program was
// started to ignore, as nohup(1) does, stays ignored. One at a time.
class Interruption {
 public:
  Interruption();
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  // The signal that came; 0 when none has.
  int signal() const;

 private:
  struct sigaction old_interrupt_ = {};
  struct sigaction old_terminate_ = {};
};

// Ends the program as `signal` would have, so that a shell knows why. Returns
// its exit code where that does not happen, as in a container's first process.
int EndBySignal(int signal);

}  // namespace shmd::cli

#endif  // SHMD_CLI_INTERRUPTION_H_
