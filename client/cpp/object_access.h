#ifndef SHMD_CLIENT_CPP_OBJECT_ACCESS_H_
#define SHMD_CLIENT_CPP_OBJECT_ACCESS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/cpp/arena_views.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/object_arena.h"
#include "client/cpp/object_lane.h"
#include "client/cpp/objects.h"
#include "client/cpp/recent_writes.h"
#include "shm/directory/directory_reader.h"
#include "shm/directory/pins.h"
#include "shm/lane/session_pages.h"
#include "shmd/v1/object.pb.h"

namespace shmd {
inline namespace client {

// What an ObjectStore, its drafts and what it has pinned share: the mapped
// directory, the session's pages, and the arenas. Thread-safe.
class ObjectAccess : public std::enable_shared_from_this<ObjectAccess> {
 public:
  static absl::StatusOr<std::shared_ptr<ObjectAccess>> Open(
      std::shared_ptr<Client::Impl> client, const ObjectStoreOptions& options);
  ~ObjectAccess();

  absl::StatusOr<PinnedObject> Get(absl::string_view id);
  absl::Status Await(absl::string_view id, absl::Duration wait);
  bool Contains(absl::string_view id) const;
  void Unpin(uint32_t slot) { pins_.Unpin(slot); }

  absl::StatusOr<ObjectDraft> Create(absl::string_view id, uint64_t size_bytes,
                                     const ObjectOptions& options);
  absl::StatusOr<uint64_t> Seal(ObjectDraft& draft);
  // Each draft that was sealed is `sealed` in the result.
  absl::Status SealAll(absl::Span<ObjectDraft> drafts);
  void Abandon(const ObjectDraft& draft);
  absl::Status Delete(absl::Span<const absl::string_view> ids);
  absl::Status Lease(absl::string_view id, absl::Duration ttl);
  std::vector<ObjectSummary> List() const;
  absl::StatusOr<uint64_t> Trim();

  // An object may stay pinned when its store has ended: its mappings stay too.
  static void Retire(std::shared_ptr<ObjectAccess> access);

 private:
  // What Open gathers.
  struct Parts {
    std::shared_ptr<Client::Impl> client;
    std::shared_ptr<SessionLink> link;
    OpenedSegment directory;
    OpenedSegment session_page;
    OpenedSegment answers;
    sys::ScopedMmap directory_memory;
    MappedSessionPages pages;
  };

  ObjectAccess(Parts parts, DirectoryReader reader, ObjectStoreOptions options);

  const ArenaView* FindView(uint32_t arena) {
    absl::MutexLock lock(&arenas_mutex_);
    return views_.FindAnywhere(arena);
  }
  absl::StatusOr<const ArenaView*> MapArena(uint32_t arena);
  absl::StatusOr<PinnedObject> Pinned(const PinResult& pin,
                                      const FoundObject& found);

  uint64_t PageBytes() const;
  // Of an object's begin.
  uint64_t AlignmentOf(uint64_t size_bytes) const;
  // Or one that was made before and could not be mapped.
  absl::StatusOr<v1::Arena> CallCreateArena(uint64_t size_bytes);
  absl::StatusOr<ObjectArena*> NewArena(uint64_t size_bytes,
                                        bool is_strict = false);
  absl::StatusOr<std::pair<ObjectArena*, Extent>> Allocate(uint64_t size_bytes,
                                                           uint64_t alignment,
                                                           absl::Time deadline);
  std::optional<std::pair<ObjectArena*, Extent>> AllocateThere(
      uint64_t size_bytes, uint64_t alignment);

  // object_access_room.cc: what is done for room now and then, on the threads
  // that put and delete.
  void TidyUp();
  void Reconcile(uint64_t connections);
  void TrimSome();
  // Also those that are forgotten meanwhile.
  std::vector<std::shared_ptr<ObjectArena>> Arenas();

  static uint64_t OffsetOf(const ObjectDraft& draft);
  // Has the daemon make room. OBJECTS_IN_USE when there is none by then.
  absl::Status MakeRoom(uint64_t size_bytes, absl::Duration wait);

  // object_access_strict.cc
  absl::StatusOr<ObjectArena*> AllocateStrict(uint64_t size_bytes,
                                              absl::Time deadline);
  // One that was for a strict object which was abandoned.
  ObjectArena* TakeBack(uint64_t size_bytes);
  // Around the publishing of a strict draft; for others they do nothing.
  static void Close(ObjectDraft& draft);
  void Closed(ObjectDraft& draft, bool is_sealed);
  void AbandonStrict(const ObjectDraft& draft);
  void Forget(const ObjectArena* arena);

  static ObjectLane::Operation PublishOf(const ObjectDraft& draft);
  void Hear(const layout::Answer& answer);
  absl::Time CallDeadline() const;
  std::string Parent() const;

  const Parts parts_;
  const ObjectStoreOptions options_;
  const DirectoryReader reader_;
  PinSet pins_;
  // By a daemon that was restarted.
  const std::shared_ptr<const std::atomic<bool>> is_lost_;
  ObjectLane lane_;
  const uint32_t trim_after_ms_;
  std::atomic<uint32_t> trim_due_ms_;
  // SessionLink::connections() when the arenas were last compared with the
  // directory.
  std::atomic<uint64_t> reconciled_;
  RecentWrites recent_writes_;
  ArenaViews views_;  // changed under arenas_mutex_

  absl::Mutex growing_mutex_;  // held while a thread has an arena made for all
  absl::Mutex mapping_mutex_;  // held while one is mapped to be read
  absl::Mutex arenas_mutex_ ABSL_ACQUIRED_AFTER(growing_mutex_, mapping_mutex_);
  std::vector<v1::Arena> spare_arenas_ ABSL_GUARDED_BY(arenas_mutex_);
  std::vector<std::shared_ptr<ObjectArena>> arenas_
      ABSL_GUARDED_BY(arenas_mutex_);
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_OBJECT_ACCESS_H_
