#include <fcntl.h>
#include <mqueue.h>
#include <sys/msg.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "bench/ipc/transport.h"

namespace shmd::bench {
namespace {

// The largest message of both kinds of queue unless an administrator raised
// it (/proc/sys/fs/mqueue/msgsize_max, /proc/sys/kernel/msgmax).
constexpr size_t kMessageBytes = 8192;

// The payload behind its length, cut into messages of a queue.
class QueueTransport : public Transport {
 public:
  explicit QueueTransport(const TransportSettings& settings)
      : words_(1 + settings.max_payload_bytes / 8 + kMessageBytes / 8) {}

  absl::Status Receive() final {
    char* bytes = reinterpret_cast<char*>(words_.data());
    for (;;) {
      size_t got = 0;
      while (got < sizeof(uint64_t) || got < sizeof(uint64_t) + words_[0]) {
        ASSIGN_OR_RETURN(const size_t n, ReceiveMessage(bytes + got));
        got += n;
      }
      RETURN_IF_ERROR(bell_.Reply(SumWords(words_.data() + 1, words_[0])));
    }
  }

  absl::StatusOr<uint64_t> Send(const Payload& payload) final {
    const char* bytes = static_cast<const char*>(payload.framed());
    for (size_t done = 0; done < payload.framed_bytes();) {
      const size_t n = std::min(payload.framed_bytes() - done, kMessageBytes);
      RETURN_IF_ERROR(SendMessage(bytes + done, n));
      done += n;
    }
    return bell_.Answer();
  }

 protected:
  virtual absl::Status SendMessage(const char* data, size_t size_bytes) = 0;
  // `out` has room for kMessageBytes.
  virtual absl::StatusOr<size_t> ReceiveMessage(char* out) = 0;

 private:
  std::vector<uint64_t> words_;  // what was received: length, payload
};

class PosixQueueTransport : public QueueTransport {
 public:
  using QueueTransport::QueueTransport;
  ~PosixQueueTransport() override {
    if (queue_ >= 0) mq_close(queue_);
  }

  std::string name() const override { return "POSIX message queue"; }

  absl::Status Open() override {
    mq_attr attributes = {};
    attributes.mq_maxmsg = 10;
    attributes.mq_msgsize = kMessageBytes;
    const std::string name = absl::StrCat("/shmd-bench-", getpid());
    queue_ = mq_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600,
                     &attributes);
    if (queue_ < 0) return ErrnoStatus(errno, "mq_open");
    mq_unlink(name.c_str());
    return bell_.Open();
  }

 private:
  absl::Status SendMessage(const char* data, size_t size_bytes) override {
    if (mq_send(queue_, data, size_bytes, 0) != 0) {
      return ErrnoStatus(errno, "mq_send");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> ReceiveMessage(char* out) override {
    const ssize_t n = mq_receive(queue_, out, kMessageBytes, nullptr);
    if (n < 0) return ErrnoStatus(errno, "mq_receive");
    return n;
  }

  mqd_t queue_ = -1;
};

class SysvQueueTransport : public QueueTransport {
 public:
  using QueueTransport::QueueTransport;
  ~SysvQueueTransport() override {
    if (queue_ >= 0 && owner_ == getpid()) msgctl(queue_, IPC_RMID, nullptr);
  }

  std::string name() const override { return "SysV message queue"; }

  absl::Status Open() override {
    queue_ = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    if (queue_ < 0) return ErrnoStatus(errno, "msgget");
    owner_ = getpid();
    return bell_.Open();
  }

 private:
  struct Message {
    long type = 1;  // NOLINT(google-runtime-int): msgsnd(2) has it so
    char data[kMessageBytes];
  };

  absl::Status SendMessage(const char* data, size_t size_bytes) override {
    memcpy(message_.data, data, size_bytes);
    if (msgsnd(queue_, &message_, size_bytes, 0) != 0) {
      return ErrnoStatus(errno, "msgsnd");
    }
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> ReceiveMessage(char* out) override {
    const ssize_t n = msgrcv(queue_, &message_, kMessageBytes, 0, 0);
    if (n < 0) return ErrnoStatus(errno, "msgrcv");
    memcpy(out, message_.data, n);
    return n;
  }

  int queue_ = -1;
  pid_t owner_ = 0;
  Message message_;
};

}  // namespace

std::unique_ptr<Transport> MakePosixQueueTransport(
    const TransportSettings& settings) {
  return std::make_unique<PosixQueueTransport>(settings);
}

std::unique_ptr<Transport> MakeSysvQueueTransport(
    const TransportSettings& settings) {
  return std::make_unique<SysvQueueTransport>(settings);
}

}  // namespace shmd::bench
