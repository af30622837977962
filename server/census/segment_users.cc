#include "server/census/segment_users.h"

#include <utility>

#include "base/status_macros.h"
#include "server/census/process_scan.h"

namespace shmd {

absl::StatusOr<ObjectUsers> FindUsers(const ObjectId& object) {
  WantedObjects wanted;
  if (object.kind == ObjectId::Kind::kSysv) {
    wanted.sysv = true;
  } else {
    wanted.devices.push_back(object.device);
  }
  ASSIGN_OR_RETURN(const ProcessScan scan,
                   ScanProcesses(wanted, /*with_descriptors=*/false));
  ObjectUsers out;
  out.hidden_processes = scan.hidden;
  for (const ProcessUse& process : scan.uses) {
    const auto use = process.objects.find(object);
    if (use == process.objects.end() || use->second.mapped_bytes == 0) continue;
    ASSIGN_OR_RETURN(ProcessFacts facts, ReadProcessFacts(process.pid));
    ObjectUser user;
    user.pid = process.pid;
    user.uid = facts.uid;
    user.command = std::move(facts.command);
    user.container = std::move(facts.container);
    user.mapped_bytes = use->second.mapped_bytes;
    user.writable = use->second.writable;
    out.users.push_back(std::move(user));
  }
  return out;
}

}  // namespace shmd
