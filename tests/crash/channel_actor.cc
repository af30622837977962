// Programs that use channels, one of which is killed: channel_actor ROLE
// SOCKET_DIR. What it tells goes to standard output, a line each.
//
//   publisher, subscriber_block, subscriber_drop, subscriber_cut, producer,
//   consumer, caller, server   one part each, for a while or, with
//                              $ACTOR_FOR_EVER, until it is killed
//   witness                    all parts at once, until its standard input
//                              ends; compares every byte and counts
//
// A line to the witness makes it tell how it fares: "late US" the longest time
// in which one of its parts got nowhere since it was asked last; "called N" its
// calls that ended, "gone N" those of them that did with SERVER_GONE; "seen N"
// messages of the program NUMBER, and "done N" its work, where the line is
// that; "missing SERIAL..." work of its own that it has not done. "forget
// SERIAL..." is about itself, and names work that others have done.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/calls.h"
#include "client/cpp/channels.h"
#include "tests/crash/actor.h"

namespace shmd {
namespace {

constexpr uint64_t kMagic = 0x6465646C41634222;
constexpr absl::Duration kTick = absl::Milliseconds(1);

constexpr int kTurns = 60;

absl::Time Soon() { return absl::Now() + absl::Seconds(30); }

// Another one for each program, where pids come again; 0 is the witness.
uint64_t OwnNumber() {
  static const uint64_t number = [] {
    uint64_t given = 0;
    const char* const text = std::getenv("ACTOR_NUMBER");
    if (text != nullptr && !absl::SimpleAtoi(text, &given)) std::abort();
    return given;
  }();
  return number;
}

// A message: whose it is, its number among those from 1 on, its size, and words
// that follow from these.
struct Head {
  uint64_t magic = kMagic;
  uint64_t author = OwnNumber();
  uint64_t serial = 0;
  uint64_t size_bytes = 0;
};

uint64_t Word(const Head& head, uint64_t at) {
  return ((head.author << 40) ^ (head.serial << 20) ^ at) * 0x9E3779B97F4A7C15;
}
uint64_t SizeOf(uint64_t serial) { return sizeof(Head) + serial % 13 * 640; }

void Fill(char* data, uint64_t serial) {
  Head head;
  head.serial = serial;
  head.size_bytes = SizeOf(serial);
  std::memcpy(data, &head, sizeof(head));
  for (uint64_t at = sizeof(head); at < head.size_bytes; at += 8) {
    const uint64_t word = Word(head, at);
    std::memcpy(data + at, &word, 8);
    if (at == sizeof(head)) Pass("actor.half_written");
  }
}

Head Whole(absl::Span<const char> payload) {
  Head head;
  head.size_bytes = 0;
  if (payload.size() >= sizeof(head)) {
    std::memcpy(&head, payload.data(), sizeof(head));
  }
  if (head.magic != kMagic || head.size_bytes != payload.size()) {
    Check(absl::DataLossError("another head"), "torn");
  }
  for (uint64_t at = sizeof(head); at < head.size_bytes; at += 8) {
    uint64_t word = 0;
    std::memcpy(&word, payload.data() + at, 8);
    if (word != Word(head, at)) {
      Check(absl::DataLossError(absl::StrCat("at ", at)), "torn");
    }
    if (at == sizeof(head)) Pass("actor.half_read");
  }
  return head;
}

ChannelSpec SpecOf(ChannelKind kind) {
  ChannelSpec spec;
  spec.kind = kind;
  // Few, so that who stands still is noticed. But callers whom the machine
  // keeps from reading shall not lose anything.
  if (kind != ChannelKind::kCall) {
    spec.slots = 32;
    spec.payload_bytes = 1 << 20;
  } else {
    spec.slots = 16384;
  }
  return spec;
}

Publisher OpenPublisher(Client& client, absl::string_view channel,
                        ChannelKind kind) {
  PublisherOptions options;
  options.create = SpecOf(kind);
  return Check(Publisher::Open(client, channel, options), channel);
}
Subscriber OpenSubscriber(Client& client, SlowPolicy policy) {
  SubscriberOptions options;
  options.policy = policy;
  options.create = SpecOf(ChannelKind::kPublish);
  return Check(Subscriber::Open(client, "news", options), "news");
}
Consumer OpenConsumer(Client& client) {
  ConsumerOptions options;
  options.create = SpecOf(ChannelKind::kQueue);
  return Check(Consumer::Open(client, "work", options), "work");
}
template <typename End>
End OpenCalls(Client& client) {
  CallOptions options;
  options.create = SpecOf(ChannelKind::kCall);
  return Check(End::Open(client, "calls", options), "calls");
}

void PublishOne(Publisher& publisher, uint64_t serial) {
  Loan loan = Check(publisher.Borrow(SizeOf(serial), Soon()), "Borrow");
  Fill(loan.data(), serial);
  Check(publisher.Publish(std::move(loan)).status(), "Publish");
}

int Publish(Client client, absl::string_view channel, ChannelKind kind) {
  Publisher publisher = OpenPublisher(client, channel, kind);
  if (kind == ChannelKind::kPublish) {
    Check(publisher.AwaitSubscribers(2, Soon()), "AwaitSubscribers");
  } else {
    Check(publisher.AwaitSubscribers(1, Soon()), "AwaitSubscribers");
  }
  Tell("begun");
  for (uint64_t i = 1; i <= kTurns || IsForEver(); ++i) {
    PublishOne(publisher, i);
    Tell(absl::StrCat("published ", i));
  }
  return 0;
}

int Subscribe(Client client, SlowPolicy policy) {
  Subscriber subscriber = OpenSubscriber(client, policy);
  Tell("begun");
  std::vector<ReceivedMessage> held;
  for (int i = 0; i < kTurns || IsForEver(); ++i) {
    absl::StatusOr<ReceivedMessage> message = subscriber.Receive(Soon());
    if (GetErrorReason(message.status()) == reason::kCutOff) return 0;
    Check(message.status(), "Receive");
    Whole(message->payload());
    held.push_back(*std::move(message));
    if (held.size() > 4) held.clear();
  }
  return 0;
}

int Consume(Client client) {
  Consumer consumer = OpenConsumer(client);
  Tell("begun");
  for (int i = 0; i < kTurns || IsForEver(); ++i) {
    ReceivedMessage message = Check(consumer.Receive(Soon()), "Receive");
    const Head head = Whole(message.payload());
    Tell(absl::StrCat("got ", head.serial));
    Check(message.Acknowledge(), "Acknowledge");
    Tell(absl::StrCat("done ", head.serial));
  }
  return 0;
}

int Call(Client client) {
  Requester requester = OpenCalls<Requester>(client);
  Check(requester.AwaitServer(Soon()), "AwaitServer");
  Tell("begun");
  for (uint64_t i = 1; i <= kTurns || IsForEver(); ++i) {
    Loan loan = Check(requester.Borrow(SizeOf(i), Soon()), "Borrow");
    Fill(loan.data(), i);
    const uint64_t call = Check(requester.Start(std::move(loan)), "Start");
    if (i % 7 == 3) {
      requester.Cancel(call);
      continue;
    }
    const CallResponse response = Check(requester.Next(call, Soon()), "Next");
    if (Whole(response.message.payload()).serial != i) {
      Check(absl::DataLossError("another's response"), "Call");
    }
  }
  return 0;
}

// In one part, or two.
bool Answer(IncomingCall& call) {
  const Head head = Whole(call.payload());
  if (head.serial % 2 == 0) {
    const absl::Status sent = call.Respond(call.payload(), Soon());
    if (GetErrorReason(sent) == reason::kClaimLost) return false;
    Check(sent, "Respond");
  }
  const absl::Status sent = call.Finish(call.payload(), Soon());
  if (GetErrorReason(sent) == reason::kClaimLost) return false;
  Check(sent, "Finish");
  return true;
}

int Serve(Client client) {
  Responder responder = OpenCalls<Responder>(client);
  Tell("begun");
  for (int i = 0; i < kTurns || IsForEver(); ++i) {
    IncomingCall call = Check(responder.Next(Soon()), "Next");
    Answer(call);
  }
  return 0;
}

// Who is not killed: one thread for each part.
class Witness {
 public:
  explicit Witness(Client client)
      : client_(std::move(client)),
        reader_(OpenSubscriber(client_, SlowPolicy::kBlock)),
        hasty_(OpenSubscriber(client_, SlowPolicy::kDropOldest)),
        consumer_(OpenConsumer(client_)),
        responder_(OpenCalls<Responder>(client_)),
        publisher_(OpenPublisher(client_, "news", ChannelKind::kPublish)),
        producer_(OpenPublisher(client_, "work", ChannelKind::kQueue)),
        requester_(OpenCalls<Requester>(client_)) {}

  void Run() {
    Start([this] { return ReadOne(reader_, &seen_); });
    Start([this] { return ReadOne(hasty_, nullptr); });
    Start([this] { return DoOne(); });
    Start([this] { return AnswerOne(); });
    Start([this, i = uint64_t{0}]() mutable {
      PublishOne(publisher_, ++i);
      absl::SleepFor(kTick);
      return true;
    });
    Start([this] { return ProduceOne(); });
    Start([this] { return CallOne(); });
    Tell("begun");
    for (std::string line; std::getline(std::cin, line);) Tell(Report(line));
    is_over_ = true;
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  static constexpr size_t kParts = 7;

  absl::Time Slice() { return absl::Now() + absl::Milliseconds(50); }
  static bool IsNone(const absl::Status& status) {
    return GetErrorReason(status) == reason::kNoMessage;
  }

  template <typename Turn>
  void Start(Turn turn) {
    const size_t part = threads_.size();
    moved_ns_[part] = absl::GetCurrentTimeNanos();
    threads_.emplace_back([this, part, turn]() mutable {
      while (!is_over_) {
        if (turn()) Moved(part);
      }
    });
  }
  void Moved(size_t part) {
    const int64_t now_ns = absl::GetCurrentTimeNanos();
    const std::lock_guard<std::mutex> lock(mutex_);
    late_ns_ = std::max(late_ns_, now_ns - moved_ns_[part]);
    moved_ns_[part] = now_ns;
  }

  // In order, each once, and none missing where it is waited for.
  bool ReadOne(Subscriber& subscriber, std::map<uint64_t, uint64_t>* seen) {
    const auto message = subscriber.Receive(Slice());
    if (IsNone(message.status())) return false;
    Check(message.status(), "Receive");
    const Head head = Whole(message->payload());
    if (seen == nullptr) return true;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (head.serial != ++(*seen)[head.author]) {
      Check(absl::DataLossError(absl::StrCat("message ", head.serial, " in ",
                                             (*seen)[head.author], "'s place")),
            "order");
    }
    return head.author == OwnNumber();
  }
  bool DoOne() {
    auto message = consumer_.Receive(Slice());
    if (IsNone(message.status())) return false;
    Check(message.status(), "Receive");
    const Head head = Whole(message->payload());
    Check(message->Acknowledge(), "Acknowledge");
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!done_[head.author].insert(head.serial).second) {
      Check(absl::DataLossError(absl::StrCat(head.serial)), "done twice");
    }
    return true;
  }
  bool AnswerOne() {
    auto call = responder_.Next(Slice());
    if (IsNone(call.status())) return false;
    Check(call.status(), "Next");
    return Answer(*call);
  }
  bool ProduceOne() {
    // First, or who is killed could have done what nobody misses.
    const uint64_t serial = ++produced_;
    PublishOne(producer_, serial);
    absl::SleepFor(kTick);
    return true;
  }
  bool CallOne() {
    const uint64_t serial = ++called_;
    std::string request(SizeOf(serial), '\0');
    Fill(&request[0], serial);
    const uint64_t call = Check(requester_.Start(request, Soon()), "Start");
    for (uint64_t part = 1;; ++part) {
      const auto response = requester_.Next(call, Soon());
      if (GetErrorReason(response.status()) == reason::kServerGone) {
        ++gone_;
        ++ended_;
        return true;
      }
      Check(response.status(), "Next");
      if (Whole(response->message.payload()).serial != serial ||
          response->is_last != (part == 2 - serial % 2)) {
        Check(absl::DataLossError("another's response"), "Call");
      }
      if (response->is_last) break;
    }
    ++ended_;
    absl::SleepFor(kTick);
    return true;
  }

  std::string Report(const std::string& line) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    const std::lock_guard<std::mutex> lock(mutex_);
    std::set<uint64_t>& own = done_[OwnNumber()];
    const bool is_own = words[0] == "forget";
    const uint64_t author = is_own ? OwnNumber() : Number(line);
    if (is_own) {
      for (size_t i = 1; i < words.size(); ++i) own.insert(Number(words[i]));
    }
    std::vector<uint64_t> missing;
    const uint64_t produced = produced_;
    for (uint64_t i = told_ + 1; i <= produced; ++i) {
      if (own.count(i) == 0) missing.push_back(i);
    }
    if (is_own) told_ = missing.empty() ? produced : missing.front() - 1;
    // Who still stands still is late as well.
    const int64_t now_ns = absl::GetCurrentTimeNanos();
    for (const int64_t moved_ns : moved_ns_) {
      late_ns_ = std::max(late_ns_, now_ns - moved_ns);
    }
    const uint64_t ended = ended_;  // before "gone", which is counted first
    return absl::StrFormat(
        "late %d called %d gone %d seen %d done %d missing %s",
        std::exchange(late_ns_, 0) / 1000, ended, gone_.load(), seen_[author],
        done_[author].size(), absl::StrJoin(missing, " "));
  }
  static uint64_t Number(const std::string& text) {
    uint64_t number = 0;
    if (!absl::SimpleAtoi(text, &number)) {
      Check(absl::InvalidArgumentError(text), "no number");
    }
    return number;
  }

  Client client_;
  Subscriber reader_, hasty_;
  Consumer consumer_;
  Responder responder_;
  Publisher publisher_, producer_;
  Requester requester_;
  std::vector<std::thread> threads_;
  std::atomic<bool> is_over_{false};
  std::atomic<uint64_t> produced_{0}, ended_{0}, gone_{0};
  uint64_t called_ = 0;
  std::mutex mutex_;  // of what follows
  std::array<int64_t, kParts> moved_ns_ = {};
  int64_t late_ns_ = 0;
  uint64_t told_ = 0;  // all that was produced until then is done
  std::map<uint64_t, uint64_t> seen_;            // by program
  std::map<uint64_t, std::set<uint64_t>> done_;  // by program
};

int Run(const std::string& role, const std::string& socket_dir) {
  ConnectOptions connect;
  connect.socket_dir = socket_dir;
  Client client = Check(Client::Connect(connect), "Connect");
  if (role == "publisher") {
    return Publish(std::move(client), "news", ChannelKind::kPublish);
  }
  if (role == "producer") {
    return Publish(std::move(client), "work", ChannelKind::kQueue);
  }
  if (role == "subscriber_block") {
    return Subscribe(std::move(client), SlowPolicy::kBlock);
  }
  if (role == "subscriber_drop") {
    return Subscribe(std::move(client), SlowPolicy::kDropOldest);
  }
  if (role == "subscriber_cut") {
    return Subscribe(std::move(client), SlowPolicy::kCutOff);
  }
  if (role == "consumer") return Consume(std::move(client));
  if (role == "caller") return Call(std::move(client));
  if (role == "server") return Serve(std::move(client));
  if (role != "witness") return 2;
  Witness(std::move(client)).Run();
  return 0;
}

}  // namespace
}  // namespace shmd

int main(int argc, char** argv) {
  return argc == 3 ? shmd::Run(argv[1], argv[2]) : 2;
}
