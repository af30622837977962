#ifndef SHMD_SERVER_SYNC_SYNC_PAGE_TABLE_H_
#define SHMD_SERVER_SYNC_SYNC_PAGE_TABLE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/registry/segment_entry.h"
#include "server/registry/segment_registry.h"
#include "server/session/session.h"
#include "shm/layout/sync_layout.h"
#include "shm/mapping.h"

namespace shmd {

// The page of one session, which its program writes and the daemon reads.
class SyncPageFile {
 public:
  SyncPageFile(uint32_t locker, SegmentView view, ReadOnlyMapping mapping)
      : locker_(locker), view_(std::move(view)), mapping_(std::move(mapping)) {}

  // Maps the page of a segment; one that is new is made ready for the program,
  // which is the last time that the daemon writes to it.
  static absl::StatusOr<std::shared_ptr<const SyncPageFile>> Open(
      const SegmentRegistry& segments, uint32_t locker, const SegmentView& view,
      bool is_new);

  uint32_t locker() const { return locker_; }
  const SegmentView& view() const { return view_; }

  // The slots in use, copied once, checked for form; their numbers come
  // along. None where the page cannot be read.
  struct Use {
    uint32_t number = 0;
    layout::SyncSlot slot = {};
  };
  std::vector<Use> Read() const;

 private:
  const uint32_t locker_;
  const SegmentView view_;
  const ReadOnlyMapping mapping_;
};

using SyncPagePtr = std::shared_ptr<const SyncPageFile>;

// The id of a page's segment, and the locker in it; nullopt for others.
std::string SyncPageId(uint32_t locker, const SessionId& session);
std::optional<uint32_t> LockerOfPage(absl::string_view segment_id);

// Those of all sessions. Thread-safe.
class SyncPageTable {
 public:
  void Put(const SessionId& session, SyncPagePtr page);
  // Null when there is none.
  SyncPagePtr Find(const SessionId& session) const;
  // The same, and it is gone.
  SyncPagePtr Take(const SessionId& session);
  std::vector<std::pair<SessionId, SyncPagePtr>> List() const;

 private:
  mutable absl::Mutex mutex_;
  absl::btree_map<SessionId, SyncPagePtr> pages_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace shmd

#endif  // SHMD_SERVER_SYNC_SYNC_PAGE_TABLE_H_
