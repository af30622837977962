#ifndef SHMD_SERVER_KEEPER_KEEPER_H_
#define SHMD_SERVER_KEEPER_KEEPER_H_

#include <signal.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "server/keeper/kept_descriptors.h"
#include "server/keeper/notify_socket.h"

namespace shmd {

// The parent process of a daemon where no systemd keeps its descriptors. It
// starts the daemon, takes descriptors from it by the notification protocol
// (server/keeper/descriptor_store.h is the other side), and hands them to the
// next daemon when that one has died.
//
// It believes only its own child, by the kernel's word on each message, and
// gives descriptors to nobody else. It maps nothing. One thread.
class Keeper {
 public:
  struct Settings {
    // The daemon: its path and arguments. The path is looked at anew for each
    // start, so that a newer version takes over; the keeper's own program
    // stands in for it when there is none.
    std::vector<std::string> command;
    // Where the socket is, until the daemon has connected: a folder of the
    // daemon's own.
    std::string folder;
    // The pause before a restart: `first_delay`, doubled with every further
    // start in a row that did not become ready, up to `max_delay`.
    absl::Duration first_delay = absl::Milliseconds(50);
    absl::Duration max_delay = absl::Seconds(5);
    // After so many starts in a row that did not become ready, it gives up.
    int max_failed_starts = 20;
    // After messages it does not look for more for so long: they are safe in
    // the queue, and a wake-up for each would cost the daemon its processor.
    absl::Duration nap = absl::Milliseconds(2);
  };

  explicit Keeper(Settings settings);
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  // Until the daemon has ended for good; returns the exit status for the
  // keeper. That is the daemon's own when it ended by itself with 0, with 2
  // (bad flags), or before it ever became ready; 1 when it was given up. Takes
  // over signals, and raises RLIMIT_NOFILE.
  absl::StatusOr<int> Run();

 private:
  // How a daemon has ended.
  struct End {
    bool by_signal = false;
    int number = 0;  // exit status or signal
  };

  absl::Status SetUp();
  absl::Status Start();
  [[noreturn]] void BecomeDaemon(
      const std::vector<KeptDescriptors::Listed>& listed);
  absl::StatusOr<End> Serve();
  // Reads the queue to its end; whether there was, or may be, anything.
  bool Drain();
  void Take(IncomingNotification message);
  void ReadSignals();
  // Reaps whoever has ended; whether the daemon has.
  bool Reap(End* end);
  void SleepUnlessStopped(absl::Duration delay);

  const Settings settings_;
  std::string own_program_;
  sigset_t old_mask_{};
  UniqueFd signals_;
  std::unique_ptr<KeptDescriptors> kept_;

  // Of the daemon that runs.
  pid_t pid_ = 0;
  std::string socket_path_;
  UniqueFd socket_;
  bool connected_back_ = false;
  bool became_ready_ = false;

  bool ever_ready_ = false;
  bool stop_ = false;
  uint64_t refused_ = 0;
  std::unique_ptr<char[]> buffer_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_KEEPER_KEEPER_H_
