#ifndef SHMD_SERVER_SESSION_SESSION_TABLE_H_
#define SHMD_SERVER_SESSION_SESSION_TABLE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "server/access/caller.h"
#include "server/registry/namespace_table.h"
#include "server/session/session.h"

namespace shmd {

inline constexpr size_t kMaxHoldings = 16384;

// All sessions: who is attached, what each holds, and which segments end with
// it. The attach socket begins and ends them; whoever cleans up after them
// takes them from here (TakeEnded), off the socket's thread. Thread-safe.
class SessionTable {
 public:
  // Borrows both; the namespaces count the sessions that entered them.
  SessionTable(Clock* clock, NamespaceTable* namespaces)
      : clock_(clock), namespaces_(namespaces) {}

  // `on_ended` is called, without a lock, whenever TakeEnded has something. To
  // be set before the first session begins.
  void NotifyEnded(std::function<void()> on_ended) {
    on_ended_ = std::move(on_ended);
  }

  // A new session of the program at the other end of a connection. It enters
  // `name_space`, or none where it may not or the quota does not let it.
  SessionIdentity Begin(const Caller& caller, Process process,
                        const std::string& name_space);

  // Takes in a session of an earlier run, whose program may come back.
  void Await(SessionIdentity identity);

  // Lets the program of connected session `fresh`, which holds nothing yet, be
  // the awaited session that it says it was. Nothing happens, and false, unless
  // that is awaited and token and user are right.
  bool Resume(const SessionId& fresh, const SessionId& awaited,
              const ResumeToken& token);

  // Says that the store has, or is about to have, a record of the session;
  // false when it has ended.
  bool SetRecorded(const SessionId& id);

  // Moves a session to another namespace: QUOTA_EXCEEDED, NAMESPACE_NOT_FOUND,
  // SESSION_NOT_FOUND leave it where it is. Who may enter is for the caller to
  // check.
  absl::Status Enter(const SessionId& id, const std::string& name_space);

  // Ends a session; again does nothing. What it held goes to TakeEnded.
  void End(const SessionId& id);

  // Those whose programs have not come back yet.
  std::vector<SessionIdentity> Awaited() const;
  // Ends one of them, or all when they have had their time.
  void EndIfAwaited(const SessionId& id);
  void EndAwaited();

  // Records an attachment and gives it its number; nullopt when the session
  // has ended or holds kMaxHoldings.
  std::optional<uint64_t> Hold(const SessionId& id, Holding holding);

  // Takes an attachment out; null when there is none of that number.
  EntryPtr LetGo(const SessionId& id, uint64_t attachment_id);

  // Lets a segment end with a session: the caller's own process must have it
  // (SESSION_NOT_FOUND otherwise).
  absl::Status Own(const Caller& caller, const SessionId& id,
                   const Uid& segment);
  // The same for a segment of an earlier run; false when the session is gone.
  bool OwnAgain(const SessionId& id, const Uid& segment);
  void Disown(const SessionId& id, const Uid& segment);

  bool Exists(const SessionId& id) const;

  // Those of the caller's uid; all for administrators. The rest is
  // SESSION_NOT_FOUND, as what does not exist.
  absl::StatusOr<SessionSnapshot> Get(const Caller& caller,
                                      const SessionId& id) const;

  struct ListQuery {
    std::optional<SessionId> after;
    size_t limit = 0;
    std::optional<Uid> holding;  // only with this segment, and its holdings
  };
  std::vector<SessionSnapshot> List(const Caller& caller,
                                    const ListQuery& query) const;

  // The sessions that are connected and of `pid`.
  std::vector<SessionId> OfProcess(pid_t pid) const;

  size_t size() const;

  struct Ended {
    SessionIdentity identity;
    bool recorded = false;
    std::vector<Holding> holdings;
    std::vector<Uid> owned;
  };
  std::vector<Ended> TakeEnded();

 private:
  struct Session {
    SessionIdentity identity;
    bool awaited = false;
    bool recorded = false;
    uint64_t last_attachment_id = 0;
    uint64_t held_bytes = 0;
    absl::flat_hash_map<uint64_t, Holding> holdings;
    absl::flat_hash_set<Uid> owned;
  };

  static SessionSnapshot Snapshot(const Session& session);
  // `only`: the holdings of one segment.
  static void CopyHoldings(const Session& session, const Uid* only,
                           SessionSnapshot* snapshot);
  Session* Find(const SessionId& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LeaveNamespace(const SessionIdentity& identity);
  void EndLocked(const SessionId& id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Clock* const clock_;
  NamespaceTable* const namespaces_;
  const BootId boot_id_ = ReadBootId();
  std::function<void()> on_ended_ = [] {};
  mutable absl::Mutex mutex_;
  absl::btree_map<SessionId, std::unique_ptr<Session>> sessions_
      ABSL_GUARDED_BY(mutex_);
  std::vector<Ended> ended_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace shmd

#endif  // SHMD_SERVER_SESSION_SESSION_TABLE_H_
