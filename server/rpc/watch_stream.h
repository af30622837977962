#ifndef SHMD_SERVER_RPC_WATCH_STREAM_H_
#define SHMD_SERVER_RPC_WATCH_STREAM_H_

#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "server/rpc/reply_stream.h"
#include "server/rpc/status_to_grpc.h"
#include "server/rpc/watch_hub.h"

namespace shmd {

// A watch that ends before it began.
template <typename Reply>
class RefusedWatch final : public Watch {
 public:
  RefusedWatch(ReplyWriter<Reply>* writer, const absl::Status& status) {
    writer->Finish(ToGrpcStatus(status));
  }
  void Poke() override {}
  void End(const absl::Status&) override {}
  void OnWriteDone(bool) override {}
  void OnCancel() override {}
  void OnDone() override { delete this; }
};

// One watch, at the pace at which the watcher reads: one message at a time is
// on its way, and the next is made when it has gone. What exists, and then what
// changes, is for the source to find:
//
//   using Reply = ...;
//   // The next message; false when there is none yet. An error ends the watch.
//   // One call at a time.
//   absl::StatusOr<bool> Next(Reply* reply);
//
// Owns itself: gone after OnDone.
template <typename Source>
class WatchStream final : public Watch {
 public:
  using Reply = typename Source::Reply;

  WatchStream(WatchHub* hub, ReplyWriter<Reply>* writer,
              std::unique_ptr<Source> source)
      : hub_(hub), writer_(writer), source_(std::move(source)) {}

  void Poke() override {
    absl::MutexLock lock(&mutex_);
    if (writing_ || finished_) return;
    const absl::StatusOr<bool> next = source_->Next(&reply_);
    if (!next.ok()) {
      Finish(ToGrpcStatus(next.status()));
    } else if (*next) {
      writing_ = true;
      writer_->StartWrite(reply_);
    }
  }

  void End(const absl::Status& status) override {
    absl::MutexLock lock(&mutex_);
    if (!finished_) Finish(ToGrpcStatus(status));
  }

  void OnWriteDone(bool ok) override {
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
      if (!ok && !finished_) Finish(grpc::Status::CANCELLED);
    }
    Poke();
  }
  void OnCancel() override { End(absl::CancelledError()); }
  void OnDone() override {
    hub_->Forget(this);
    delete this;
  }

 private:
  void Finish(const grpc::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    finished_ = true;
    writer_->Finish(status);
  }

  WatchHub* const hub_;
  ReplyWriter<Reply>* const writer_;
  absl::Mutex mutex_;
  const std::unique_ptr<Source> source_ ABSL_PT_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  Reply reply_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_WATCH_STREAM_H_
