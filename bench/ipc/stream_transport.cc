#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "bench/ipc/transport.h"

namespace shmd::bench {
namespace {

// As far as an unprivileged program may enlarge a pipe
// (/proc/sys/fs/pipe-max-size by default).
constexpr int kPipeBytes = 1 << 20;

// The payload behind its length, through a pipe or a Unix stream socket.
class StreamTransport : public Transport {
 public:
  StreamTransport(const TransportSettings& settings, bool pipe)
      : pipe_(pipe), words_(1 + settings.max_payload_bytes / 8) {}

  std::string name() const override {
    return pipe_ ? "pipe" : "Unix stream socket";
  }

  absl::Status Open() override {
    int fds[2];
    if (pipe_) {
      if (pipe2(fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
      // Only a wish: the kernel may have less to give.
      (void)fcntl(fds[1], F_SETPIPE_SZ, kPipeBytes);
    } else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
      return ErrnoStatus(errno, "socketpair");
    }
    read_end_.Reset(fds[0]);
    write_end_.Reset(fds[1]);
    return bell_.Open();
  }

  absl::Status Receive() override {
    char* bytes = reinterpret_cast<char*>(words_.data());
    const size_t room = words_.size() * sizeof(uint64_t);
    for (;;) {
      // A small message takes one read: length and payload come together.
      size_t got = 0;
      while (got < sizeof(uint64_t) || got < sizeof(uint64_t) + words_[0]) {
        if (got == room) return absl::OutOfRangeError("payload too large");
        const ssize_t n = read(read_end_.get(), bytes + got, room - got);
        if (n <= 0) return ErrnoStatus(errno, "read");
        got += n;
      }
      RETURN_IF_ERROR(bell_.Reply(SumWords(words_.data() + 1, words_[0])));
    }
  }

  absl::StatusOr<uint64_t> Send(const Payload& payload) override {
    RETURN_IF_ERROR(
        WriteAll(write_end_.get(), payload.framed(), payload.framed_bytes()));
    return bell_.Answer();
  }

 private:
  const bool pipe_;
  UniqueFd read_end_;
  UniqueFd write_end_;
  std::vector<uint64_t> words_;  // what was received: length, payload
};

}  // namespace

std::unique_ptr<Transport> MakePipeTransport(
    const TransportSettings& settings) {
  return std::make_unique<StreamTransport>(settings, true);
}

std::unique_ptr<Transport> MakeUnixSocketTransport(
    const TransportSettings& settings) {
  return std::make_unique<StreamTransport>(settings, false);
}

}  // namespace shmd::bench
