#include "client/cpp/watch.h"

#include <utility>

#include "absl/synchronization/mutex.h"
#include "client/cpp/client.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/proto_convert.h"
#include "client/cpp/watch_loop.h"

namespace shmd {
inline namespace client {
struct CancelToken::State {
  absl::Mutex mutex;
  bool cancelled ABSL_GUARDED_BY(mutex) = false;
  std::function<void()> interrupt ABSL_GUARDED_BY(mutex);
};

CancelToken::CancelToken() : state_(std::make_shared<State>()) {}

void CancelToken::Cancel() const {
  absl::MutexLock lock(&state_->mutex);
  state_->cancelled = true;
  // Under the lock, so that what it interrupts still exists.
  if (state_->interrupt) state_->interrupt();
}

bool CancelToken::cancelled() const {
  absl::MutexLock lock(&state_->mutex);
  return state_->cancelled;
}

bool CancelToken::WaitFor(absl::Duration timeout) const {
  absl::MutexLock lock(&state_->mutex);
  return state_->mutex.AwaitWithTimeout(absl::Condition(&state_->cancelled),
                                        timeout);
}

void CancelToken::OnCancel(std::function<void()> interrupt) const {
  absl::MutexLock lock(&state_->mutex);
  state_->interrupt = std::move(interrupt);
  if (state_->cancelled && state_->interrupt) state_->interrupt();
}

const char* WatchEventTypeName(WatchEvent::Type type) {
  switch (type) {
    case WatchEvent::Type::kExisting:
      return "EXISTING";
    case WatchEvent::Type::kSynced:
      return "SYNCED";
    case WatchEvent::Type::kCreated:
      return "CREATED";
    case WatchEvent::Type::kUpdated:
      return "UPDATED";
    case WatchEvent::Type::kDeleted:
      return "DELETED";
    case WatchEvent::Type::kRelisted:
      return "RELISTED";
  }
  return "UNKNOWN";
}

namespace {

struct SegmentWatching {
  using Stub = v1::SegmentService::Stub;
  using Request = v1::WatchSegmentsRequest;
  using Response = v1::WatchSegmentsResponse;
  using Event = WatchEvent;

  static std::unique_ptr<grpc::ClientReader<Response>> Start(
      Stub& stub, grpc::ClientContext* context, const Request& request) {
    return stub.WatchSegments(context, request);
  }
  static Event FromProto(const Response& response) {
    return EventFromProto(response);
  }
};

}  // namespace

absl::Status Client::Watch(
    const WatchOptions& options,
    const std::function<bool(const WatchEvent&)>& visit) {
  v1::WatchSegmentsRequest request;
  request.set_parent(impl_->Parent());
  request.set_filter(options.filter);
  request.set_resume_token(options.resume_token);
  return RunWatch<SegmentWatching>(impl_.get(), std::move(request),
                                   {options.cancel, options.patience}, visit);
}

}  // namespace client
}  // namespace shmd
