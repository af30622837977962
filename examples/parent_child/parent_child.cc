// A parent and its forked child share an anonymous segment: the mapping is
// inherited, so the child needs neither a handle nor the daemon.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>

#include "client/cpp/client.h"

namespace {

// Atomic, because two processes use it at the same time.
struct Shared {
  std::atomic<uint64_t> sum;
};

}  // namespace

int main() {
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) {
    fprintf(stderr, "%s\n", client.status().ToString().c_str());
    return 1;
  }
  shmd::SegmentSpec spec;
  spec.size_bytes = sizeof(Shared);
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
  // SAFETY: fresh memory is zero, which is what the constructor would write;
  // a lock-free atomic has no address of its own inside.
  static_assert(std::atomic<uint64_t>::is_always_lock_free);
  auto* const shared = reinterpret_cast<Shared*>(memory->data());

  const pid_t child = fork();
  if (child == 0) {
    for (uint64_t i = 1; i <= 1000; ++i) shared->sum += i;
    // Not exit(3): gRPC's threads did not come along through the fork.
    _exit(0);
  }
  for (uint64_t i = 1; i <= 1000; ++i) shared->sum += i;
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
    fprintf(stderr, "the child failed\n");
    return 1;
  }
  printf("sum %llu\n", static_cast<unsigned long long>(shared->sum.load()));

  // The end of the mapping tells the daemon; then nobody uses the segment.
  *memory = shmd::WritableAttached();
  const absl::Status deleted = client->Delete(segment->name);
  if (!deleted.ok()) fprintf(stderr, "%s\n", deleted.ToString().c_str());
  return deleted.ok() ? 0 : 1;
}
