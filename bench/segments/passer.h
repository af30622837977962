#ifndef SHMD_BENCH_SEGMENTS_PASSER_H_
#define SHMD_BENCH_SEGMENTS_PASSER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "bench/child.h"

namespace shmd::bench {

// What descriptor passing costs and nothing else: a process that answers every
// datagram on a SOCK_SEQPACKET socket with one of a few bytes and the
// descriptor of a memfd. No poll, no check, no message format.
class Passer {
 public:
  enum class Gives {
    kReopened,  // read-only, opened anew each time, as the daemon must
    kSame,      // the descriptor that it has
  };

  // Forks; call before gRPC is used.
  static absl::StatusOr<std::unique_ptr<Passer>> Start(Gives gives,
                                                       uint64_t size_bytes);

  pid_t pid() const { return child_.pid(); }

  // One request and its answer.
  absl::StatusOr<UniqueFd> Get();

 private:
  Passer(UniqueFd socket, Child child)
      : socket_(std::move(socket)), child_(std::move(child)) {}

  const UniqueFd socket_;
  const Child child_;
};

}  // namespace shmd::bench

#endif  // SHMD_BENCH_SEGMENTS_PASSER_H_
