// Creates a segment that has no name outside the daemon, leaves a greeting in
// it, and prints its handle: a word to pass on in a message of your own.
#include <cstdio>

#include "client/cpp/client.h"

int main() {
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) {
    fprintf(stderr, "%s\n", client.status().ToString().c_str());
    return 1;
  }
  shmd::SegmentSpec spec;
  spec.size_bytes = 4096;
  absl::StatusOr<shmd::Segment> segment = client->Create(spec);
  if (!segment.ok()) {
    fprintf(stderr, "%s\n", segment.status().ToString().c_str());
    return 1;
  }
  absl::StatusOr<shmd::WritableAttached> memory =
      client->MapWritable(segment->handle);
  if (!memory.ok()) {
    fprintf(stderr, "%s\n", memory.status().ToString().c_str());
    return 1;
  }
  snprintf(memory->bytes().data(), spec.size_bytes, "hello through memfd");
  printf("%s\n", segment->handle.c_str());
  return 0;  // The segment stays until it is deleted.
}
