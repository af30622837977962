#ifndef SHMD_SHM_TYPES_H_
#define SHMD_SHM_TYPES_H_

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace shmd {

// The plain vocabulary of segments, free of protobuf. The proto of the same
// word (protos/shmd/v1/segment.proto) says what each means.

enum class BackendKind : uint8_t { kMemfd, kPosix, kSysv, kMappedFile };

// "MEMFD", "POSIX", "SYSV", "MAPPED_FILE".
const char* BackendName(BackendKind kind);

enum class Access : uint8_t { kRead = 1, kReadWrite = 2 };

enum class Allocation : uint8_t { kLazy, kReserved };

enum class HugePageAdvice : uint8_t { kUnspecified, kWanted, kUnwanted };

enum class SealPolicy : uint8_t { kSealable, kNeverSealed };

enum class SealExtent : uint8_t { kAllWrites, kNewWriters };

enum class FlushMode : uint8_t { kSynchronous, kAsynchronous, kInvalidate };

enum class NumaMode : uint8_t { kNone, kBind, kInterleave, kPreferred };

struct NumaPolicy {
  NumaMode mode = NumaMode::kNone;
  std::vector<uint32_t> nodes;
};

inline constexpr size_t kMaxNamespaceBytes = 63;

// A segment's random identity.
using Uid = std::array<uint8_t, 16>;

// 32 lower-case hexadecimal digits.
std::string UidToHex(const Uid& uid);

// The reverse; nullopt for anything else.
std::optional<Uid> UidFromHex(absl::string_view hex);

// From the kernel's random numbers.
Uid RandomUid();

// As many, for the price of one system call.
std::vector<Uid> RandomUids(size_t count);

// The page size of ordinary mappings, 4096 on x86-64.
uint64_t BasePageSizeBytes();

// `size_bytes` rounded up to whole pages; no overflow below 2^63.
uint64_t RoundUpToPages(uint64_t size_bytes, uint64_t page_size_bytes);

inline constexpr uint64_t kMaxSegmentSizeBytes = uint64_t{1} << 46;  // 64 TiB

// What to make. Filled and checked for form by the caller; whether the kernel
// can do it is the backend's to say.
struct SegmentOptions {
  BackendKind backend = BackendKind::kMemfd;
  uint64_t size_bytes = 0;
  uint64_t page_size_bytes = 0;  // never 0 once it reaches a backend
  Allocation allocation = Allocation::kLazy;
  bool populate = false;        // with kReserved only
  bool lock_in_memory = false;  // with populate only
  bool resizable = false;
  bool revocable = false;  // Backend::Revoke may be called
  mode_t mode = 0600;
  uid_t owner = 0;
  gid_t group = 0;
  NumaPolicy numa;
  HugePageAdvice huge_page_advice = HugePageAdvice::kUnspecified;
  // Whether a memfd without pages may be made when it is opened first.
  bool may_be_late = false;
  SealPolicy seal_policy = SealPolicy::kSealable;
  std::string posix_name;  // with its slash; empty: random
  uint32_t sysv_key = 0;   // 0: IPC_PRIVATE
  std::string file_path;   // as the caller gave it
};

// Which object of another program to take up.
struct AdoptOptions {
  BackendKind backend = BackendKind::kPosix;
  std::string posix_name;
  uint32_t sysv_key = 0;
  std::optional<int> sysv_id;  // in place of a key
  std::string file_path;
};

struct NodePages {
  uint32_t node = 0;
  uint64_t pages = 0;
};

// What the kernel tells of an object.
struct ObjectStatus {
  uint64_t size_bytes = 0;
  uint64_t page_size_bytes = 0;
  uint64_t resident_bytes = 0;
  std::optional<uint64_t> kernel_attach_count;
  int seals = 0;
  uint64_t locked_bytes = 0;
  std::vector<NodePages> node_pages;  // only when asked for
  uid_t owner = 0;
  gid_t group = 0;
  mode_t mode = 0;
};

}  // namespace shmd

#endif  // SHMD_SHM_TYPES_H_
