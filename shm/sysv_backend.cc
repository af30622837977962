#include "shm/sysv_backend.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_replace.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/descriptor_object.h"
#include "shm/limits.h"
#include "shm/node_pages.h"
#include "shm/page_store.h"
#include "shm/sys/memory.h"
#include "shm/sys/numa.h"
#include "shm/sys/sysv.h"

namespace shmd {
namespace {

uint64_t ReadBootNumber() {
  std::string text;
  std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), text);
  text = absl::StrReplaceAll(text, {{"-", ""}}).substr(0, 16);
  uint64_t number = 0;
  return absl::SimpleHexAtoi(text, &number) ? number : 0;
}

// Changes with every boot, which a shmid may not.
uint64_t BootNumber() {
  static const uint64_t number = ReadBootNumber();
  return number;
}

uint64_t ResidentBytes(const KernelObject& object, const sys::SysvStat& found) {
  const int id = object.name.sysv_id;
  // Nobody can have touched a page.
  if (!found.ever_attached) return 0;
  return object.page_size_bytes > BasePageSizeBytes()
             ? sys::ShmHugeResidentBytes(id, found.size_bytes)
             : sys::ShmResidentBytes(id).value_or(0);
}

KernelObject SysvObject(int id, uint32_t key, uint64_t page_size_bytes) {
  KernelObject object;
  object.name.backend = BackendKind::kSysv;
  object.name.sysv_id = id;
  object.name.sysv_key = key;
  object.name.inode = BootNumber();
  object.page_size_bytes = page_size_bytes;
  return object;
}

// The segment of `id`, if it has not been removed. A segment that was made
// later has another id, even under the same key.
absl::StatusOr<sys::SysvStat> StatLiving(int id) {
  absl::StatusOr<sys::SysvStat> found = sys::ShmStat(id);
  if (found.ok() && found->removed) {
    return Error(absl::StatusCode::kNotFound, reason::kObjectNotFound,
                 "the System V segment was removed");
  }
  return found;
}

absl::StatusOr<sys::SysvStat> StatSame(const ObjectName& name) {
  const absl::StatusOr<sys::SysvStat> found = StatLiving(name.sysv_id);
  if (!found.ok()) return GoneMeansReplaced(found.status());
  if (found->key != name.sysv_key) return ObjectReplaced();
  return found;
}

// Puts the pages where and when `options` say.
absl::Status PlacePages(int id, const SegmentOptions& options,
                        const PageStore& store) {
  const bool huge = store.kind == PageStore::Kind::kHugePages;
  // As of descriptors: who touches a huge page places it.
  const bool touch = options.allocation == Allocation::kReserved ||
                     options.populate ||
                     (huge && options.numa.mode != NumaMode::kNone);
  if (!touch && options.numa.mode == NumaMode::kNone) return absl::OkStatus();
  ASSIGN_OR_RETURN(const sys::ScopedShmat attached,
                   sys::ScopedShmat::Attach(id, true));
  const uint64_t length_bytes =
      RoundUpToPages(options.size_bytes, options.page_size_bytes);
  if (options.numa.mode != NumaMode::kNone) {
    RETURN_IF_ERROR(
        InFieldIf(reason::kFieldInvalid, "segment.numa_policy.nodes",
                  sys::SetPolicy(attached.data(), length_bytes, options.numa)));
  }
  if (!touch) return absl::OkStatus();
  if (options.huge_page_advice == HugePageAdvice::kWanted) {
    sys::AdviseHugePages(attached.data(), length_bytes, true).IgnoreError();
  }
  return store.Explain(sys::PopulateForWriting(attached.data(), length_bytes),
                       options.size_bytes);
}

absl::Status LockSegment(int id, uint64_t size_bytes) {
  const absl::Status locked = sys::ShmLock(id);
  if (GetErrorReason(locked) != reason::kLockLimitExceeded) return locked;
  RETURN_IF_ERROR(CheckLock(size_bytes));
  return Exhausted(reason::kLockLimitExceeded, "memory that may be locked",
                   size_bytes, 0);
}

absl::StatusOr<int> MakeSegment(const SegmentOptions& options,
                                const PageStore& store) {
  sys::ShmgetRequest request;
  request.key = options.sysv_key;
  request.size_bytes = options.size_bytes;
  request.page_size_bytes = options.page_size_bytes;
  request.mode = kUnfinishedSysvMode;
  request.reserve_nothing = options.allocation == Allocation::kLazy;
  const absl::StatusOr<int> id = sys::ShmCreate(request);
  if (id.ok()) return id;
  if (GetErrorReason(id.status()) != reason::kSysvLimitExceeded) {
    return store.Explain(id.status(), options.size_bytes);
  }
  // Which of the limits it was, unless it has room again.
  RETURN_IF_ERROR(CheckSysv(options.size_bytes));
  return Exhausted(reason::kSysvLimitExceeded, "SHMMNI or SHMALL",
                   options.size_bytes, 0);
}

}  // namespace

absl::StatusOr<KernelObject> SysvBackend::Make(
    const SegmentOptions& options) const {
  if (options.resizable) {
    return BackendUnsupported("a System V segment cannot change its size");
  }
  const PageStore store =
      MemoryStore(options.page_size_bytes, memory_reserve_bytes_);
  RETURN_IF_ERROR(CheckSysv(options.size_bytes));
  RETURN_IF_ERROR(
      store.Check(options.size_bytes, options.allocation, options.populate));
  if (options.lock_in_memory) RETURN_IF_ERROR(CheckLock(options.size_bytes));

  ASSIGN_OR_RETURN(const int id, MakeSegment(options, store));
  auto undo = absl::MakeCleanup([id] { sys::ShmRemove(id).IgnoreError(); });
  RETURN_IF_ERROR(PlacePages(id, options, store));
  if (options.lock_in_memory) {
    RETURN_IF_ERROR(LockSegment(id, options.size_bytes));
  }
  std::move(undo).Cancel();
  return SysvObject(id, options.sysv_key, options.page_size_bytes);
}

absl::Status SysvBackend::Finish(const KernelObject& object,
                                 const SegmentOptions& options) const {
  return sys::ShmSetOwnership(object.name.sysv_id, options.owner, options.group,
                              options.mode);
}

absl::Status SysvBackend::RemoveUnfinished(const AdoptOptions&) const {
  absl::Status first_failure;
  for (const sys::SysvSegment& segment : sys::ShmList()) {
    // Another daemon of ours may be at work on its own.
    if (segment.stat.mode != kUnfinishedSysvMode ||
        segment.creator_uid != geteuid() || segment.stat.attach_count > 0 ||
        segment.creator_pid == 0 || kill(segment.creator_pid, 0) == 0 ||
        errno != ESRCH) {
      continue;
    }
    const absl::Status removed = sys::ShmRemove(segment.id);
    if (GetErrorReason(removed) != reason::kObjectNotFound) {
      first_failure.Update(removed);
    }
  }
  return first_failure;
}

absl::StatusOr<KernelObject> SysvBackend::Adopt(
    const AdoptOptions& options) const {
  int id = -1;
  if (options.sysv_id.has_value()) {
    id = *options.sysv_id;
  } else if (options.sysv_key == 0) {
    return InvalidField("segment.sysv_key", reason::kFieldInvalid,
                        "a private segment is adopted by its id");
  } else {
    ASSIGN_OR_RETURN(id, sys::ShmFind(options.sysv_key));
  }
  ASSIGN_OR_RETURN(const sys::SysvStat found, StatLiving(id));
  if (found.size_bytes == 0) {
    return Error(absl::StatusCode::kFailedPrecondition,
                 reason::kObjectUnsuitable, "it is empty");
  }
  return SysvObject(id, found.key, sys::ShmPageSizeBytes(id));
}

absl::StatusOr<KernelObject> SysvBackend::Reopen(
    const ObjectName& name, uint64_t page_size_bytes) const {
  const absl::StatusOr<sys::SysvStat> found = StatLiving(name.sysv_id);
  if (!found.ok()) {
    // Its key may be another segment's now.
    if (name.sysv_key != 0 && sys::ShmFind(name.sysv_key).ok()) {
      return ObjectReplaced();
    }
    return found.status();
  }
  if (found->key != name.sysv_key || BootNumber() != name.inode) {
    return ObjectReplaced();
  }
  return SysvObject(name.sysv_id, name.sysv_key, page_size_bytes);
}

absl::StatusOr<ObjectRef> SysvBackend::Open(const KernelObject& object,
                                            Access) const {
  RETURN_IF_ERROR(StatSame(object.name).status());
  return ObjectRef(SysvId{object.name.sysv_id});
}

absl::Status SysvBackend::Remove(const KernelObject& object) const {
  const absl::StatusOr<sys::SysvStat> found = StatSame(object.name);
  if (GetErrorReason(found.status()) == reason::kObjectReplaced) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(found.status());
  const absl::Status removed = sys::ShmRemove(object.name.sysv_id);
  if (GetErrorReason(removed) == reason::kObjectNotFound) {
    return absl::OkStatus();
  }
  return removed;
}

absl::Status SysvBackend::Revoke(const KernelObject&) const {
  return BackendUnsupported(
      "a System V segment cannot be taken from its users");
}

absl::Status SysvBackend::Resize(const KernelObject&,
                                 const SegmentOptions&) const {
  return BackendUnsupported("a System V segment cannot change its size");
}

absl::Status SysvBackend::Seal(const KernelObject&, SealExtent) const {
  return BackendUnsupported("only memfd segments can be sealed");
}

absl::Status SysvBackend::SetOwnership(const KernelObject& object, mode_t mode,
                                       uid_t owner, gid_t group) const {
  RETURN_IF_ERROR(StatSame(object.name).status());
  return sys::ShmSetOwnership(object.name.sysv_id, owner, group, mode);
}

absl::Status SysvBackend::Flush(const KernelObject& object, FlushMode, uint64_t,
                                uint64_t) const {
  // Lives in memory: there is nothing to write, if it is there.
  return StatSame(object.name).status();
}

absl::StatusOr<ObjectStatus> SysvBackend::Status(const KernelObject& object,
                                                 bool with_nodes) const {
  ASSIGN_OR_RETURN(const sys::SysvStat found, StatSame(object.name));
  const int id = object.name.sysv_id;
  ObjectStatus status;
  status.size_bytes = found.size_bytes;
  status.page_size_bytes = object.page_size_bytes;
  status.resident_bytes = ResidentBytes(object, found);
  status.kernel_attach_count = found.attach_count;
  if (found.locked) status.locked_bytes = status.resident_bytes;
  status.owner = found.owner;
  status.group = found.group;
  status.mode = found.mode;
  if (with_nodes) {
    ASSIGN_OR_RETURN(status.node_pages, CountSysvNodePages(id, status));
  }
  return status;
}

}  // namespace shmd
