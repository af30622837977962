// Rings, claims and pages of members of a channel, as hostile members would
// write them: who publishes and who subscribes comes through every call, with
// nothing but bytes of the ring in its hands.

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "shm/channel/publisher.h"
#include "shm/channel/subscriber.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/hostile_memory.h"
#include "tests/testing/made_channel.h"

namespace shmd {
namespace {

using layout::ChannelKind;
using layout::MemberRole;
using layout::SlowPolicy;

using Publisher = BasicRingPublisher<HostileMemory, NoWait>;
using Subscriber = BasicRingSubscriber<HostileMemory, NoWait>;

constexpr size_t kMostSteps = 200;
constexpr size_t kMostHeld = 8;

// By the bits of one byte.
ChannelFields FieldsOf(uint8_t shape) {
  ChannelFields fields;
  fields.kind = ChannelKind{1u + shape % 3};
  fields.slots = 4;
  fields.payload_bytes = kMinPayloadBytes;
  fields.history = shape >> 6 & 1;
  fields.checksums = (shape >> 7 & 1) != 0;
  return fields;
}

SlowPolicy PolicyOf(ChannelKind kind, uint8_t shape) {
  return kind == ChannelKind::kPublish ? SlowPolicy{1u + (shape >> 2) % 3}
                                       : SlowPolicy::kBlock;
}

// A part as its hostile writer has it mapped.
class Writable {
 public:
  Writable(const UniqueFd& fd, size_t bytes) : bytes_(bytes) {
    sys::MmapRequest request;
    request.fd = fd.get();
    request.length_bytes = bytes;
    request.writable = true;
    mapping_ = MadeChannel::Checked(sys::ScopedMmap::Map(request));
  }

  // Words, from anywhere on.
  void Write(FuzzInput* input) {
    const size_t low = input->TakeByte();
    const size_t at = (low + size_t{256} * input->TakeByte()) * 8;
    const absl::string_view bytes = input->TakePiece();
    if (at >= bytes_) return;
    std::memcpy(static_cast<char*>(mapping_.data()) + at, bytes.data(),
                std::min(bytes.size(), bytes_ - at));
  }

 private:
  const size_t bytes_;
  sys::ScopedMmap mapping_;
};

class Members {
 public:
  explicit Members(uint8_t shape)
      : fields_(FieldsOf(shape)),
        policy_(PolicyOf(fields_.kind, shape)),
        has_claims_(fields_.kind != ChannelKind::kPublish),
        ring_bytes_(RingBytes(fields_.slots, fields_.payload_bytes)),
        channel_(fields_) {
    HostileMemory::SetScript("");
    PublisherParts publisher = channel_.AddPublisher(RoleOf(true));
    const uint64_t generation = publisher.generation;
    SubscriberParts other = channel_.AddSubscriber(policy_, RoleOf(false));
    other_ = {other.index, other.generation};
    parts_.emplace_back(channel_.Part(PartKind::kRing, generation),
                        ring_bytes_);
    parts_.emplace_back(channel_.Part(PartKind::kPage, other.generation),
                        kReaderPageBytes);
    if (has_claims_) {
      parts_.emplace_back(channel_.Part(PartKind::kClaims, generation),
                          ClaimsBytes(fields_.slots));
    }
    publisher_ = MadeChannel::Checked(Publisher::Open(std::move(publisher)));
    Subscribe();
  }

  void Run(FuzzInput input) {
    for (size_t i = 0; i < kMostSteps && !input.empty(); ++i) {
      HostileMemory::NextCall();
      Step(input.TakeByte(), &input);
    }
    held_.clear();
    HostileMemory::SetScript("");
  }

 private:
  MemberRole RoleOf(bool publishes) const {
    if (fields_.kind != ChannelKind::kCall) return MemberRole::kPeer;
    return publishes ? MemberRole::kClient : MemberRole::kServer;
  }

  void Step(uint8_t step, FuzzInput* input) {
    switch (step % 12) {
      case 0:
      case 1:
        return Publish(input->TakeByte());
      case 2:
      case 3:
        return Receive();
      case 4:
        if (!held_.empty()) held_.erase(held_.begin());
        return;
      case 5:
        if (!held_.empty()) held_.back().Acknowledge().IgnoreError();
        return;
      case 6:
      case 7:
        return parts_[input->TakeByte() % parts_.size()].Write(input);
      case 8:
        return HostileMemory::SetScript(input->TakePiece());
      case 9:
        if (subscriber_->Arm()) subscriber_->Disarm();
        return subscriber_->AwaitMessage(absl::Now()).IgnoreError();
      case 10:
        publisher_->AwaitReaders(1, absl::InfinitePast()).IgnoreError();
        return publisher_->Drain(absl::InfinitePast()).IgnoreError();
      default:
        return Change(input->TakeByte());
    }
  }

  void Publish(uint8_t size) {
    const std::string text(size * size_t{16}, 'x');
    const auto sent = publisher_->Publish(text, {}, absl::Now());
    if (sent.ok()) last_ = *sent;
    if (has_claims_) publisher_->claims().Cancel(last_ - size % 4);
  }

  void Receive() {
    auto got = subscriber_->TryReceive();
    if (!got.ok() || !got->has_value()) return;
    // All of it is there to be read.
    const auto payload = (*got)->payload();
    const auto metadata = (*got)->metadata();
    Expect(payload.size() <= ring_bytes_ &&
           metadata.size() <= ring_bytes_ - payload.size());
    for (const char c : payload) sum_ = sum_ + c;
    for (const char c : metadata) sum_ = sum_ + c;
    held_.push_back(*std::move(*got));
    if (held_.size() > kMostHeld) held_.erase(held_.begin());
  }

  // Who takes part.
  void Change(uint8_t how) {
    HostileMemory::SetScript("");
    if (how % 4 == 0) {
      channel_.Remove(MemberKind::kSubscriber, other_.index, other_.generation);
    } else if (how % 4 == 1) {
      channel_.Remove(MemberKind::kPublisher, publisher_->id().index,
                      publisher_->id().generation);
    } else if (more_++ < 8) {
      // It maps the parts as they are now.
      held_.clear();
      Subscribe();
    }
  }

  // Nothing is trusted that is not mapped any more.
  void Subscribe() {
    subscriber_.reset();
    HostileMemory::TrustNothing();
    subscriber_ = MadeChannel::Checked(
        Subscriber::Open(channel_.AddSubscriber(policy_, RoleOf(false))));
    TrustPageOf(*publisher_);
    TrustPageOf(*subscriber_);
  }

  // The channel's, by a mapping of each member's own.
  template <typename Member>
  static void TrustPageOf(const Member& member) {
    const auto* const change =
        reinterpret_cast<const char*>(member.view().change_word());
    HostileMemory::Trust(change - offsetof(layout::ChannelPage, header.change),
                         kChannelPageBytes);
  }

  const ChannelFields fields_;
  const SlowPolicy policy_;
  const bool has_claims_;
  const uint64_t ring_bytes_;
  MadeChannel channel_;
  MemberId other_;
  std::vector<Writable> parts_;
  std::unique_ptr<Publisher> publisher_;
  std::unique_ptr<Subscriber> subscriber_;
  std::vector<Subscriber::Message> held_;
  uint64_t last_ = 0;
  int more_ = 0;
  volatile int sum_ = 0;
};

}  // namespace
}  // namespace shmd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shmd::FuzzInput input(data, size);
  shmd::Members members(input.TakeByte());
  members.Run(input);
  return 0;
}
