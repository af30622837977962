#ifndef SHMD_BENCH_IPC_TRANSPORT_H_
#define SHMD_BENCH_IPC_TRANSPORT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/ipc/bell.h"
#include "bench/ipc/payload.h"

namespace shmd::bench {

// One way to move a payload from a process to another. The life of each: Open
// in the parent; fork; then Receive in the child, Connect and Send in the
// parent. Not thread-safe.
class Transport {
 public:
  virtual ~Transport() = default;

  virtual std::string name() const = 0;

  // Makes what both processes inherit.
  virtual absl::Status Open() { return bell_.Open(); }

  // The child: answers rounds until the parent ends it.
  virtual absl::Status Receive() = 0;

  // The parent: waits until the child can answer.
  virtual absl::Status Connect() { return absl::OkStatus(); }

  // The parent, before the rounds of one size; not timed.
  virtual absl::Status Prepare(const Payload&) { return absl::OkStatus(); }

  // The parent: one round. Returns the sum that the child answered.
  virtual absl::StatusOr<uint64_t> Send(const Payload& payload) = 0;

 protected:
  // Carries the answers of all transports but gRPC, whose reply is its answer,
  // and segments with a bell in memory.
  Bell bell_;
};

struct TransportSettings {
  uint64_t max_payload_bytes = 0;
  std::string folder;      // for sockets and the file on a disk
  std::string socket_dir;  // of the daemon
};

// All of them, in the order of the table.
std::vector<std::unique_ptr<Transport>> MakeTransports(
    const TransportSettings& settings);

// By the file that implements them.
struct SegmentVariant {
  bool fill = true;          // else the payload is there already
  bool memory_bell = false;  // else the words go through the Unix sockets
};
std::unique_ptr<Transport> MakeSegmentTransport(
    const TransportSettings& settings, const SegmentVariant& variant);
std::unique_ptr<Transport> MakeFileTransport(const TransportSettings& settings,
                                             const std::string& name,
                                             const std::string& folder);
std::unique_ptr<Transport> MakePipeTransport(const TransportSettings& settings);
std::unique_ptr<Transport> MakeUnixSocketTransport(
    const TransportSettings& settings);
std::unique_ptr<Transport> MakePosixQueueTransport(
    const TransportSettings& settings);
std::unique_ptr<Transport> MakeSysvQueueTransport(
    const TransportSettings& settings);
std::unique_ptr<Transport> MakeGrpcTransport(const TransportSettings& settings);

}  // namespace shmd::bench

#endif  // SHMD_BENCH_IPC_TRANSPORT_H_
