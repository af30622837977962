#ifndef SHMD_CLIENT_CPP_SEGMENT_H_
#define SHMD_CLIENT_CPP_SEGMENT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "shm/types.h"

namespace shmd {
inline namespace client {

// All of the client library is in the inline namespace `client`: write
// shmd::Client. It keeps a program that also links parts of the daemon from
// mixing up types of one name.
//
// What a program says and hears of segments, as plain values: copy them, and
// read them from as many threads as you like. The proto of the same word
// (protos/shmd/v1/segment.proto) says what each field means and allows.

// What ends a segment besides its deletion and its ttl.
enum class Lifetime : uint8_t {
  kUntilDeleted,
  // The end of the session of the Client that created it.
  kSession,
  // The same, unless it was sealed by then.
  kSessionUntilSealed,
};

// "UNTIL_DELETED", "SESSION", "SESSION_UNTIL_SEALED".
const char* LifetimeName(Lifetime lifetime);

// What to create. Only `size_bytes` must be set.
struct SegmentSpec {
  std::string id;  // last part of the name; empty: the segment's uid
  uint64_t size_bytes = 0;
  BackendKind backend = BackendKind::kMemfd;
  uint64_t page_size_bytes = 0;          // 0: the base page
  std::optional<Allocation> allocation;  // absent: as suits the backend
  bool populate = false;
  bool lock_in_memory = false;
  bool resizable = false;
  std::optional<uint32_t> mode;   // absent: 0600
  std::optional<uint32_t> owner;  // absent: the caller
  std::optional<uint32_t> group;  // absent: the caller's
  std::map<std::string, std::string> labels;
  std::optional<absl::Time> expire_time;
  // In place of expire_time: a lease, which Client::RenewLease puts off.
  std::optional<absl::Duration> ttl;
  Lifetime lifetime = Lifetime::kUntilDeleted;
  std::string posix_name;  // POSIX: with its slash; empty: random
  uint32_t sysv_key = 0;   // SYSV: 0 is IPC_PRIVATE
  std::string file_path;   // MAPPED_FILE
  NumaPolicy numa;
  HugePageAdvice huge_page_advice = HugePageAdvice::kUnspecified;
  SealPolicy seal_policy = SealPolicy::kSealable;
  // Whether DeleteOptions::revoke_memory is allowed. Each program must agree to
  // map it (AttachOptions::allow_revocable). Not SysV, not to be sealed.
  bool revocable = false;
  // The same id twice creates one segment: set it to be able to repeat a
  // Create in another process. Empty: a random one, with which the Client
  // repeats a Create whose answer was lost.
  std::string request_id;
};

// Which object of another program to adopt.
struct AdoptSpec {
  std::string id;  // last part of the name; empty: the segment's uid
  BackendKind backend = BackendKind::kPosix;
  std::string posix_name;
  uint32_t sysv_key = 0;
  std::optional<int32_t> sysv_id;  // in place of a key
  std::string file_path;
  std::map<std::string, std::string> labels;
  std::optional<absl::Time> expire_time;
  std::optional<absl::Duration> ttl;
};

enum class SegmentState : uint8_t {
  kUnspecified,
  kCreating,
  kActive,
  kClosedToWriters,
  kSealed,
  kDeleted,
};

// "ACTIVE", "SEALED", and so on.
const char* SegmentStateName(SegmentState state);

// What the kernel told the daemon of a segment.
struct SegmentStatus {
  uint64_t page_size_bytes = 0;
  uint64_t resident_bytes = 0;
  std::vector<NodePages> node_pages;            // full views only
  std::optional<uint64_t> kernel_attach_count;  // where the kernel counts
  uint64_t attachment_count = 0;
  std::optional<int32_t> sysv_id;
  uint64_t locked_bytes = 0;
  std::vector<std::string> seals;
};

// A segment as the daemon describes it.
struct Segment {
  std::string name;    // namespaces/default/segments/hello
  std::string uid;     // 32 hexadecimal digits
  std::string handle;  // text to pass on; redeemed by Client::Map...
  uint64_t size_bytes = 0;
  BackendKind backend = BackendKind::kMemfd;
  uint64_t page_size_bytes = 0;
  Allocation allocation = Allocation::kLazy;
  uint32_t mode = 0;
  uint32_t owner = 0;
  uint32_t group = 0;
  std::map<std::string, std::string> labels;
  SegmentState state = SegmentState::kUnspecified;
  uint64_t generation = 0;
  absl::Time create_time;
  std::optional<absl::Time> expire_time;
  std::string posix_name;
  uint32_t sysv_key = 0;
  std::string file_path;
  bool resizable = false;
  bool populate = false;
  bool lock_in_memory = false;
  NumaPolicy numa;
  HugePageAdvice huge_page_advice = HugePageAdvice::kUnspecified;
  SealPolicy seal_policy = SealPolicy::kSealable;
  bool revocable = false;
  std::optional<SegmentStatus> status;
  bool adopted = false;
  Lifetime lifetime = Lifetime::kUntilDeleted;
  std::string owner_session;                // whose end is its own
  std::optional<absl::Duration> lease_ttl;  // what RenewLease grants again
  std::string etag;

  // The last part of `name`.
  std::string id() const { return name.substr(name.rfind('/') + 1); }
};

// What to change about a segment; what is absent stays.
struct SegmentUpdate {
  std::optional<std::map<std::string, std::string>> labels;  // all of them
  // One by one, besides the others; nullopt removes the label.
  std::map<std::string, std::optional<std::string>> label_changes;
  std::optional<uint32_t> mode;
  std::optional<uint32_t> owner;
  std::optional<uint32_t> group;
  std::optional<absl::Time> expire_time;
  std::optional<absl::Duration> ttl;  // in place of expire_time
  bool clear_expiration = false;
  std::string etag;  // when set, must be the current one
};

// The daemon and what its host can still give.
struct Node {
  struct HugePagePool {
    uint64_t page_size_bytes = 0;
    uint64_t total_pages = 0;
    uint64_t available_pages = 0;
  };

  uint64_t id = 0;
  std::string version;
  absl::Time start_time;
  uint64_t segment_count = 0;
  uint64_t segment_bytes = 0;
  uint64_t budget_bytes = 0;
  uint64_t memory_available_bytes = 0;
  std::optional<uint64_t> cgroup_available_bytes;
  uint64_t posix_available_bytes = 0;
  std::vector<HugePagePool> huge_page_pools;
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_SEGMENT_H_
