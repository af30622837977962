#include "client/cpp/watch.h"

#include <algorithm>
#include <utility>

#include "absl/random/random.h"
#include "absl/synchronization/mutex.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/client.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/proto_convert.h"
#include "client/cpp/rpc_status.h"

namespace shmd {
inline namespace client {
namespace {

constexpr absl::Duration kFirstWait = absl::Milliseconds(20);
constexpr absl::Duration kLongestWait = absl::Seconds(5);

}  // namespace

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

using Stub = v1::SegmentService::Stub;

// One watch over as many streams as it takes. `get_stub` and `note_end` are
// those of the client.
class WatchLoop {
 public:
  WatchLoop(std::function<std::shared_ptr<Stub>()> get_stub,
            std::function<void(const Stub*, const absl::Status&)> note_end,
            std::string parent, const std::string& socket_dir,
            const WatchOptions& options,
            const std::function<bool(const WatchEvent&)>& visit)
      : get_stub_(std::move(get_stub)),
        note_end_(std::move(note_end)),
        socket_dir_(socket_dir),
        options_(options),
        visit_(visit) {
    request_.set_parent(std::move(parent));
    request_.set_filter(options.filter);
    request_.set_resume_token(options.resume_token);
  }

  absl::Status Run() {
    absl::Time away_since = absl::InfiniteFuture();
    absl::Duration wait = kFirstWait;
    while (true) {
      events_of_stream_ = 0;
      const absl::Status status = RunStream();
      if (stopped_) return absl::OkStatus();
      if (options_.cancel.cancelled()) {
        return absl::CancelledError("the watch was cancelled");
      }
      if (GetErrorReason(status) == reason::kResumeTokenExpired) {
        if (!Relist()) return absl::OkStatus();
        continue;
      }
      // OK: the daemon ended the stream without a word, as when it stops.
      const absl::Status gone =
          status.ok() ? UnreachableStatus(socket_dir_, "the watch ended")
                      : status;
      if (!absl::IsUnavailable(gone) || !ever_connected_) return gone;
      if (events_of_stream_ > 0) {
        away_since = absl::InfiniteFuture();
        wait = kFirstWait;
      }
      away_since = std::min(away_since, absl::Now());
      if (absl::Now() - away_since >= options_.patience) {
        return gone;
      }
      // What had begun to be told anew must be told from the start.
      if (events_of_stream_ > 0 && request_.resume_token().empty() &&
          !Relist()) {
        return absl::OkStatus();
      }
      // Jitter, so that a restarted daemon is not met by all at once.
      if (options_.cancel.WaitFor(absl::Uniform(random_, 0.5, 1.0) * wait)) {
        return absl::CancelledError("the watch was cancelled");
      }
      wait = std::min(2 * wait, kLongestWait);
    }
  }

 private:
  // One stream until it ends.
  absl::Status RunStream() {
    const std::shared_ptr<Stub> stub = get_stub_();
    grpc::ClientContext context;
    options_.cancel.OnCancel([&context] { context.TryCancel(); });
    const std::unique_ptr<grpc::ClientReader<v1::WatchSegmentsResponse>>
        reader = stub->WatchSegments(&context, request_);
    v1::WatchSegmentsResponse message;
    while (reader->Read(&message)) {
      ever_connected_ = true;
      ++events_of_stream_;
      const WatchEvent event = EventFromProto(message);
      if (!event.resume_token.empty()) {
        request_.set_resume_token(event.resume_token);
      }
      if (!visit_(event)) {
        stopped_ = true;
        context.TryCancel();
        break;
      }
    }
    const absl::Status status = StatusFromGrpc(reader->Finish(), socket_dir_);
    options_.cancel.OnCancel(nullptr);
    if (!stopped_ && !options_.cancel.cancelled()) {
      note_end_(stub.get(), status);
    }
    return status;
  }

  // Starts from anew and says so; tells whether to go on.
  bool Relist() {
    request_.clear_resume_token();
    WatchEvent event;
    event.type = WatchEvent::Type::kRelisted;
    return visit_(event);
  }

  const std::function<std::shared_ptr<Stub>()> get_stub_;
  const std::function<void(const Stub*, const absl::Status&)> note_end_;
  const std::string& socket_dir_;
  const WatchOptions& options_;
  const std::function<bool(const WatchEvent&)>& visit_;
  v1::WatchSegmentsRequest request_;
  absl::BitGen random_;
  bool ever_connected_ = false;
  bool stopped_ = false;
  uint64_t events_of_stream_ = 0;
};

}  // namespace

absl::Status Client::Watch(
    const WatchOptions& options,
    const std::function<bool(const WatchEvent&)>& visit) {
  return WatchLoop([this] { return impl_->Segments(); },
                   [this](const Stub* stub, const absl::Status& status) {
                     impl_->NoteEnd(stub, status);
                   },
                   impl_->Parent(), impl_->socket_dir(), options, visit)
      .Run();
}

}  // namespace client
}  // namespace shmd
