#ifndef SHMD_BASE_UNIQUE_FD_H_
#define SHMD_BASE_UNIQUE_FD_H_

#include <unistd.h>

#include <utility>

namespace shmd {

// Owns a file descriptor and closes it. Move-only; not thread-safe.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.Release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) Reset(other.Release());
    return *this;
  }
  ~UniqueFd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

  // Gives the descriptor away; *this owns nothing then.
  int Release() { return std::exchange(fd_, -1); }

  // Closes what is owned and owns `fd` instead.
  void Reset(int fd = -1) {
    const int old = std::exchange(fd_, fd);
    // No retry on EINTR: Linux has released the number by then (close(2)).
    if (old >= 0) close(old);
  }

 private:
  int fd_ = -1;
};

}  // namespace shmd

#endif  // SHMD_BASE_UNIQUE_FD_H_
