#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "bench/ipc/transport.h"

namespace shmd::bench {
namespace {

// A file that is overwritten with pwrite(2) and read with pread(2). Nothing
// is flushed: a file on a disk stays in the page cache.
class FileTransport : public Transport {
 public:
  FileTransport(const TransportSettings& settings, const std::string& name,
                const std::string& folder)
      : name_(name), folder_(folder), words_(settings.max_payload_bytes / 8) {}

  std::string name() const override { return name_; }

  absl::Status Open() override {
    // Without a name, so that it ends with its users.
    fd_.Reset(open(folder_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!fd_.valid()) return ErrnoStatus(errno, absl::StrCat("open ", folder_));
    return bell_.Open();
  }

  absl::Status Receive() override {
    for (;;) {
      ASSIGN_OR_RETURN(const uint64_t size_bytes, bell_.Wait());
      char* bytes = reinterpret_cast<char*>(words_.data());
      for (uint64_t done = 0; done < size_bytes;) {
        const ssize_t n =
            pread(fd_.get(), bytes + done, size_bytes - done, done);
        if (n <= 0) return ErrnoStatus(errno, "pread");
        done += n;
      }
      RETURN_IF_ERROR(bell_.Reply(SumWords(bytes, size_bytes)));
    }
  }

  absl::StatusOr<uint64_t> Send(const Payload& payload) override {
    const char* bytes = static_cast<const char*>(payload.data());
    for (uint64_t done = 0; done < payload.size_bytes();) {
      const ssize_t n =
          pwrite(fd_.get(), bytes + done, payload.size_bytes() - done, done);
      if (n < 0) return ErrnoStatus(errno, "pwrite");
      done += n;
    }
    RETURN_IF_ERROR(bell_.Ring(payload.size_bytes()));
    return bell_.Answer();
  }

 private:
  const std::string name_;
  const std::string folder_;
  UniqueFd fd_;
  std::vector<uint64_t> words_;  // what was received
};

}  // namespace

std::unique_ptr<Transport> MakeFileTransport(const TransportSettings& settings,
                                             const std::string& name,
                                             const std::string& folder) {
  return std::make_unique<FileTransport>(settings, name, folder);
}

}  // namespace shmd::bench
