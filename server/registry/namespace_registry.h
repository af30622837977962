#ifndef SHMD_SERVER_REGISTRY_NAMESPACE_REGISTRY_H_
#define SHMD_SERVER_REGISTRY_NAMESPACE_REGISTRY_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "server/access/caller.h"
#include "server/registry/namespace_table.h"
#include "server/store/store.h"

namespace shmd {

// Makes, changes and removes namespaces, durably: what was acknowledged
// outlives a power loss. Errors are those that namespace.proto lists for the
// RPC of the same name. Thread-safe. Borrows what it is given.
class NamespaceRegistry {
 public:
  // `uid_quota`: of namespaces that are made without one.
  NamespaceRegistry(NamespaceTable* table, Store* store, Clock* clock,
                    const Amounts& uid_quota)
      : table_(table), store_(store), clock_(clock), uid_quota_(uid_quota) {}

  // Takes up what the store knows of. Call once, before segments and sessions
  // are taken up.
  absl::Status TakeUp();

  struct CreateCommand {
    std::string id;
    Entrants entrants;
    Amounts quota = Amounts::Unlimited();
    std::optional<Amounts> uid_quota;
    WhenFull when_full = WhenFull::kRefuse;
  };
  absl::StatusOr<NamespaceSnapshot> Create(const Caller& caller,
                                           CreateCommand command);

  struct UpdateCommand {
    std::string name;
    std::string etag;
    std::optional<Entrants> entrants;
    std::optional<Amounts> quota;
    std::optional<Amounts> uid_quota;
    std::optional<WhenFull> when_full;
  };
  absl::StatusOr<NamespaceSnapshot> Update(const Caller& caller,
                                           UpdateCommand command);

  absl::Status Delete(const Caller& caller, const std::string& name,
                      const std::string& etag);

  const NamespaceTable& table() const { return *table_; }

 private:
  // What an administrator may change; NAMESPACE_NOT_FOUND before
  // CALLER_NOT_ALLOWED, so that nobody learns of what is not theirs.
  absl::StatusOr<NamespaceSnapshot> Changeable(const Caller& caller,
                                               const std::string& name,
                                               const std::string& etag) const;

  NamespaceTable* const table_;
  Store* const store_;
  Clock* const clock_;
  const Amounts uid_quota_;
  // One change at a time, from its checks to its record.
  absl::Mutex change_;
};

// The uid_quota of namespaces that were given none: half of the daemon's
// descriptors for memfds and of those for connections, and a quarter of the
// watches, so that one user cannot take what the others need.
Amounts FairShare(uint64_t memory_descriptors, uint64_t connections);

// The text of Namespace.etag.
std::string EtagOf(const Namespace& name_space);

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_NAMESPACE_REGISTRY_H_
