// Looks at frames, in place, until the last one, and says how many it has seen
// and how many it has lost. MILLISECONDS is what it takes to look at one. The
// camera waits for `block`, not for `drop`.
//
//   viewer block|drop MILLISECONDS
#include <cstdio>
#include <cstring>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "client/cpp/channels.h"
#include "examples/video_frames/frame.h"

namespace video_frames {
namespace {

// The header of a frame whose pixels are what they should be.
absl::StatusOr<FrameHeader> LookAt(const shmd::ReceivedMessage& message) {
  FrameHeader header;
  if (message.metadata().size() != sizeof(header)) {
    return absl::InvalidArgumentError("the message is no frame");
  }
  std::memcpy(&header, message.metadata().data(), sizeof(header));
  if (!IsFrame(header.number, message.payload())) {
    return absl::DataLossError("the picture is not what it should be");
  }
  return header;
}

absl::Status Run(shmd::SlowPolicy policy, absl::Duration time_to_look) {
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) return client.status();
  shmd::SubscriberOptions options;
  options.policy = policy;
  options.create = FrameChannel();
  absl::StatusOr<shmd::Subscriber> subscriber =
      shmd::Subscriber::Open(*client, kChannel, options);
  if (!subscriber.ok()) return subscriber.status();
  uint64_t seen = 0;
  uint64_t lost = 0;
  for (bool is_last = false; !is_last;) {
    const absl::StatusOr<shmd::ReceivedMessage> message = subscriber->Receive();
    if (!message.ok()) return message.status();
    absl::SleepFor(time_to_look);
    // Also after that time it is still the frame that it was.
    const absl::StatusOr<FrameHeader> header = LookAt(*message);
    if (!header.ok()) return header.status();
    ++seen;
    lost += message->lost_before();
    is_last = header->number + 1 == header->total;
    if (seen == 1) {
      printf("sees frames\n");
      fflush(stdout);
    }
  }
  printf("saw %llu frames, lost %llu\n", static_cast<unsigned long long>(seen),
         static_cast<unsigned long long>(lost));
  return absl::OkStatus();
}

}  // namespace
}  // namespace video_frames

int main(int argc, char** argv) {
  const std::string policy = argc == 3 ? argv[1] : "";
  int pause_ms = 0;
  if ((policy != "block" && policy != "drop") ||
      !absl::SimpleAtoi(argv[2], &pause_ms)) {
    fprintf(stderr, "usage: viewer block|drop MILLISECONDS\n");
    return 2;
  }
  const absl::Status status =
      video_frames::Run(policy == "block" ? shmd::SlowPolicy::kBlock
                                          : shmd::SlowPolicy::kDropOldest,
                        absl::Milliseconds(pause_ms));
  if (status.ok()) return 0;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
