#ifndef SHMD_BENCH_IPC_BELL_H_
#define SHMD_BENCH_IPC_BELL_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"

namespace shmd::bench {

// Reads or writes all of `size` bytes at a descriptor, in as many calls as it
// takes. End of file is an error.
absl::Status ReadAll(int fd, void* data, size_t size);
absl::Status WriteAll(int fd, const void* data, size_t size);

// A pair of Unix sockets between the two processes, for words: it tells that
// something is there to be read, and brings the answers.
class Bell {
 public:
  absl::Status Open();

  // The parent's end.
  absl::Status Ring(uint64_t word) { return WriteWord(parent_.get(), word); }
  absl::StatusOr<uint64_t> Answer() { return ReadWord(parent_.get()); }
  absl::Status SendText(const std::string& text);

  // The child's end.
  absl::StatusOr<uint64_t> Wait() { return ReadWord(child_.get()); }
  absl::Status Reply(uint64_t word) { return WriteWord(child_.get(), word); }
  absl::StatusOr<std::string> ReceiveText();

 private:
  static absl::Status WriteWord(int fd, uint64_t word);
  static absl::StatusOr<uint64_t> ReadWord(int fd);

  UniqueFd parent_;
  UniqueFd child_;
};

}  // namespace shmd::bench

#endif  // SHMD_BENCH_IPC_BELL_H_
