#ifndef SHMD_BENCH_SEGMENTS_DAEMON_H_
#define SHMD_BENCH_SEGMENTS_DAEMON_H_

#include <grpcpp/support/status.h>
#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "client/cpp/client.h"
#include "shm/types.h"
#include "shmd/v1/attach.pb.h"
#include "shmd/v1/segment.grpc.pb.h"

namespace shmd::bench {

// A benchmark cannot go on without what it measures: says why and exits.
void Require(const absl::Status& status);
void Require(const grpc::Status& status);

template <typename T>
T Require(absl::StatusOr<T> value) {
  Require(value.status());
  return *std::move(value);
}

// The daemon under test as generated code and a socket see it, and as the
// client library does. Not thread-safe.
class Daemon {
 public:
  // Connects to the daemon of `socket_dir`.
  static absl::StatusOr<std::unique_ptr<Daemon>> Connect(
      const std::string& socket_dir);

  ~Daemon();

  pid_t pid() const { return pid_; }
  v1::SegmentService::Stub& segments() { return *segments_; }
  shmd::Client& client() { return client_; }

  // A request for a segment of a name that was not used before.
  v1::CreateSegmentRequest NewSegment(BackendKind backend, uint64_t size_bytes);

  // The same for the client library.
  SegmentSpec NewSpec(BackendKind backend, uint64_t size_bytes);

  v1::Segment Create(const v1::CreateSegmentRequest& request);
  // Deleted with this object.
  v1::Segment Keep(const v1::CreateSegmentRequest& request);
  void Delete(const std::string& name);

  // What the attach socket gives for a handle.
  struct Grant {
    v1::Attachment attachment;
    UniqueFd fd;  // none for System V
  };

  Grant Attach(const std::string& handle, v1::Access access);
  void Detach(uint64_t attachment_id);

  // Returns when the daemon has served all that was sent before.
  void AwaitIdle();

 private:
  Daemon(pid_t pid, std::unique_ptr<v1::SegmentService::Stub> segments,
         shmd::Client client, UniqueFd attach_socket)
      : pid_(pid),
        segments_(std::move(segments)),
        client_(std::move(client)),
        attach_socket_(std::move(attach_socket)) {}

  // Leaves the answer in `reply_`.
  void Exchange(UniqueFd* fd);

  const pid_t pid_;
  const std::unique_ptr<v1::SegmentService::Stub> segments_;
  shmd::Client client_;
  const UniqueFd attach_socket_;
  v1::AttachRequest request_;
  v1::AttachReply reply_;
  uint64_t last_sequence_ = 0;
  uint64_t last_name_ = 0;
  std::vector<std::string> kept_;
};

}  // namespace shmd::bench

#endif  // SHMD_BENCH_SEGMENTS_DAEMON_H_
