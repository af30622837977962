// Publishes frames, 60 a second, each drawn straight into the channel's memory:
// nothing is copied, also not for the third viewer. Begins when there are as
// many viewers as it is told.
//
//   camera FRAMES VIEWERS
#include <cstdio>

#include "absl/strings/numbers.h"
#include "absl/time/clock.h"
#include "client/cpp/channels.h"
#include "examples/video_frames/frame.h"

namespace video_frames {
namespace {

absl::Status PublishFrame(shmd::Publisher& publisher,
                          const FrameHeader& header) {
  absl::StatusOr<shmd::Loan> loan = publisher.Borrow(
      kPixelBytes, absl::InfiniteFuture(), sizeof(FrameHeader));
  if (!loan.ok()) return loan.status();
  DrawFrame(header.number, loan->data());
  shmd::MessageOptions options;
  // SAFETY: bytes.
  options.metadata = absl::MakeConstSpan(reinterpret_cast<const char*>(&header),
                                         sizeof(header));
  return publisher.Publish(*std::move(loan), options).status();
}

absl::Status Run(uint32_t frames, size_t viewers) {
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) return client.status();
  shmd::PublisherOptions options;
  options.create = FrameChannel();
  absl::StatusOr<shmd::Publisher> publisher =
      shmd::Publisher::Open(*client, kChannel, options);
  if (!publisher.ok()) return publisher.status();
  absl::Status status = publisher->AwaitSubscribers(viewers);
  const absl::Time start = absl::Now();
  // The longest that one had to wait for viewers, the drawing included.
  absl::Duration longest;
  for (uint32_t i = 0; i < frames && status.ok(); ++i) {
    absl::SleepFor(start + absl::Seconds(i / kFramesPerSecond) - absl::Now());
    const absl::Time begun = absl::Now();
    status = PublishFrame(*publisher, {i, frames});
    longest = std::max(longest, absl::Now() - begun);
  }
  if (status.ok()) status = publisher->Drain();
  if (!status.ok()) return status;
  printf("published %u frames, the longest took %.1f ms\n", frames,
         absl::ToDoubleMilliseconds(longest));
  return absl::OkStatus();
}

}  // namespace
}  // namespace video_frames

int main(int argc, char** argv) {
  uint32_t frames = 0;
  uint32_t viewers = 0;
  if (argc != 3 || !absl::SimpleAtoi(argv[1], &frames) || frames == 0 ||
      !absl::SimpleAtoi(argv[2], &viewers)) {
    fprintf(stderr, "usage: camera FRAMES VIEWERS\n");
    return 2;
  }
  const absl::Status status = video_frames::Run(frames, viewers);
  if (status.ok()) return 0;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
