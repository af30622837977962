#ifndef SHMD_CLIENT_CPP_WATCH_LOOP_H_
#define SHMD_CLIENT_CPP_WATCH_LOOP_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "absl/random/random.h"
#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/rpc_status.h"
#include "client/cpp/watch.h"
#include "grpcpp/client_context.h"
#include "grpcpp/support/sync_stream.h"

namespace shmd {
inline namespace client {

inline constexpr absl::Duration kFirstWatchWait = absl::Milliseconds(20);
inline constexpr absl::Duration kLongestWatchWait = absl::Seconds(5);

struct WatchLoopOptions {
  CancelToken cancel;
  absl::Duration patience;
};

// One watch over as many streams as it takes. `Watching` says of what: its
// Stub, Request, Response and Event, how a stream is started, and what a
// response means. Borrows client and visit.
template <typename Watching, typename Impl>
class WatchLoop {
 public:
  using Stub = typename Watching::Stub;
  using Request = typename Watching::Request;
  using Response = typename Watching::Response;
  using Event = typename Watching::Event;

  WatchLoop(Impl* client, Request request, WatchLoopOptions options,
            const std::function<bool(const Event&)>& visit)
      : client_(client),
        options_(std::move(options)),
        visit_(visit),
        request_(std::move(request)) {}

  absl::Status Run() {
    absl::Time away_since = absl::InfiniteFuture();
    absl::Duration wait = kFirstWatchWait;
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
          status.ok()
              ? UnreachableStatus(client_->socket_dir(), "the watch ended")
              : status;
      if (!absl::IsUnavailable(gone) || !ever_connected_) return gone;
      if (events_of_stream_ > 0) {
        away_since = absl::InfiniteFuture();
        wait = kFirstWatchWait;
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
      wait = std::min(2 * wait, kLongestWatchWait);
    }
  }

 private:
  // One stream until it ends.
  absl::Status RunStream() {
    const std::shared_ptr<Stub> stub = client_->template StubOf<Stub>();
    grpc::ClientContext context;
    options_.cancel.OnCancel([&context] { context.TryCancel(); });
    const std::unique_ptr<grpc::ClientReader<Response>> reader =
        Watching::Start(*stub, &context, request_);
    Response message;
    while (reader->Read(&message)) {
      ever_connected_ = true;
      ++events_of_stream_;
      const Event event = Watching::FromProto(message);
      if (!event.resume_token.empty()) {
        request_.set_resume_token(event.resume_token);
      }
      if (!visit_(event)) {
        stopped_ = true;
        context.TryCancel();
        break;
      }
    }
    const absl::Status status =
        StatusFromGrpc(reader->Finish(), client_->socket_dir());
    options_.cancel.OnCancel(nullptr);
    if (!stopped_ && !options_.cancel.cancelled()) {
      client_->NoteEnd(stub.get(), status);
    }
    return status;
  }

  // Starts from anew and says so; tells whether to go on.
  bool Relist() {
    request_.clear_resume_token();
    Event event;
    event.type = WatchEvent::Type::kRelisted;
    return visit_(event);
  }

  Impl* const client_;
  const WatchLoopOptions options_;
  const std::function<bool(const Event&)>& visit_;
  Request request_;
  absl::BitGen random_;
  bool ever_connected_ = false;
  bool stopped_ = false;
  uint64_t events_of_stream_ = 0;
};

template <typename Watching, typename Impl>
absl::Status RunWatch(
    Impl* client, typename Watching::Request request, WatchLoopOptions options,
    const std::function<bool(const typename Watching::Event&)>& visit) {
  return WatchLoop<Watching, Impl>(client, std::move(request),
                                   std::move(options), visit)
      .Run();
}

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_WATCH_LOOP_H_
