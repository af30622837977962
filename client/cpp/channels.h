#ifndef SHMD_CLIENT_CPP_CHANNELS_H_
#define SHMD_CLIENT_CPP_CHANNELS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/cpp/channel.h"
#include "client/cpp/client.h"
#include "shm/channel/message.h"
#include "shm/channel/publisher.h"
#include "shm/channel/spin.h"
#include "shm/channel/subscriber.h"

namespace shmd {
inline namespace client {

// Messages through channels: memory that publishers write and subscribers read
// in place. Once joined, no call goes to the daemon but when somebody else
// joins; none while everybody is awake and keeps up enters the kernel.
// calls.h has requests and responses; docs/channels.md is the guide.
//
// Each object here is one publisher or one subscriber of at most 64, for one
// thread at a time, messages and loans that it gives out included, which must
// not outlive it. It uses the client's session and may outlive the Client; its
// end tells the daemon. Move-only. After fork(2) a child leaves it alone.
//
// Deadlines are moments, kept by the monotonic clock from the call on: who sets
// the wall clock meanwhile changes nothing. InfiniteFuture waits without end,
// InfinitePast not at all. Whoever waits learns within a fifth of a second that
// it waits in vain: of all calls, errors are CHANNEL_CLOSED
// (FAILED_PRECONDITION) when the channel was deleted, MEMBER_NOT_FOUND
// (FAILED_PRECONDITION) when the daemon has ended this part, SERVER_UNREACHABLE
// (UNAVAILABLE) when a daemon that was started anew knows nothing of it, as
// there is no keeper. While the daemon is away messages go on.
//
// A wait spins before it sleeps, for about twice as long as the last ones took:
// to be woken takes a program longer than many an answer does. That costs
// processor time, of each wait at most `spin` of its options; nothing where
// waits take far longer than that; and next to nothing where it was in vain, as
// with more threads to run than processors: then up to 1023 waits sleep at once
// before the next try. Zero always sleeps at once, and machines of one
// processor never spin. What is more than a second is a second.
//
// Errors of Open: those of CreatePublisher and CreateSubscriber in
// channel.proto: CHANNEL_NOT_FOUND, CALLER_NOT_ALLOWED, CHANNEL_FULL,
// QUOTA_EXCEEDED, ...; with `create` those of CreateChannel.

class ChannelPlace;

inline constexpr absl::Duration kDefaultSpin =
    absl::Nanoseconds(kDefaultSpinNs);

struct PublisherOptions {
  // The channel is made like this when there is none; one that is there has to
  // be of the same kind and sizes (CHANNEL_EXISTS).
  std::optional<ChannelSpec> create;
  // NewGrant::handle of Client::CreateChannelGrant, which lets in whom the mode
  // would not (GRANT_INVALID); `create` is not looked at then.
  std::string grant;
  // Of waits for room; Drain and AwaitSubscribers sleep at once.
  absl::Duration spin = kDefaultSpin;
};

// Publishes in a channel of kPublish, or puts work into a kQueue.
class Publisher {
 public:
  static absl::StatusOr<Publisher> Open(Client& client,
                                        absl::string_view channel,
                                        const PublisherOptions& options = {});
  Publisher(Publisher&&) noexcept;
  Publisher& operator=(Publisher&&) noexcept;
  // What subscribers have not mapped yet is lost to them: see Drain.
  ~Publisher();

  // Memory in the ring to write a message into, in place: span() of it is
  // `size_bytes` long. Waits for slow subscribers whose policy is kBlock, or
  // for consumers: CHANNEL_BLOCKED (DEADLINE_EXCEEDED). MESSAGE_TOO_LARGE
  // (INVALID_ARGUMENT). `metadata_bytes` are kept free behind it.
  absl::StatusOr<Loan> Borrow(uint64_t size_bytes,
                              absl::Time deadline = absl::InfiniteFuture(),
                              uint32_t metadata_bytes = 0);
  // Publishes it; never waits. The message's number, from 0 on.
  absl::StatusOr<uint64_t> Publish(Loan&& loan,
                                   const MessageOptions& options = {});
  // Copies. Errors as of Borrow.
  absl::StatusOr<uint64_t> Publish(
      absl::Span<const char> payload, const MessageOptions& options = {},
      absl::Time deadline = absl::InfiniteFuture());
  // All of them become visible at once; one wake for all. The first's number.
  absl::StatusOr<uint64_t> PublishAll(absl::Span<Loan> loans,
                                      const MessageOptions& options = {});
  // Copies, as many at a time as there is room for. How many were published:
  // all, unless the deadline came or one cannot be.
  absl::StatusOr<size_t> PublishAll(
      absl::Span<const OutgoingMessage> messages,
      absl::Time deadline = absl::InfiniteFuture());

  // Returns when all that are waited for are done with all that was published:
  // subscribers whose policy is kBlock have released it, consumers have
  // acknowledged it. CHANNEL_BLOCKED. For programs that end.
  absl::Status Drain(absl::Time deadline = absl::InfiniteFuture());
  // Waits until at least so many subscribe, which get all that is published
  // from then on, also when this publisher dies before they look.
  // CHANNEL_BLOCKED.
  absl::Status AwaitSubscribers(size_t count,
                                absl::Time deadline = absl::InfiniteFuture());

  // OK while it can go on.
  absl::Status Check();
  // namespaces/default/channels/frames
  const std::string& channel() const;

 private:
  Publisher(std::unique_ptr<ChannelPlace> place,
            std::unique_ptr<RingPublisher> ring);

  std::unique_ptr<ChannelPlace> place_;
  std::unique_ptr<RingPublisher> ring_;  // ends first
};

struct SubscriberOptions {
  SlowPolicy policy = SlowPolicy::kBlock;
  std::optional<ChannelSpec> create;  // as of PublisherOptions
  std::string grant;                  // likewise
  // Of waits for messages; of WaitAny, that of the first one counts.
  absl::Duration spin = kDefaultSpin;
};

// Gets every message of every publisher of a kPublish channel: of those that
// are there as many earlier ones as the channel's history has, of those that
// come later all. In the order of each publisher; between publishers in turn.
class Subscriber {
 public:
  static absl::StatusOr<Subscriber> Open(Client& client,
                                         absl::string_view channel,
                                         const SubscriberOptions& options = {});
  Subscriber(Subscriber&&) noexcept;
  Subscriber& operator=(Subscriber&&) noexcept;
  ~Subscriber();

  // The next message, in place: it stays until the ReceivedMessage ends, and
  // holds its publisher up where the policy is kBlock. NO_MESSAGE
  // (DEADLINE_EXCEEDED); CUT_OFF (FAILED_PRECONDITION), for good;
  // MESSAGE_DAMAGED (DATA_LOSS) once for each, after which one goes on;
  // MESSAGES_HELD (RESOURCE_EXHAUSTED) with 512 in hand, unless kBlock.
  absl::StatusOr<ReceivedMessage> Receive(
      absl::Time deadline = absl::InfiniteFuture());
  // nullopt when there is none now.
  absl::StatusOr<std::optional<ReceivedMessage>> TryReceive();
  // Waits for one, and takes what else is there, up to `most`.
  absl::StatusOr<std::vector<ReceivedMessage>> ReceiveAll(
      size_t most, absl::Time deadline = absl::InfiniteFuture());

  // For poll(2) and epoll(7), of this object: readable, after Arm has said
  // true, when there may be something to receive. When Arm says false there is
  // something already. Disarm before receiving.
  //
  //   while (!subscriber.Arm()) ReceiveAllThereIs();
  //   epoll_wait(...);
  //   subscriber.Disarm();
  absl::StatusOr<int> descriptor();
  bool Arm();
  void Disarm();

  // Messages that were gone before they were read, of publishers that are
  // there.
  uint64_t lost() const;
  // Publishers whose messages it sees.
  size_t publishers() const;
  absl::Status Check();
  const std::string& channel() const;

  // Waits until one of them has something, or its state has changed; which one,
  // for TryReceive. NO_MESSAGE; WAIT_LIMIT_EXCEEDED (RESOURCE_EXHAUSTED) when
  // they have more than 127 publishers.
  static absl::StatusOr<size_t> WaitAny(
      absl::Span<Subscriber* const> subscribers,
      absl::Time deadline = absl::InfiniteFuture());

 private:
  Subscriber(std::unique_ptr<ChannelPlace> place,
             std::unique_ptr<RingSubscriber> ring);

  std::unique_ptr<ChannelPlace> place_;
  std::unique_ptr<RingSubscriber> ring_;  // ends first
};

struct ConsumerOptions {
  std::optional<ChannelSpec> create;   // as of PublisherOptions; of kQueue
  std::string grant;                   // likewise
  absl::Duration spin = kDefaultSpin;  // of waits for messages
};

// Takes work from a kQueue: each message goes to one consumer. What that has
// not acknowledged when it ends, or dies, goes to another one.
class Consumer {
 public:
  static absl::StatusOr<Consumer> Open(Client& client,
                                       absl::string_view channel,
                                       const ConsumerOptions& options = {});
  Consumer(Consumer&&) noexcept;
  Consumer& operator=(Consumer&&) noexcept;
  ~Consumer();

  // The next message that is nobody's. Errors as of Subscriber::Receive.
  // ReceivedMessage::Acknowledge says that it is done: nobody gets it any more.
  // That is CLAIM_LOST (FAILED_PRECONDITION) when another one has it by now: do
  // not count it then. GiveBack, or its end, lets another one, or this one,
  // have it again.
  absl::StatusOr<ReceivedMessage> Receive(
      absl::Time deadline = absl::InfiniteFuture());
  absl::StatusOr<std::optional<ReceivedMessage>> TryReceive();

  // As of Subscriber. Each message that ReceiveAll takes is this one's until it
  // is acknowledged or given back.
  absl::StatusOr<std::vector<ReceivedMessage>> ReceiveAll(
      size_t most, absl::Time deadline = absl::InfiniteFuture());
  static absl::StatusOr<size_t> WaitAny(
      absl::Span<Consumer* const> consumers,
      absl::Time deadline = absl::InfiniteFuture());
  absl::StatusOr<int> descriptor();
  bool Arm();
  void Disarm();
  absl::Status Check();
  const std::string& channel() const;

 private:
  Consumer(std::unique_ptr<ChannelPlace> place,
           std::unique_ptr<RingSubscriber> ring);

  std::unique_ptr<ChannelPlace> place_;
  std::unique_ptr<RingSubscriber> ring_;  // ends first
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_CHANNELS_H_
