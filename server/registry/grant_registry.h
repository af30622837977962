#ifndef SHMD_SERVER_REGISTRY_GRANT_REGISTRY_H_
#define SHMD_SERVER_REGISTRY_GRANT_REGISTRY_H_

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "server/access/caller.h"
#include "server/registry/commands.h"
#include "server/registry/grant_table.h"
#include "server/store/store.h"

namespace shmd {

// The grants of all segments and channels, and their records. Who may make,
// see or revoke one is for the caller to check. Thread-safe. Borrows what it is
// given.
class GrantRegistry {
 public:
  GrantRegistry(Store* store, Clock* clock) : store_(store), clock_(clock) {}

  // Takes up what is recorded, and forgets the grants of what is gone.
  absl::Status TakeUp(const std::function<bool(const Uid&)>& exists);

  struct Made {
    Grant grant;
    GrantSecret secret = {};
  };
  // Makes one, in memory: Record makes it last. FIELD_INVALID,
  // GRANT_LIMIT_EXCEEDED.
  absl::StatusOr<Made> Make(const Uid& segment, const GrantCommand& command);
  // When it fails there is no such grant any more.
  absl::Status Record(const Grant& grant);

  std::vector<Grant> Of(const Uid& segment) const;
  // GRANT_NOT_FOUND.
  absl::Status Delete(const Uid& segment, const std::string& id);
  // Those of a segment that is removed; its removal is what is recorded.
  void ForgetAll(const Uid& segment);

  // One use, which is taken back when this ends before it was kept. Move-only.
  class Use {
   public:
    Use() = default;  // of no grant
    Use(Use&& other) noexcept { *this = std::move(other); }
    Use& operator=(Use&& other) noexcept {
      std::swap(grants_, other.grants_);
      std::swap(grant_, other.grant_);
      return *this;
    }
    ~Use();

    // Counts it for good: before anybody has what it is counted for.
    absl::Status Keep();

   private:
    friend class GrantRegistry;
    Use(GrantRegistry* grants, Grant grant)
        : grants_(grants), grant_(std::move(grant)) {}

    GrantRegistry* grants_ = nullptr;
    Grant grant_;
  };
  // GRANT_INVALID.
  absl::StatusOr<Use> Redeem(const GrantSecret& secret, const Uid& segment,
                             const Caller& caller, const GrantWish& wish);

 private:
  absl::Status Commit(const Change& change);

  Store* const store_;
  Clock* const clock_;
  mutable absl::Mutex mutex_;
  GrantTable table_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_GRANT_REGISTRY_H_
