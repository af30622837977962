#ifndef SHMD_SERVER_REGISTRY_NAMESPACE_TABLE_H_
#define SHMD_SERVER_REGISTRY_NAMESPACE_TABLE_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/access/caller.h"

namespace shmd {

inline constexpr size_t kMaxNamespaces = 1000;
inline constexpr size_t kMaxEntrants = 1000;  // in each list
inline constexpr size_t kMaxUidUsages = 1000;
// As a limit: none.
inline constexpr uint64_t kUnlimited = UINT64_MAX;

// What a namespace gives (Quota in namespace.proto): as usage, or as limits.
struct Amounts {
  uint64_t bytes = 0;
  uint64_t segments = 0;
  uint64_t sessions = 0;
  uint64_t watches = 0;
  uint64_t descriptors = 0;
  uint64_t huge_page_bytes = 0;
  uint64_t spilled_bytes = 0;

  // Limits that nothing reaches.
  static Amounts Unlimited();
};

bool operator==(const Amounts& a, const Amounts& b);

// Who may enter: everybody when all lists are empty.
struct Entrants {
  std::vector<uid_t> uids;
  std::vector<gid_t> gids;
  std::vector<std::string> certificate_names;
};

// What happens when there is no memory for an object (namespace.proto); the
// numbers are for good in the daemon's files.
enum class WhenFull : uint8_t { kRefuse = 0, kEvict = 1, kSpill = 2 };

// A trust domain without its usage. A plain value.
struct Namespace {
  std::string name;  // the last part
  Entrants entrants;
  Amounts quota = Amounts::Unlimited();
  Amounts uid_quota = Amounts::Unlimited();
  WhenFull when_full = WhenFull::kRefuse;
  uint64_t revision = 0;                  // changes with every change
  std::optional<absl::Time> create_time;  // none for `default`
};

struct UidUsage {
  uid_t uid = 0;
  Amounts usage;
};

// A namespace with what is used of it at one moment.
struct NamespaceSnapshot {
  Namespace name_space;
  Amounts usage;
  std::vector<UidUsage> uid_usages;  // by uid; only where asked for
};

// NAME_INVALID (INVALID_ARGUMENT) naming `field`, unless `id` is 1 to 63 of
// [a-z0-9-], from a letter, not ending in '-'.
absl::Status CheckNamespaceId(absl::string_view field, absl::string_view id);

// NAMESPACE_NOT_FOUND (NOT_FOUND): also for those who may not enter.
absl::Status NamespaceNotFound(absl::string_view name);

// All namespaces: who may enter each, and how much of it is used by whom.
// `default` is always there. Takes and gives back without allocating for users
// who have something already. Thread-safe; calls nobody while it holds its
// mutex, so it may be called under any other.
class NamespaceTable {
 public:
  explicit NamespaceTable(Namespace initial_default);

  // NAMESPACE_EXISTS (ALREADY_EXISTS), NAMESPACE_LIMIT_EXCEEDED
  // (RESOURCE_EXHAUSTED). `default` takes the place of the initial one.
  absl::Status Add(Namespace name_space);
  // Whether Add would succeed now.
  absl::Status CheckAddable(absl::string_view name) const;

  // Changes what is not usage; nothing happens when it is not there.
  void Replace(Namespace name_space);

  // NAMESPACE_IN_USE (FAILED_PRECONDITION) for `default`, and while anything
  // of it is used.
  absl::Status Remove(absl::string_view name);

  // NAMESPACE_NOT_FOUND (NOT_FOUND) when there is none, or the caller may not
  // enter it.
  absl::Status CheckEntry(const Caller& caller, absl::string_view name) const;

  // The same of everybody.
  absl::Status CheckExists(absl::string_view name) const;

  // kRefuse where there is none.
  WhenFull when_full(absl::string_view name) const;

  // As CheckEntry. Usages of other users are for administrators.
  absl::StatusOr<NamespaceSnapshot> Get(const Caller& caller,
                                        absl::string_view name) const;

  // Those that the caller may enter, by name, behind `after`.
  std::vector<NamespaceSnapshot> List(const Caller& caller,
                                      absl::string_view after,
                                      size_t limit) const;

  // Takes `more` for a user, or refuses: QUOTA_EXCEEDED (RESOURCE_EXHAUSTED)
  // with namespace, uid where the limit is the user's, what was asked, what is
  // left; NAMESPACE_NOT_FOUND.
  absl::Status Take(absl::string_view name, uid_t uid, const Amounts& more);

  // Counts what exists already, whatever the limits say; nothing where there
  // is no such namespace.
  void TakeAnyway(absl::string_view name, uid_t uid, const Amounts& more);

  void GiveBack(absl::string_view name, uid_t uid, const Amounts& less);

  // Lets another user have used it: QUOTA_EXCEEDED when that is too much.
  absl::Status Move(absl::string_view name, uid_t from, uid_t to,
                    const Amounts& amounts);
  // The same, whatever the limits say.
  void MoveAnyway(absl::string_view name, uid_t from, uid_t to,
                  const Amounts& amounts);

 private:
  struct Entry {
    Namespace name_space;
    Amounts usage;
    // Only users who use something.
    absl::flat_hash_map<uid_t, Amounts> uid_usages;
  };

  absl::Status CheckAddableLocked(absl::string_view name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  static void AddToUid(Entry& entry, uid_t uid, const Amounts& more);
  static void SubtractFromUid(Entry& entry, uid_t uid, const Amounts& less);
  static absl::Status CheckUid(const Entry& entry, uid_t uid,
                               const Amounts& more);

  mutable absl::Mutex mutex_;
  absl::flat_hash_map<std::string, Entry> entries_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_NAMESPACE_TABLE_H_
