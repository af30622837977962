#ifndef SHMD_SERVER_CENSUS_PROCESS_SCAN_H_
#define SHMD_SERVER_CENSUS_PROCESS_SCAN_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "server/census/object_id.h"

namespace shmd {

// What a look through /proc is after: inodes of these devices (st_dev), and
// System V segments of this process's IPC namespace.
struct WantedObjects {
  std::vector<uint64_t> devices;
  bool sysv = false;
};

// How one process uses one object.
struct ObjectUse {
  uint64_t mapped_bytes = 0;  // 0: it has a descriptor, and no mapping
  bool writable = false;      // one of the mappings can be written
};

// One process that uses something that was wanted.
struct ProcessUse {
  pid_t pid = 0;
  std::map<ObjectId, ObjectUse> objects;
};

struct ProcessScan {
  std::vector<ProcessUse> uses;  // by pid
  uint64_t looked_at = 0;
  // Processes with memory that this one may not look into.
  uint64_t hidden = 0;
};

// Who looks with too few descriptors or too little memory has not seen all
// there is; nothing is concluded from such a look. DESCRIPTORS_EXHAUSTED for
// the one, KERNEL_REFUSED for the other; OK for every other `error_number`:
// what is looked for is gone, or may not be seen.
absl::Status CheckEnoughToLook(int error_number, absl::string_view call);

// Looks at every process of this pid namespace: what it has mapped, and with
// `with_descriptors` what it has open. Processes that end meanwhile count
// nowhere. What is on its way through a socket, and what processes of other pid
// namespaces hold, is not seen. 100 processes take about a millisecond.
// Thread-safe. KERNEL_REFUSED when there is no /proc; CheckEnoughToLook.
absl::StatusOr<ProcessScan> ScanProcesses(const WantedObjects& wanted,
                                          bool with_descriptors);

// Who a process is.
struct ProcessFacts {
  uid_t uid = 0;          // the real one
  std::string command;    // /proc/PID/comm
  std::string container;  // the last part of its control group's path
};

// What there is to know of `pid`; empty where it has ended. CheckEnoughToLook.
absl::StatusOr<ProcessFacts> ReadProcessFacts(pid_t pid);

// Whether `pid` exists, and is no zombie. CheckEnoughToLook.
absl::StatusOr<bool> IsAlive(pid_t pid);

// The whole of a file of /proc; empty when it is not there or may not be read.
// CheckEnoughToLook.
absl::StatusOr<std::string> ReadProcFile(const std::string& path);

}  // namespace shmd

#endif  // SHMD_SERVER_CENSUS_PROCESS_SCAN_H_
