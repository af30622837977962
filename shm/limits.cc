#include "shm/limits.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <mutex>
#include <sstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/cgroup_limits.h"
#include "shm/sys/sysv_limits.h"
#include "shm/types.h"

namespace shmd {
namespace {

constexpr char kHugePageFolder[] = "/sys/kernel/mm/hugepages";
constexpr char kPosixFolder[] = "/dev/shm";

std::string ReadWhole(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

uint64_t NumberOrZero(const std::string& path) {
  uint64_t value = 0;
  const std::string text = ReadWhole(path);
  return absl::SimpleAtoi(text, &value) ? value : 0;
}

// The number behind `key` in text of the form "Key:   123 kB".
bool FindKilobytes(absl::string_view text, absl::string_view key,
                   uint64_t* bytes) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::ConsumePrefix(&line, key)) continue;
    line = absl::StripAsciiWhitespace(line);
    absl::ConsumeSuffix(&line, " kB");
    uint64_t kilobytes = 0;
    if (!absl::SimpleAtoi(line, &kilobytes)) return false;
    *bytes = kilobytes * 1024;
    return true;
  }
  return false;
}

bool HasIpcLockCapability() {
  constexpr int kCapIpcLock = 14;  // include/uapi/linux/capability.h
  const std::string text = ReadWhole("/proc/self/status");
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    uint64_t bits = 0;
    if (absl::ConsumePrefix(&line, "CapEff:")) {
      return absl::SimpleHexAtoi(absl::StripAsciiWhitespace(line), &bits) &&
             ((bits >> kCapIpcLock) & 1) != 0;
    }
  }
  return false;
}

uint64_t ReadLockedBytes() {
  uint64_t bytes = 0;
  FindKilobytes(ReadWhole("/proc/self/status"), "VmLck:", &bytes);
  return bytes;
}

absl::Status CheckSpace(const std::string& path, uint64_t bytes,
                        const char* reason, const char* limit) {
  ASSIGN_OR_RETURN(const uint64_t available,
                   ReadFileSystemAvailableBytes(path));
  if (bytes > available) return Exhausted(reason, limit, bytes, available);
  return absl::OkStatus();
}

// What was left at the last look, less what was granted since. Looking anew
// takes several files, longer than a small reservation itself, so that those
// make do with a look that is a moment old: too short for others to use up the
// reserve that every check leaves, or the rest of which this is a small part.
// It only ever grants; refusals, and their numbers, are always from a new look.
// Thread-safe.
class MemoryReading {
 public:
  void Set(std::chrono::steady_clock::time_point read_at, uint64_t memory_bytes,
           uint64_t cgroup_bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (read_at < read_at_) return;
    read_at_ = read_at;
    memory_bytes_ = memory_bytes;
    cgroup_bytes_ = cgroup_bytes;
  }

  // False when a new look is needed.
  bool Take(uint64_t bytes, uint64_t reserve_bytes) {
    constexpr auto kMoment = std::chrono::milliseconds(2);
    constexpr uint64_t kSmallBytes = 256 << 10;
    constexpr uint64_t kSmallPart = 64;
    const auto now = std::chrono::steady_clock::now();
    const std::lock_guard<std::mutex> lock(mutex_);
    if (now - read_at_ > kMoment || memory_bytes_ < reserve_bytes) {
      return false;
    }
    const uint64_t spare =
        std::min(memory_bytes_ - reserve_bytes, cgroup_bytes_);
    if (bytes > spare || bytes > std::max(kSmallBytes, spare / kSmallPart)) {
      return false;
    }
    memory_bytes_ -= bytes;
    if (cgroup_bytes_ != UINT64_MAX) cgroup_bytes_ -= bytes;
    return true;
  }

 private:
  std::mutex mutex_;
  std::chrono::steady_clock::time_point read_at_{};
  uint64_t memory_bytes_ = 0;
  uint64_t cgroup_bytes_ = 0;
};

// In which cgroup this process is, and where its files are: as the kernel said
// at most a second ago, because a list of mounts takes longer to read than a
// limit, and processes are seldom moved. Thread-safe.
class CgroupPlace {
 public:
  // The texts of /proc/self/cgroup and /proc/self/mounts.
  std::pair<std::string, std::string> Read() {
    const auto now = std::chrono::steady_clock::now();
    const std::lock_guard<std::mutex> lock(mutex_);
    if (cgroup_.empty() || now - read_at_ > std::chrono::seconds(1)) {
      read_at_ = now;
      cgroup_ = ReadWhole("/proc/self/cgroup");
      mounts_ = ReadWhole("/proc/self/mounts");
    }
    return {cgroup_, mounts_};
  }

 private:
  std::mutex mutex_;
  std::chrono::steady_clock::time_point read_at_{};
  std::string cgroup_;
  std::string mounts_;
};

}  // namespace

std::vector<HugePagePool> ReadHugePagePools() {
  std::vector<HugePagePool> pools;
  DIR* const folder = opendir(kHugePageFolder);
  if (folder == nullptr) return pools;
  while (const dirent* entry = readdir(folder)) {
    absl::string_view name = entry->d_name;
    uint64_t kilobytes = 0;
    if (!absl::ConsumePrefix(&name, "hugepages-") ||
        !absl::ConsumeSuffix(&name, "kB") ||
        !absl::SimpleAtoi(name, &kilobytes)) {
      continue;
    }
    const std::string pool_folder =
        absl::StrCat(kHugePageFolder, "/", entry->d_name, "/");
    HugePagePool pool;
    pool.page_size_bytes = kilobytes * 1024;
    pool.total_pages = NumberOrZero(pool_folder + "nr_hugepages");
    const uint64_t free_pages = NumberOrZero(pool_folder + "free_hugepages");
    const uint64_t promised = NumberOrZero(pool_folder + "resv_hugepages");
    pool.available_pages = free_pages > promised ? free_pages - promised : 0;
    pools.push_back(pool);
  }
  closedir(folder);
  std::sort(pools.begin(), pools.end(),
            [](const HugePagePool& a, const HugePagePool& b) {
              return a.page_size_bytes < b.page_size_bytes;
            });
  return pools;
}

absl::StatusOr<uint64_t> ReadMemoryAvailableBytes() {
  uint64_t bytes = 0;
  if (!FindKilobytes(ReadWhole("/proc/meminfo"), "MemAvailable:", &bytes)) {
    return Error(absl::StatusCode::kInternal, reason::kKernelRefused,
                 "/proc/meminfo could not be read");
  }
  return bytes;
}

std::optional<uint64_t> ReadCgroupAvailableBytes() {
  static CgroupPlace place;
  const auto [cgroup, mounts] = place.Read();
  return CgroupAvailableBytes(cgroup, mounts);
}

absl::StatusOr<uint64_t> ReadFileSystemAvailableBytes(const std::string& path) {
  struct statvfs space {};
  if (statvfs(path.c_str(), &space) != 0) return ErrnoStatus(errno, "statvfs");
  const uint64_t blocks = geteuid() == 0 ? space.f_bfree : space.f_bavail;
  // A tmpfs without a limit says 0 blocks in all.
  if (space.f_blocks == 0) return ReadMemoryAvailableBytes();
  return blocks * space.f_frsize;
}

absl::StatusOr<uint64_t> ReadPosixAvailableBytes() {
  return ReadFileSystemAvailableBytes(kPosixFolder);
}

absl::Status CheckMemory(uint64_t bytes, uint64_t reserve_bytes) {
  static MemoryReading reading;
  if (reading.Take(bytes, reserve_bytes)) return absl::OkStatus();
  const auto read_at = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(const uint64_t memory, ReadMemoryAvailableBytes());
  const uint64_t spare = memory > reserve_bytes ? memory - reserve_bytes : 0;
  if (bytes > spare) {
    return Exhausted(reason::kMemoryExhausted,
                     "the host's available memory less its reserve", bytes,
                     spare);
  }
  const std::optional<uint64_t> cgroup = ReadCgroupAvailableBytes();
  // The daemon's own pages are charged to the same cgroup.
  constexpr uint64_t kOwnNeedsBytes = 4 << 20;
  uint64_t room = UINT64_MAX;
  if (cgroup.has_value()) {
    room = *cgroup > kOwnNeedsBytes ? *cgroup - kOwnNeedsBytes : 0;
  }
  if (bytes > room) {
    return Exhausted(reason::kCgroupLimitExceeded, "the memory cgroup", bytes,
                     room);
  }
  reading.Set(read_at, memory - bytes,
              cgroup.has_value() ? room - bytes : UINT64_MAX);
  return absl::OkStatus();
}

absl::Status CheckPosixSpace(uint64_t bytes) {
  return CheckSpace(kPosixFolder, bytes, reason::kShmSpaceExhausted,
                    "the tmpfs of POSIX shared memory");
}

absl::Status CheckFileSpace(const std::string& path, uint64_t bytes) {
  return CheckSpace(path, bytes, reason::kFileSpaceExhausted,
                    "the file system of the root");
}

absl::Status CheckFileSize(uint64_t size_bytes) {
  rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0) {
    return ErrnoStatus(errno, "getrlimit");
  }
  if (limit.rlim_cur != RLIM_INFINITY && size_bytes > limit.rlim_cur) {
    return Exhausted(reason::kFileSizeLimitExceeded,
                     "RLIMIT_FSIZE of the daemon", size_bytes, limit.rlim_cur);
  }
  return absl::OkStatus();
}

absl::Status CheckHugePages(uint64_t page_size_bytes, uint64_t size_bytes) {
  for (const HugePagePool& pool : ReadHugePagePools()) {
    if (pool.page_size_bytes != page_size_bytes) continue;
    const uint64_t pages = (size_bytes + page_size_bytes - 1) / page_size_bytes;
    if (pages <= pool.available_pages) return absl::OkStatus();
    return Exhausted(reason::kHugepagesExhausted,
                     "the kernel's pool (vm.nr_hugepages)", pages,
                     pool.available_pages, "pages")
        .With("page_size_bytes", page_size_bytes);
  }
  return InvalidField("segment.page_size_bytes", reason::kPageSizeMismatch,
                      "this kernel has no pages of that size")
      .With("page_size_bytes", page_size_bytes);
}

absl::Status CheckSysv(uint64_t size_bytes) {
  ASSIGN_OR_RETURN(const sys::SysvLimits limits, sys::ReadSysvLimits());
  if (size_bytes > limits.max_segment_bytes) {
    return Exhausted(reason::kSysvLimitExceeded, "SHMMAX", size_bytes,
                     limits.max_segment_bytes);
  }
  if (limits.used_segments >= limits.max_segments) {
    return Exhausted(reason::kSysvLimitExceeded, "SHMMNI", 1, 0, "segments");
  }
  const uint64_t pages =
      RoundUpToPages(size_bytes, BasePageSizeBytes()) / BasePageSizeBytes();
  const uint64_t left = limits.max_total_pages > limits.used_pages
                            ? limits.max_total_pages - limits.used_pages
                            : 0;
  if (pages > left) {
    return Exhausted(reason::kSysvLimitExceeded, "SHMALL", pages, left,
                     "pages");
  }
  return absl::OkStatus();
}

absl::Status CheckLock(uint64_t bytes) {
  rlimit limit{};
  if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
    return ErrnoStatus(errno, "getrlimit");
  }
  if (limit.rlim_cur == RLIM_INFINITY || HasIpcLockCapability()) {
    return absl::OkStatus();
  }
  const uint64_t locked = ReadLockedBytes();
  const uint64_t left = limit.rlim_cur > locked ? limit.rlim_cur - locked : 0;
  if (bytes > left) {
    return Exhausted(reason::kLockLimitExceeded, "RLIMIT_MEMLOCK", bytes, left);
  }
  return absl::OkStatus();
}

}  // namespace shmd
