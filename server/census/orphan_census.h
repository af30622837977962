#ifndef SHMD_SERVER_CENSUS_ORPHAN_CENSUS_H_
#define SHMD_SERVER_CENSUS_ORPHAN_CENSUS_H_

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "server/access/caller.h"
#include "server/census/found_object.h"
#include "server/census/process_scan.h"

namespace shmd {

// An object that nobody seems to use, and why that is thought.
struct Orphan {
  FoundObject object;
  bool creator_alive = false;         // SysV
  std::vector<std::string> evidence;  // one fact each, in words
  uint64_t hidden_processes = 0;      // that may use it all the same
};

// Finds the shared memory that leaked on this host, also from programs that
// never knew shmd, and removes it when told to.
//
// An orphan is an object with a name (in /dev/shm, of System V, on a hugetlbfs
// mount) that is no segment, that no process has mapped or open, and that the
// kernel's own count, where it can be had, says the same of. Memory without a
// name (memfd) ends with its last holder and is never one.
//
// Every call looks anew, one at a time. Thread-safe.
class OrphanCensus {
 public:
  struct Settings {
    // Where shm_open(3) makes objects.
    std::string shm_folder = "/dev/shm";
    // What was used less long ago is listed and never removed: a program may
    // be between making an object and opening it again, and the registry
    // between making a segment and publishing it.
    absl::Duration min_age = absl::Minutes(1);
  };

  // Whether an object is a segment of this daemon.
  using IsSegment = std::function<bool(const ObjectName&)>;

  // Borrows `clock`.
  OrphanCensus(IsSegment is_segment, Clock* clock, Settings settings);

  // What the caller owns; for an administrator all. By id.
  absl::StatusOr<std::vector<Orphan>> List(const Caller& caller);

  // Removes the object `id` if all is still so. A System V segment whose
  // creator may live, and attach it in a moment, is refused unless
  // `allow_living_creator`.
  //
  // What can still happen at the same moment: a file that another program
  // opens behind our last look is unlinked when that program gets it, as if it
  // had opened it a moment earlier. It keeps its memory; only the name is gone.
  // Between the look and the removal are two system calls, during which the
  // kernel holds up whoever opens the file (TakeLease). A System V segment that
  // is attached in that moment stays until it is detached.
  absl::Status Remove(const Caller& caller, const std::string& id,
                      const std::string& etag, bool allow_living_creator);

 private:
  struct Seen;

  absl::StatusOr<std::vector<FoundObject>> FindAll() const;
  absl::StatusOr<Seen> Look(const std::vector<FoundObject>& objects) const;
  // What speaks for `object` being an orphan; nothing when it is none.
  absl::StatusOr<std::optional<Orphan>> Judge(const FoundObject& object,
                                              const Seen& seen) const;
  void AddAge(Orphan& orphan) const;
  bool IsYoung(const FoundObject& object) const;
  absl::Status CheckRemovable(const Orphan& orphan, const Seen& seen) const;
  absl::Status RemoveFile(const FoundObject& object) const;
  absl::Status RemoveSysv(const FoundObject& object) const;

  const IsSegment is_segment_;
  Clock* const clock_;
  const Settings settings_;
  // So that callers at the same time do not take each other for holders, and
  // cannot make the daemon look through /proc on every core.
  absl::Mutex looking_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_CENSUS_ORPHAN_CENSUS_H_
