// The rows of ../compare by channels, without a daemon: this program makes the
// parts that the daemon would make, and hands them to both ends.
//
//   ring trip|fill BYTES
//   ring sleep|wake CPUS
//   ring stream SUBSCRIBERS
//
// prints the nanoseconds of one round or of one message, and
//
//   ring flat BYTES
//
// how often that of a trip of 64 bytes it takes, of both in turn.

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
#include "shm/channel/spin.h"
#include "shm/channel/subscriber.h"
#include "shm/layout/channel_layout.h"

namespace shmd::bench {
namespace {

constexpr size_t kAnswerBytes = 8;
constexpr size_t kSmallBytes = 64;
// Of the largest messages there is room for so many.
constexpr uint64_t kMinMessages = 8;

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

  std::unique_ptr<RingPublisher> Publisher() const {
    PublisherParts parts;
    parts.channel = Copy(channel_);
    parts.ring = Copy(ring_);
    parts.index = publisher_.index;
    parts.generation = publisher_.generation;
    parts.open_part = Opener();
    return Need(RingPublisher::Open(std::move(parts)));
  }

  std::unique_ptr<RingSubscriber> Subscriber(size_t i = 0) const {
    SubscriberParts parts;
    parts.channel = Copy(channel_);
    parts.page = Copy(pages_[i]);
    parts.index = subscribers_[i].index;
    parts.generation = subscribers_[i].generation;
    parts.open_part = Opener();
    return Need(RingSubscriber::Open(std::move(parts)));
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
void Publish(RingPublisher& to, size_t size_bytes, int byte, bool fill) {
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

// Trips of 64 bytes and of `size_bytes` in turn, a few milliseconds of each, so
// that what the machine does meanwhile happens to both.
double Flat(size_t size_bytes) {
  constexpr int kRounds = 4096;
  struct Links {
    explicit Links(size_t bytes)
        : size_bytes(bytes), there(bytes), back(kAnswerBytes) {}
    size_t size_bytes;
    Link there;
    Link back;
  };
  const Links links[] = {Links(kSmallBytes), Links(size_bytes)};
  struct End {
    std::unique_ptr<RingPublisher> to;
    std::unique_ptr<RingSubscriber> from;
  };
  const OtherEnd other([&] {
    std::vector<End> ends;
    for (const Links& link : links) {
      ends.push_back({link.back.Publisher(), link.there.Subscriber()});
    }
    for (;;) {
      for (const End& end : ends) {
        for (int i = 0; i < kRounds; ++i) {
          Take(*end.from, false);
          Publish(*end.to, kAnswerBytes, 0, false);
        }
      }
    }
  });
  std::vector<End> ends;
  for (const Links& link : links) {
    ends.push_back({link.there.Publisher(), link.back.Subscriber()});
  }
  const auto time = [&](size_t which) {
    const int64_t begin = NowNs();
    for (int i = 0; i < kRounds; ++i) {
      Publish(*ends[which].to, links[which].size_bytes, FillByte(i), false);
      Take(*ends[which].from, false);
    }
    return static_cast<double>(NowNs() - begin);
  };
  std::vector<double> ratios;
  const int64_t begin = NowNs();
  while (NowNs() - begin < kSeriesNs + kWarmNs || ratios.size() < kMinBatches) {
    const double small_ns = time(0);
    ratios.push_back(time(1) / small_ns);
  }
  return Median(std::move(ratios));
}

// Who answers sleeps until it is woken: as the library has it, when it had
// nothing to do for a while, and who asks spins while that pays; or both sleep
// at once.
double Sleep(size_t cpus, bool as_usual) {
  const Link there(kSmallBytes);
  const Link back(kSmallBytes);
  const uint64_t spin_ns = as_usual ? kDefaultSpinNs : 0;
  const auto receive = [](RingSubscriber& from) {
    Need(from.Receive(absl::InfiniteFuture()));
  };
  const auto answer = [&] {
    const auto from = there.Subscriber();
    const auto to = back.Publisher();
    from->set_spin_ns(spin_ns);
    for (;;) {
      receive(*from);
      Publish(*to, kSmallBytes, 0, false);
    }
  };
  const OtherEnd other(answer, Other(cpus));
  const auto to = there.Publisher();
  const auto from = back.Subscriber();
  from->set_spin_ns(spin_ns);
  const auto ask = [&] {
    Publish(*to, kSmallBytes, 0, false);
    receive(*from);
  };
  if (!as_usual) return MedianNs(ask);
  const SleepWatch watch(other.pid());
  return MedianAfterNs([&] { watch.Await(); }, ask);
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
  } else if (operation == "flat") {
    Print(Flat(argument));
  } else if (operation == "sleep" || operation == "wake") {
    Print(Sleep(argument, /*as_usual=*/operation == "wake"));
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
