#include "client/cpp/attach_answer.h"

#include <fcntl.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "client/cpp/rpc_status.h"
#include "shm/sys/socket.h"

namespace shmd {
inline namespace client {
namespace {

// The largest reply has 1000 handles, of at most 208 characters.
constexpr size_t kMaxReplyBytes = 256 * 1024;

bool IsTimeout(const absl::Status& status) {
  // What SO_RCVTIMEO ends with.
  return GetErrorDetail(status).metadata["errno"] == std::to_string(EAGAIN);
}

absl::Status CheckDescriptors(const AttachAnswer& answer) {
  if (!answer.descriptors_lost) return absl::OkStatus();
  return Error(absl::StatusCode::kResourceExhausted,
               reason::kDescriptorsExhausted,
               "this program has no room for another file descriptor "
               "(RLIMIT_NOFILE)")
      .With("limit", "RLIMIT_NOFILE")
      .ToStatus();
}

// A descriptor that came with a grant, once that has been verified against the
// kernel.
absl::StatusOr<UniqueFd> TakeDescriptor(const v1::Attachment& granted,
                                        UniqueFd fd) {
  if (granted.seals() != 0) {
    // A seal may have been added since the reply was made; none can go.
    const int seals = fcntl(fd.get(), F_GET_SEALS);
    if (seals < 0 || (granted.seals() & ~static_cast<uint32_t>(seals)) != 0) {
      return ProtocolBroken("the descriptor lacks the seals that it names");
    }
  }
  return fd;
}

}  // namespace

absl::Status ProtocolBroken(absl::string_view what) {
  return Error(
      absl::StatusCode::kInternal, reason::kInvariantBroken,
      absl::StrCat("the daemon's answer is not of the protocol: ", what));
}

absl::StatusOr<AttachAnswer> ReceiveAnswer(int socket,
                                           absl::string_view socket_dir) {
  // Of its pages most answers touch the first.
  static thread_local const std::unique_ptr<char[]> buffer(
      new char[kMaxReplyBytes]);
  absl::StatusOr<sys::Datagram> datagram = sys::ReceiveDatagram(
      socket, absl::MakeSpan(buffer.get(), kMaxReplyBytes), 0);
  if (!datagram.ok() && IsTimeout(datagram.status())) {
    return Error(absl::StatusCode::kDeadlineExceeded,
                 reason::kServerUnreachable,
                 absl::StrCat("the daemon in ", socket_dir,
                              " did not answer in time"))
        .With("socket_dir", socket_dir)
        .ToStatus();
  }
  if (!datagram.ok()) {
    return UnreachableStatus(socket_dir, datagram.status().message());
  }
  if (datagram->size_bytes == 0) {
    return UnreachableStatus(socket_dir, "it closed the connection");
  }
  AttachAnswer received;
  received.descriptors = std::move(datagram->fds);
  // No reply fills the buffer, so it is the descriptor that had no room.
  received.descriptors_lost = datagram->truncated;
  if (!received.reply.ParseFromArray(buffer.get(),
                                     static_cast<int>(datagram->size_bytes))) {
    return ProtocolBroken("it cannot be parsed");
  }
  return received;
}

Attachment::Facts FactsOf(const v1::Attachment& granted) {
  Attachment::Facts facts;
  facts.id = granted.attachment_id();
  facts.name = granted.name();
  facts.generation = granted.generation();
  facts.segment_size_bytes = granted.size_bytes();
  facts.page_size_bytes = granted.page_size_bytes();
  facts.access =
      granted.access() == v1::READ_WRITE ? Access::kReadWrite : Access::kRead;
  facts.offset_bytes = granted.offset_bytes();
  facts.length_bytes = granted.length_bytes();
  facts.seals = granted.seals();
  facts.sysv = granted.has_sysv_id();
  facts.advise_huge_pages = granted.advise_huge_pages();
  facts.revocable = granted.revocable();
  return facts;
}

std::vector<std::string> PartHandlesOf(const v1::JoinChannelResponse& members) {
  const v1::Publisher& publisher = members.publisher();
  std::vector<std::string> handles = {
      members.has_publisher() ? publisher.channel_handle()
                              : members.subscriber().channel_handle()};
  if (members.has_publisher()) handles.push_back(publisher.ring_handle());
  if (!publisher.claims_handle().empty()) {
    handles.push_back(publisher.claims_handle());
  }
  if (members.has_subscriber()) {
    handles.push_back(members.subscriber().page_handle());
  }
  return handles;
}

absl::StatusOr<ObjectRef> TakeObject(AttachAnswer& answer) {
  const v1::Attachment& granted = answer.reply.attachment();
  RETURN_IF_ERROR(CheckDescriptors(answer));
  if (granted.offset_bytes() > granted.size_bytes() ||
      granted.length_bytes() > granted.size_bytes() - granted.offset_bytes()) {
    return ProtocolBroken("its range lies outside the segment");
  }
  if (granted.has_sysv_id()) {
    if (!answer.descriptors.empty()) {
      return ProtocolBroken("a SysV segment came with a descriptor");
    }
    return ObjectRef(SysvId{granted.sysv_id()});
  }
  if (answer.descriptors.size() != 1) {
    return ProtocolBroken(
        absl::StrCat(answer.descriptors.size(), " descriptors came, not one"));
  }
  ASSIGN_OR_RETURN(
      UniqueFd fd,
      TakeDescriptor(granted, std::move(answer.descriptors.front())));
  return ObjectRef(std::move(fd));
}

absl::StatusOr<std::vector<AttachSocket::Grant>> TakeParts(
    AttachAnswer& answer) {
  const v1::Joined& joined = answer.reply.joined();
  RETURN_IF_ERROR(CheckDescriptors(answer));
  const size_t parts = PartHandlesOf(joined.members()).size();
  if (static_cast<size_t>(joined.attachments_size()) != parts ||
      answer.descriptors.size() != parts) {
    return ProtocolBroken(absl::StrCat(answer.descriptors.size(),
                                       " descriptors came with ",
                                       joined.attachments_size(), " parts"));
  }
  std::vector<AttachSocket::Grant> grants;
  for (const v1::Attachment& granted : joined.attachments()) {
    ASSIGN_OR_RETURN(
        UniqueFd fd,
        TakeDescriptor(granted, std::move(answer.descriptors[grants.size()])));
    grants.push_back({FactsOf(granted), ObjectRef(std::move(fd))});
  }
  return grants;
}

}  // namespace client
}  // namespace shmd
