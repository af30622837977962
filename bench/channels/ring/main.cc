// The rows of ../compare by channels, without a daemon: this program makes the
// parts that the daemon would make, and hands them to both ends.
//
//   ring trip|fill BYTES
//   ring sleep CPUS
//   ring stream SUBSCRIBERS
//
// prints the nanoseconds of one round or of one message.

#include <fcntl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "bench/channels/peers/two_ends.h"
#include "shm/channel/channel_format.h"
#include "shm/channel/channel_writer.h"
#include "shm/channel/publisher.h"
#include "shm/channel/subscriber.h"
#include "shm/layout/channel_layout.h"

namespace shmd::bench {
namespace {

constexpr size_t kAnswerBytes = 8;
constexpr size_t kSmallBytes = 64;
// Of the largest messages there is room for so many.
constexpr uint64_t kMinMessages = 8;

// How both ends wait: who sleeps at once has to be woken each time.
struct SleepAtOnce : HostWait {
  static uint32_t MaxSpins() { return 0; }
};

template <typename Wait>
using PublisherOf = BasicRingPublisher<layout::HostMemory, Wait>;
template <typename Wait>
using SubscriberOf = BasicRingSubscriber<layout::HostMemory, Wait>;

template <typename T>
T Need(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  const std::string text(value.status().message());
  std::fprintf(stderr, "ring: %s\n", text.c_str());
  std::_Exit(1);
}

void Need(const absl::Status& status) {
  if (!status.ok()) Need(absl::StatusOr<int>(status));
}

UniqueFd Copy(const UniqueFd& fd) {
  return UniqueFd(fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
}

// A channel with one publisher and some subscribers for whom it waits, none of
// which has mapped anything yet. Of the default size, if that is enough.
class Link {
 public:
  explicit Link(uint64_t message_bytes, size_t subscribers = 1) {
    fields_.payload_bytes =
        std::max(kDefaultPayloadBytes, message_bytes * kMinMessages);
    fields_.generation = 1;
    channel_ = Need(CreatePart(kChannelPageBytes));
    ChannelWriter writer = Need(ChannelWriter::Format(channel_.get(), fields_));
    for (size_t i = 0; i < subscribers; ++i) AddSubscriber(writer);
    AddPublisher(writer);
  }

  template <typename Wait = HostWait>
  std::unique_ptr<PublisherOf<Wait>> Publisher() const {
    PublisherParts parts;
    parts.channel = Copy(channel_);
    parts.ring = Copy(ring_);
    parts.index = publisher_.index;
    parts.generation = publisher_.generation;
    parts.open_part = Opener();
    return Need(PublisherOf<Wait>::Open(std::move(parts)));
  }

  template <typename Wait = HostWait>
  std::unique_ptr<SubscriberOf<Wait>> Subscriber(size_t i = 0) const {
    SubscriberParts parts;
    parts.channel = Copy(channel_);
    parts.page = Copy(pages_[i]);
    parts.index = subscribers_[i].index;
    parts.generation = subscribers_[i].generation;
    parts.open_part = Opener();
    return Need(SubscriberOf<Wait>::Open(std::move(parts)));
  }

 private:
  void AddPublisher(ChannelWriter& writer) {
    publisher_ = Need(writer.Reserve(MemberKind::kPublisher));
    MemberFields member;
    member.part_bytes = RingBytes(fields_.slots, fields_.payload_bytes);
    ring_ = Need(CreatePart(member.part_bytes));
    Need(InitRing(ring_.get(), fields_, publisher_.generation));
    writer.Add(MemberKind::kPublisher, publisher_, member);
  }
  void AddSubscriber(ChannelWriter& writer) {
    const MemberId id = Need(writer.Reserve(MemberKind::kSubscriber));
    MemberFields member;
    member.policy = layout::SlowPolicy::kBlock;
    member.part_bytes = kReaderPageBytes;
    UniqueFd page = Need(CreatePart(kReaderPageBytes));
    Need(InitReaderPage(page.get(), id.generation));
    writer.Add(MemberKind::kSubscriber, id, member);
    subscribers_.push_back(id);
    pages_.push_back(std::move(page));
  }
  // What the daemon answers. Nobody leaves.
  OpenPart Opener() const {
    return [this](const PartRequest& request) -> absl::StatusOr<UniqueFd> {
      if (request.kind == PartKind::kRing) return Copy(ring_);
      if (request.kind == PartKind::kPage) return Copy(pages_[request.index]);
      return absl::NotFoundError("no such part");
    };
  }

  ChannelFields fields_;
  UniqueFd channel_;
  UniqueFd ring_;
  std::vector<UniqueFd> pages_;
  MemberId publisher_;
  std::vector<MemberId> subscribers_;
};

// Only the first byte is written, or all of them.
template <typename Publisher>
void Publish(Publisher& to, size_t size_bytes, int byte, bool fill) {
  Loan loan = Need(to.Borrow(size_bytes, absl::InfiniteFuture()));
  std::memset(loan.data(), byte, fill ? size_bytes : 1);
  Need(to.Publish(std::move(loan)).status());
}

// Takes the next message, and releases it.
void Take(RingSubscriber& from, bool read) {
  for (;;) {
    const auto message = Need(from.TryReceive());
    if (!message.has_value()) continue;
    if (read) ReadAll(message->data(), message->size_bytes());
    return;
  }
}

double RoundTrip(size_t size_bytes, bool fill) {
  const Link there(size_bytes);
  const Link back(kAnswerBytes);
  const OtherEnd other([&] {
    const auto from = there.Subscriber();
    const auto to = back.Publisher();
    for (;;) {
      Take(*from, fill);
      Publish(*to, kAnswerBytes, 0, false);
    }
  });
  const auto to = there.Publisher();
  const auto from = back.Subscriber();
  uint64_t round = 0;
  return MedianNs([&] {
    Publish(*to, size_bytes, FillByte(++round), fill);
    Take(*from, false);
  });
}

double Sleep(size_t cpus) {
  const Link there(kSmallBytes);
  const Link back(kSmallBytes);
  const auto receive = [](SubscriberOf<SleepAtOnce>& from) {
    Need(from.Receive(absl::InfiniteFuture()));
  };
  const auto answer = [&] {
    const auto from = there.Subscriber<SleepAtOnce>();
    const auto to = back.Publisher<SleepAtOnce>();
    for (;;) {
      receive(*from);
      Publish(*to, kSmallBytes, 0, false);
    }
  };
  const OtherEnd other(answer, Other(cpus));
  const auto to = there.Publisher<SleepAtOnce>();
  const auto from = back.Subscriber<SleepAtOnce>();
  return MedianNs([&] {
    Publish(*to, kSmallBytes, 0, false);
    receive(*from);
  });
}

// Who shares a CPU and finds nothing lets the next one run.
double Stream(size_t subscribers) {
  const Link link(kSmallBytes, subscribers);
  std::vector<std::unique_ptr<OtherEnd>> others;
  for (size_t i = 0; i < subscribers; ++i) {
    others.push_back(std::make_unique<OtherEnd>([&, i] {
      const auto from = link.Subscriber(i);
      for (;;) {
        const auto message = Need(from->TryReceive());
        if (!message.has_value() && subscribers > 1) sched_yield();
      }
    }));
  }
  const auto to = link.Publisher();
  return MedianNs([&] { Publish(*to, kSmallBytes, 0, false); }, kLongBatchNs);
}

int Main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string operation = argv[1];
  const size_t argument = std::strtoull(argv[2], nullptr, 10);
  if (operation == "trip" || operation == "fill") {
    Print(RoundTrip(argument, operation == "fill"));
  } else if (operation == "sleep") {
    Print(Sleep(argument));
  } else if (operation == "stream") {
    Print(Stream(argument));
  } else {
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
