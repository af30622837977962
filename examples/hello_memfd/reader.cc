// Redeems a handle for memory that the kernel lets it only read.
//
//   reader HANDLE
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
  printf("%.*s\n", static_cast<int>(memory->size_bytes()),
         memory->bytes().data());
  return 0;
}
