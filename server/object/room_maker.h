#ifndef SHMD_SERVER_OBJECT_ROOM_MAKER_H_
#define SHMD_SERVER_OBJECT_ROOM_MAKER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/access/caller.h"
#include "server/object/object_table.h"
#include "server/object/room_server.h"
#include "server/registry/segment_registry.h"

namespace shmd {

// Makes room in a namespace as its `when_full` says (ADR 13): evicts, or copies
// to files, and has emptied arenas removed, so that their quota is there again.
// Borrows what it is given.
class RoomMaker {
 public:
  // `self` is the daemon itself, who owns the files.
  RoomMaker(SegmentRegistry* segments, Caller self)
      : segments_(segments), self_(std::move(self)) {}

  // One attempt; nothing when nothing can go now. OBJECTS_IN_USE when nothing
  // ever will. For one thread at a time.
  std::optional<RoomServer::Result> TryMakeRoom(ObjectTable& table,
                                                const RoomRequest& request);

  // Thread-safe. When it returns none that was empty before is left.
  void RemoveEmptyArenas(ObjectTable& table);

 private:
  // Whether it has gone.
  bool Spill(ObjectTable& table, const std::string& name_space,
             const VictimGroup& group);
  absl::Status AddSpillArena(ObjectTable& table, const std::string& name_space,
                             const VictimGroup& group);
  absl::Status Copy(const VictimGroup& group,
                    const ObjectTable::SpillPlaces& places) const;

  SegmentRegistry* const segments_;
  const Caller self_;
  absl::Mutex removing_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_OBJECT_ROOM_MAKER_H_
