#include "client/cpp/channels.h"

#include <utility>

#include "base/error_reason.h"
#include "base/status_macros.h"
#include "client/cpp/channel_place.h"
#include "shm/channel/wait_any.h"

namespace shmd {
inline namespace client {
namespace {

absl::StatusOr<ReceivedMessage> ReceiveFrom(const ChannelPlace& place,
                                            RingSubscriber& ring,
                                            absl::Time deadline) {
  return place.Await(
      deadline, reason::kNoMessage,
      [&ring](const Deadline& slice) { return ring.Receive(slice); });
}

absl::StatusOr<std::optional<ReceivedMessage>> TryReceiveFrom(
    const ChannelPlace& place, RingSubscriber& ring) {
  RETURN_IF_ERROR(place.status());
  return ring.TryReceive();
}

absl::StatusOr<std::vector<ReceivedMessage>> ReceiveAllFrom(
    const ChannelPlace& place, RingSubscriber& ring, size_t most,
    absl::Time deadline) {
  if (most == 0) return std::vector<ReceivedMessage>();
  return place.Await(deadline, reason::kNoMessage, [&](const Deadline& slice) {
    return ring.ReceiveAll(most, slice);
  });
}

absl::StatusOr<size_t> WaitAnyOf(absl::Span<const ChannelPlace* const> places,
                                 absl::Span<RingSubscriber* const> rings,
                                 absl::Time deadline) {
  if (rings.empty()) return NoMessageError();
  return places[0]->Await(deadline, reason::kNoMessage,
                          [&](const Deadline& slice) -> absl::StatusOr<size_t> {
                            for (size_t i = 0; i < places.size(); ++i) {
                              if (!places[i]->status().ok()) return i;
                            }
                            return shmd::WaitAny(rings, slice);
                          });
}

absl::Status CheckBoth(const ChannelPlace& place, absl::Status of_ring) {
  RETURN_IF_ERROR(place.status());
  return of_ring;
}

}  // namespace

absl::StatusOr<Publisher> Publisher::Open(Client& client,
                                          absl::string_view channel,
                                          const PublisherOptions& options) {
  ASSIGN_OR_RETURN(
      ChannelPlace::Publishing joined,
      ChannelPlace::Publish(client, channel, {options.create, options.grant}));
  ASSIGN_OR_RETURN(std::unique_ptr<RingPublisher> ring,
                   RingPublisher::Open(std::move(joined.parts)));
  ring->set_spin_ns(SpinNs(options.spin));
  return Publisher(std::move(joined.place), std::move(ring));
}

Publisher::Publisher(std::unique_ptr<ChannelPlace> place,
                     std::unique_ptr<RingPublisher> ring)
    : place_(std::move(place)), ring_(std::move(ring)) {}
Publisher::Publisher(Publisher&&) noexcept = default;
Publisher& Publisher::operator=(Publisher&& other) noexcept {
  ring_ = std::move(other.ring_);
  place_ = std::move(other.place_);
  return *this;
}
Publisher::~Publisher() = default;

absl::StatusOr<Loan> Publisher::Borrow(uint64_t size_bytes, absl::Time deadline,
                                       uint32_t metadata_bytes) {
  return place_->Await(
      deadline, reason::kChannelBlocked, [&](const Deadline& slice) {
        return ring_->Borrow(size_bytes, slice, metadata_bytes);
      });
}

absl::StatusOr<uint64_t> Publisher::Publish(Loan&& loan,
                                            const MessageOptions& options) {
  RETURN_IF_ERROR(place_->status());
  return ring_->Publish(std::move(loan), options);
}

absl::StatusOr<uint64_t> Publisher::Publish(absl::Span<const char> payload,
                                            const MessageOptions& options,
                                            absl::Time deadline) {
  return place_->Await(deadline, reason::kChannelBlocked,
                       [&](const Deadline& slice) {
                         return ring_->Publish(payload, options, slice);
                       });
}

absl::StatusOr<uint64_t> Publisher::PublishAll(absl::Span<Loan> loans,
                                               const MessageOptions& options) {
  RETURN_IF_ERROR(place_->status());
  return ring_->PublishAll(loans, options);
}

absl::StatusOr<size_t> Publisher::PublishAll(
    absl::Span<const OutgoingMessage> messages, absl::Time deadline) {
  size_t done = 0;
  do {
    absl::StatusOr<size_t> some = place_->Await(
        deadline, reason::kChannelBlocked, [&](const Deadline& slice) {
          return ring_->PublishAll(messages.subspan(done), slice);
        });
    if (!some.ok() && done == 0) return some.status();
    if (!some.ok()) break;
    done += *some;
  } while (done < messages.size());
  return done;
}

absl::Status Publisher::Drain(absl::Time deadline) {
  return place_->Await(
      deadline, reason::kChannelBlocked,
      [&](const Deadline& slice) { return ring_->Drain(slice); });
}

absl::Status Publisher::AwaitSubscribers(size_t count, absl::Time deadline) {
  return place_->Await(
      deadline, reason::kChannelBlocked,
      [&](const Deadline& slice) { return ring_->AwaitReaders(count, slice); });
}

absl::Status Publisher::Check() { return CheckBoth(*place_, ring_->Check()); }

const std::string& Publisher::channel() const { return place_->channel(); }

absl::StatusOr<Subscriber> Subscriber::Open(Client& client,
                                            absl::string_view channel,
                                            const SubscriberOptions& options) {
  ASSIGN_OR_RETURN(ChannelPlace::Subscribing joined,
                   ChannelPlace::Subscribe(client, channel, options.policy,
                                           {options.create, options.grant}));
  ASSIGN_OR_RETURN(std::unique_ptr<RingSubscriber> ring,
                   RingSubscriber::Open(std::move(joined.parts)));
  ring->set_spin_ns(SpinNs(options.spin));
  return Subscriber(std::move(joined.place), std::move(ring));
}

Subscriber::Subscriber(std::unique_ptr<ChannelPlace> place,
                       std::unique_ptr<RingSubscriber> ring)
    : place_(std::move(place)), ring_(std::move(ring)) {}
Subscriber::Subscriber(Subscriber&&) noexcept = default;
Subscriber& Subscriber::operator=(Subscriber&& other) noexcept {
  ring_ = std::move(other.ring_);
  place_ = std::move(other.place_);
  return *this;
}
Subscriber::~Subscriber() = default;

absl::StatusOr<ReceivedMessage> Subscriber::Receive(absl::Time deadline) {
  return ReceiveFrom(*place_, *ring_, deadline);
}

absl::StatusOr<std::optional<ReceivedMessage>> Subscriber::TryReceive() {
  return TryReceiveFrom(*place_, *ring_);
}

absl::StatusOr<std::vector<ReceivedMessage>> Subscriber::ReceiveAll(
    size_t most, absl::Time deadline) {
  return ReceiveAllFrom(*place_, *ring_, most, deadline);
}

absl::StatusOr<int> Subscriber::descriptor() {
  return place_->DescriptorOf(*ring_);
}
bool Subscriber::Arm() { return ring_->Arm(); }
void Subscriber::Disarm() { ring_->Disarm(); }
uint64_t Subscriber::lost() const { return ring_->lost(); }
size_t Subscriber::publishers() const { return ring_->publisher_count(); }
absl::Status Subscriber::Check() { return CheckBoth(*place_, ring_->Check()); }
const std::string& Subscriber::channel() const { return place_->channel(); }

absl::StatusOr<size_t> Subscriber::WaitAny(
    absl::Span<Subscriber* const> subscribers, absl::Time deadline) {
  std::vector<const ChannelPlace*> places;
  std::vector<RingSubscriber*> rings;
  for (Subscriber* const one : subscribers) {
    places.push_back(one->place_.get());
    rings.push_back(one->ring_.get());
  }
  return WaitAnyOf(places, rings, deadline);
}

absl::StatusOr<Consumer> Consumer::Open(Client& client,
                                        absl::string_view channel,
                                        const ConsumerOptions& options) {
  ASSIGN_OR_RETURN(ChannelPlace::Subscribing joined,
                   ChannelPlace::Subscribe(client, channel, SlowPolicy::kBlock,
                                           {options.create, options.grant}));
  ASSIGN_OR_RETURN(std::unique_ptr<RingSubscriber> ring,
                   RingSubscriber::Open(std::move(joined.parts)));
  ring->set_spin_ns(SpinNs(options.spin));
  return Consumer(std::move(joined.place), std::move(ring));
}

Consumer::Consumer(std::unique_ptr<ChannelPlace> place,
                   std::unique_ptr<RingSubscriber> ring)
    : place_(std::move(place)), ring_(std::move(ring)) {}
Consumer::Consumer(Consumer&&) noexcept = default;
Consumer& Consumer::operator=(Consumer&& other) noexcept {
  ring_ = std::move(other.ring_);
  place_ = std::move(other.place_);
  return *this;
}
Consumer::~Consumer() = default;

absl::StatusOr<ReceivedMessage> Consumer::Receive(absl::Time deadline) {
  return ReceiveFrom(*place_, *ring_, deadline);
}

absl::StatusOr<std::optional<ReceivedMessage>> Consumer::TryReceive() {
  return TryReceiveFrom(*place_, *ring_);
}

absl::StatusOr<std::vector<ReceivedMessage>> Consumer::ReceiveAll(
    size_t most, absl::Time deadline) {
  return ReceiveAllFrom(*place_, *ring_, most, deadline);
}

absl::StatusOr<size_t> Consumer::WaitAny(absl::Span<Consumer* const> consumers,
                                         absl::Time deadline) {
  std::vector<const ChannelPlace*> places;
  std::vector<RingSubscriber*> rings;
  for (Consumer* const one : consumers) {
    places.push_back(one->place_.get());
    rings.push_back(one->ring_.get());
  }
  return WaitAnyOf(places, rings, deadline);
}

absl::StatusOr<int> Consumer::descriptor() {
  return place_->DescriptorOf(*ring_);
}
bool Consumer::Arm() { return ring_->Arm(); }
void Consumer::Disarm() { ring_->Disarm(); }
absl::Status Consumer::Check() { return CheckBoth(*place_, ring_->Check()); }
const std::string& Consumer::channel() const { return place_->channel(); }

}  // namespace client
}  // namespace shmd
