#include "server/census/found_object.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/census/open_folder.h"
#include "server/census/proc_text.h"
#include "server/census/process_scan.h"
#include "shm/descriptor_object.h"
#include "shm/sys/errno_table.h"
#include "shm/types.h"

namespace shmd {
namespace {

// A daemon makes an object under such a name and renames it when it is whole.
constexpr absl::string_view kUnfinishedPrefix = ".shmd-";
// More than anybody has; against a mount that grows while it is read.
constexpr size_t kMaxFiles = 100000;
constexpr size_t kMaxDepth = 16;

absl::StatusOr<std::vector<std::string>> NamesIn(int folder) {
  std::vector<std::string> out;
  const OpenFolder entries = OpenFolderAt(folder, ".");
  if (entries == nullptr) {
    RETURN_IF_ERROR(CheckEnoughToLook(errno, "openat"));
    return out;
  }
  while (const dirent* entry = readdir(entries.get())) {
    const absl::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (out.size() == kMaxFiles) break;
    out.emplace_back(name);
  }
  return out;
}

uint64_t Nanoseconds(const timespec& time) {
  return static_cast<uint64_t>(time.tv_sec) * uint64_t{1000000000} +
         static_cast<uint64_t>(time.tv_nsec);
}

// Regular files below `folder`, which is at `path` below `root`.
absl::Status WalkFolder(int folder, const std::string& root,
                        const std::string& path, size_t depth,
                        std::vector<FoundObject>& out) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, NamesIn(folder));
  for (const std::string& name : names) {
    if (out.size() >= kMaxFiles) break;
    const absl::StatusOr<sys::FileStat> stat = sys::StatIn(folder, name);
    if (!stat.ok()) continue;
    const std::string below = path.empty() ? name : path + "/" + name;
    if (S_ISREG(stat->st_mode)) {
      out.push_back(FileObject(*stat, root, below));
    } else if (S_ISDIR(stat->st_mode) && depth < kMaxDepth) {
      const UniqueFd next(openat(
          folder, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (next.valid()) {
        RETURN_IF_ERROR(WalkFolder(next.get(), root, below, depth + 1, out));
      } else {
        RETURN_IF_ERROR(CheckEnoughToLook(errno, "openat"));
      }
    }
  }
  return absl::OkStatus();
}

// A folder of objects; none where it is not there or may not be looked into.
absl::StatusOr<UniqueFd> OpenIfSeen(const std::string& path) {
  absl::StatusOr<UniqueFd> folder = sys::OpenFolder(path);
  if (folder.ok()) return folder;
  RETURN_IF_ERROR(CheckEnoughToLook(sys::ErrnoOf(folder.status()), "open"));
  return UniqueFd();
}

// The size of huge pages where nothing is said.
absl::StatusOr<uint64_t> HugePageSizeBytes() {
  ASSIGN_OR_RETURN(const std::string text, ReadProcFile("/proc/meminfo"));
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    uint64_t kilobytes = 0;
    if (absl::ConsumePrefix(&line, "Hugepagesize:") &&
        absl::ConsumeSuffix(&line, " kB") &&
        absl::SimpleAtoi(line, &kilobytes)) {
      return kilobytes * 1024;
    }
  }
  return BasePageSizeBytes();
}

// The kernel tells the size of the pages to those alone who attach, and that
// would count as a use. Only with huge pages can a segment seem to have more
// memory than it is large: the kernel counts each many times over.
absl::Status SetSysvPages(const SysvRow& row, FoundObject& object) {
  object.page_size_bytes = BasePageSizeBytes();
  object.resident_bytes = row.resident_bytes + row.swapped_bytes;
  if (object.resident_bytes <=
      RoundUpToPages(row.size_bytes, object.page_size_bytes)) {
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(object.page_size_bytes, HugePageSizeBytes());
  object.resident_bytes =
      RoundUpToPages(row.size_bytes, object.page_size_bytes);
  return absl::OkStatus();
}

bool IsNumber(absl::string_view text) {
  uint64_t number = 0;
  return absl::SimpleAtoi(text, &number) && absl::StrCat(number) == text;
}

}  // namespace

FoundObject FileObject(const sys::FileStat& stat, const std::string& root,
                       const std::string& path) {
  FoundObject out;
  out.object = {ObjectId::Kind::kInode, stat.st_dev, stat.st_ino};
  out.name.backend = BackendKind::kPosix;
  SetIdentity(stat, out.name);
  out.id = absl::StrCat("posix-", stat.st_ino);
  out.root = root;
  out.path = path;
  out.location = EscapedName(absl::StrCat("/", path));
  out.size_bytes = static_cast<uint64_t>(stat.st_size);
  out.resident_bytes = static_cast<uint64_t>(stat.st_blocks) * 512;
  out.page_size_bytes = BasePageSizeBytes();
  out.owner = stat.st_uid;
  out.mode = stat.st_mode & 07777;
  const uint64_t last =
      std::max({Nanoseconds(stat.st_atim), Nanoseconds(stat.st_mtim),
                Nanoseconds(stat.st_ctim)});
  out.last_use = absl::FromUnixNanos(static_cast<int64_t>(last));
  // Who only reads it changes nothing, and the time of that is not kept well.
  out.etag = absl::StrFormat("%x-%x-%x-%x-%x", out.name.device, out.name.inode,
                             out.size_bytes, Nanoseconds(stat.st_mtim),
                             Nanoseconds(stat.st_ctim));
  return out;
}

absl::StatusOr<std::vector<FoundObject>> FindPosixObjects(
    const std::string& folder) {
  std::vector<FoundObject> out;
  ASSIGN_OR_RETURN(const UniqueFd open_folder, OpenIfSeen(folder));
  if (!open_folder.valid()) return out;
  ASSIGN_OR_RETURN(const std::vector<std::string> names,
                   NamesIn(open_folder.get()));
  for (const std::string& name : names) {
    if (absl::StartsWith(name, kUnfinishedPrefix)) continue;
    const absl::StatusOr<sys::FileStat> stat =
        sys::StatIn(open_folder.get(), name);
    if (!stat.ok() || !S_ISREG(stat->st_mode)) continue;
    out.push_back(FileObject(*stat, folder, name));
  }
  return out;
}

absl::StatusOr<std::vector<FoundObject>> FindSysvObjects() {
  std::vector<FoundObject> out;
  ASSIGN_OR_RETURN(const std::string table, ReadProcFile("/proc/sysvipc/shm"));
  for (const SysvRow& row : ParseSysvTable(table)) {
    FoundObject object;
    object.object = {ObjectId::Kind::kSysv, 0, static_cast<uint64_t>(row.id)};
    object.name.backend = BackendKind::kSysv;
    object.name.sysv_id = row.id;
    object.id = absl::StrCat("sysv-", row.id);
    object.location = absl::StrFormat("0x%08x", row.key);
    object.size_bytes = row.size_bytes;
    RETURN_IF_ERROR(SetSysvPages(row, object));
    object.owner = row.owner;
    object.mode = row.mode;
    object.last_use = absl::FromUnixSeconds(
        std::max({row.attach_time, row.detach_time, row.change_time}));
    object.ever_attached = row.attach_time != 0;
    object.attach_count = row.attach_count;
    object.creator = row.creator;
    object.etag = absl::StrFormat(
        "%x-%x-%x-%x-%x-%x-%x-%x", row.id, row.key, row.size_bytes, row.creator,
        row.last_user, row.attach_time, row.detach_time, row.change_time);
    out.push_back(std::move(object));
  }
  return out;
}

absl::StatusOr<std::vector<FoundObject>> FindHugetlbfsObjects() {
  std::vector<FoundObject> out;
  ASSIGN_OR_RETURN(const std::string mounts,
                   ReadProcFile("/proc/self/mountinfo"));
  for (const std::string& root : ParseHugetlbfsMounts(mounts)) {
    ASSIGN_OR_RETURN(const UniqueFd folder, OpenIfSeen(root));
    if (!folder.valid()) continue;
    const size_t first = out.size();
    RETURN_IF_ERROR(WalkFolder(folder.get(), root, "", 0, out));
    const absl::StatusOr<sys::FileSystem> system =
        sys::FileSystemOf(folder.get());
    for (size_t i = first; i < out.size(); ++i) {
      FoundObject& object = out[i];
      object.name.backend = BackendKind::kMappedFile;
      object.id = absl::StrCat("hugetlbfs-", object.object.device, "-",
                               object.object.number);
      object.location = EscapedName(absl::StrCat(root, "/", object.path));
      if (system.ok()) object.page_size_bytes = system->block_size_bytes;
    }
  }
  return out;
}

absl::StatusOr<std::string> ParseOrphanName(absl::string_view field,
                                            absl::string_view name) {
  absl::string_view id = name;
  if (absl::ConsumePrefix(&id, "orphans/")) {
    absl::string_view numbers = id;
    if ((absl::ConsumePrefix(&numbers, "posix-") ||
         absl::ConsumePrefix(&numbers, "sysv-")) &&
        IsNumber(numbers)) {
      return std::string(id);
    }
    if (absl::ConsumePrefix(&numbers, "hugetlbfs-")) {
      const std::vector<absl::string_view> parts = absl::StrSplit(numbers, '-');
      if (parts.size() == 2 && IsNumber(parts[0]) && IsNumber(parts[1])) {
        return std::string(id);
      }
    }
  }
  return absl::StatusOr<std::string>(
      InvalidField(field, reason::kNameInvalid,
                   "is not of the form `orphans/{orphan}`")
          .With("name", Excerpt(name, 128)));
}

}  // namespace shmd
