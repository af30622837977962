#ifndef SHMD_SERVER_ACCESS_CALLER_H_
#define SHMD_SERVER_ACCESS_CALLER_H_

#include <sys/types.h>

#include <string>
#include <vector>

namespace shmd {

// Who makes a request, by the kernel's word on its connection. A plain value.
struct Caller {
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
  std::vector<gid_t> groups;
  pid_t pid = 0;
  bool is_administrator = false;
  // Of the client certificate; none over a Unix socket.
  std::vector<std::string> certificate_names;
};

}  // namespace shmd

#endif  // SHMD_SERVER_ACCESS_CALLER_H_
