#ifndef SHMD_SERVER_CHANNEL_BELL_H_
#define SHMD_SERVER_CHANNEL_BELL_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "server/registry/segment_registry.h"
#include "shm/sys/bell_pipe.h"

namespace shmd {

// Wakes one subscriber that sleeps on a descriptor: a pipe, whose write end
// others have that have something for it. The daemon keeps both ends, so that
// none of them ever sees the end of the others. Counts as two descriptors of
// the subscriber's user.
// Thread-safe.
class Bell {
 public:
  // QUOTA_EXCEEDED, DESCRIPTORS_EXHAUSTED (RESOURCE_EXHAUSTED). Borrows
  // `segments`.
  static absl::StatusOr<std::unique_ptr<Bell>> Make(
      SegmentRegistry* segments, const std::string& name_space, uid_t uid);
  ~Bell();

  // One end, as a description of its own: whoever has it can change nothing
  // for others that have the same end.
  absl::StatusOr<UniqueFd> OpenToRead() const;
  absl::StatusOr<UniqueFd> OpenToWrite() const;
  void Ring() const;

 private:
  Bell(SegmentRegistry* segments, std::string name_space, uid_t uid)
      : segments_(segments), name_space_(std::move(name_space)), uid_(uid) {}

  SegmentRegistry* const segments_;
  const std::string name_space_;
  const uid_t uid_;
  sys::BellPipe pipe_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_CHANNEL_BELL_H_
