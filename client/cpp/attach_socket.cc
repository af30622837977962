#include "client/cpp/attach_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "client/cpp/attach_answer.h"
#include "client/cpp/rpc_status.h"
#include "shm/sys/socket.h"
#include "shmd/v1/attach.pb.h"

namespace shmd {
inline namespace client {
namespace {

// attach.proto; some of it is the number and the frame of the request.
constexpr size_t kMaxRequestBytes = 4096 - 32;

std::string DetachDatagram(uint64_t attachment_id) {
  v1::AttachRequest request;
  request.mutable_detach()->set_attachment_id(attachment_id);
  return request.SerializeAsString();
}

v1::Access AccessToProto(Access access) {
  return access == Access::kReadWrite ? v1::READ_WRITE : v1::READ;
}

v1::ChannelPart::Kind PartKindToProto(AttachSocket::PartKind kind) {
  switch (kind) {
    case AttachSocket::PartKind::kRing:
      return v1::ChannelPart::RING;
    case AttachSocket::PartKind::kPage:
      return v1::ChannelPart::PAGE;
    case AttachSocket::PartKind::kClaims:
      return v1::ChannelPart::CLAIMS;
    case AttachSocket::PartKind::kBell:
      break;
  }
  return v1::ChannelPart::BELL;
}

}  // namespace

absl::StatusOr<std::shared_ptr<AttachSocket>> AttachSocket::Open(
    const Options& options, const Identity& earlier) {
  const std::string path = absl::StrCat(options.socket_dir, "/attach.sock");
  SHMD_FAILPOINT("client.connect");
  absl::StatusOr<UniqueFd> socket =
      sys::ConnectUnix(path, sys::SocketType::kSeqpacket, options.timeout);
  if (absl::IsUnavailable(socket.status())) {
    return UnreachableStatus(
        options.socket_dir,
        absl::StrCat(path, ": ", socket.status().message()));
  }
  if (!socket.ok()) return socket.status();
  if (options.timeout != absl::InfiniteDuration()) {
    // Bounds each recvmsg(2) without a further call, as ConnectUnix does each
    // sendmsg(2).
    const timeval limit =
        absl::ToTimeval(std::max(options.timeout, absl::Milliseconds(1)));
    if (setsockopt(socket->get(), SOL_SOCKET, SO_RCVTIMEO, &limit,
                   sizeof(limit)) != 0) {
      return ErrnoStatus(errno, "setsockopt");
    }
  }
  auto open =
      std::make_shared<AttachSocket>(*std::move(socket), options.socket_dir);
  SHMD_FAILPOINT("client.connected");
  RETURN_IF_ERROR(open->Greet(options.name_space, earlier));
  SHMD_FAILPOINT("client.greeted");
  return open;
}

AttachSocket::AttachSocket(UniqueFd socket, std::string socket_dir)
    : socket_(std::move(socket)), socket_dir_(std::move(socket_dir)) {}

bool AttachSocket::lost() const {
  absl::MutexLock lock(&state_mutex_);
  return lost_;
}

void AttachSocket::NoteLost() const {
  // So that whoever polls it sees the end too.
  shutdown(socket_.get(), SHUT_RDWR);
  absl::MutexLock lock(&state_mutex_);
  lost_ = true;
}

absl::Status AttachSocket::Greet(const std::string& name_space,
                                 const Identity& earlier) {
  v1::AttachRequest request;
  v1::Hello& hello = *request.mutable_hello();
  if (!name_space.empty()) {
    hello.set_namespace_(absl::StrCat("namespaces/", name_space));
  }
  hello.set_resume_session(earlier.session);
  if (!earlier.session.empty()) hello.set_resume_token(earlier.resume_token);
  absl::MutexLock lock(&request_mutex_);
  ASSIGN_OR_RETURN(const AttachAnswer answer, Exchange(request));
  const v1::AttachReply& reply = answer.reply;
  if (!reply.has_welcome()) return ProtocolBroken("it does not say Welcome");
  identity_.session = reply.welcome().session();
  identity_.resume_token = reply.welcome().resume_token();
  return absl::OkStatus();
}

absl::Status AttachSocket::Send(const std::string& datagram, int flags) const {
  ssize_t sent;
  do {
    sent = send(socket_.get(), datagram.data(), datagram.size(),
                MSG_NOSIGNAL | flags);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return absl::OkStatus();
  if (errno == EAGAIN || errno == EWOULDBLOCK) {
    return absl::DeadlineExceededError("the attach socket stays full");
  }
  const absl::Status status = UnreachableStatus(socket_dir_, strerror(errno));
  NoteLost();
  return status;
}

// The answer to `request`, which gets its number here; an error when that is
// what the daemon answered.
absl::StatusOr<AttachAnswer> AttachSocket::Exchange(
    v1::AttachRequest& request) {
  request.set_sequence(++sequence_);
  SHMD_FAILPOINT("client.ask");
  RETURN_IF_ERROR(Send(request.SerializeAsString(), 0));
  SHMD_FAILPOINT("client.asked");
  while (true) {
    spin_.Look(socket_.get());
    absl::StatusOr<AttachAnswer> received =
        ReceiveAnswer(socket_.get(), socket_dir_);
    spin_.NoteEnd();
    if (!received.ok()) {
      if (absl::IsUnavailable(received.status())) NoteLost();
      return received.status();
    }
    SHMD_FAILPOINT("client.answered");
    const v1::AttachReply& reply = received->reply;
    if (reply.sequence() == sequence_) {
      if (reply.has_error()) return StatusFromProto(reply.error());
      return *std::move(received);
    }
    // The answer to a request that was given up; nobody will use it.
    if (!reply.has_error()) Decline(*received);
  }
}

absl::StatusOr<AttachAnswer> AttachSocket::Ask(v1::AttachRequest& request) {
  absl::MutexLock lock(&request_mutex_);
  SendLateDetaches();
  return Exchange(request);
}

void AttachSocket::Decline(const AttachAnswer& answer) {
  const v1::AttachReply& reply = answer.reply;
  if (reply.has_attachment()) Detach(reply.attachment().attachment_id());
  for (const v1::Attachment& granted : reply.joined().attachments()) {
    Detach(granted.attachment_id());
  }
  const v1::JoinChannelResponse& members = reply.joined().members();
  for (const std::string& name :
       {members.publisher().name(), members.subscriber().name()}) {
    if (name.empty()) continue;
    // Whether it was heard nobody waits for: the session's end ends it too.
    v1::AttachRequest request;
    request.mutable_leave()->set_name(name);
    Send(request.SerializeAsString(), MSG_DONTWAIT).IgnoreError();
  }
}

absl::StatusOr<AttachSocket::Grant> AttachSocket::Attach(
    absl::string_view reference, Access access) {
  v1::AttachRequest request;
  if (absl::StartsWith(reference, "namespaces/")) {
    request.mutable_attach()->set_arena(reference.data(), reference.size());
  } else {
    request.mutable_attach()->set_handle_string(reference.data(),
                                                reference.size());
  }
  request.mutable_attach()->set_access(AccessToProto(access));
  return ExchangeAttach(request);
}

absl::StatusOr<UniqueFd> AttachSocket::OpenPart(const Part& part) {
  v1::AttachRequest request;
  v1::ChannelPart& proto = *request.mutable_attach()->mutable_channel_part();
  proto.set_channel(part.channel);
  proto.set_kind(PartKindToProto(part.kind));
  proto.set_index(part.index);
  proto.set_generation(part.generation);
  request.mutable_attach()->set_access(AccessToProto(part.access));
  ASSIGN_OR_RETURN(Grant grant, ExchangeAttach(request));
  if (grant.facts.id != 0) Detach(grant.facts.id);
  auto* const fd = std::get_if<UniqueFd>(&grant.object);
  if (fd == nullptr) return ProtocolBroken("a part of a channel is no memfd");
  return std::move(*fd);
}

absl::StatusOr<AttachSocket::Grant> AttachSocket::ExchangeAttach(
    v1::AttachRequest& request) {
  ASSIGN_OR_RETURN(AttachAnswer answer, Ask(request));
  const v1::AttachReply& reply = answer.reply;
  if (!reply.has_attachment()) {
    return ProtocolBroken("it neither grants nor refuses");
  }
  absl::StatusOr<ObjectRef> object = TakeObject(answer);
  if (!object.ok()) {
    Decline(answer);
    return object.status();
  }
  SHMD_FAILPOINT("client.attached");
  return Grant{FactsOf(reply.attachment()), *std::move(object)};
}

absl::StatusOr<AttachSocket::Joined> AttachSocket::Join(
    const v1::JoinChannelRequest& request) {
  v1::AttachRequest wrapped;
  *wrapped.mutable_join() = request;
  ASSIGN_OR_RETURN(AttachAnswer answer, Ask(wrapped));
  v1::AttachReply& reply = answer.reply;
  if (!reply.has_joined()) {
    return ProtocolBroken("it neither lets join nor refuses");
  }
  absl::StatusOr<std::vector<Grant>> grants = TakeParts(answer);
  if (!grants.ok()) {
    Decline(answer);
    return grants.status();
  }
  return Joined{std::move(*reply.mutable_joined()->mutable_members()),
                *std::move(grants)};
}

absl::Status AttachSocket::Leave(const std::string& member) {
  v1::AttachRequest request;
  request.mutable_leave()->set_name(member);
  return Ask(request).status();
}

bool AttachSocket::Takes(const google::protobuf::MessageLite& request) {
  return request.ByteSizeLong() <= kMaxRequestBytes;
}

absl::StatusOr<v1::Segment> AttachSocket::Create(
    const v1::CreateSegmentRequest& request, Pace pace) {
  v1::AttachRequest wrapped;
  *wrapped.mutable_create() = request;
  wrapped.set_may_take_long(pace == Pace::kLong);
  ASSIGN_OR_RETURN(AttachAnswer answer, Ask(wrapped));
  v1::AttachReply& reply = answer.reply;
  if (!reply.has_created()) {
    return ProtocolBroken("it neither creates nor refuses");
  }
  return std::move(*reply.mutable_created());
}

absl::StatusOr<v1::BatchCreateSegmentsResponse> AttachSocket::CreateBatch(
    const v1::BatchCreateSegmentsRequest& request) {
  v1::AttachRequest wrapped;
  *wrapped.mutable_create_batch() = request;
  ASSIGN_OR_RETURN(AttachAnswer answer, Ask(wrapped));
  v1::AttachReply& reply = answer.reply;
  if (!reply.has_created_batch()) {
    return ProtocolBroken("it neither creates nor refuses");
  }
  return std::move(*reply.mutable_created_batch());
}

absl::Status AttachSocket::Delete(const v1::DeleteSegmentRequest& request,
                                  Pace pace) {
  v1::AttachRequest wrapped;
  *wrapped.mutable_delete_() = request;
  wrapped.set_may_take_long(pace == Pace::kLong);
  return Ask(wrapped).status();
}

void AttachSocket::Detach(uint64_t attachment_id) {
  SHMD_FAILPOINT("client.detach");
  const absl::Status sent = Send(DetachDatagram(attachment_id), MSG_DONTWAIT);
  SHMD_FAILPOINT("client.detached");
  absl::MutexLock lock(&state_mutex_);
  if (lost_) return;
  detaches_unseen_ = true;
  if (!sent.ok()) late_detaches_.push_back(attachment_id);
}

void AttachSocket::Ring() {
  v1::AttachRequest request;
  request.mutable_wake();
  Send(request.SerializeAsString(), MSG_DONTWAIT).IgnoreError();
}

void AttachSocket::SendLateDetaches() {
  std::vector<uint64_t> late;
  {
    absl::MutexLock lock(&state_mutex_);
    late.swap(late_detaches_);
  }
  for (const uint64_t id : late) Detach(id);
}

void AttachSocket::AwaitDetaches() {
  {
    absl::MutexLock lock(&state_mutex_);
    if (!detaches_unseen_ || lost_) return;
    detaches_unseen_ = false;
  }
  Answers();
}

bool AttachSocket::IsConnected() const {
  pollfd end{};
  end.fd = socket_.get();
  end.events = POLLRDHUP;
  return poll(&end, 1, 0) == 0;
}

bool AttachSocket::Answers() {
  // Requests are answered in order: the refusal of one that means nothing
  // says that all before it has been seen.
  v1::AttachRequest request;
  request.mutable_attach();
  absl::MutexLock lock(&request_mutex_);
  SendLateDetaches();
  Exchange(request).status().IgnoreError();
  return !lost();
}

}  // namespace client
}  // namespace shmd
