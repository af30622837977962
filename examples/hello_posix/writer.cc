// Creates a POSIX segment through shmd and leaves a greeting in it. Any
// program can open it by its POSIX name afterwards: see reader.c, which knows
// nothing of shmd.
//
//   writer POSIX_NAME
#include <cstdio>

#include "client/cpp/client.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: writer POSIX_NAME\n");
    return 2;
  }
  // Finds the daemon by $SHMD_SOCKET_DIR, $XDG_RUNTIME_DIR/shmd, /run/shmd.
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) {
    fprintf(stderr, "%s\n", client.status().ToString().c_str());
    return 1;
  }

  shmd::SegmentSpec spec;
  spec.size_bytes = 4096;
  spec.backend = shmd::BackendKind::kPosix;
  spec.posix_name = argv[1];
  absl::StatusOr<shmd::Segment> segment = client->Create(spec);
  if (!segment.ok()) {
    fprintf(stderr, "%s\n", segment.status().ToString().c_str());
    return 1;
  }

  // Its handle, not its name, is what maps it.
  absl::StatusOr<shmd::WritableAttached> memory =
      client->MapWritable(segment->handle);
  if (!memory.ok()) {
    fprintf(stderr, "%s\n", memory.status().ToString().c_str());
    return 1;
  }
  snprintf(memory->bytes().data(), spec.size_bytes, "hello through posix");
  printf("%s\n", segment->name.c_str());
  return 0;
}
