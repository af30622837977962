#ifndef SHMD_CLI_PROGRESS_H_
#define SHMD_CLI_PROGRESS_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace shmd::cli {

// A bar on standard error for a copy that takes longer than a second; shows
// nothing where that is not a terminal. Not thread-safe.
class ProgressBar {
 public:
  ProgressBar();
  // Wipes the bar out.
  ~ProgressBar();

  void Update(uint64_t done_bytes, uint64_t total_bytes);

  // "[#####-----]  50 %  1.5 GiB  2.41 GB/s".
  static std::string Render(uint64_t done_bytes, uint64_t total_bytes,
                            absl::Duration elapsed);

 private:
  const bool terminal_;
  const absl::Time start_;
  absl::Time next_draw_;
  bool drawn_ = false;
};

}  // namespace shmd::cli

#endif  // SHMD_CLI_PROGRESS_H_
