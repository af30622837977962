#include "bench/ipc/bell.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"
#include "base/status_macros.h"

namespace shmd::bench {

absl::Status ReadAll(int fd, void* data, size_t size) {
  char* bytes = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t n = read(fd, bytes, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "read");
    if (n == 0) return absl::UnavailableError("the other end is closed");
    bytes += n;
    size -= n;
  }
  return absl::OkStatus();
}

absl::Status WriteAll(int fd, const void* data, size_t size) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = write(fd, bytes, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus(errno, "write");
    bytes += n;
    size -= n;
  }
  return absl::OkStatus();
}

absl::Status Bell::Open() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
    return ErrnoStatus(errno, "socketpair");
  }
  parent_.Reset(fds[0]);
  child_.Reset(fds[1]);
  return absl::OkStatus();
}

absl::Status Bell::SendText(const std::string& text) {
  RETURN_IF_ERROR(Ring(text.size()));
  return WriteAll(parent_.get(), text.data(), text.size());
}

absl::StatusOr<std::string> Bell::ReceiveText() {
  ASSIGN_OR_RETURN(const uint64_t size, Wait());
  std::string text(size, '\0');
  RETURN_IF_ERROR(ReadAll(child_.get(), text.data(), text.size()));
  return text;
}

absl::Status Bell::WriteWord(int fd, uint64_t word) {
  return WriteAll(fd, &word, sizeof word);
}

absl::StatusOr<uint64_t> Bell::ReadWord(int fd) {
  uint64_t word;
  RETURN_IF_ERROR(ReadAll(fd, &word, sizeof word));
  return word;
}

}  // namespace shmd::bench
