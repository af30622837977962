#ifndef SHMD_SERVER_OBJECT_OBJECT_EVENTS_H_
#define SHMD_SERVER_OBJECT_OBJECT_EVENTS_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "server/object/object.h"
#include "server/registry/change_log.h"
#include "shm/directory/directory_table.h"

namespace shmd {

// A change of the objects of a namespace.
struct ObjectEvent {
  enum class Type : uint8_t { kCreated, kDeleted };

  Type type = Type::kCreated;
  NameKey name;
  EntryFields entry;
};

// One of these per namespace, while somebody watches it and a while beyond: to
// publish takes two microseconds, of which an event must not take a part that
// nobody has a use for. A resume token of an earlier one has expired.
using ObjectEvents = ChangeLog<ObjectEvent>;

inline constexpr size_t kKeptObjectEvents = 16384;
// For how long after the last watch: twelve times what a client waits at most
// before it connects again.
inline constexpr absl::Duration kEventsKept = absl::Minutes(1);

// All but the arena's segment and the position.
ObjectView MakeView(const NameKey& name, const EntryFields& entry);

}  // namespace shmd

#endif  // SHMD_SERVER_OBJECT_OBJECT_EVENTS_H_
