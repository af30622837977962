#include "server/census/orphan_census.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/access/policy.h"
#include "server/census/other_daemons.h"
#include "server/census/process_scan.h"
#include "server/census/sole_holder.h"
#include "shm/sys/errno_table.h"
#include "shm/sys/file.h"
#include "shm/sys/sysv.h"

namespace shmd {
namespace {

bool IsSysv(const FoundObject& object) {
  return object.object.kind == ObjectId::Kind::kSysv;
}

// "3 days", the largest unit alone.
std::string AgeText(absl::Duration age) {
  struct Unit {
    const char* name;
    absl::Duration length;
  };
  const Unit units[] = {{"day", absl::Hours(24)},
                        {"hour", absl::Hours(1)},
                        {"minute", absl::Minutes(1)},
                        {"second", absl::Seconds(1)}};
  for (const Unit& unit : units) {
    const int64_t count = age / unit.length;
    if (count > 0 || unit.length == absl::Seconds(1)) {
      return absl::StrCat(count, " ", unit.name, count == 1 ? "" : "s");
    }
  }
  return "";
}

Error NotFound() {
  return Error(absl::StatusCode::kNotFound, reason::kOrphanNotFound,
               "there is no such object");
}

Error InUse(absl::string_view why) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kOrphanInUse,
               why);
}

absl::Status Replaced() {
  return Error(absl::StatusCode::kAborted, reason::kEtagMismatch,
               "the object was replaced or used since; list it again");
}

// A removal that failed, in words for who asked for it.
absl::Status RemovalStatus(const absl::Status& status) {
  if (GetErrorReason(status) == reason::kObjectNotFound) return NotFound();
  const int error_number = sys::ErrnoOf(status);
  if (error_number == EPERM || error_number == EACCES) {
    return Error(absl::StatusCode::kPermissionDenied, reason::kCallerNotAllowed,
                 "the daemon lacks the privilege to remove another user's "
                 "object");
  }
  return status;
}

// The folder that a file lies in, never through a link.
absl::StatusOr<UniqueFd> OpenFolderOf(const FoundObject& object) {
  const size_t slash = object.path.rfind('/');
  return sys::OpenBelow(
      object.root,
      slash == std::string::npos ? "." : object.path.substr(0, slash),
      O_PATH | O_DIRECTORY);
}

std::string FileName(const FoundObject& object) {
  return object.path.substr(object.path.rfind('/') + 1);
}

// A descriptor of the very object; ETAG_MISMATCH when the name leads to
// another one or it was written since.
absl::StatusOr<UniqueFd> OpenSame(int folder, const FoundObject& object) {
  ASSIGN_OR_RETURN(UniqueFd fd,
                   sys::OpenBeneath(folder, FileName(object), O_RDONLY, 0));
  ASSIGN_OR_RETURN(const sys::FileStat stat, sys::Fstat(fd.get()));
  if (FileObject(stat, object.root, object.path).etag != object.etag) {
    return Replaced();
  }
  return fd;
}

absl::StatusOr<UniqueFd> OpenAgain(const FoundObject& object) {
  ASSIGN_OR_RETURN(const UniqueFd folder, OpenFolderOf(object));
  return OpenSame(folder.get(), object);
}

// Who else holds a file, asked for a moment.
absl::StatusOr<OtherHolders> HoldersOf(const FoundObject& object) {
  const absl::StatusOr<UniqueFd> fd = OpenAgain(object);
  if (fd.ok()) return TakeLease(fd->get());
  RETURN_IF_ERROR(CheckEnoughToLook(sys::ErrnoOf(fd.status()), "open"));
  return OtherHolders::kUnknown;
}

}  // namespace

// What one look has found.
struct OrphanCensus::Seen {
  absl::flat_hash_set<ObjectId> used;
  uint64_t looked_at = 0;
  uint64_t hidden = 0;
  std::vector<OtherDaemon> daemons;
};

OrphanCensus::OrphanCensus(IsSegment is_segment, Clock* clock,
                           Settings settings)
    : is_segment_(std::move(is_segment)),
      clock_(clock),
      settings_(std::move(settings)) {}

absl::StatusOr<std::vector<FoundObject>> OrphanCensus::FindAll() const {
  ASSIGN_OR_RETURN(std::vector<FoundObject> out,
                   FindPosixObjects(settings_.shm_folder));
  ASSIGN_OR_RETURN(std::vector<FoundObject> sysv, FindSysvObjects());
  std::move(sysv.begin(), sysv.end(), std::back_inserter(out));
  ASSIGN_OR_RETURN(std::vector<FoundObject> huge, FindHugetlbfsObjects());
  std::move(huge.begin(), huge.end(), std::back_inserter(out));
  std::sort(out.begin(), out.end(),
            [](const FoundObject& a, const FoundObject& b) {
              return std::tie(a.id, a.path) < std::tie(b.id, b.path);
            });
  // Of a file with several names the first; its memory stays until the last
  // of them is gone.
  out.erase(std::unique(out.begin(), out.end(),
                        [](const FoundObject& a, const FoundObject& b) {
                          return a.id == b.id;
                        }),
            out.end());
  return out;
}

absl::StatusOr<OrphanCensus::Seen> OrphanCensus::Look(
    const std::vector<FoundObject>& objects) const {
  WantedObjects wanted;
  for (const FoundObject& object : objects) {
    // Attachments of System V segments are counted by the kernel.
    if (IsSysv(object)) continue;
    if (std::find(wanted.devices.begin(), wanted.devices.end(),
                  object.object.device) == wanted.devices.end()) {
      wanted.devices.push_back(object.object.device);
    }
  }
  ASSIGN_OR_RETURN(const ProcessScan scan,
                   ScanProcesses(wanted, /*with_descriptors=*/true));
  Seen seen;
  seen.looked_at = scan.looked_at;
  seen.hidden = scan.hidden;
  ASSIGN_OR_RETURN(seen.daemons, FindOtherDaemons());
  for (const ProcessUse& process : scan.uses) {
    for (const auto& [object, use] : process.objects) seen.used.insert(object);
  }
  return seen;
}

bool OrphanCensus::IsYoung(const FoundObject& object) const {
  return clock_->WallTime() - object.last_use < settings_.min_age;
}

void OrphanCensus::AddAge(Orphan& orphan) const {
  const FoundObject& object = orphan.object;
  const std::string age = AgeText(
      std::max(absl::ZeroDuration(), clock_->WallTime() - object.last_use));
  if (!IsSysv(object)) {
    orphan.evidence.push_back(
        absl::StrCat("it was last opened for a mapping, read, written or "
                     "renamed ",
                     age, " ago"));
  } else if (object.ever_attached) {
    orphan.evidence.push_back(absl::StrCat(
        "it was last attached, detached or changed ", age, " ago"));
  } else {
    orphan.evidence.push_back(absl::StrCat(
        "nobody has ever attached it; it was made or changed ", age, " ago"));
  }
  if (IsYoung(object)) {
    orphan.evidence.push_back(absl::StrCat("against it: that is less than ",
                                           AgeText(settings_.min_age),
                                           ", so it is not removed yet"));
  }
}

absl::StatusOr<std::optional<Orphan>> OrphanCensus::Judge(
    const FoundObject& object, const Seen& seen) const {
  if (object.attach_count != 0 || seen.used.contains(object.object) ||
      is_segment_(object.name)) {
    return std::optional<Orphan>();
  }
  Orphan orphan;
  orphan.object = object;
  std::vector<std::string>& evidence = orphan.evidence;
  if (IsSysv(object)) {
    evidence.push_back("the kernel counts no attachment");
    if (object.creator != 0) {
      ASSIGN_OR_RETURN(orphan.creator_alive, IsAlive(object.creator));
    }
    if (orphan.creator_alive) {
      ASSIGN_OR_RETURN(const ProcessFacts facts,
                       ReadProcessFacts(object.creator));
      evidence.push_back(absl::StrCat(
          "against it: process ", object.creator, " (", facts.command,
          ") has the number of its creator, and lives"));
    } else if (object.creator != 0) {
      evidence.push_back(
          absl::StrCat("its creator, process ", object.creator, ", is gone"));
    }
  } else {
    ASSIGN_OR_RETURN(const OtherHolders holders, HoldersOf(object));
    if (holders == OtherHolders::kSome) return std::optional<Orphan>();
    evidence.push_back(absl::StrCat("no process has it mapped or open (",
                                    seen.looked_at, " looked at)"));
    if (holders == OtherHolders::kNone) {
      evidence.push_back(
          "the kernel counts no descriptor or mapping of it, in any container");
    } else if (seen.hidden > 0) {
      orphan.hidden_processes = seen.hidden;
      evidence.push_back(absl::StrCat("against it: ", seen.hidden,
                                      " processes could not be looked into"));
    }
    if (object.name.backend == BackendKind::kPosix &&
        absl::StartsWith(object.path, "sem.")) {
      evidence.push_back("it has the name of a semaphore (sem_open)");
    }
  }
  evidence.push_back("it is no segment of this daemon");
  const std::optional<OtherDaemon> other = PossibleOwner(seen.daemons, object);
  if (other.has_value()) {
    evidence.push_back(
        absl::StrCat("against it: it may be a segment of "
                     "another daemon, process ",
                     other->pid));
  }
  AddAge(orphan);
  return orphan;
}

absl::StatusOr<std::vector<Orphan>> OrphanCensus::List(const Caller& caller) {
  absl::MutexLock lock(&looking_);
  ASSIGN_OR_RETURN(std::vector<FoundObject> objects, FindAll());
  objects.erase(std::remove_if(objects.begin(), objects.end(),
                               [&](const FoundObject& object) {
                                 return !MayManage(caller, {object.owner});
                               }),
                objects.end());
  std::vector<Orphan> out;
  if (objects.empty()) return out;
  ASSIGN_OR_RETURN(const Seen seen, Look(objects));
  for (const FoundObject& object : objects) {
    ASSIGN_OR_RETURN(std::optional<Orphan> orphan, Judge(object, seen));
    if (orphan.has_value()) out.push_back(*std::move(orphan));
  }
  return out;
}

absl::Status OrphanCensus::CheckRemovable(const Orphan& orphan,
                                          const Seen& seen) const {
  if (orphan.hidden_processes > 0) {
    return InUse("a process that the daemon may not look into may use it")
        .With("hidden_processes", orphan.hidden_processes);
  }
  const std::optional<OtherDaemon> other =
      PossibleOwner(seen.daemons, orphan.object);
  if (other.has_value()) {
    return InUse("it may be a segment of another daemon")
        .With("pid", other->pid);
  }
  if (IsYoung(orphan.object)) {
    return InUse(absl::StrCat("it was used less than ",
                              AgeText(settings_.min_age), " ago"))
        .With("min_age_seconds", absl::ToInt64Seconds(settings_.min_age));
  }
  return absl::OkStatus();
}

absl::Status OrphanCensus::Remove(const Caller& caller, const std::string& id,
                                  const std::string& etag,
                                  bool allow_living_creator) {
  absl::MutexLock lock(&looking_);
  ASSIGN_OR_RETURN(const std::vector<FoundObject> objects, FindAll());
  const auto object =
      std::find_if(objects.begin(), objects.end(),
                   [&](const FoundObject& one) { return one.id == id; });
  if (object == objects.end()) return NotFound();
  if (!MayManage(caller, {object->owner})) return CallerNotAllowed(caller);
  ASSIGN_OR_RETURN(const Seen seen, Look({*object}));
  ASSIGN_OR_RETURN(const std::optional<Orphan> orphan, Judge(*object, seen));
  if (!orphan.has_value()) {
    return is_segment_(object->name) ? InUse("it is a segment; delete that")
                                     : InUse("somebody uses it");
  }
  if (object->etag != etag) return Replaced();
  RETURN_IF_ERROR(CheckRemovable(*orphan, seen));
  if (orphan->creator_alive && !allow_living_creator) {
    return InUse("its creator lives, and may be about to attach it")
        .With("creator_pid", object->creator);
  }
  return RemovalStatus(IsSysv(*object) ? RemoveSysv(*object)
                                       : RemoveFile(*object));
}

absl::Status OrphanCensus::RemoveFile(const FoundObject& object) const {
  ASSIGN_OR_RETURN(const UniqueFd folder, OpenFolderOf(object));
  const absl::StatusOr<UniqueFd> fd = OpenSame(folder.get(), object);
  if (!fd.ok()) return fd.status();
  const OtherHolders holders = TakeLease(fd->get());
  if (holders == OtherHolders::kSome) return InUse("somebody uses it");
  if (is_segment_(object.name)) return InUse("it is a segment; delete that");
  ASSIGN_OR_RETURN(const sys::FileStat named,
                   sys::StatIn(folder.get(), FileName(object)));
  if (FileObject(named, object.root, object.path).etag != object.etag) {
    return Replaced();
  }
  if (holders == OtherHolders::kNone && !IsLeaseWhole(fd->get())) {
    return InUse("somebody has just opened it");
  }
  return sys::UnlinkIn(folder.get(), FileName(object));
}

absl::Status OrphanCensus::RemoveSysv(const FoundObject& object) const {
  const int id = object.name.sysv_id;
  ASSIGN_OR_RETURN(const std::vector<FoundObject> now, FindSysvObjects());
  const auto found =
      std::find_if(now.begin(), now.end(),
                   [&](const FoundObject& one) { return one.id == object.id; });
  if (found == now.end()) return NotFound();
  if (found->attach_count != 0) return InUse("somebody uses it");
  if (found->etag != object.etag) return Replaced();
  if (is_segment_(object.name)) return InUse("it is a segment; delete that");
  return sys::ShmRemove(id);
}

}  // namespace shmd
