#include "bench/segments/passer.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "shm/sys/file.h"
#include "shm/sys/memfd.h"
#include "shm/sys/socket.h"
#include "shm/types.h"

namespace shmd::bench {
namespace {

constexpr absl::string_view kMessage = "request";

absl::Status AnswerOne(int socket, int fd, Passer::Gives gives) {
  char buffer[64];
  ASSIGN_OR_RETURN(const sys::Datagram datagram,
                   sys::ReceiveDatagram(socket, absl::MakeSpan(buffer), 0));
  if (datagram.size_bytes == 0) return absl::CancelledError("the parent ended");
  if (gives == Passer::Gives::kSame) {
    return sys::SendDatagram(socket, kMessage, fd);
  }
  const std::string path = absl::StrCat("/proc/self/fd/", fd);
  const UniqueFd reader(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!reader.valid()) return ErrnoStatus(errno, "open");
  return sys::SendDatagram(socket, kMessage, reader.get());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Passer>> Passer::Start(Gives gives,
                                                      uint64_t size_bytes) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoStatus(errno, "socketpair");
  }
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  ASSIGN_OR_RETURN(const UniqueFd fd, sys::MemfdCreate(BasePageSizeBytes()));
  RETURN_IF_ERROR(sys::Ftruncate(fd.get(), size_bytes));
  ASSIGN_OR_RETURN(
      Child child, Child::Start("passer", [&]() -> absl::Status {
        ours.Reset();
        for (;;) {
          RETURN_IF_ERROR(AnswerOne(theirs.get(), fd.get(), gives));
        }
      }));
  return std::unique_ptr<Passer>(new Passer(std::move(ours), std::move(child)));
}

absl::StatusOr<UniqueFd> Passer::Get() {
  RETURN_IF_ERROR(sys::SendDatagram(socket_.get(), kMessage, -1));
  char buffer[64];
  ASSIGN_OR_RETURN(
      sys::Datagram datagram,
      sys::ReceiveDatagram(socket_.get(), absl::MakeSpan(buffer), 0));
  if (datagram.fds.size() != 1) return absl::InternalError("no descriptor");
  return std::move(datagram.fds[0]);
}

}  // namespace shmd::bench
