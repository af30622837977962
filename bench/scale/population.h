#ifndef SHMD_BENCH_SCALE_POPULATION_H_
#define SHMD_BENCH_SCALE_POPULATION_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "shmd/v1/node.grpc.pb.h"
#include "shmd/v1/segment.grpc.pb.h"

namespace shmd::bench {

// Says why and exits: a benchmark cannot go on without what it measures.
[[noreturn]] void Fail(const std::string& why);

// The segments and sessions that a daemon has to live with. Deletes the
// segments at its end. Not thread-safe.
class Population {
 public:
  explicit Population(std::string socket_dir);
  ~Population();

  // More of both, up to these numbers. One in 25 segments is a memfd, up to
  // 4000; the rest are POSIX ones without pages.
  void GrowTo(size_t segments, size_t sessions);

  size_t segments() const { return names_.size(); }
  size_t sessions() const { return sessions_.size(); }
  const std::string& name(size_t i) const { return names_[i]; }

  // The process that listens on the attach socket now.
  pid_t DaemonPid() const;

  // Kills the daemon, which somebody starts again; the time until the next one
  // has all segments.
  absl::Duration Restart();

 private:
  void CreateBatch(size_t count);
  void DeleteBatch(size_t first, size_t end);
  void OpenSession();

  const std::string socket_dir_;
  std::unique_ptr<v1::SegmentService::Stub> segment_stub_;
  std::unique_ptr<v1::NodeService::Stub> node_stub_;
  std::vector<std::string> names_;
  std::vector<UniqueFd> sessions_;
  size_t memfds_ = 0;
};

}  // namespace shmd::bench

#endif  // SHMD_BENCH_SCALE_POPULATION_H_
