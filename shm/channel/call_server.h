#ifndef SHMD_SHM_CHANNEL_CALL_SERVER_H_
#define SHMD_SHM_CHANNEL_CALL_SERVER_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "shm/channel/call_status.h"
#include "shm/channel/call_words.h"
#include "shm/channel/channel_view.h"
#include "shm/channel/host_wait.h"
#include "shm/channel/message.h"
#include "shm/channel/publisher.h"
#include "shm/channel/subscriber.h"
#include "shm/layout/channel_layout.h"

namespace shmd {

template <typename Memory, typename Wait>
class BasicCallServer;

// A request that this server has claimed. Move-only. Unless it was finished,
// the destructor gives it to another server, or fails the call when a part of
// the answer was sent already, for which it may wait a tenth of a second. Must
// not outlive its server.
template <typename Memory, typename Wait>
class BasicIncomingCall {
 public:
  using Message = typename BasicRingSubscriber<Memory, Wait>::Message;

  BasicIncomingCall(BasicIncomingCall&&) noexcept = default;
  BasicIncomingCall& operator=(BasicIncomingCall&& other) noexcept {
    if (this == &other) return *this;
    Abandon();
    server_ = other.server_;
    request_ = std::move(other.request_);
    responses_ = other.responses_;
    return *this;
  }
  ~BasicIncomingCall() { Abandon(); }

  absl::Span<const char> payload() const { return request_.payload(); }
  absl::Span<const char> metadata() const { return request_.metadata(); }
  const Message& request() const { return request_; }
  // Whether the client has stopped waiting, or has gone.
  bool IsCancelled() const {
    return !request_.IsMine() ||
           server_->subscriber().view().generation(
               MemberKind::kPublisher, request_.publisher().index) !=
               request_.publisher().generation;
  }

  // One response of several. CLAIM_LOST when the call was cancelled.
  absl::Status Respond(absl::Span<const char> payload, const Deadline& deadline,
                       absl::Span<const char> metadata = {}) {
    MessageOptions options = OptionsOf(0);
    options.metadata = metadata;
    return Send(payload, options, deadline);
  }
  // A response in a place of the server's publisher(); the last one, or not.
  absl::Status Respond(Loan&& loan, bool is_last) {
    if (IsCancelled()) return ClaimLostError();
    return AfterSend(
        server_->publisher()
            .Publish(std::move(loan),
                     OptionsOf(is_last ? layout::kLastResponse : 0))
            .status(),
        is_last);
  }
  // The last response.
  absl::Status Finish(absl::Span<const char> payload, const Deadline& deadline,
                      absl::Span<const char> metadata = {}) {
    MessageOptions options = OptionsOf(layout::kLastResponse);
    options.metadata = metadata;
    return Send(payload, options, deadline);
  }
  // An error in place of the last response: its code and message.
  absl::Status Fail(const absl::Status& error, const Deadline& deadline) {
    return Send(EncodeError(error),
                OptionsOf(layout::kLastResponse | layout::kErrorResponse),
                deadline);
  }

 private:
  friend class BasicCallServer<Memory, Wait>;
  using Server = BasicCallServer<Memory, Wait>;

  // Other clients that do not read hold nobody up for longer.
  static constexpr absl::Duration kAbandonWithin = absl::Milliseconds(100);

  BasicIncomingCall(Server* server, Message request)
      : server_(server), request_(std::move(request)) {}

  MessageOptions OptionsOf(uint32_t flags) const {
    MessageOptions options;
    options.to = request_.correlation();
    options.correlation = ResponseWord::Of(request_.number(), responses_);
    options.flags = flags;
    return options;
  }
  absl::Status Send(absl::Span<const char> payload,
                    const MessageOptions& options, const Deadline& deadline) {
    if (IsCancelled()) return ClaimLostError();
    const bool is_last = (options.flags & layout::kLastResponse) != 0;
    return AfterSend(
        server_->publisher().Publish(payload, options, deadline).status(),
        is_last);
  }
  absl::Status AfterSend(const absl::Status& sent, bool is_last) {
    RETURN_IF_ERROR(sent);
    ++responses_;
    SHMD_FAILPOINT("call.responded");
    return is_last ? request_.Acknowledge() : absl::OkStatus();
  }
  void Abandon() {
    // The message gives itself back.
    if (!request_.valid() || responses_ == 0) return;
    Fail(absl::InternalError("the server has given up"),
         Deadline::Never().NoLaterThan(kAbandonWithin))
        .IgnoreError();
    if (request_.valid()) request_.Acknowledge().IgnoreError();
  }

  Server* server_;
  Message request_;
  uint64_t responses_ = 0;  // that were sent
};

// Answers calls, beside other servers of the channel. A client that does not
// read its responses holds up the ones to others for at most
// kResponsePatience: then, when the ring is full, it loses them.
template <typename Memory, typename Wait = HostWait>
class BasicCallServer {
 public:
  using Publisher = BasicRingPublisher<Memory, Wait>;
  using Subscriber = BasicRingSubscriber<Memory, Wait>;
  using Incoming = BasicIncomingCall<Memory, Wait>;

  // Both have the role kServer in the same channel.
  BasicCallServer(std::unique_ptr<Publisher> publisher,
                  std::unique_ptr<Subscriber> subscriber)
      : publisher_(std::move(publisher)), subscriber_(std::move(subscriber)) {}
  BasicCallServer(const BasicCallServer&) = delete;
  BasicCallServer& operator=(const BasicCallServer&) = delete;

  // Claims the next request; NO_MESSAGE.
  absl::StatusOr<Incoming> Next(const Deadline& deadline) {
    ASSIGN_OR_RETURN(auto request, subscriber_->Receive(deadline));
    return Incoming(this, std::move(request));
  }

  Publisher& publisher() { return *publisher_; }
  Subscriber& subscriber() { return *subscriber_; }

 private:
  std::unique_ptr<Publisher> publisher_;
  std::unique_ptr<Subscriber> subscriber_;
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_CALL_SERVER_H_
