#ifndef SHMD_SERVER_SYNC_SYNC_REGISTRY_H_
#define SHMD_SERVER_SYNC_SYNC_REGISTRY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/registry/segment_registry.h"
#include "server/sync/locker_numbers.h"
#include "server/sync/sync_page_table.h"
#include "server/sync/sync_primitive.h"
#include "shm/layout/sync_layout.h"
#include "shm/sync/mender.h"

namespace shmd {

// What the daemon does for primitives that programs lock in memory: numbers
// and pages for sessions, letting go for those that end, and primitives that
// stand alone, which are segments. Takes no lock in shared memory, and waits
// for none. Thread-safe. Borrows what it is given.
class SyncRegistry {
 public:
  SyncRegistry(SegmentRegistry* segments, const SessionTable* sessions,
               Store* store)
      : segments_(segments), sessions_(sessions), lockers_(store) {}

  // Takes up the pages that an earlier run left; those of sessions that are
  // gone are mended at once. Call once, after the segments.
  absl::Status TakeUp();

  struct OpenedPage {
    uint32_t locker = 0;
    SegmentView page;
  };
  absl::StatusOr<OpenedPage> OpenPage(const Caller& caller,
                                      const std::string& name_space,
                                      const SessionId& session);

  // A session has ended, and what it had attached is still there: lets go of
  // what it held and wakes whom it kept waiting.
  void EndSession(const SessionTable::Ended& ended);

  // Lets go where there was no memory or descriptor to do so with when the
  // session ended; to be called when `segments` has its expiries looked at.
  void MendUnfinished();

  // A session at a primitive.
  struct LockUse {
    SessionId session = {};
    pid_t pid = 0;
    uint32_t slot_number = 0;
    layout::SyncSlot slot = {};
    absl::Time since;

    // Orders those of one segment.
    std::string Key() const;
  };
  // By their keys, from behind `after`, at most `limit`.
  absl::StatusOr<std::vector<LockUse>> ListLocks(const Caller& caller,
                                                 const SegmentName& segment,
                                                 const std::string& after,
                                                 size_t limit);

  absl::Status BreakLock(const Caller& caller, const SegmentName& segment,
                         uint64_t offset_bytes);

  struct PrimitiveCommand {
    std::string name_space;
    std::string id;
    SyncSpec spec;
    mode_t mode = 0600;
  };
  absl::StatusOr<SegmentView> CreatePrimitive(const Caller& caller,
                                              const PrimitiveCommand& command);
  // Those whose mode lets the caller read them.
  absl::StatusOr<SegmentView> GetPrimitive(const Caller& caller,
                                           const SegmentName& segment);
  absl::StatusOr<std::vector<SegmentView>> ListPrimitives(
      const Caller& caller, const std::string& name_space,
      const std::string& after, size_t limit);
  absl::Status DeletePrimitive(const Caller& caller,
                               const SegmentName& segment);

 private:
  // Whose page it is, as far as that says what it could write.
  struct DeadSession {
    uint32_t locker = 0;
    Caller user;
    std::vector<SegmentView> written;  // what it had attached so
  };

  absl::StatusOr<SyncPagePtr> MakePage(const Caller& caller,
                                       const std::string& name_space,
                                       const SessionId& session);
  // What a dead session has left in one segment.
  struct Unfinished {
    SegmentView segment;
    uint32_t locker = 0;
    std::vector<layout::SyncSlot> slots;
  };

  void Mend(const SyncPageFile& page, const DeadSession& dead);
  // Keeps what there is no memory for, and has itself called again.
  void MendIn(Unfinished left) ABSL_LOCKS_EXCLUDED(mending_);
  absl::Status TryToMend(const SegmentView& segment, const ObjectRef& object,
                         uint32_t locker, layout::SyncSlot slot)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mending_);
  absl::StatusOr<SegmentView> Locked(const Caller& caller,
                                     const SegmentName& segment);

  SegmentRegistry* const segments_;
  const SessionTable* const sessions_;
  LockerNumbers lockers_;
  SyncPageTable pages_;
  // Held while a session's page is made.
  absl::Mutex making_;
  // Whoever changes words in memory that programs write: one call at a time,
  // as BasicSyncMender wants.
  absl::Mutex mending_;
  std::vector<Unfinished> unfinished_ ABSL_GUARDED_BY(mending_);
  // No segment's; when its time has come there is something unfinished.
  const Uid retry_ = RandomUid();
};

}  // namespace shmd

#endif  // SHMD_SERVER_SYNC_SYNC_REGISTRY_H_
