// Makes a frame in shared memory that its own group may read, leaves the
// handle in a file, and keeps the frame mapped until SIGTERM.
//
//   writer HANDLE_FILE SIZE_MIB
#include <signal.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include "client/cpp/client.h"

namespace {

constexpr char kFrame[] = "frame";

int Fail(const absl::Status& status) {
  fprintf(stderr, "writer: %s\n", status.ToString().c_str());
  return 1;
}

// By way of a second name, so that a reader sees all of it or nothing.
bool WriteHandle(const std::string& path, const std::string& handle) {
  const std::string temporary = path + ".new";
  std::ofstream(temporary) << handle << "\n";
  return rename(temporary.c_str(), path.c_str()) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: writer HANDLE_FILE SIZE_MIB\n");
    return 2;
  }
  // Before any thread starts, so that only sigwait sees it.
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigprocmask(SIG_BLOCK, &stop, nullptr);

  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) return Fail(client.status());
  // What an earlier run of this container has left. Who has it mapped keeps it.
  shmd::DeleteOptions although_attached;
  although_attached.force = true;
  const absl::Status deleted = client->Delete(kFrame, although_attached);
  if (!deleted.ok() && !absl::IsNotFound(deleted)) return Fail(deleted);

  shmd::SegmentSpec spec;
  spec.id = kFrame;
  spec.size_bytes = strtoull(argv[2], nullptr, 10) << 20;
  spec.mode = 0640;  // the group is the caller's, unless set
  absl::StatusOr<shmd::Segment> segment = client->Create(spec);
  if (!segment.ok()) return Fail(segment.status());
  absl::StatusOr<shmd::WritableAttached> memory =
      client->MapWritable(segment->handle);
  if (!memory.ok()) return Fail(memory.status());
  uint64_t next = 0;
  for (uint64_t& number : memory->As<uint64_t>()) number = next++;

  if (!WriteHandle(argv[1], segment->handle)) {
    perror(argv[1]);
    return 1;
  }
  printf("wrote %llu numbers\n", static_cast<unsigned long long>(next));
  fflush(stdout);
  int signal_number = 0;
  sigwait(&stop, &signal_number);
  return 0;
}
