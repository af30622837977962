#ifndef SHMD_SERVER_REGISTRY_SEGMENT_ENTRY_H_
#define SHMD_SERVER_REGISTRY_SEGMENT_ENTRY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "server/registry/segment.h"
#include "server/registry/shared_reader.h"
#include "shm/kernel_object.h"

namespace shmd {

// One segment as the registry holds it: the kernel's object and the current
// metadata. Whoever changes the object holds `operation`; what follows it
// belongs to the registry's mutex. When both are needed `operation` is taken
// first.
struct SegmentEntry {
  explicit SegmentEntry(KernelObject kernel_object)
      : object(std::move(kernel_object)) {}

  absl::Mutex operation;
  const KernelObject object;
  // What the keeper has the memfd under; empty where it is not kept. Set before
  // others see the entry.
  std::string kept_name;
  SharedReader arena_reader;  // of an arena in a memfd

  SegmentPtr segment;
  uint64_t attachments = 0;
  bool doomed = false;   // its session has ended: to be removed at once
  bool claimed = false;  // about to be removed: nobody else may have it
  bool removed = false;  // lives on for those who are attached
};

using EntryPtr = std::shared_ptr<SegmentEntry>;

// An entry with the metadata that it had at one moment.
struct SegmentView {
  EntryPtr entry;
  SegmentPtr segment;
  uint64_t attachments = 0;
  bool is_new = false;  // of a create that has just made it
};

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_SEGMENT_ENTRY_H_
