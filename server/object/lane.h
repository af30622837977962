#ifndef SHMD_SERVER_OBJECT_LANE_H_
#define SHMD_SERVER_OBJECT_LANE_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/access/caller.h"
#include "server/object/object.h"
#include "server/object/recent_uses.h"
#include "server/session/session.h"
#include "shm/lane/session_lane.h"
#include "shm/lane/session_pages.h"

namespace shmd {

// One session as the daemon sees it in memory: what it submits and what it has
// pinned in its page, and the answers. Believes nothing that stands in the
// page; a session that breaks the ring's rules is not listened to any more, and
// its pins still count. Not thread-safe.
class Lane : public SessionLane {
 public:
  // Over the segments' descriptors, which it maps.
  static absl::StatusOr<std::unique_ptr<Lane>> Open(int page_fd, int answers_fd,
                                                    const SessionId& session,
                                                    const Caller& caller);

  const SessionId& session() const { return session_; }
  ObjectUser user() const { return {uid_, is_administrator_, session_}; }

  // Answers a submission that was taken; the program sees it after Flush.
  void Answer(uint64_t cookie, const absl::Status& status, uint64_t value);
  // The same behind everything that TellFreed has told.
  void AnswerInTurn(uint64_t cookie, const absl::Status& status,
                    uint64_t value);
  void TellFreed(uint32_t arena, uint64_t offset_bytes, uint64_t generation);
  void TellArenaGone(uint32_t arena);
  // Lets the program see its answers, and wakes it if it sleeps.
  void Flush();

  // Calls `visit(position)` as ForEachPin does; how many slots it looked at.
  uint64_t ForEachPin(absl::FunctionRef<void(uint32_t)> visit) const;
  // Calls `visit(position)` for what was pinned since the last call, as far as
  // the page still has it: any numbers at all.
  template <typename Visit>
  void ReadRecent(Visit visit) {
    recent_.Read(pages_.session()->header, visit);
  }

  size_t awaits = 0;      // that were not answered yet
  size_t idle_looks = 0;  // since it last had something
  bool is_dirty = false;  // has answers that were not flushed

 private:
  Lane(SessionPages pages, const SessionId& session, const Caller& caller);

  const SessionPages pages_;
  const SessionId session_;
  const uid_t uid_;
  const bool is_administrator_;
  RecentReader recent_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_OBJECT_LANE_H_
