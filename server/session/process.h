#ifndef SHMD_SERVER_SESSION_PROCESS_H_
#define SHMD_SERVER_SESSION_PROCESS_H_

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/unique_fd.h"

namespace shmd {

// One process, told apart from every other that had or will have its number.
struct Process {
  pid_t pid = 0;  // 0: it has no number in our pid namespace
  // When it started, in clock ticks since boot (/proc/PID/stat, field 22; see
  // proc(5)); 0 when that cannot be seen.
  uint64_t start_ticks = 0;
  std::string command;  // /proc/PID/comm; empty when it cannot be seen
};

// What /proc tells of `pid` now. Tells nothing of whether it still is who one
// thinks: hold a pidfd before, and look whether it lives after.
Process LookAtProcess(pid_t pid);

// A pidfd (pidfd_open(2)) of the process that `earlier` was; invalid when it
// has ended, also when another has its number now.
UniqueFd OpenProcess(const Process& earlier);

// Whether the process of a pidfd has ended: such a pidfd polls as readable.
bool HasEnded(int pidfd);

}  // namespace shmd

#endif  // SHMD_SERVER_SESSION_PROCESS_H_
