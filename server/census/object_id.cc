#include "server/census/object_id.h"

#include <variant>

#include "base/status_macros.h"
#include "shm/sys/file.h"

namespace shmd {

absl::StatusOr<ObjectId> IdOf(const ObjectRef& object) {
  if (const auto* sysv = std::get_if<SysvId>(&object)) {
    return ObjectId{ObjectId::Kind::kSysv, 0, static_cast<uint64_t>(sysv->id)};
  }
  ASSIGN_OR_RETURN(const sys::FileStat found,
                   sys::Fstat(std::get<UniqueFd>(object).get()));
  return ObjectId{ObjectId::Kind::kInode, found.st_dev, found.st_ino};
}

}  // namespace shmd
