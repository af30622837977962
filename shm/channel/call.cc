#include "shm/channel/call.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/channel/member_parts.h"

namespace shmd {
namespace {

constexpr size_t kMaxErrorBytes = 4096;
// Responses to other calls, too, take their time.
constexpr uint32_t kPumpsBetweenClocks = 1024;

bool IsTooLate(uint32_t pumps, absl::Time deadline) {
  return pumps % kPumpsBetweenClocks == 0 && absl::Now() >= deadline;
}

absl::Status ServerGoneError(absl::string_view message) {
  return Error(absl::StatusCode::kUnavailable, reason::kServerGone, message);
}

// A response with kErrorResponse: the code (u32), and the message.
std::string EncodeError(const absl::Status& error) {
  const auto code = static_cast<uint32_t>(error.code());
  std::string payload(reinterpret_cast<const char*>(&code), sizeof(code));
  const absl::string_view message = error.message().substr(0, kMaxErrorBytes);
  payload.append(message.data(), message.size());
  return payload;
}

absl::Status DecodeError(absl::Span<const char> payload) {
  uint32_t code = 0;
  if (payload.size() < sizeof(code)) {
    return absl::UnknownError("the server's error could not be understood");
  }
  std::memcpy(&code, payload.data(), sizeof(code));
  if (code == 0 ||
      code > static_cast<uint32_t>(absl::StatusCode::kUnauthenticated)) {
    code = static_cast<uint32_t>(absl::StatusCode::kUnknown);
  }
  const size_t length = std::min(payload.size() - sizeof(code), kMaxErrorBytes);
  return absl::Status(static_cast<absl::StatusCode>(code),
                      std::string(payload.data() + sizeof(code), length));
}

}  // namespace

CallClient::CallClient(std::unique_ptr<RingPublisher> publisher,
                       std::unique_ptr<RingSubscriber> subscriber)
    : publisher_(std::move(publisher)),
      subscriber_(std::move(subscriber)),
      seen_change_(subscriber_->view().change()) {}

CallClient::~CallClient() {
  while (!calls_.empty()) Cancel(calls_.begin()->first);
}

absl::StatusOr<Loan> CallClient::Borrow(uint64_t size_bytes,
                                        absl::Time deadline,
                                        uint32_t metadata_bytes) {
  return publisher_->Borrow(size_bytes, deadline, metadata_bytes);
}

absl::StatusOr<uint64_t> CallClient::Start(Loan&& request,
                                           absl::Span<const char> metadata) {
  RETURN_IF_ERROR(publisher_->Check());
  if (!HasServer()) return ServerGoneError("the channel has no server");
  MessageOptions options;
  options.metadata = metadata;
  // Where the responses go.
  options.correlation = subscriber_->id().generation;
  ASSIGN_OR_RETURN(const uint64_t number,
                   publisher_->Publish(std::move(request), options));
  calls_[number];
  // The server may have left between the look and this.
  if (publisher_->view().change() != seen_change_) FailOrphans();
  return number;
}

absl::StatusOr<uint64_t> CallClient::Start(absl::Span<const char> request,
                                           absl::Time deadline,
                                           absl::Span<const char> metadata) {
  RETURN_IF_ERROR(publisher_->Check());
  if (!HasServer()) return ServerGoneError("the channel has no server");
  const auto metadata_bytes = static_cast<uint32_t>(
      std::min<size_t>(metadata.size(), kMaxMetadataBytes + 1));
  ASSIGN_OR_RETURN(Loan loan, Borrow(request.size(), deadline, metadata_bytes));
  if (!request.empty()) {
    std::memcpy(loan.data(), request.data(), request.size());
  }
  return Start(std::move(loan), metadata);
}

absl::StatusOr<CallResponse> CallClient::Next(uint64_t call,
                                              absl::Time deadline) {
  for (uint32_t pumps = 1;; ++pumps) {
    const auto at = calls_.find(call);
    if (at == calls_.end()) return absl::NotFoundError("the call is over");
    if (IsReady(at->second)) return Take(at);
    if (IsTooLate(pumps, deadline)) return NoMessageError();
    RETURN_IF_ERROR(Pump(deadline));
  }
}

absl::StatusOr<std::pair<uint64_t, absl::StatusOr<CallResponse>>>
CallClient::NextOfAny(absl::Time deadline) {
  for (uint32_t pumps = 1;; ++pumps) {
    for (auto at = calls_.begin(); at != calls_.end(); ++at) {
      if (!IsReady(at->second)) continue;
      const uint64_t call = at->first;
      return std::make_pair(call, Take(at));
    }
    if (IsTooLate(pumps, deadline)) return NoMessageError();
    RETURN_IF_ERROR(Pump(deadline));
  }
}

absl::StatusOr<ReceivedMessage> CallClient::Call(absl::Span<const char> request,
                                                 absl::Time deadline) {
  ASSIGN_OR_RETURN(const uint64_t call, Start(request, deadline));
  absl::StatusOr<CallResponse> response = Next(call, deadline);
  Cancel(call);
  RETURN_IF_ERROR(response.status());
  return std::move(response->message);
}

void CallClient::Cancel(uint64_t call) {
  const auto at = calls_.find(call);
  if (at == calls_.end()) return;
  if (!at->second.is_last_there && call >= publisher_->first_kept()) {
    publisher_->claims().Cancel(call);
  }
  calls_.erase(at);
}

absl::Status CallClient::Pump(absl::Time deadline) {
  // Read before the responses: who leaves has sent all of them by then.
  const uint32_t change = subscriber_->view().change();
  absl::StatusOr<std::optional<ReceivedMessage>> message =
      subscriber_->TryReceive();
  RETURN_IF_ERROR(message.status());
  if (message->has_value()) {
    Route(**std::move(message));
    return absl::OkStatus();
  }
  if (change != seen_change_) {
    seen_change_ = change;
    FailOrphans();
    return absl::OkStatus();
  }
  return subscriber_->AwaitMessage(deadline);
}

void CallClient::Route(ReceivedMessage message) {
  const auto at = calls_.find(message.correlation());
  // Of a call that is over, or was none.
  if (at == calls_.end()) return;
  CallResponse response;
  response.is_last = (message.flags() & layout::kLastResponse) != 0;
  at->second.is_last_there = at->second.is_last_there || response.is_last;
  response.message = std::move(message);
  at->second.responses.push_back(std::move(response));
}

void CallClient::FailOrphans() {
  const bool has_server = HasServer();
  std::vector<std::pair<uint64_t, absl::Status>> orphans;
  for (const auto& [call, pending] : calls_) {
    if (pending.is_last_there || !pending.failed.ok()) continue;
    absl::Status error = OrphanError(call, has_server);
    if (!error.ok()) orphans.emplace_back(call, std::move(error));
  }
  if (orphans.empty()) return;
  // Servers respond before they are done: what there is has come by now.
  for (;;) {
    absl::StatusOr<std::optional<ReceivedMessage>> message =
        subscriber_->TryReceive();
    if (!message.ok() || !message->has_value()) break;
    Route(**std::move(message));
  }
  for (auto& [call, error] : orphans) {
    Pending& pending = calls_[call];
    if (!pending.is_last_there) pending.failed = std::move(error);
  }
}

// OK while there may be a response to come.
absl::Status CallClient::OrphanError(uint64_t call, bool has_server) {
  if (call < publisher_->first_kept()) {
    return ServerGoneError("the server has sent no last response");
  }
  BasicClaimWords<layout::HostMemory>& claims = publisher_->claims();
  const uint64_t word = claims.Get(call);
  switch (Claim::State(word, call)) {
    case layout::ClaimState::kClaimed:
      if (Claim::IsOf(word, subscriber_->view().generation(
                                MemberKind::kSubscriber, Claim::Index(word)))) {
        return absl::OkStatus();
      }
      return ServerGoneError("the server has gone before its last response");
    case layout::ClaimState::kFree:
      if (has_server) return absl::OkStatus();
      // Nobody claims it any more.
      claims.Cancel(call);
      return ServerGoneError("all servers have gone");
    default:
      return absl::OkStatus();
  }
}

bool CallClient::HasServer() const {
  for (uint32_t i = 0; i < layout::kMaxSubscribers; ++i) {
    const std::optional<Member> member =
        subscriber_->view().Get(MemberKind::kSubscriber, i);
    if (member.has_value() &&
        member->fields.role == layout::MemberRole::kServer) {
      return true;
    }
  }
  return false;
}

bool CallClient::IsReady(const Pending& pending) {
  return !pending.responses.empty() || !pending.failed.ok();
}

absl::StatusOr<CallResponse> CallClient::Take(
    std::map<uint64_t, Pending>::iterator at) {
  Pending& pending = at->second;
  if (pending.responses.empty()) {
    const absl::Status failed = pending.failed;
    Cancel(at->first);
    return failed;
  }
  CallResponse response = std::move(pending.responses.front());
  pending.responses.pop_front();
  if (response.is_last) calls_.erase(at);
  if ((response.message.flags() & layout::kErrorResponse) == 0) return response;
  return DecodeError(response.message.payload());
}

absl::StatusOr<IncomingCall> CallServer::Next(absl::Time deadline) {
  ASSIGN_OR_RETURN(ReceivedMessage request, subscriber_->Receive(deadline));
  return IncomingCall(this, std::move(request));
}

IncomingCall& IncomingCall::operator=(IncomingCall&& other) noexcept {
  if (this == &other) return *this;
  Abandon();
  server_ = other.server_;
  request_ = std::move(other.request_);
  has_responded_ = other.has_responded_;
  return *this;
}

IncomingCall::~IncomingCall() { Abandon(); }

void IncomingCall::Abandon() {
  // The message gives itself back.
  if (!request_.valid() || !has_responded_) return;
  Fail(absl::InternalError("the server has given up"), absl::InfinitePast())
      .IgnoreError();
  if (request_.valid()) request_.Acknowledge().IgnoreError();
}

bool IncomingCall::IsCancelled() const {
  return !request_.IsMine() ||
         server_->subscriber().view().generation(MemberKind::kPublisher,
                                                 request_.publisher().index) !=
             request_.publisher().generation;
}

MessageOptions IncomingCall::OptionsOf(uint32_t flags) const {
  MessageOptions options;
  options.to = request_.correlation();
  options.correlation = request_.number();
  options.flags = flags;
  return options;
}

absl::Status IncomingCall::Send(absl::Span<const char> payload,
                                MessageOptions options, absl::Time deadline) {
  if (IsCancelled()) return ClaimLostError();
  const bool is_last = (options.flags & layout::kLastResponse) != 0;
  return AfterSend(
      server_->publisher().Publish(payload, options, deadline).status(),
      is_last);
}

absl::Status IncomingCall::AfterSend(const absl::Status& sent, bool is_last) {
  RETURN_IF_ERROR(sent);
  has_responded_ = true;
  return is_last ? request_.Acknowledge() : absl::OkStatus();
}

absl::Status IncomingCall::Respond(absl::Span<const char> payload,
                                   absl::Time deadline,
                                   absl::Span<const char> metadata) {
  MessageOptions options = OptionsOf(0);
  options.metadata = metadata;
  return Send(payload, options, deadline);
}

absl::Status IncomingCall::Respond(Loan&& loan, bool is_last) {
  if (IsCancelled()) return ClaimLostError();
  return AfterSend(server_->publisher()
                       .Publish(std::move(loan),
                                OptionsOf(is_last ? layout::kLastResponse : 0))
                       .status(),
                   is_last);
}

absl::Status IncomingCall::Finish(absl::Span<const char> payload,
                                  absl::Time deadline,
                                  absl::Span<const char> metadata) {
  MessageOptions options = OptionsOf(layout::kLastResponse);
  options.metadata = metadata;
  return Send(payload, options, deadline);
}

absl::Status IncomingCall::Fail(const absl::Status& error,
                                absl::Time deadline) {
  return Send(EncodeError(error),
              OptionsOf(layout::kLastResponse | layout::kErrorResponse),
              deadline);
}

}  // namespace shmd
