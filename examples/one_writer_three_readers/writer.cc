// Fills a segment, seals it, and prints its handle. What is sealed nobody can
// change any more, the writer included: readers need no lock.
//
//   writer SIZE_BYTES
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "client/cpp/client.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: writer SIZE_BYTES\n");
    return 2;
  }
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) {
    fprintf(stderr, "%s\n", client.status().ToString().c_str());
    return 1;
  }
  shmd::SegmentSpec spec;
  spec.id = "numbers";
  spec.size_bytes = strtoull(argv[1], nullptr, 0);
  absl::StatusOr<shmd::Segment> segment = client->Create(spec);
  if (!segment.ok()) {
    fprintf(stderr, "%s\n", segment.status().ToString().c_str());
    return 1;
  }
  {
    absl::StatusOr<shmd::WritableAttached> memory =
        client->MapWritable(segment->handle);
    if (!memory.ok()) {
      fprintf(stderr, "%s\n", memory.status().ToString().c_str());
      return 1;
    }
    uint64_t next = 0;
    for (uint64_t& number : memory->As<uint64_t>()) number = next++;
  }  // Unmapped: the kernel seals only what nobody can write.
  segment = client->Seal("numbers");
  if (!segment.ok()) {
    fprintf(stderr, "%s\n", segment.status().ToString().c_str());
    return 1;
  }
  printf("%s\n", segment->handle.c_str());
  return 0;
}
