#include "client/cpp/attach_socket.h"

#include <fcntl.h>
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
#include "client/cpp/rpc_status.h"
#include "shm/sys/socket.h"
#include "shmd/v1/attach.pb.h"

namespace shmd {
inline namespace client {
namespace {

// The largest reply has 1000 handles, of at most 208 characters.
constexpr size_t kMaxReplyBytes = 256 * 1024;

// attach.proto; some of it is the number and the frame of the request.
constexpr size_t kMaxRequestBytes = 4096 - 32;

struct Received {
  v1::AttachReply reply;
  std::vector<UniqueFd> descriptors;
  bool descriptors_lost = false;
};

absl::Status ProtocolBroken(absl::string_view what) {
  return Error(
      absl::StatusCode::kInternal, reason::kInvariantBroken,
      absl::StrCat("the daemon's answer is not of the protocol: ", what));
}

bool IsTimeout(const absl::Status& status) {
  // What SO_RCVTIMEO ends with.
  return GetErrorDetail(status).metadata["errno"] == std::to_string(EAGAIN);
}

absl::StatusOr<Received> Receive(int socket, absl::string_view socket_dir) {
  // Of its pages most answers touch the first.
  static thread_local const std::unique_ptr<char[]> buffer(
      new char[kMaxReplyBytes]);
  absl::StatusOr<sys::Datagram> datagram = sys::ReceiveDatagram(
      socket, absl::MakeSpan(buffer.get(), kMaxReplyBytes), 0);
  if (!datagram.ok() && IsTimeout(datagram.status())) {
    return Error(absl::StatusCode::kDeadlineExceeded,
                 reason::kServerUnreachable,
                 absl::StrCat("the daemon in ", socket_dir,
                              " did not answer an attach in time"))
        .With("socket_dir", socket_dir)
        .ToStatus();
  }
  if (!datagram.ok()) {
    return UnreachableStatus(socket_dir, datagram.status().message());
  }
  if (datagram->size_bytes == 0) {
    return UnreachableStatus(socket_dir, "it closed the connection");
  }
  Received received;
  received.descriptors = std::move(datagram->fds);
  // No reply fills the buffer, so it is the descriptor that had no room.
  received.descriptors_lost = datagram->truncated;
  if (!received.reply.ParseFromArray(buffer.get(),
                                     static_cast<int>(datagram->size_bytes))) {
    return ProtocolBroken("it cannot be parsed");
  }
  return received;
}

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

absl::Status CheckDescriptors(const Received& received) {
  if (!received.descriptors_lost) return absl::OkStatus();
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

// What can be mapped of a grant. The size is compared with fstat when it is
// mapped.
absl::StatusOr<ObjectRef> TakeObject(Received& received) {
  const v1::Attachment& granted = received.reply.attachment();
  RETURN_IF_ERROR(CheckDescriptors(received));
  if (granted.offset_bytes() > granted.size_bytes() ||
      granted.length_bytes() > granted.size_bytes() - granted.offset_bytes()) {
    return ProtocolBroken("its range lies outside the segment");
  }
  if (granted.has_sysv_id()) {
    if (!received.descriptors.empty()) {
      return ProtocolBroken("a SysV segment came with a descriptor");
    }
    return ObjectRef(SysvId{granted.sysv_id()});
  }
  if (received.descriptors.size() != 1) {
    return ProtocolBroken(absl::StrCat(received.descriptors.size(),
                                       " descriptors came, not one"));
  }
  ASSIGN_OR_RETURN(
      UniqueFd fd,
      TakeDescriptor(granted, std::move(received.descriptors.front())));
  return ObjectRef(std::move(fd));
}

absl::StatusOr<std::vector<AttachSocket::Grant>> TakeParts(Received& received) {
  const v1::Joined& joined = received.reply.joined();
  RETURN_IF_ERROR(CheckDescriptors(received));
  const size_t parts = PartHandlesOf(joined.members()).size();
  if (static_cast<size_t>(joined.attachments_size()) != parts ||
      received.descriptors.size() != parts) {
    return ProtocolBroken(absl::StrCat(received.descriptors.size(),
                                       " descriptors came with ",
                                       joined.attachments_size(), " parts"));
  }
  std::vector<AttachSocket::Grant> grants;
  for (const v1::Attachment& granted : joined.attachments()) {
    ASSIGN_OR_RETURN(
        UniqueFd fd,
        TakeDescriptor(granted,
                       std::move(received.descriptors[grants.size()])));
    grants.push_back({FactsOf(granted), ObjectRef(std::move(fd))});
  }
  return grants;
}

}  // namespace

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

struct AttachSocket::Answer {
  Received received;
};

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
  ASSIGN_OR_RETURN(const Answer answer, Exchange(request));
  const v1::AttachReply& reply = answer.received.reply;
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
absl::StatusOr<AttachSocket::Answer> AttachSocket::Exchange(
    v1::AttachRequest& request) {
  request.set_sequence(++sequence_);
  SHMD_FAILPOINT("client.ask");
  RETURN_IF_ERROR(Send(request.SerializeAsString(), 0));
  SHMD_FAILPOINT("client.asked");
  while (true) {
    spin_.Look(socket_.get());
    absl::StatusOr<Received> received = Receive(socket_.get(), socket_dir_);
    spin_.NoteEnd();
    if (!received.ok()) {
      if (absl::IsUnavailable(received.status())) NoteLost();
      return received.status();
    }
    SHMD_FAILPOINT("client.answered");
    const v1::AttachReply& reply = received->reply;
    if (reply.sequence() == sequence_) {
      if (reply.has_error()) return StatusFromProto(reply.error());
      return Answer{*std::move(received)};
    }
    // The answer to a request that was given up; nobody will use it.
    if (!reply.has_error()) Decline(Answer{*std::move(received)});
  }
}

absl::StatusOr<AttachSocket::Answer> AttachSocket::Ask(
    v1::AttachRequest& request) {
  absl::MutexLock lock(&request_mutex_);
  SendLateDetaches();
  return Exchange(request);
}

void AttachSocket::Decline(const Answer& answer) {
  const v1::AttachReply& reply = answer.received.reply;
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
  ASSIGN_OR_RETURN(Answer answer, Ask(request));
  const v1::AttachReply& reply = answer.received.reply;
  if (!reply.has_attachment()) {
    return ProtocolBroken("it neither grants nor refuses");
  }
  absl::StatusOr<ObjectRef> object = TakeObject(answer.received);
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
  ASSIGN_OR_RETURN(Answer answer, Ask(wrapped));
  v1::AttachReply& reply = answer.received.reply;
  if (!reply.has_joined()) {
    return ProtocolBroken("it neither lets join nor refuses");
  }
  absl::StatusOr<std::vector<Grant>> grants = TakeParts(answer.received);
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
    const v1::CreateSegmentRequest& request) {
  v1::AttachRequest wrapped;
  *wrapped.mutable_create() = request;
  ASSIGN_OR_RETURN(Answer answer, Ask(wrapped));
  v1::AttachReply& reply = answer.received.reply;
  if (!reply.has_created()) {
    return ProtocolBroken("it neither creates nor refuses");
  }
  return std::move(*reply.mutable_created());
}

absl::StatusOr<v1::BatchCreateSegmentsResponse> AttachSocket::CreateBatch(
    const v1::BatchCreateSegmentsRequest& request) {
  v1::AttachRequest wrapped;
  *wrapped.mutable_create_batch() = request;
  ASSIGN_OR_RETURN(Answer answer, Ask(wrapped));
  v1::AttachReply& reply = answer.received.reply;
  if (!reply.has_created_batch()) {
    return ProtocolBroken("it neither creates nor refuses");
  }
  return std::move(*reply.mutable_created_batch());
}

absl::Status AttachSocket::Delete(const v1::DeleteSegmentRequest& request) {
  v1::AttachRequest wrapped;
  *wrapped.mutable_delete_() = request;
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
