#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "bench/ipc/memory_bell.h"
#include "bench/ipc/transport.h"
#include "client/cpp/client.h"

namespace shmd::bench {
namespace {

// The payload's place in its segment; the sender's end of a MemoryBell stands
// before it.
constexpr size_t kPayloadOffset = 4096;

// The sender's, with a receiver that may have died.
constexpr absl::Duration kPatience = absl::Seconds(30);

// The receiver's, while others have their turn. It ends with its parent.
constexpr absl::Duration kBetweenTurns = absl::Hours(24);

// Segments of the daemon, mapped by both processes once, before the first
// round: the sender makes them and sends the handles as text. The sender
// writes the payload's segment, the receiver one with its answers; each has
// the other's mapped read-only.
class SegmentTransport : public Transport {
 public:
  SegmentTransport(const TransportSettings& settings,
                   const SegmentVariant& variant)
      : settings_(settings), variant_(variant) {}

  std::string name() const override {
    return absl::StrCat("segment, ", variant_.fill ? "filled" : "handed over",
                        variant_.memory_bell ? ", futex bell" : "");
  }

  absl::Status Receive() override {
    ASSIGN_OR_RETURN(const std::string payload_handle, bell_.ReceiveText());
    ASSIGN_OR_RETURN(const std::string answer_handle, bell_.ReceiveText());
    ASSIGN_OR_RETURN(Client client, Connected());
    ASSIGN_OR_RETURN(const ReadOnlyAttached payload,
                     client.MapReadOnly(payload_handle));
    ASSIGN_OR_RETURN(WritableAttached answers,
                     client.MapWritable(answer_handle));
    // SAFETY: page-aligned, large enough, and zeros are a valid BellPage.
    memory_bell_ = MemoryBell(static_cast<BellPage*>(answers.data()),
                              static_cast<const BellPage*>(payload.data()));
    RETURN_IF_ERROR(bell_.Reply(0));
    const uint64_t room = payload.size_bytes() - kPayloadOffset;
    const char* data = payload.bytes().data() + kPayloadOffset;
    for (;;) {
      ASSIGN_OR_RETURN(const uint64_t size_bytes, Heard());
      if (size_bytes > room) return absl::OutOfRangeError("payload too large");
      RETURN_IF_ERROR(Answer(SumWords(data, size_bytes)));
    }
  }

  absl::Status Connect() override {
    ASSIGN_OR_RETURN(Client client, Connected());
    std::vector<SegmentSpec> specs(2);
    specs[0].size_bytes = kPayloadOffset + settings_.max_payload_bytes;
    specs[1].size_bytes = sizeof(BellPage);
    ASSIGN_OR_RETURN(const std::vector<Segment> segments,
                     client.BatchCreate(specs));
    ASSIGN_OR_RETURN(payload_, client.MapWritable(segments[0].handle));
    ASSIGN_OR_RETURN(answers_, client.MapReadOnly(segments[1].handle));
    // SAFETY: as in Receive.
    memory_bell_ = MemoryBell(static_cast<BellPage*>(payload_.data()),
                              static_cast<const BellPage*>(answers_.data()));
    RETURN_IF_ERROR(bell_.SendText(segments[0].handle));
    RETURN_IF_ERROR(bell_.SendText(segments[1].handle));
    RETURN_IF_ERROR(bell_.Answer().status());
    // Both have them mapped, so they end with both.
    return client.BatchDelete({segments[0].name, segments[1].name},
                              /*force=*/true);
  }

  absl::Status Prepare(const Payload& payload) override {
    memcpy(Place(), payload.data(), payload.size_bytes());
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> Send(const Payload& payload) override {
    if (variant_.fill) {
      memcpy(Place(), payload.data(), payload.size_bytes());
    } else {
      // The payload was made in place; only this round's word is new.
      const uint64_t round = payload.round();
      memcpy(Place(), &round, sizeof round);
    }
    if (variant_.memory_bell) {
      memory_bell_.Ring(payload.size_bytes());
      return memory_bell_.Wait(kPatience);
    }
    RETURN_IF_ERROR(bell_.Ring(payload.size_bytes()));
    return bell_.Answer();
  }

 private:
  absl::StatusOr<Client> Connected() const {
    ConnectOptions options;
    options.socket_dir = settings_.socket_dir;
    return Client::Connect(options);
  }

  char* Place() const { return payload_.bytes().data() + kPayloadOffset; }

  absl::StatusOr<uint64_t> Heard() {
    return variant_.memory_bell ? memory_bell_.Wait(kBetweenTurns)
                                : bell_.Wait();
  }

  absl::Status Answer(uint64_t sum) {
    if (!variant_.memory_bell) return bell_.Reply(sum);
    memory_bell_.Ring(sum);
    return absl::OkStatus();
  }

  const TransportSettings settings_;
  const SegmentVariant variant_;
  WritableAttached payload_;
  ReadOnlyAttached answers_;
  MemoryBell memory_bell_;
};

}  // namespace

std::unique_ptr<Transport> MakeSegmentTransport(
    const TransportSettings& settings, const SegmentVariant& variant) {
  return std::make_unique<SegmentTransport>(settings, variant);
}

}  // namespace shmd::bench
