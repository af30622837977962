#ifndef SHMD_SERVER_RPC_SEGMENT_WATCH_H_
#define SHMD_SERVER_RPC_SEGMENT_WATCH_H_

#include <deque>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/registry/segment_registry.h"
#include "server/rpc/reply_stream.h"
#include "server/rpc/watch_hub.h"

namespace shmd {

// One watch: first pages of what exists, then the event log, at the pace at
// which the watcher reads. It holds one message and one page of names at a
// time, however slow the watcher is; once the log has moved past its place it
// ends with RESUME_TOKEN_EXPIRED. Owns itself: gone after OnDone.
class SegmentWatch final : public ReplySource {
 public:
  SegmentWatch(WatchHub* hub, SegmentRegistry* registry,
               ReplyWriter<v1::WatchSegmentsResponse>* writer,
               std::shared_ptr<const Caller> caller, std::string name_space,
               SegmentFilter filter);

  // Begins anew, or behind `revision`.
  void Begin(std::optional<uint64_t> revision);

  // Sends the next event if nothing is on its way.
  void Poke();

  // Ends the watch.
  void End(const absl::Status& status);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  // Fills response_; false when there is nothing to send yet.
  absl::StatusOr<bool> Next() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<bool> NextExisting() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<bool> NextChange() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Sees(const SegmentPtr& segment) const;
  void Fill(v1::WatchSegmentsResponse::Type type, const SegmentPtr& segment)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  WatchHub* const hub_;
  SegmentRegistry* const registry_;
  ReplyWriter<v1::WatchSegmentsResponse>* const writer_;
  const std::shared_ptr<const Caller> caller_;
  const std::string name_space_;
  const SegmentFilter filter_;

  absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  bool listing_ ABSL_GUARDED_BY(mutex_) = true;
  uint64_t revision_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string listed_to_ ABSL_GUARDED_BY(mutex_);
  std::deque<SegmentPtr> page_ ABSL_GUARDED_BY(mutex_);
  // Segments that were listed in a state newer than revision_: what the log
  // tells of them up to there is old news.
  absl::flat_hash_map<Uid, uint64_t> listed_ahead_ ABSL_GUARDED_BY(mutex_);
  v1::WatchSegmentsResponse response_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_SEGMENT_WATCH_H_
