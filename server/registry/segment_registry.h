#ifndef SHMD_SERVER_REGISTRY_SEGMENT_REGISTRY_H_
#define SHMD_SERVER_REGISTRY_SEGMENT_REGISTRY_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/container/inlined_vector.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "base/clock.h"
#include "base/worker_pool.h"
#include "server/access/caller.h"
#include "server/keeper/descriptor_store.h"
#include "server/registry/budget.h"
#include "server/registry/commands.h"
#include "server/registry/event_log.h"
#include "server/registry/expiry_queue.h"
#include "server/registry/grant_registry.h"
#include "server/registry/index_key.h"
#include "server/registry/namespace_table.h"
#include "server/registry/request_log.h"
#include "server/registry/segment_entry.h"
#include "server/session/session_table.h"
#include "server/store/segment_records.h"
#include "shm/backend.h"
#include "shm/handle.h"

namespace shmd {

// All segments of this daemon: the only mutable state of the server.
//
// Every call follows one pattern: take names and budget under the mutex, make
// system calls outside of it, publish under it again; a step that fails undoes
// those before it. A change is recorded in the store before the call returns.
// Errors are those that segment.proto lists for the RPC of the same name.
// Thread-safe. Borrows what it is given.
class SegmentRegistry {
 public:
  struct Parts {
    const BackendSet* backends = nullptr;
    Store* store = nullptr;
    EventLog* events = nullptr;
    NamespaceTable* namespaces = nullptr;
    SessionTable* sessions = nullptr;
    DescriptorStore* descriptors = nullptr;
    Clock* clock = nullptr;
  };

  SegmentRegistry(const Parts& parts, const Budget::Limits& limits);

  struct TakeUpResult {
    size_t taken_up = 0;
    size_t gone = 0;          // the object is no more; forgotten
    size_t out_of_reach = 0;  // not to be had now; kept for the next start
  };

  // Takes up what the store knows of, with the memfds that were `kept`, and
  // removes what an earlier run left half done. Call once, first.
  absl::StatusOr<TakeUpResult> TakeUpStored(std::vector<KeptDescriptor> kept);

  // Lets a session be resumed by the next run.
  absl::Status RecordSession(const SessionIdentity& session);

  // All or none; the status of a batch names the `index` at fault.
  absl::StatusOr<std::vector<SegmentView>> Create(const Caller& caller,
                                                  const CreateOrder& order);
  absl::StatusOr<SegmentView> CreateOne(const Caller& caller,
                                        CreateCommand command);
  absl::StatusOr<SegmentView> Adopt(const Caller& caller, AdoptCommand command);
  absl::StatusOr<SegmentView> Get(const Caller& caller,
                                  const SegmentName& name);
  // Where a segment's pages live, if there is one of that name.
  std::optional<BackendKind> BackendOf(const SegmentName& name) const;
  absl::StatusOr<std::vector<SegmentView>> List(const Caller& caller,
                                                const ListCommand& command);
  absl::StatusOr<SegmentView> Update(const Caller& caller,
                                     const UpdateCommand& command);
  // Puts the end off by `ttl`, or by the lease's own.
  absl::StatusOr<SegmentView> RenewLease(const Caller& caller,
                                         const SegmentName& name,
                                         std::optional<absl::Duration> ttl);
  absl::Status Delete(const Caller& caller, const RemoveCommand& command);
  // Deletes one small memfd that nothing and nobody is at work on, without
  // waiting for anything. False, and nothing done, in every other case, which
  // is for Delete.
  bool DeleteAtOnce(const Caller& caller, const RemoveCommand& command);
  absl::Status Disown(const Caller& caller, const RemoveCommand& command);
  absl::StatusOr<SegmentView> Seal(const Caller& caller,
                                   const SegmentName& name,
                                   const std::string& etag, SealExtent extent);
  absl::StatusOr<SegmentView> Resize(const Caller& caller,
                                     const SegmentName& name,
                                     const std::string& etag,
                                     uint64_t size_bytes);
  absl::Status Flush(const Caller& caller, const SegmentName& name,
                     FlushMode mode, uint64_t offset_bytes,
                     uint64_t length_bytes);
  absl::StatusOr<std::string> Read(const Caller& caller,
                                   const SegmentName& name,
                                   uint64_t offset_bytes,
                                   uint64_t length_bytes);
  absl::Status Write(const Caller& caller, const SegmentName& name,
                     uint64_t offset_bytes, absl::string_view data);
  absl::StatusOr<Handle> MakeHandle(const Caller& caller,
                                    const HandleCommand& command);

  // The whole segment as a handle for as much as the caller may.
  Handle WholeHandle(const Caller& caller, const Segment& segment) const;

  // The whole of what the daemon has made for somebody whom it has let in.
  Handle OwnHandle(const SegmentView& view, Access access) const;

  // What Attach found for a handle.
  struct Attached {
    SegmentView view;
    Access access = Access::kRead;
    ObjectRef object;
    uint64_t offset_bytes = 0;
    uint64_t length_bytes = 0;
    int seals = 0;
  };

  // Redeems a handle for a session of the caller's, and counts an attachment
  // until Release.
  absl::StatusOr<Attached> Attach(const Caller& caller, const Handle& handle,
                                  Access access, const SessionId& session = {});
  // The same of what the daemon has made for itself, for who was let in
  // already. SEGMENT_NOT_FOUND when it is gone.
  absl::StatusOr<Attached> AttachReserved(const EntryPtr& entry, Access access);
  // Counts an attachment without a descriptor, until Release: its memory stays,
  // though it be removed. False when it is gone.
  bool Hold(const EntryPtr& entry);
  void Release(const EntryPtr& entry);

  // The grant and the handle with its secret.
  struct NewGrant {
    Grant grant;
    Handle handle;
  };
  absl::StatusOr<NewGrant> CreateGrant(const Caller& caller,
                                       const GrantCommand& command);
  // Of what the daemon has made for itself; who may is for the caller to check.
  absl::StatusOr<NewGrant> CreateGrantOf(const EntryPtr& entry,
                                         const GrantCommand& command);
  absl::StatusOr<std::vector<Grant>> ListGrants(const Caller& caller,
                                                const SegmentName& name);
  absl::Status DeleteGrant(const Caller& caller, const SegmentName& name,
                           const std::string& id);
  GrantRegistry& grants() { return grants_; }

  // HANDLE_INVALID, HANDLE_EXPIRED, or, for more than it may be redeemed for,
  // CALLER_NOT_ALLOWED. Says nothing of its grant.
  absl::Status CheckHandle(const Caller& caller, const Handle& handle,
                           Access access) const;

  // Whether this object of the kernel's is a segment's.
  bool IsSegment(const ObjectName& name) const;

  // The object of a segment, opened for the daemon itself.
  absl::StatusOr<ObjectRef> OpenObject(const SegmentView& view,
                                       Access access = Access::kRead) const;

  // Descriptors that the daemon holds for `uid` besides those of segments:
  // QUOTA_EXCEEDED, DESCRIPTORS_EXHAUSTED.
  absl::Status TakeDescriptors(absl::string_view name_space, uid_t uid,
                               uint64_t count);
  void GiveBackDescriptors(absl::string_view name_space, uid_t uid,
                           uint64_t count);

  // What is there for objects and channels, in all namespaces; and the removal
  // of one of them, whoever has it attached.
  std::vector<SegmentView> ListReserved() const;
  // Those of these generations, of any role.
  std::vector<SegmentView> ListOfGenerations(
      const absl::flat_hash_set<uint64_t>& generations) const;
  absl::Status RemoveReserved(const EntryPtr& entry);
  // For good, against everybody: SEGMENT_IN_USE (FAILED_PRECONDITION) while
  // somebody has it mapped writable. The kernel may take its time.
  absl::Status SealReserved(const EntryPtr& entry);

  // What the kernel tells of a segment now.
  absl::StatusOr<ObjectStatus> Status(const SegmentView& view,
                                      bool with_nodes) const;

  // The same of a segment that Create has just made.
  absl::StatusOr<ObjectStatus> FreshStatus(const SegmentView& view) const;

  // Removes (or disowns, where adopted) what has expired.
  void RemoveExpired();
  // Releases what ended sessions held, and dooms what ends with them.
  void CleanUpSessions();
  // `on_session_end` is called for each of them, without a lock. To be set
  // before the first session begins.
  void NotifySessionEnd(std::function<void(const SessionId&)> on_session_end) {
    on_session_end_ = std::move(on_session_end);
  }
  // `on_closing` is called before that, while what the session held is still
  // there. To be set likewise.
  void NotifySessionClosing(
      std::function<void(const SessionTable::Ended&)> on_closing) {
    on_session_closing_ = std::move(on_closing);
  }
  // `on_clean_up` is called at each CleanUpSessions, first. To be set likewise.
  void NotifyCleanUp(std::function<void()> on_clean_up) {
    on_clean_up_ = std::move(on_clean_up);
  }
  bool SessionExists(const SessionId& session) const {
    return parts_.sessions->Exists(session);
  }
  // SESSION_NOT_FOUND unless it is one of the caller's own user, which
  // administrators are not.
  absl::Status CheckSession(const Caller& caller,
                            const SessionId& session) const {
    Caller user = caller;
    user.is_administrator = false;
    return parts_.sessions->Get(user, session).status();
  }
  ExpiryQueue& expiries() { return expiries_; }

  // Whether memfds are given to a keeper, for whom a create may have to wait.
  bool KeepsMemfds() const;

  uint64_t node() const { return identity_.node; }
  Budget& budget() { return budget_; }
  NamespaceTable& namespaces() { return *parts_.namespaces; }
  EventLog& events() { return *parts_.events; }
  Clock& clock() { return *parts_.clock; }

 private:
  bool HoldLocked(SegmentEntry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  enum class RemoveKind { kDelete, kDisown };

  // A create between its reservation and its end.
  struct Pending {
    SegmentName name;
    Uid uid = {};
    uid_t owner = 0;
    uint64_t generation = 0;
    BackendKind backend = BackendKind::kMemfd;
    std::string posix_name;  // random, where the command has none
    Budget::Use use;
    std::optional<RequestLog::Key> forgotten_request;  // makes room for its own
  };

  // Objects that were made, and the metadata that they will have.
  struct Made {
    std::vector<EntryPtr> entries;
    std::vector<std::shared_ptr<Segment>> segments;
  };

  const Backend& BackendOf(const Segment& segment) const {
    return parts_.backends->Get(segment.options.backend);
  }

  // segment_registry_create.cc
  absl::StatusOr<std::vector<SegmentView>> CreateNew(const Caller& caller,
                                                     const CreateOrder& order);
  // The first call with an id may still be at work: what it makes is the
  // answer, and when it fails its id is free again.
  void AwaitPending(const Caller& caller, const CreateOrder& order)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::vector<SegmentView>> FindRepeated(
      const Caller& caller, const CreateOrder& order)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes the name; what the segment takes of quota and budget is the caller's
  // to take.
  absl::StatusOr<Pending> Reserve(const Uid& uid, const std::string& name_space,
                                  std::string id, const SegmentOptions& options,
                                  SegmentRole role = SegmentRole::kOrdinary)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<std::vector<Pending>> ReserveAll(const Caller& caller,
                                                  const CreateOrder& order)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status TakeUseOfAll(absl::Span<const Pending> pending);
  void ForgetPending(const Pending& pending)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void UnreserveLocked(absl::Span<const Pending> pending)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // How many like it are worth a second thread.
  size_t WorthAThread(const CreateCommand& command) const;
  absl::Status MakeAll(absl::Span<const Pending> pending,
                       const CreateOrder& order, Made* made);
  absl::Status MakeOne(const Pending& pending, const CreateCommand& command,
                       Made* made);
  absl::StatusOr<KernelObject> CreateObject(const SegmentOptions& options);
  // Whether the caller may search the folders that lead to a file below its
  // root, and make the file if it is new: what the kernel would ask if the
  // caller did it alone. OK for backends without paths.
  absl::Status CheckFolders(const Caller& caller, BackendKind backend,
                            const std::string& file_path, bool is_new) const;
  absl::StatusOr<KernelObject> AdoptObject(const Caller& caller,
                                           const AdoptOptions& options,
                                           SegmentOptions* found);
  absl::Status SetExpiration(const Expiration& expiration,
                             Segment* segment) const;
  // Finish, while what is recorded becomes as durable as it has to be.
  absl::Status FinishDurably(const Made& made);
  absl::Status FlushNames(const Made& made);
  absl::Status FinishAll(const Made& made);
  std::vector<SegmentView> Publish(Made& made, absl::Span<Pending> pending);

  // segment_registry_durable.cc
  bool IsRecorded(const SegmentEntry& entry) const {
    return entry.object.name.backend != BackendKind::kMemfd ||
           !entry.kept_name.empty();
  }
  absl::Status Intend(absl::Span<Pending> pending, const CreateOrder& order);
  absl::Status Keep(const Made& made);
  void LetGo(absl::Span<const EntryPtr> entries);
  // Whether one of them outlives a power loss, and so has its record to.
  static bool OutlivesPower(const Made& made);
  // Durable after the daemon's death at once.
  absl::Status RecordMade(const Caller& caller, const Made& made,
                          absl::Span<const Pending> pending,
                          const CreateOrder& order);
  void Abandon(const Made& made, absl::Span<const Pending> pending);
  absl::Status RecordRemoval(absl::Span<const EntryPtr> entries,
                             Durability durability);

  // segment_registry_take_up.cc
  class KeptMemfds;
  absl::Status AwaitSessions();
  absl::Status RemoveUnfinished();
  absl::StatusOr<KernelObject> Find(const StoredSegment& stored,
                                    KeptMemfds& kept, std::string* kept_name);
  void TakeUpOne(std::shared_ptr<Segment> segment, KernelObject object,
                 std::string kept_name);
  void Reconcile(const KernelObject& object, Segment* segment);
  void Relock(const Segment& segment, KernelObject& object);
  // But for those of segments that are `gone`, which it forgets.
  absl::Status TakeUpRequests(const std::vector<Uid>& gone);

  // segment_registry_change.cc
  absl::StatusOr<SegmentView> Managed(const Caller& caller,
                                      const SegmentName& name,
                                      const std::string& etag);
  absl::StatusOr<SegmentView> Accessible(const Caller& caller,
                                         const SegmentName& name,
                                         Access access);
  // Records and publishes; for the holder of the entry's `operation`.
  // `unless_attached`: SEGMENT_IN_USE while somebody is.
  absl::StatusOr<SegmentView> Republish(const EntryPtr& entry,
                                        std::shared_ptr<Segment> changed,
                                        bool unless_attached = false);
  // For the holder of the entry's `operation`.
  absl::StatusOr<SegmentView> SealHeld(const SegmentView& view,
                                       SealExtent extent);
  absl::StatusOr<SegmentView> Grow(const SegmentView& view,
                                   std::shared_ptr<Segment> changed);
  absl::StatusOr<SegmentView> Shrink(const SegmentView& view,
                                     std::shared_ptr<Segment> changed);
  absl::Status ApplyUpdate(const Caller& caller, const UpdateCommand& command,
                           Segment* segment) const;

  // segment_registry_remove.cc
  absl::Status Remove(const Caller& caller, const RemoveCommand& command,
                      RemoveKind kind);
  absl::StatusOr<std::vector<EntryPtr>> Claim(const Caller& caller,
                                              const RemoveCommand& command,
                                              RemoveKind kind);
  absl::Status RemoveClaimed(const std::vector<EntryPtr>& entries,
                             RemoveKind kind);
  absl::Status DeleteClaimed(const std::vector<EntryPtr>& entries);
  absl::Status DisownClaimed(const std::vector<EntryPtr>& entries);
  void Unclaim(const EntryPtr& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Unpublish(const EntryPtr& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // segment_registry_attach.cc
  absl::StatusOr<SegmentView> Admit(const Caller& caller,
                                    const SessionId& session,
                                    const Handle& handle, Access access,
                                    GrantRegistry::Use* use);

  // segment_registry_sessions.cc
  absl::Status OwnAll(const Caller& caller,
                      absl::Span<const std::shared_ptr<Segment>> segments);
  void DisownAll(absl::Span<const std::shared_ptr<Segment>> segments);
  void Doom(const EntryPtr& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void DoomUnlessOwned(const EntryPtr& entry)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // segment_registry.cc
  absl::Status CheckEntry(const Caller& caller,
                          absl::string_view name_space) const {
    return parts_.namespaces->CheckEntry(caller, name_space);
  }
  // What a segment of that owner takes, of the daemon's budget and of the
  // namespace's and the owner's quota: all or nothing.
  absl::Status TakeUse(absl::string_view name_space, uid_t owner,
                       const Budget::Use& use);
  void GiveBackUse(absl::string_view name_space, uid_t owner,
                   const Budget::Use& use);
  Handle UnsignedHandle(const Segment& segment, Access access) const;
  // As if it were not there for those who may not enter its namespace.
  absl::StatusOr<EntryPtr> FindEntry(const Caller& caller,
                                     const SegmentName& name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // For callers who may enter its namespace.
  absl::StatusOr<EntryPtr> FindEntered(const SegmentName& name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The same; CALLER_NOT_ALLOWED unless the caller may change it.
  absl::StatusOr<EntryPtr> FindManaged(const Caller& caller,
                                       const SegmentName& name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  SegmentView ViewOf(const EntryPtr& entry) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Index(const EntryPtr& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Parts parts_;
  const StoreIdentity identity_;
  const HandleSigner signer_;
  Budget budget_;
  std::function<void()> on_clean_up_ = [] {};
  std::function<void(const SessionTable::Ended&)> on_session_closing_ =
      [](const SessionTable::Ended&) {};
  std::function<void(const SessionId&)> on_session_end_ = [](const SessionId&) {
  };
  ExpiryQueue expiries_;
  GrantRegistry grants_;
  // For what is flushed beside something else; those who wait for it keep no
  // more than two busy each.
  WorkerPool flushers_{32};
  // One large reservation at a time: the check of what memory is left and the
  // taking of it are two steps for the kernel.
  absl::Mutex reservation_;

  mutable absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(reservation_);
  uint64_t next_generation_ ABSL_GUARDED_BY(mutex_);
  // By "namespace/id", so that a namespace's segments are neighbours. Null
  // where a name is taken by no segment: by a create that is under way, or by a
  // record that a start could not take up.
  absl::btree_map<std::string, EntryPtr> by_name_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<Uid, EntryPtr> by_uid_ ABSL_GUARDED_BY(mutex_);
  // Whose kernel objects are segments, by ObjectKey. A file system may give the
  // inode of a removed file to the next one before the first is forgotten.
  absl::flat_hash_map<std::string, Uid> objects_ ABSL_GUARDED_BY(mutex_);
  // Of creates under way that have a request id.
  absl::flat_hash_set<Uid> pending_uids_ ABSL_GUARDED_BY(mutex_);
  RequestLog requests_ ABSL_GUARDED_BY(mutex_);
};

// What identifies a kernel object; empty for a memfd, which cannot be found
// twice.
std::string ObjectKey(const ObjectName& name);

// ETAG_MISMATCH (ABORTED) unless `etag` is empty or the segment's own.
absl::Status CheckEtag(const Segment& segment, const std::string& etag);

// SEGMENT_SEALED (FAILED_PRECONDITION) unless the segment may be written.
absl::Status CheckNotSealed(const Segment& segment);
// The same, and SEGMENT_RESERVED where the daemon alone writes.
absl::Status CheckWritable(const Segment& segment);

// SEGMENT_NOT_FOUND (NOT_FOUND).
Error SegmentNotFound();

// SEGMENT_RESERVED (FAILED_PRECONDITION).
absl::Status SegmentReserved(const Segment& segment);

// Whether the segment goes when its session does.
bool EndsWithSession(const Segment& segment);

// What a segment takes of the budget.
Budget::Use UseOf(const SegmentOptions& options,
                  SegmentRole role = SegmentRole::kOrdinary);

// Whether objects are spilled to it: an arena that is a file. The daemon alone
// writes it, and owns the file whoever owns the segment: a program that could
// open it for writing could truncate it under its readers.
bool IsSpillArena(const SegmentOptions& options, SegmentRole role);

// The part of it that its namespace counts.
Amounts AmountsOf(const Budget::Use& use);

// The text of Segment.etag.
std::string EtagOf(const Segment& segment);

// What one RPC reads or writes of a segment at most.
inline constexpr uint64_t kMaxPeekBytes = 64 << 10;

// Offset and length within `size_bytes`, a length of 0 meaning to the end;
// RANGE_OUTSIDE_SEGMENT (OUT_OF_RANGE) when they are not.
absl::StatusOr<uint64_t> ResolveLength(uint64_t size_bytes,
                                       uint64_t offset_bytes,
                                       uint64_t length_bytes);

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_SEGMENT_REGISTRY_H_
