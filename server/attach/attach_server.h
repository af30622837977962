#ifndef SHMD_SERVER_ATTACH_ATTACH_SERVER_H_
#define SHMD_SERVER_ATTACH_ATTACH_SERVER_H_

#include <memory>
#include <string>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "server/access/acceptor.h"
#include "server/attach/attach_connection.h"
#include "server/registry/segment_registry.h"

namespace shmd {

inline constexpr size_t kMaxAttachConnectionsPerUid = 4096;

// The attach socket (attach.proto): redeems handles for descriptors. One
// thread serves all connections; a request is a look into the registry and a
// few system calls. A program whose queue is full is cut off: it asks for
// answers that it does not read.
class AttachServer {
 public:
  // Serves on `listener`, a listening SOCK_SEQPACKET socket, until destroyed.
  // Borrows the rest.
  static absl::StatusOr<std::unique_ptr<AttachServer>> Start(
      UniqueFd listener, const CallerPolicy* policy, SegmentRegistry* registry);

  // Ends all connections and releases what they held; clients keep what they
  // have mapped.
  ~AttachServer();

 private:
  AttachServer(UniqueFd listener, const CallerPolicy* policy,
               SegmentRegistry* registry)
      : listener_(std::move(listener)),
        acceptor_(policy),
        registry_(registry) {}

  void Run();
  void Accept();
  void Serve(int fd);
  absl::Status Watch(int fd);

  UniqueFd listener_;
  UniqueFd epoll_;
  UniqueFd stop_;  // eventfd
  Acceptor acceptor_;
  SegmentRegistry* const registry_;
  // Only Run's thread touches these.
  absl::flat_hash_map<int, std::unique_ptr<AttachConnection>> connections_;
  absl::flat_hash_map<uid_t, size_t> connections_of_uid_;
  std::thread thread_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_ATTACH_ATTACH_SERVER_H_
