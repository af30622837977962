// Verifies every number of the sealed segment, and that it cannot be had
// writable.
//
//   reader HANDLE
#include <cstdint>
#include <cstdio>

#include "client/cpp/client.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: reader HANDLE\n");
    return 2;
  }
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) {
    fprintf(stderr, "%s\n", client.status().ToString().c_str());
    return 1;
  }
  absl::StatusOr<shmd::ReadOnlyAttached> memory = client->MapReadOnly(argv[1]);
  if (!memory.ok()) {
    fprintf(stderr, "%s\n", memory.status().ToString().c_str());
    return 1;
  }
  uint64_t expected = 0;
  for (const uint64_t number : memory->As<uint64_t>()) {
    if (number != expected++) {
      fprintf(stderr, "wrong at number %llu\n",
              static_cast<unsigned long long>(expected - 1));
      return 1;
    }
  }
  if (client->MapWritable(argv[1]).ok()) {
    fprintf(stderr, "a sealed segment was given out writable\n");
    return 1;
  }
  printf("verified %llu numbers\n", static_cast<unsigned long long>(expected));
  return 0;
}
