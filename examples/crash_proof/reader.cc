// Maps a segment once; for each line of input it prints what the mapping
// shows, and what a new one shows. It has no code for a daemon that is killed
// meanwhile: the mapping does not need one, and the Client finds the next.
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
  absl::StatusOr<shmd::ReadOnlyAttached> first = client->MapReadOnly(argv[1]);
  if (!first.ok()) {
    fprintf(stderr, "%s\n", first.status().ToString().c_str());
    return 1;
  }
  printf("mapped\n");
  fflush(stdout);
  while (getchar() == '\n') {
    absl::StatusOr<shmd::ReadOnlyAttached> again = client->MapReadOnly(argv[1]);
    if (!again.ok()) {
      fprintf(stderr, "%s\n", again.status().ToString().c_str());
      return 1;
    }
    printf("%s, %s\n", first->bytes().data(), again->bytes().data());
    fflush(stdout);
  }
  return 0;
}
