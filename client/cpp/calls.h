#ifndef SHMD_CLIENT_CPP_CALLS_H_
#define SHMD_CLIENT_CPP_CALLS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/cpp/channel.h"
#include "client/cpp/channels.h"
#include "client/cpp/client.h"
#include "client/cpp/watch.h"
#include "shm/channel/call.h"

namespace shmd {
inline namespace client {

// Requests and responses through a channel of kCall. What channels.h says of
// threads, ends, deadlines and errors holds here as well.

struct CallOptions {
  std::optional<ChannelSpec> create;  // as of PublisherOptions; of kCall
  std::string grant;                  // likewise; one use lets one in
  // Of waits for requests, for responses, and for room for either.
  absl::Duration spin = kDefaultSpin;
};

// Calls servers. Each request is claimed by one of them; when that dies, or
// leaves, before its last response, the call ends with SERVER_GONE
// (UNAVAILABLE) at once. It may have had its effect. CUT_OFF
// (FAILED_PRECONDITION), of one call: a server that had to make room for others
// has taken a response back that this did not read for 40 ms.
class Requester {
 public:
  static absl::StatusOr<Requester> Open(Client& client,
                                        absl::string_view channel,
                                        const CallOptions& options = {});
  Requester(Requester&&) noexcept;
  Requester& operator=(Requester&&) noexcept;
  // Cancels what is not answered.
  ~Requester();

  // Waits until there is a server; SERVER_GONE when there was none until
  // `deadline`. Calls that are made before are SERVER_GONE.
  absl::Status AwaitServer(absl::Time deadline = absl::InfiniteFuture());

  // A request and its first response, in place. NO_MESSAGE (DEADLINE_EXCEEDED)
  // when there was none until `deadline`, which cancels the call; the server's
  // own error, which has no reason.
  absl::StatusOr<ReceivedMessage> Call(
      absl::Span<const char> request,
      absl::Time deadline = absl::InfiniteFuture());

  // Sends a request and does not wait for responses: many calls can be under
  // way. The call's number. The second form sends what was borrowed, in place.
  absl::StatusOr<uint64_t> Start(absl::Span<const char> request,
                                 absl::Time deadline = absl::InfiniteFuture(),
                                 absl::Span<const char> metadata = {});
  absl::StatusOr<Loan> Borrow(uint64_t size_bytes,
                              absl::Time deadline = absl::InfiniteFuture(),
                              uint32_t metadata_bytes = 0);
  absl::StatusOr<uint64_t> Start(Loan&& request,
                                 absl::Span<const char> metadata = {});

  // The next response to a call, which may have any number: it is over after
  // the one that is_last, and after an error other than NO_MESSAGE.
  absl::StatusOr<CallResponse> Next(
      uint64_t call, absl::Time deadline = absl::InfiniteFuture());
  // The same for whichever call has one first, and which that is.
  absl::StatusOr<std::pair<uint64_t, absl::StatusOr<CallResponse>>> NextOfAny(
      absl::Time deadline = absl::InfiniteFuture());
  // For poll(2) and epoll(7), as of Subscriber: readable when a response may be
  // there, or a server has gone. NextOfAny until NO_MESSAGE comes before Arm.
  absl::StatusOr<int> descriptor();
  bool Arm();
  void Disarm();
  // Nobody waits for the answer any more, which the server can see.
  void Cancel(uint64_t call);
  // Calls that are not over.
  size_t calls() const;

  const std::string& channel() const;

 private:
  Requester(std::unique_ptr<ChannelPlace> publisher,
            std::unique_ptr<ChannelPlace> subscriber,
            std::unique_ptr<CallClient> calls);

  std::unique_ptr<ChannelPlace> publisher_;
  std::unique_ptr<ChannelPlace> subscriber_;
  std::unique_ptr<CallClient> calls_;  // ends first
};

// Answers calls, beside others that do. IncomingCall says how.
class Responder {
 public:
  static absl::StatusOr<Responder> Open(Client& client,
                                        absl::string_view channel,
                                        const CallOptions& options = {});
  Responder(Responder&&) noexcept;
  Responder& operator=(Responder&&) noexcept;
  // Calls that it has claimed end with SERVER_GONE.
  ~Responder();

  // The next call that is nobody's; NO_MESSAGE.
  absl::StatusOr<IncomingCall> Next(
      absl::Time deadline = absl::InfiniteFuture());

  // For poll(2) and epoll(7), as of Subscriber: readable when there may be a
  // call.
  absl::StatusOr<int> descriptor();
  bool Arm();
  void Disarm();

  // What answers a request, which may change while it is looked at if its
  // client breaks the rules: the response, or an error for the caller.
  using Handler =
      std::function<absl::StatusOr<std::string>(absl::Span<const char>)>;
  // Has `handler` answer all calls, one by one, until `cancel` is cancelled
  // (CANCELLED, within a fifth of a second) or no more can come. A client whose
  // response has no room for `patience` does without; where there are others it
  // holds up nobody for more than 40 ms.
  absl::Status Serve(const Handler& handler, const CancelToken& cancel,
                     absl::Duration patience = absl::Seconds(10));

  const std::string& channel() const;

 private:
  Responder(std::unique_ptr<ChannelPlace> publisher,
            std::unique_ptr<ChannelPlace> subscriber,
            std::unique_ptr<CallServer> calls);

  std::unique_ptr<ChannelPlace> publisher_;
  std::unique_ptr<ChannelPlace> subscriber_;
  std::unique_ptr<CallServer> calls_;  // ends first
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_CALLS_H_
