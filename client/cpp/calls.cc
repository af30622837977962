#include "client/cpp/calls.h"

#include <utility>

#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "client/cpp/channel_place.h"

namespace shmd {
inline namespace client {
namespace {

// How soon Serve sees that it is cancelled.
constexpr absl::Duration kCancelSlice = absl::Milliseconds(200);

// Both ends of one that calls, or is called.
struct Joined {
  std::unique_ptr<ChannelPlace> publisher;
  std::unique_ptr<ChannelPlace> subscriber;
  std::unique_ptr<RingPublisher> out;
  std::unique_ptr<RingSubscriber> in;
};

absl::StatusOr<Joined> Join(Client& client, absl::string_view channel,
                            ChannelRole role, const CallOptions& options) {
  Joined out;
  ASSIGN_OR_RETURN(ChannelPlace::Calling calling,
                   ChannelPlace::Call(client, channel, role,
                                      {options.create, options.grant}));
  ASSIGN_OR_RETURN(out.in, RingSubscriber::Open(std::move(calling.in.parts)));
  ASSIGN_OR_RETURN(out.out, RingPublisher::Open(std::move(calling.out.parts)));
  out.in->set_spin_ns(SpinNs(options.spin));
  out.out->set_spin_ns(SpinNs(options.spin));
  out.publisher = std::move(calling.out.place);
  out.subscriber = std::move(calling.in.place);
  return out;
}

}  // namespace

absl::StatusOr<Requester> Requester::Open(Client& client,
                                          absl::string_view channel,
                                          const CallOptions& options) {
  ASSIGN_OR_RETURN(Joined joined,
                   Join(client, channel, ChannelRole::kClient, options));
  return Requester(std::move(joined.publisher), std::move(joined.subscriber),
                   std::make_unique<CallClient>(std::move(joined.out),
                                                std::move(joined.in)));
}

Requester::Requester(std::unique_ptr<ChannelPlace> publisher,
                     std::unique_ptr<ChannelPlace> subscriber,
                     std::unique_ptr<CallClient> calls)
    : publisher_(std::move(publisher)),
      subscriber_(std::move(subscriber)),
      calls_(std::move(calls)) {}
Requester::Requester(Requester&&) noexcept = default;
Requester& Requester::operator=(Requester&& other) noexcept {
  calls_ = std::move(other.calls_);
  publisher_ = std::move(other.publisher_);
  subscriber_ = std::move(other.subscriber_);
  return *this;
}
Requester::~Requester() = default;

absl::Status Requester::AwaitServer(absl::Time deadline) {
  const absl::Status status = publisher_->Await(
      deadline, reason::kChannelBlocked, [this](const Deadline& slice) {
        return calls_->publisher().AwaitReaders(1, slice);
      });
  if (GetErrorReason(status) != reason::kChannelBlocked) return status;
  return Error(absl::StatusCode::kUnavailable, reason::kServerGone,
               "nobody serves the channel")
      .With("channel", channel())
      .ToStatus();
}

absl::StatusOr<ReceivedMessage> Requester::Call(absl::Span<const char> request,
                                                absl::Time deadline) {
  ASSIGN_OR_RETURN(const uint64_t call, Start(request, deadline));
  absl::StatusOr<CallResponse> response = Next(call, deadline);
  // Of one that is over this does nothing.
  if (!response.ok() || !response->is_last) calls_->Cancel(call);
  RETURN_IF_ERROR(response.status());
  return std::move(response->message);
}

absl::StatusOr<uint64_t> Requester::Start(absl::Span<const char> request,
                                          absl::Time deadline,
                                          absl::Span<const char> metadata) {
  return publisher_->Await(deadline, reason::kChannelBlocked,
                           [&](const Deadline& slice) {
                             return calls_->Start(request, slice, metadata);
                           });
}

absl::StatusOr<Loan> Requester::Borrow(uint64_t size_bytes, absl::Time deadline,
                                       uint32_t metadata_bytes) {
  return publisher_->Await(
      deadline, reason::kChannelBlocked, [&](const Deadline& slice) {
        return calls_->Borrow(size_bytes, slice, metadata_bytes);
      });
}

absl::StatusOr<uint64_t> Requester::Start(Loan&& request,
                                          absl::Span<const char> metadata) {
  RETURN_IF_ERROR(publisher_->status());
  return calls_->Start(std::move(request), metadata);
}

absl::StatusOr<CallResponse> Requester::Next(uint64_t call,
                                             absl::Time deadline) {
  return subscriber_->Await(
      deadline, reason::kNoMessage,
      [&](const Deadline& slice) { return calls_->Next(call, slice); });
}

absl::StatusOr<std::pair<uint64_t, absl::StatusOr<CallResponse>>>
Requester::NextOfAny(absl::Time deadline) {
  return subscriber_->Await(
      deadline, reason::kNoMessage,
      [this](const Deadline& slice) { return calls_->NextOfAny(slice); });
}

absl::StatusOr<int> Requester::descriptor() {
  return subscriber_->DescriptorOf(calls_->subscriber());
}
bool Requester::Arm() { return calls_->subscriber().Arm(); }
void Requester::Disarm() { calls_->subscriber().Disarm(); }

void Requester::Cancel(uint64_t call) { calls_->Cancel(call); }
size_t Requester::calls() const { return calls_->call_count(); }
const std::string& Requester::channel() const { return publisher_->channel(); }

absl::StatusOr<Responder> Responder::Open(Client& client,
                                          absl::string_view channel,
                                          const CallOptions& options) {
  ASSIGN_OR_RETURN(Joined joined,
                   Join(client, channel, ChannelRole::kServer, options));
  return Responder(std::move(joined.publisher), std::move(joined.subscriber),
                   std::make_unique<CallServer>(std::move(joined.out),
                                                std::move(joined.in)));
}

Responder::Responder(std::unique_ptr<ChannelPlace> publisher,
                     std::unique_ptr<ChannelPlace> subscriber,
                     std::unique_ptr<CallServer> calls)
    : publisher_(std::move(publisher)),
      subscriber_(std::move(subscriber)),
      calls_(std::move(calls)) {}
Responder::Responder(Responder&&) noexcept = default;
Responder& Responder::operator=(Responder&& other) noexcept {
  calls_ = std::move(other.calls_);
  publisher_ = std::move(other.publisher_);
  subscriber_ = std::move(other.subscriber_);
  return *this;
}
Responder::~Responder() = default;

absl::StatusOr<IncomingCall> Responder::Next(absl::Time deadline) {
  return subscriber_->Await(
      deadline, reason::kNoMessage,
      [this](const Deadline& slice) { return calls_->Next(slice); });
}

absl::StatusOr<int> Responder::descriptor() {
  return subscriber_->DescriptorOf(calls_->subscriber());
}
bool Responder::Arm() { return calls_->subscriber().Arm(); }
void Responder::Disarm() { calls_->subscriber().Disarm(); }

absl::Status Responder::Serve(const Handler& handler, const CancelToken& cancel,
                              absl::Duration patience) {
  while (!cancel.cancelled()) {
    absl::StatusOr<IncomingCall> call = Next(absl::Now() + kCancelSlice);
    const std::string reason = GetErrorReason(call.status());
    if (reason == reason::kNoMessage || reason == reason::kMessageDamaged) {
      continue;
    }
    RETURN_IF_ERROR(call.status());
    const absl::StatusOr<std::string> response = handler(call->payload());
    const absl::Time give_up = absl::Now() + patience;
    const absl::Status sent =
        response.ok() ? call->Finish(absl::MakeConstSpan(*response), give_up)
                      : call->Fail(response.status(), give_up);
    // What only this one client misses is no reason to end.
    if (!sent.ok()) RETURN_IF_ERROR(calls_->publisher().Check());
  }
  return absl::CancelledError("serving was cancelled");
}

const std::string& Responder::channel() const { return publisher_->channel(); }

}  // namespace client
}  // namespace shmd
