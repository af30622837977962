#ifndef SHMD_SERVER_OBJECT_OBJECT_REGISTRY_H_
#define SHMD_SERVER_OBJECT_OBJECT_REGISTRY_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/types/span.h"
#include "base/clock.h"
#include "base/worker_pool.h"
#include "server/object/arena_sealer.h"
#include "server/object/object.h"
#include "server/object/object_table.h"
#include "server/object/room_maker.h"
#include "server/object/room_server.h"
#include "server/registry/segment_registry.h"

namespace shmd {

// Of one namespace.
inline constexpr uint64_t kMaxObjects = uint64_t{16} << 20;
// Left to others when a directory grows.
inline constexpr uint64_t kMemoryReserveBytes = uint64_t{64} << 20;

// What an arena is to be.
struct ArenaCommand {
  std::string name_space;
  SessionId session = {};
  uint64_t size_bytes = 0;
  uint64_t page_size_bytes = 0;
  mode_t mode = 0600;
};

// The objects of all namespaces. Directories, arenas and the sessions' pages
// are segments, so that quotas, restarts and removal are those of segments; a
// namespace has a directory from its first use until nothing is in it and
// nobody takes part. Thread-safe. Borrows what it is given.
class ObjectRegistry {
 public:
  // `caller` is the daemon itself.
  ObjectRegistry(SegmentRegistry* segments, Caller self);

  // Takes up what an earlier run left; call once, after the segments.
  absl::Status TakeUp();

  struct Opened {
    SegmentView directory;
    SegmentView session_page;
    SegmentView answers;
  };
  absl::StatusOr<Opened> Open(const Caller& caller,
                              const std::string& name_space,
                              const SessionId& session);

  struct NewArena {
    uint32_t number = 0;
    SegmentView segment;
  };
  absl::StatusOr<NewArena> CreateArena(const Caller& caller,
                                       const ArenaCommand& command);

  // Seals the arena of a strict object that is to be published next.
  // ARENA_SHARED, SEGMENT_IN_USE (FAILED_PRECONDITION), and what
  // ObjectTable::Publish would refuse. May wait for the kernel.
  absl::Status Seal(ObjectTable& table, const ObjectUser& user,
                    const PublishCommand& command);

  // The table of a namespace that the caller may enter; NAMESPACE_NOT_FOUND,
  // and OBJECT_NOT_FOUND where there never was an object.
  absl::StatusOr<std::shared_ptr<ObjectTable>> Table(
      const Caller& caller, const std::string& name_space) const;

  // The same, made where there is none.
  absl::StatusOr<std::shared_ptr<ObjectTable>> OpenTable(
      const Caller& caller, const std::string& name_space);

  // Makes room for a session of the caller's; how many bytes went. May wait.
  absl::StatusOr<uint64_t> MakeRoom(const Caller& caller, RoomRequest request);

  // Whose arena the caller may read, as of a segment.
  static absl::Status CheckReadable(const Caller& caller,
                                    const ObjectView& view);

  // `wake` is called when DoDue is to be called soon. To be set before the
  // first call.
  void SetWake(std::function<void()> wake) { wake_ = std::move(wake); }
  // No arena is sealed for a session any more, and no room made, and so nobody
  // woken by that.
  void StopWaking() {
    sealer_.Stop();
    room_server_.Drain();
  }

  // A session has ended. Never blocks for long; arenas that are empty now are
  // removed by the next DoDue.
  void EndSession(const SessionId& session);

  // All tables, for the thread that serves them.
  std::vector<std::shared_ptr<ObjectTable>> Tables() const;
  // What is due in all of them, and the removal of empty arenas and unused
  // directories. Returns how long nothing can be due.
  absl::Duration DoDue();
  void Drain();

 private:
  std::optional<RoomServer::Result> TryMakeRoom(const RoomRequest& request);
  std::shared_ptr<ObjectTable> FindTable(const std::string& name_space) const;
  absl::StatusOr<std::shared_ptr<ObjectTable>> FindOrMakeTable(
      const std::string& name_space);
  absl::StatusOr<std::shared_ptr<ObjectTable>> MakeTable(
      const SegmentView& directory);
  absl::StatusOr<SegmentView> FindOrMakePage(const Caller& caller,
                                             const std::string& name_space,
                                             const SessionId& session,
                                             SegmentRole role);
  absl::StatusOr<std::unique_ptr<Lane>> OpenLane(const SessionId& session,
                                                 const Caller& caller,
                                                 const SegmentView& page,
                                                 const SegmentView& answers);
  absl::Status TakeUpLanes(const std::vector<SegmentView>& reserved);
  // False when one has to wait until calls have let it go.
  bool RemoveUnused();
  // On a thread of its own: to look at all objects takes time, and so does the
  // kernel to free pages. False while that is at work for another table.
  bool GiveBackUnusedPages(std::shared_ptr<ObjectTable> table);

  SegmentRegistry* const segments_;
  const Caller self_;
  std::function<void()> wake_ = [] {};
  // Held while a namespace's first directory or a session's pages are made.
  absl::Mutex making_;
  mutable absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(making_);
  absl::flat_hash_map<std::string, std::shared_ptr<ObjectTable>> tables_
      ABSL_GUARDED_BY(mutex_);
  ArenaSealer sealer_;  // ends before the tables
  RoomMaker room_maker_;
  std::atomic<bool> is_tidying_{false};
  WorkerPool tidier_{1};
  // The last: its thread uses the others.
  RoomServer room_server_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_OBJECT_OBJECT_REGISTRY_H_
