// Maps the frame whose handle is in a file, as memory that the kernel lets it
// only read, and adds its numbers up: now, and again every 200 ms.
//
//   reader HANDLE_FILE
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#include "client/cpp/client.h"

namespace {

constexpr useconds_t kPauseMicroseconds = 200 * 1000;

int Fail(const absl::Status& status) {
  fprintf(stderr, "reader: %s\n", status.ToString().c_str());
  return 1;
}

// Waits until the writer has written it.
std::string AwaitHandle(const char* path) {
  std::string handle;
  while (!(std::ifstream(path) >> handle)) usleep(kPauseMicroseconds);
  return handle;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: reader HANDLE_FILE\n");
    return 2;
  }
  const std::string handle = AwaitHandle(argv[1]);
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) return Fail(client.status());
  absl::StatusOr<shmd::ReadOnlyAttached> memory = client->MapReadOnly(handle);
  if (!memory.ok()) return Fail(memory.status());
  for (;;) {
    uint64_t sum = 0;
    for (const uint64_t number : memory->As<uint64_t>()) sum += number;
    printf("%llu bytes, sum %llu\n",
           static_cast<unsigned long long>(memory->size_bytes()),
           static_cast<unsigned long long>(sum));
    fflush(stdout);
    usleep(kPauseMicroseconds);
  }
}
