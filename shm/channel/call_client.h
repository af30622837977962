#ifndef SHMD_SHM_CHANNEL_CALL_CLIENT_H_
#define SHMD_SHM_CHANNEL_CALL_CLIENT_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "shm/channel/call_status.h"
#include "shm/channel/call_words.h"
#include "shm/channel/channel_view.h"
#include "shm/channel/claim_words.h"
#include "shm/channel/host_wait.h"
#include "shm/channel/member_parts.h"
#include "shm/channel/message.h"
#include "shm/channel/publisher.h"
#include "shm/channel/subscriber.h"
#include "shm/layout/channel_layout.h"

namespace shmd {

// One response of several, or the only one.
template <typename Memory, typename Wait>
struct BasicCallResponse {
  typename BasicRingSubscriber<Memory, Wait>::Message message;
  bool is_last = false;
};

// Calls servers: publishes requests, each of which one server claims, and reads
// the responses, which carry the request's number.
template <typename Memory, typename Wait = HostWait>
class BasicCallClient {
 public:
  using Publisher = BasicRingPublisher<Memory, Wait>;
  using Subscriber = BasicRingSubscriber<Memory, Wait>;
  using Message = typename Subscriber::Message;
  using Response = BasicCallResponse<Memory, Wait>;

  // Both have the role kClient in the same channel.
  BasicCallClient(std::unique_ptr<Publisher> publisher,
                  std::unique_ptr<Subscriber> subscriber)
      : publisher_(std::move(publisher)),
        subscriber_(std::move(subscriber)),
        seen_change_(subscriber_->view().change()) {}
  BasicCallClient(const BasicCallClient&) = delete;
  BasicCallClient& operator=(const BasicCallClient&) = delete;
  // Cancels what is not answered.
  ~BasicCallClient() {
    while (!calls_.empty()) Cancel(calls_.begin()->first);
  }

  // A place to write a request in.
  absl::StatusOr<Loan> Borrow(uint64_t size_bytes, const Deadline& deadline,
                              uint32_t metadata_bytes = 0) {
    return publisher_->Borrow(size_bytes, deadline, metadata_bytes);
  }

  // Sends a request and does not wait for the answer: many can be under way.
  // The number of the call. SERVER_GONE when there is no server.
  absl::StatusOr<uint64_t> Start(Loan&& request,
                                 absl::Span<const char> metadata = {});
  absl::StatusOr<uint64_t> Start(absl::Span<const char> request,
                                 const Deadline& deadline,
                                 absl::Span<const char> metadata = {});

  // The next response to a call. After the last one, and after an error other
  // than NO_MESSAGE (there was none until `deadline`), the call is over. The
  // server's own error has no reason; SERVER_GONE at once when the server that
  // has claimed the call leaves before its last response; CUT_OFF when the
  // server has taken a response back because this client did not read it.
  // NOT_FOUND for a call that is over.
  absl::StatusOr<Response> Next(uint64_t call, const Deadline& deadline);

  // The same for whichever call has one first.
  absl::StatusOr<std::pair<uint64_t, absl::StatusOr<Response>>> NextOfAny(
      const Deadline& deadline);

  // A request with one response; cancels the call when `deadline` comes first.
  absl::StatusOr<Message> Call(absl::Span<const char> request,
                               const Deadline& deadline) {
    ASSIGN_OR_RETURN(const uint64_t call, Start(request, deadline));
    absl::StatusOr<Response> response = Next(call, deadline);
    Cancel(call);
    RETURN_IF_ERROR(response.status());
    return std::move(response->message);
  }

  // Tells the server that nobody waits for the answer. The call is over.
  void Cancel(uint64_t call) {
    const auto at = calls_.find(call);
    if (at == calls_.end()) return;
    if (!at->second.is_last_there && call >= publisher_->first_kept()) {
      publisher_->claims().Cancel(call);
      SHMD_FAILPOINT("call.cancelled");
    }
    calls_.erase(at);
  }

  // That are not over.
  size_t call_count() const { return calls_.size(); }
  Publisher& publisher() { return *publisher_; }
  Subscriber& subscriber() { return *subscriber_; }

 private:
  struct Pending {
    std::deque<Response> responses;
    uint64_t came = 0;  // responses so far
    absl::Status failed;
    bool is_last_there = false;
  };
  using Calls = std::map<uint64_t, Pending>;  // by number

  // Responses to other calls, too, take their time.
  static constexpr uint32_t kPumpsBetweenClocks = 1024;
  // Of responses that nobody has asked for yet no more stay in the ring.
  static constexpr uint32_t kMaxInPlace = layout::kReaderPins / 2;

  static bool IsTooLate(uint32_t pumps, const Deadline& deadline) {
    return pumps % kPumpsBetweenClocks == 0 && deadline.HasPassed();
  }
  static bool IsReady(const Pending& pending) {
    return !pending.responses.empty() || !pending.failed.ok();
  }

  absl::Status Pump(const Deadline& deadline);
  void Route(Message message);
  void FailOrphans(bool has_lost);
  void DrainResponses();
  absl::Status OrphanError(uint64_t call, bool has_server, bool has_lost);
  bool IsThere(uint64_t claim) const {
    return Claim::IsOf(claim,
                       subscriber_->view().generation(MemberKind::kSubscriber,
                                                      Claim::Index(claim)));
  }
  bool HasServer() const;
  absl::StatusOr<Response> Take(typename Calls::iterator at);

  std::unique_ptr<Publisher> publisher_;
  std::unique_ptr<Subscriber> subscriber_;
  Calls calls_;
  uint32_t seen_change_ = 0;
};

template <typename Memory, typename Wait>
absl::StatusOr<uint64_t> BasicCallClient<Memory, Wait>::Start(
    Loan&& request, absl::Span<const char> metadata) {
  RETURN_IF_ERROR(publisher_->Check());
  if (!HasServer()) return ServerGoneError("the channel has no server");
  MessageOptions options;
  options.metadata = metadata;
  // Where the responses go.
  options.correlation = subscriber_->id().generation;
  ASSIGN_OR_RETURN(const uint64_t number,
                   publisher_->Publish(std::move(request), options));
  calls_[number];
  SHMD_FAILPOINT("call.started");
  // The server may have left between the look and this.
  if (publisher_->view().change() != seen_change_) {
    FailOrphans(/*has_lost=*/false);
  }
  return number;
}

template <typename Memory, typename Wait>
absl::StatusOr<uint64_t> BasicCallClient<Memory, Wait>::Start(
    absl::Span<const char> request, const Deadline& deadline,
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

template <typename Memory, typename Wait>
absl::StatusOr<BasicCallResponse<Memory, Wait>>
BasicCallClient<Memory, Wait>::Next(uint64_t call, const Deadline& deadline) {
  for (uint32_t pumps = 1;; ++pumps) {
    const auto at = calls_.find(call);
    if (at == calls_.end()) return absl::NotFoundError("the call is over");
    if (IsReady(at->second)) return Take(at);
    if (IsTooLate(pumps, deadline)) return NoMessageError();
    RETURN_IF_ERROR(Pump(deadline));
  }
}

template <typename Memory, typename Wait>
absl::StatusOr<
    std::pair<uint64_t, absl::StatusOr<BasicCallResponse<Memory, Wait>>>>
BasicCallClient<Memory, Wait>::NextOfAny(const Deadline& deadline) {
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

template <typename Memory, typename Wait>
absl::Status BasicCallClient<Memory, Wait>::Pump(const Deadline& deadline) {
  // Read before the responses: who leaves has sent all of them by then.
  const uint32_t change = subscriber_->view().change();
  absl::StatusOr<std::optional<Message>> message = subscriber_->TryReceive();
  if (!message.ok() && GetErrorReason(message.status()) == reason::kCutOff) {
    FailOrphans(/*has_lost=*/true);
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(message.status());
  if (message->has_value()) {
    Route(**std::move(message));
    return absl::OkStatus();
  }
  if (change != seen_change_) {
    seen_change_ = change;
    FailOrphans(/*has_lost=*/false);
    return absl::OkStatus();
  }
  return subscriber_->AwaitMessage(deadline);
}

template <typename Memory, typename Wait>
void BasicCallClient<Memory, Wait>::Route(Message message) {
  const uint64_t word = message.correlation();
  const auto at = calls_.find(ResponseWord::Request(word));
  // Of a call that is over, or was none.
  if (at == calls_.end() || !at->second.failed.ok()) return;
  Pending& pending = at->second;
  if (!ResponseWord::Follows(word, pending.came)) {
    pending.failed = ResponseLostError();
    return;
  }
  ++pending.came;
  if (subscriber_->held() > kMaxInPlace) message.Detach();
  Response response;
  response.is_last = (message.flags() & layout::kLastResponse) != 0;
  pending.is_last_there = pending.is_last_there || response.is_last;
  response.message = std::move(message);
  pending.responses.push_back(std::move(response));
}

template <typename Memory, typename Wait>
void BasicCallClient<Memory, Wait>::FailOrphans(bool has_lost) {
  const bool has_server = HasServer();
  std::vector<std::pair<uint64_t, absl::Status>> orphans;
  for (const auto& [call, pending] : calls_) {
    if (pending.is_last_there || !pending.failed.ok()) continue;
    absl::Status error = OrphanError(call, has_server, has_lost);
    if (!error.ok()) orphans.emplace_back(call, std::move(error));
  }
  if (orphans.empty()) return;
  // Servers respond before they are done: what there is has come by now.
  DrainResponses();
  for (auto& [call, error] : orphans) {
    Pending& pending = calls_[call];
    if (!pending.is_last_there && pending.failed.ok()) {
      pending.failed = std::move(error);
    }
  }
}

template <typename Memory, typename Wait>
void BasicCallClient<Memory, Wait>::DrainResponses() {
  // More is a server's that makes fun of us.
  for (uint32_t i = 0; i < layout::kMaxSlots; ++i) {
    absl::StatusOr<std::optional<Message>> message = subscriber_->TryReceive();
    if (!message.ok()) {
      const std::string reason = GetErrorReason(message.status());
      if (reason == reason::kCutOff || reason == reason::kMessageDamaged) {
        continue;
      }
      return;
    }
    if (!message->has_value()) return;
    Route(**std::move(message));
  }
}

// OK while there may be a response to come.
template <typename Memory, typename Wait>
absl::Status BasicCallClient<Memory, Wait>::OrphanError(uint64_t call,
                                                        bool has_server,
                                                        bool has_lost) {
  if (call < publisher_->first_kept()) {
    return has_lost ? ResponseLostError()
                    : ServerGoneError("the server has sent no last response");
  }
  BasicClaimWords<Memory>& claims = publisher_->claims();
  const uint64_t word = claims.Get(call);
  switch (Claim::State(word, call)) {
    case layout::ClaimState::kClaimed:
      if (IsThere(word)) return absl::OkStatus();
      return ServerGoneError("the server has gone before its last response");
    case layout::ClaimState::kDone:
      // What it has sent is in a ring that this client may never have had.
      if (!IsThere(word)) return ServerGoneError("the server has gone");
      return has_lost ? ResponseLostError() : absl::OkStatus();
    case layout::ClaimState::kFree:
      if (has_server) return absl::OkStatus();
      // Nobody claims it any more.
      claims.Cancel(call);
      return ServerGoneError("all servers have gone");
    case layout::ClaimState::kCancelled:
      break;
  }
  return absl::OkStatus();
}

template <typename Memory, typename Wait>
bool BasicCallClient<Memory, Wait>::HasServer() const {
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

template <typename Memory, typename Wait>
absl::StatusOr<BasicCallResponse<Memory, Wait>>
BasicCallClient<Memory, Wait>::Take(typename Calls::iterator at) {
  Pending& pending = at->second;
  if (pending.responses.empty()) {
    const absl::Status failed = pending.failed;
    Cancel(at->first);
    return failed;
  }
  Response response = std::move(pending.responses.front());
  pending.responses.pop_front();
  if (response.is_last) calls_.erase(at);
  if ((response.message.flags() & layout::kErrorResponse) == 0) return response;
  return DecodeError(response.message.payload());
}

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_CALL_CLIENT_H_
