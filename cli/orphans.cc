#include "cli/orphans.h"

#include <cstdio>

#include "cli/format.h"

namespace shmd::cli {

nlohmann::ordered_json OrphanToJson(const Orphan& orphan) {
  nlohmann::ordered_json out;
  out["name"] = orphan.name;
  out["backend"] = BackendName(orphan.backend);
  out["location"] = orphan.location;
  out["resident_bytes"] = orphan.resident_bytes;
  out["size_bytes"] = orphan.size_bytes;
  out["page_size_bytes"] = orphan.page_size_bytes;
  out["owner"] = orphan.owner;
  out["mode"] = OctalMode(orphan.mode);
  out["last_use_time"] = TimeText(orphan.last_use_time);
  if (orphan.backend == BackendKind::kSysv) {
    out["creator_pid"] = orphan.creator_pid;
    out["creator_alive"] = orphan.creator_alive;
  }
  out["evidence"] = orphan.evidence;
  out["hidden_processes"] = orphan.hidden_processes;
  out["etag"] = orphan.etag;
  return out;
}

void PrintOrphan(const Orphan& orphan) {
  printf("%s  %s  %s (%s resident)  of %s, mode %s\n",
         BackendName(orphan.backend), Printable(orphan.location).c_str(),
         HumanSize(orphan.size_bytes).c_str(),
         HumanSize(orphan.resident_bytes).c_str(),
         UserName(orphan.owner).c_str(), OctalMode(orphan.mode).c_str());
  for (const std::string& fact : orphan.evidence) {
    printf("  - %s\n", Printable(fact).c_str());
  }
}

uint64_t ResidentBytes(const std::vector<Orphan>& orphans) {
  uint64_t bytes = 0;
  for (const Orphan& orphan : orphans) bytes += orphan.resident_bytes;
  return bytes;
}

}  // namespace shmd::cli
