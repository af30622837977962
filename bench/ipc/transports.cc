#include <memory>
#include <vector>

#include "bench/ipc/transport.h"

namespace shmd::bench {

std::vector<std::unique_ptr<Transport>> MakeTransports(
    const TransportSettings& settings) {
  std::vector<std::unique_ptr<Transport>> transports;
  SegmentVariant variant;
  transports.push_back(MakeSegmentTransport(settings, variant));
  variant.memory_bell = true;
  transports.push_back(MakeSegmentTransport(settings, variant));
  variant.fill = false;
  transports.push_back(MakeSegmentTransport(settings, variant));
  transports.push_back(
      MakeFileTransport(settings, "file on tmpfs", "/dev/shm"));
  transports.push_back(
      MakeFileTransport(settings, "file on disk", settings.folder));
  transports.push_back(MakePipeTransport(settings));
  transports.push_back(MakeUnixSocketTransport(settings));
  transports.push_back(MakePosixQueueTransport(settings));
  transports.push_back(MakeSysvQueueTransport(settings));
  transports.push_back(MakeGrpcTransport(settings));
  return transports;
}

}  // namespace shmd::bench
