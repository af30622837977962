// Makes a frame in two steps, with a pause for a line of input before each.
// Whoever kills it before the frame is whole has removed it: the segment is
// the session's until it is sealed. From then on it stays.
//
//   writer ID
#include <cstdio>

#include "absl/types/span.h"
#include "client/cpp/client.h"

namespace {

constexpr uint64_t kHalf = 4096;

absl::Status FillHalf(shmd::Client& client, const shmd::Segment& frame,
                      uint64_t offset, const char* text) {
  absl::StatusOr<shmd::WritableAttached> memory =
      client.MapWritable(frame.handle);
  if (!memory.ok()) return memory.status();
  const absl::Span<char> half = memory->bytes().subspan(offset);
  snprintf(half.data(), half.size(), "%s", text);
  return absl::OkStatus();
}

absl::Status MakeFrame(shmd::Client& client, const char* id) {
  shmd::SegmentSpec spec;
  spec.id = id;
  spec.size_bytes = 2 * kHalf;
  spec.lifetime = shmd::Lifetime::kSessionUntilSealed;
  absl::StatusOr<shmd::Segment> frame = client.Create(spec);
  if (!frame.ok()) return frame.status();
  absl::Status status = FillHalf(client, *frame, 0, "first half");
  if (!status.ok()) return status;
  printf("begun %s\n", frame->handle.c_str());
  fflush(stdout);

  if (getchar() == EOF) return absl::OkStatus();
  status = FillHalf(client, *frame, kHalf, "second half");
  if (!status.ok()) return status;
  status = client.Seal(id).status();
  if (!status.ok()) return status;
  printf("sealed\n");
  fflush(stdout);

  getchar();
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: writer ID\n");
    return 2;
  }
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  const absl::Status status =
      client.ok() ? MakeFrame(*client, argv[1]) : client.status();
  if (!status.ok()) {
    fprintf(stderr, "%s\n", status.ToString().c_str());
    return 1;
  }
  return 0;
}
