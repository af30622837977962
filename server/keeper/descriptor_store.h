#ifndef SHMD_SERVER_KEEPER_DESCRIPTOR_STORE_H_
#define SHMD_SERVER_KEEPER_DESCRIPTOR_STORE_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"
#include "server/keeper/fd_names.h"
#include "server/keeper/notify_socket.h"

namespace shmd {

// A descriptor that was kept while no daemon ran.
struct KeptDescriptor {
  std::string name;
  UniqueFd fd;
};

// Takes what the keeper handed to this process ($LISTEN_FDS), sets
// close-on-exec on it and removes the variables from the environment. Empty
// when nothing was handed to this very process. Call it once, before another
// thread runs and before anything is opened or closed.
absl::StatusOr<std::vector<KeptDescriptor>> TakeListedDescriptors();

// The daemon's side of descriptors that outlive it: they are duplicated into
// systemd's descriptor store, or into Keeper, both of which $NOTIFY_SOCKET
// leads to, and come back from TakeListedDescriptors after a restart.
//
// Every descriptor is stored under a name of its own, which the store picks:
// the keeper can only remove all of a name, and all names together must fit
// into one string of the environment, so they are as short as can be, at most
// three characters. What a descriptor *is* must be known by other means, such
// as the inode or a memfd's own name.
//
// Thread-safe.
class DescriptorStore {
 public:
  struct Settings {
    // How many the keeper takes where it does not say so in $FDSTORE: systemd
    // before 254, which drops the rest without a word. 0: none.
    uint64_t max_descriptors = 0;
    // How long a full queue is waited for.
    absl::Duration deadline = absl::Seconds(2);
  };

  // Connects to $NOTIFY_SOCKET, if there is one, and removes it and $FDSTORE
  // from the environment. The names of `listed` are taken. Call it before
  // another thread runs.
  DescriptorStore(const Settings& settings,
                  absl::Span<const KeptDescriptor> listed);
  DescriptorStore(const DescriptorStore&) = delete;
  DescriptorStore& operator=(const DescriptorStore&) = delete;

  // Whether somebody keeps descriptors. Turns false for good, with a line in
  // the log, when a message finds that the keeper has gone.
  bool available() const;

  // How many descriptors can be kept together, and how many are.
  uint64_t max_descriptors() const;
  uint64_t stored() const;

  // Stores all of `fds` or none, and returns their names in the same order.
  // On return they outlive this process; nobody is waited for. The caller
  // keeps its own. FAILED_PRECONDITION when nobody keeps descriptors;
  // RESOURCE_EXHAUSTED beyond max_descriptors; UNAVAILABLE
  // (KEEPER_UNREACHABLE).
  absl::StatusOr<std::vector<std::string>> Store(absl::Span<const int> fds);

  // Has the keeper close what it keeps under `names`, which were returned by
  // Store or listed. What a full queue keeps from being sent (UNAVAILABLE)
  // stays stored until the next Store or Remove, which sends it first: the
  // caller need not repeat it.
  absl::Status Remove(absl::Span<const std::string> names);

  // Returns when the keeper has read all that was sent before. For tests and
  // for a planned end; UNAVAILABLE after `deadline`.
  absl::Status Barrier(absl::Duration deadline);

  // What a supervisor wants to know. No effect without one.
  void NotifyReady();
  void NotifyStopping();
  void NotifyStatus(absl::string_view text);

 private:
  // Sends the removal of doomed_ and of `names`; what is left is doomed.
  absl::Status RemoveWithDoomed(absl::Span<const std::string> names);
  void GiveBack(absl::Span<const std::string> names);
  absl::Status Send(absl::Span<const OutgoingNotification> notifications,
                    size_t* sent);
  void Notify(std::string text);

  const absl::Duration deadline_;
  UniqueFd socket_;  // set once, in the constructor
  std::atomic<bool> gone_{false};
  mutable absl::Mutex mutex_;
  FdNames names_ ABSL_GUARDED_BY(mutex_);
  // In use, and to be removed.
  std::vector<std::string> doomed_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace shmd

#endif  // SHMD_SERVER_KEEPER_DESCRIPTOR_STORE_H_
