#ifndef SHMD_SHM_CHANNEL_CALL_H_
#define SHMD_SHM_CHANNEL_CALL_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "shm/channel/message.h"
#include "shm/channel/publisher.h"
#include "shm/channel/subscriber.h"

namespace shmd {

// Calls through a channel of kCall. A client publishes requests, each of which
// one server claims, and reads the responses, which carry the request's number.
// One thread at a time may use a client, or a server, and all that comes from
// it. Errors of the publisher and of the subscriber are passed on.

// One response of several, or the only one.
struct CallResponse {
  ReceivedMessage message;
  bool is_last = false;
};

class CallClient {
 public:
  // Both have the role kClient in the same channel.
  CallClient(std::unique_ptr<RingPublisher> publisher,
             std::unique_ptr<RingSubscriber> subscriber);
  CallClient(const CallClient&) = delete;
  CallClient& operator=(const CallClient&) = delete;
  // Cancels what is not answered.
  ~CallClient();

  // A place to write a request in.
  absl::StatusOr<Loan> Borrow(uint64_t size_bytes, absl::Time deadline,
                              uint32_t metadata_bytes = 0);

  // Sends a request and does not wait for the answer: many can be under way.
  // The number of the call. SERVER_GONE when there is no server.
  absl::StatusOr<uint64_t> Start(Loan&& request,
                                 absl::Span<const char> metadata = {});
  absl::StatusOr<uint64_t> Start(absl::Span<const char> request,
                                 absl::Time deadline,
                                 absl::Span<const char> metadata = {});

  // The next response to a call. After the last one, and after an error other
  // than NO_MESSAGE (there was none until `deadline`), the call is over. The
  // server's own error has no reason; SERVER_GONE at once when the server that
  // has claimed the call leaves before its last response. NOT_FOUND for a call
  // that is over.
  absl::StatusOr<CallResponse> Next(uint64_t call, absl::Time deadline);

  // The same for whichever call has one first.
  absl::StatusOr<std::pair<uint64_t, absl::StatusOr<CallResponse>>> NextOfAny(
      absl::Time deadline);

  // A request with one response; cancels the call when `deadline` comes first.
  absl::StatusOr<ReceivedMessage> Call(absl::Span<const char> request,
                                       absl::Time deadline);

  // Tells the server that nobody waits for the answer. The call is over.
  void Cancel(uint64_t call);

  // That are not over.
  size_t call_count() const { return calls_.size(); }
  RingPublisher& publisher() { return *publisher_; }
  RingSubscriber& subscriber() { return *subscriber_; }

 private:
  struct Pending {
    std::deque<CallResponse> responses;
    bool is_last_there = false;
    absl::Status failed;
  };

  // Takes one more response, or finds out who has left, or waits.
  absl::Status Pump(absl::Time deadline);
  void Route(ReceivedMessage message);
  void FailOrphans();
  absl::Status OrphanError(uint64_t call, bool has_server);
  bool HasServer() const;
  static bool IsReady(const Pending& pending);
  absl::StatusOr<CallResponse> Take(std::map<uint64_t, Pending>::iterator at);

  std::unique_ptr<RingPublisher> publisher_;
  std::unique_ptr<RingSubscriber> subscriber_;
  std::map<uint64_t, Pending> calls_;  // by number
  uint32_t seen_change_ = 0;
};

class CallServer;

// A request that this server has claimed. Move-only. Unless it was finished,
// the destructor gives it to another server, or fails the call when a part of
// the answer was sent already. Must not outlive its server.
class IncomingCall {
 public:
  IncomingCall(IncomingCall&&) = default;
  IncomingCall& operator=(IncomingCall&& other) noexcept;
  ~IncomingCall();

  absl::Span<const char> payload() const { return request_.payload(); }
  absl::Span<const char> metadata() const { return request_.metadata(); }
  const ReceivedMessage& request() const { return request_; }
  // Whether the client has stopped waiting, or has gone.
  bool IsCancelled() const;

  // One response of several. CLAIM_LOST when the call was cancelled.
  absl::Status Respond(absl::Span<const char> payload, absl::Time deadline,
                       absl::Span<const char> metadata = {});
  // A response in a place of the server's publisher(); the last one, or not.
  absl::Status Respond(Loan&& loan, bool is_last);
  // The last response.
  absl::Status Finish(absl::Span<const char> payload, absl::Time deadline,
                      absl::Span<const char> metadata = {});
  // An error in place of the last response: its code and message.
  absl::Status Fail(const absl::Status& error, absl::Time deadline);

 private:
  friend class CallServer;

  IncomingCall(CallServer* server, ReceivedMessage request)
      : server_(server), request_(std::move(request)) {}

  absl::Status Send(absl::Span<const char> payload, MessageOptions options,
                    absl::Time deadline);
  MessageOptions OptionsOf(uint32_t flags) const;
  absl::Status AfterSend(const absl::Status& sent, bool is_last);
  void Abandon();

  CallServer* server_;
  ReceivedMessage request_;
  bool has_responded_ = false;
};

class CallServer {
 public:
  // Both have the role kServer in the same channel.
  CallServer(std::unique_ptr<RingPublisher> publisher,
             std::unique_ptr<RingSubscriber> subscriber)
      : publisher_(std::move(publisher)), subscriber_(std::move(subscriber)) {}
  CallServer(const CallServer&) = delete;
  CallServer& operator=(const CallServer&) = delete;

  // Claims the next request; NO_MESSAGE.
  absl::StatusOr<IncomingCall> Next(absl::Time deadline);

  RingPublisher& publisher() { return *publisher_; }
  RingSubscriber& subscriber() { return *subscriber_; }

 private:
  std::unique_ptr<RingPublisher> publisher_;
  std::unique_ptr<RingSubscriber> subscriber_;
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_CALL_H_
