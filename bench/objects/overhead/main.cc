// What an object takes beside its bytes, in a daemon that runs:
//
//   scripts/with_shmd bazel-bin/bench/objects/overhead/overhead [OBJECTS]
//
// Puts so many objects of 64 bytes, 1,000,000 unless told, and prints bytes for
// each: the namespace's directory in shared memory, the daemon's own memory,
// the arena beyond the payload, and the writer's own memory. A reader has
// nothing of its own for an object that it has not pinned.

#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "client/cpp/objects.h"
#include "shm/sys/socket.h"

namespace shmd::bench {
namespace {

constexpr uint64_t kPayloadBytes = 64;
constexpr uint64_t kBatch = 1000;

template <typename Value>
Value Require(absl::StatusOr<Value> value) {
  if (value.ok()) return *std::move(value);
  absl::FPrintF(stderr, "%s\n", value.status().ToString());
  exit(1);
}

// Of a process, without what it has mapped of files and shared memory.
uint64_t OwnBytes(pid_t pid) {
  std::ifstream status(absl::StrCat("/proc/", pid, "/status"));
  for (std::string key; status >> key;) {
    uint64_t kib = 0;
    if (key == "RssAnon:" && status >> kib) return kib * 1024;
  }
  return 0;
}

pid_t DaemonPid() {
  const char* const folder = getenv("SHMD_SOCKET_DIR");
  const UniqueFd socket = Require(sys::ConnectUnix(
      absl::StrCat(folder == nullptr ? "/run/shmd" : folder, "/attach.sock"),
      sys::SocketType::kSeqpacket));
  return Require(sys::ReadPeerCredentials(socket.get())).pid;
}

// Of the directory and of all arenas, as the kernel has them.
struct SharedBytes {
  uint64_t directory = 0;
  uint64_t arenas = 0;
};

SharedBytes Shared(Client& client) {
  SharedBytes bytes;
  for (const Segment& listed : Require(client.List())) {
    const Segment segment = Require(client.Get(listed.id()));
    const uint64_t resident = segment.status->resident_bytes;
    if (listed.id() == "shmd.directory") bytes.directory += resident;
    if (absl::StartsWith(listed.id(), "shmd.arena.")) bytes.arenas += resident;
  }
  return bytes;
}

void PutAll(ObjectStore& store, uint64_t objects) {
  const std::string data(kPayloadBytes, 'x');
  std::vector<std::string> ids(kBatch);
  std::vector<PutItem> items(kBatch);
  for (uint64_t first = 0; first < objects; first += kBatch) {
    items.resize(std::min(kBatch, objects - first));
    for (size_t i = 0; i < items.size(); ++i) {
      ids[i] = absl::StrCat("object-", first + i);
      items[i] = {ids[i], absl::MakeConstSpan(data)};
    }
    const absl::Status put = store.PutAll(items);
    if (put.ok()) continue;
    absl::FPrintF(stderr, "%s\n", put.ToString());
    exit(1);
  }
}

int Main(int argc, char** argv) {
  uint64_t objects = 1'000'000;
  if (argc > 2 ||
      (argc == 2 && (!absl::SimpleAtoi(argv[1], &objects) || objects == 0))) {
    absl::FPrintF(stderr, "usage: overhead [OBJECTS]\n");
    return 1;
  }
  Client client = Require(Client::Connect());
  ObjectStore store = Require(ObjectStore::Open(client));
  const pid_t daemon = DaemonPid();
  const uint64_t daemon_before = OwnBytes(daemon);
  const uint64_t writer_before = OwnBytes(getpid());
  PutAll(store, objects);
  const SharedBytes shared = Shared(client);
  const auto print = [objects](const char* what, uint64_t bytes) {
    absl::PrintF("%-32s %6.1f bytes\n", what,
                 static_cast<double>(bytes) / static_cast<double>(objects));
  };
  const uint64_t daemon_bytes = OwnBytes(daemon) - daemon_before;
  const uint64_t arena_bytes =
      shared.arenas - std::min(shared.arenas, objects * kPayloadBytes);
  const uint64_t writer_bytes = OwnBytes(getpid()) - writer_before;
  absl::PrintF("%d objects of %d bytes; for each of them\n", objects,
               kPayloadBytes);
  print("the directory, shared", shared.directory);
  print("the daemon", daemon_bytes);
  print("the arenas beyond the payload", arena_bytes);
  print("the writer", writer_bytes);
  print("together",
        shared.directory + daemon_bytes + arena_bytes + writer_bytes);
  return 0;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
