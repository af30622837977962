#ifndef SHMD_CLIENT_CPP_BACKOFF_H_
#define SHMD_CLIENT_CPP_BACKOFF_H_

#include <algorithm>

#include "absl/random/random.h"
#include "absl/time/time.h"

namespace shmd {
inline namespace client {

// How long to wait before each next attempt: from 10 ms, twice as long each
// time, to 1 s; with jitter, so that a restarted daemon is not met by all of
// its clients at once. Not thread-safe.
class Backoff {
 public:
  absl::Duration Next() {
    const absl::Duration wait = absl::Uniform(random_, 0.5, 1.0) * wait_;
    wait_ = std::min(2 * wait_, kLongest);
    return wait;
  }
  void Reset() { wait_ = kFirst; }

 private:
  static constexpr absl::Duration kFirst = absl::Milliseconds(10);
  static constexpr absl::Duration kLongest = absl::Seconds(1);

  absl::InsecureBitGen random_;
  absl::Duration wait_ = kFirst;
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_BACKOFF_H_
