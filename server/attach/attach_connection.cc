#include "server/attach/attach_connection.h"

#include <sys/socket.h>

#include <cstring>
#include <utility>
#include <variant>

#include "base/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "server/attach/handle_proto.h"
#include "server/attach/status_to_proto.h"
#include "server/rpc/shared_calls.h"
#include "shm/sys/socket.h"

namespace shmd {
namespace {

// So that one busy program cannot keep the others waiting.
constexpr int kRequestsPerTurn = 16;

void FillAttachment(const SegmentRegistry::Attached& grant,
                    v1::Attachment* attachment) {
  const Segment& segment = *grant.view.segment;
  attachment->set_name(segment.name.ToString());
  attachment->set_generation(segment.generation);
  attachment->set_size_bytes(segment.options.size_bytes);
  attachment->set_page_size_bytes(segment.options.page_size_bytes);
  attachment->set_access(AccessToProto(grant.access));
  attachment->set_offset_bytes(grant.offset_bytes);
  attachment->set_length_bytes(grant.length_bytes);
  if (segment.options.revocable) attachment->set_revocable(true);
  attachment->set_seals(static_cast<uint32_t>(grant.seals));
  attachment->set_advise_huge_pages(segment.options.huge_page_advice ==
                                    HugePageAdvice::kWanted);
}

absl::StatusOr<Handle> ReadReference(const v1::Attach& request) {
  switch (request.reference_case()) {
    case v1::Attach::kHandle:
      return HandleFromProto(request.handle());
    case v1::Attach::kHandleString:
      return DecodeHandle(request.handle_string());
    case v1::Attach::kArena:
    case v1::Attach::kChannelPart:
    case v1::Attach::REFERENCE_NOT_SET:
      break;
  }
  return absl::StatusOr<Handle>(InvalidField(
      "attach.reference", reason::kRequestInvalid, "there is no handle"));
}

// Whether a program waits for the answer, and nothing else is likely to come.
bool IsCall(const v1::AttachRequest& request) {
  switch (request.action_case()) {
    case v1::AttachRequest::kAttach:
    case v1::AttachRequest::kJoin:
    case v1::AttachRequest::kCreate:
    case v1::AttachRequest::kCreateBatch:
    case v1::AttachRequest::kDelete:
      return true;
    default:
      return false;
  }
}

}  // namespace

bool AttachConnection::ServeWaiting() {
  for (int i = 0; i < kRequestsPerTurn; ++i) {
    const Turn turn = ServeNext(MSG_DONTWAIT);
    if (turn != Turn::kServed) return turn == Turn::kQuiet;
    // A second receive would only learn that there is nothing: programs wait
    // for an answer before they ask again, and epoll tells of those that do
    // not.
    if (is_deferred_ || IsCall(request_)) {
      // Between those that are long nobody has to look for the next one.
      if (!is_long()) CountCall();
      return true;
    }
  }
  return true;
}

void AttachConnection::CountCall() {
  const uint64_t now_ns = ReadClockNs(CLOCK_MONOTONIC_COARSE);
  if (now_ns != tick_ns_) calls_in_tick_ = 0;
  tick_ns_ = now_ns;
  ++calls_in_tick_;
}

bool AttachConnection::Attend(const std::atomic<bool>& stop) {
  calls_in_tick_ = 0;
  for (;;) {
    if (is_deferred_ && !ServeDeferred()) return false;
    if (stop) return true;
    const Turn turn = ServeNext(0, &spin_);
    if (turn != Turn::kServed) return turn == Turn::kQuiet;
  }
}

AttachConnection::Turn AttachConnection::ServeNext(int flags,
                                                   sys::DatagramSpin* spin) {
  char buffer[kMaxAttachRequestBytes];
  if (spin != nullptr) spin->Look(socket_.get());
  const absl::StatusOr<sys::Datagram> datagram =
      sys::ReceiveDatagram(socket_.get(), absl::MakeSpan(buffer), flags);
  if (spin != nullptr) spin->NoteEnd();
  // Nothing has come, or an error that the next epoll_wait tells again.
  if (!datagram.ok()) return Turn::kQuiet;
  // The end; or somebody who sends descriptors (which were closed just now)
  // or more than the protocol has.
  if (datagram->size_bytes == 0 || datagram->truncated ||
      !datagram->fds.empty()) {
    return Turn::kOver;
  }
  return ServeOne({buffer, datagram->size_bytes}) ? Turn::kServed : Turn::kOver;
}

bool AttachConnection::ServeOne(absl::string_view datagram) {
  if (!request_.ParseFromArray(datagram.data(),
                               static_cast<int>(datagram.size()))) {
    return false;
  }
  if (request_.action_case() == v1::AttachRequest::kDetach) {
    LetGo(request_.detach().attachment_id());
    return true;
  }
  if (request_.action_case() == v1::AttachRequest::kWake) {
    wake_(session_.id);
    return true;
  }
  if (request_.action_case() == v1::AttachRequest::kDelete &&
      DeleteSegmentAtOnce(*registry_, caller_, request_.delete_())) {
    reply_.Clear();
    return SendReply(absl::OkStatus(), {});
  }
  is_deferred_ = MayWait();
  return is_deferred_ || SendAnswer();
}

// As the calls of the same name may, on the gRPC socket.
bool AttachConnection::MayWait() const {
  switch (request_.action_case()) {
    case v1::AttachRequest::kJoin:
      return channels_ != nullptr && channels_->MayWait();
    case v1::AttachRequest::kLeave:
    case v1::AttachRequest::kDelete:
      return true;
    case v1::AttachRequest::kCreate:
      return CreateSegmentMayWait(*registry_, request_.create());
    case v1::AttachRequest::kCreateBatch:
      return BatchCreateSegmentsMayWait(*registry_, request_.create_batch());
    default:
      return false;
  }
}

bool AttachConnection::ServeDeferred() {
  is_deferred_ = false;
  return SendAnswer();
}

bool AttachConnection::SendAnswer() {
  reply_.Clear();
  std::vector<UniqueFd> fds;
  const absl::Status status = Answer(&fds);
  return SendReply(status, fds);
}

bool AttachConnection::SendReply(const absl::Status& status,
                                 absl::Span<const UniqueFd> fds) {
  if (!status.ok()) {
    // What it had granted by then goes with it.
    reply_.Clear();
    *reply_.mutable_error() = StatusToProto(status);
    fds = {};
  }
  reply_.set_sequence(request_.sequence());
  SHMD_FAILPOINT("attach.send");
  // Who does not read is not waited for.
  const auto send = [&](absl::string_view reply) {
    return sys::SendDatagram(socket_.get(), reply, fds, MSG_DONTWAIT).ok();
  };
  // Most fit, and need no heap.
  char small[1024];
  const size_t size_bytes = reply_.ByteSizeLong();
  bool sent = false;
  if (size_bytes <= sizeof(small)) {
    reply_.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(small));
    sent = send({small, size_bytes});
  } else {
    sent = send(reply_.SerializeAsString());
  }
  SHMD_FAILPOINT("attach.sent");
  return sent;
}

void AttachConnection::LetGo(uint64_t attachment_id) {
  const EntryPtr entry = sessions_->LetGo(session_.id, attachment_id);
  SHMD_FAILPOINT("attach.detached");
  if (entry != nullptr) registry_->Release(entry);
}

absl::Status AttachConnection::Answer(std::vector<UniqueFd>* fds) {
  const bool is_first = !has_asked_;
  has_asked_ = true;
  switch (request_.action_case()) {
    case v1::AttachRequest::kAttach: {
      UniqueFd fd;
      RETURN_IF_ERROR(
          Attach(request_.attach(), reply_.mutable_attachment(), &fd));
      if (fd.valid()) fds->push_back(std::move(fd));
      return absl::OkStatus();
    }
    case v1::AttachRequest::kJoin:
      return Join(request_.join(), reply_.mutable_joined(), fds);
    case v1::AttachRequest::kLeave:
      return Leave(request_.leave());
    case v1::AttachRequest::kCreate:
      return Create(request_.mutable_create(), reply_.mutable_created());
    case v1::AttachRequest::kCreateBatch:
      return CreateBatch(request_.mutable_create_batch(),
                         reply_.mutable_created_batch());
    case v1::AttachRequest::kDelete:
      return DeleteSegment(*registry_, caller_, request_.delete_(),
                           AllowedTime());
    case v1::AttachRequest::kHello:
      if (is_first) return Greet(request_.hello(), reply_.mutable_welcome());
      return InvalidField("hello", reason::kRequestInvalid,
                          "is not the first request");
    default:
      return InvalidField("action", reason::kRequestInvalid, "is not set");
  }
}

absl::Status AttachConnection::Greet(const v1::Hello& request,
                                     v1::Welcome* welcome) {
  std::string name_space;
  if (!request.namespace_().empty()) {
    ASSIGN_OR_RETURN(name_space, ParseNamespaceName("hello.namespace",
                                                    request.namespace_()));
    RETURN_IF_ERROR(registry_->namespaces().CheckEntry(caller_, name_space));
  }
  if (!request.resume_session().empty()) {
    ASSIGN_OR_RETURN(
        const SessionId awaited,
        ParseSessionName("hello.resume_session", request.resume_session()));
    ResumeToken token;
    if (request.resume_token().size() != token.size()) {
      return InvalidField("hello.resume_token", reason::kRequestInvalid,
                          "has not 16 bytes");
    }
    std::memcpy(token.data(), request.resume_token().data(), token.size());
    SHMD_FAILPOINT("session.resume");
    if (sessions_->Resume(session_.id, awaited, token)) {
      session_.id = awaited;
      session_.token = token;
      has_entered_ = true;
      welcome->set_resumed(true);
    }
  }
  RETURN_IF_ERROR(EnterNamespace(std::move(name_space)));
  if (!welcome->resumed()) {
    sessions_->SetRecorded(session_.id);
    RETURN_IF_ERROR(registry_->RecordSession(session_));
  }
  SHMD_FAILPOINT("session.greeted");
  welcome->set_session(SessionName(session_.id));
  welcome->set_resume_token(session_.token.data(), session_.token.size());
  welcome->set_node(registry_->node());
  return absl::OkStatus();
}

absl::Status AttachConnection::EnterNamespace(std::string name_space) {
  if (name_space.empty()) {
    if (has_entered_) return absl::OkStatus();
    name_space = kDefaultNamespace;
    RETURN_IF_ERROR(registry_->namespaces().CheckEntry(caller_, name_space));
  }
  RETURN_IF_ERROR(sessions_->Enter(session_.id, name_space));
  session_.name_space = std::move(name_space);
  has_entered_ = true;
  return absl::OkStatus();
}

absl::StatusOr<SegmentRegistry::Attached> AttachConnection::AttachArena(
    absl::string_view name, Access access) {
  ASSIGN_OR_RETURN(const SegmentName segment,
                   ParseArenaName("attach.arena", name));
  ASSIGN_OR_RETURN(const SegmentView view, registry_->Get(caller_, segment));
  // Who may find an arena may read it.
  if (access == Access::kRead) {
    return registry_->AttachReserved(view.entry, access);
  }
  return registry_->Attach(caller_,
                           registry_->WholeHandle(caller_, *view.segment),
                           access, session_.id);
}

absl::StatusOr<SegmentRegistry::Attached> AttachConnection::AttachHandle(
    const Handle& handle, Access access) {
  absl::StatusOr<SegmentRegistry::Attached> grant =
      registry_->Attach(caller_, handle, access, session_.id);
  if (!grant.ok() && channels_ != nullptr && access == Access::kRead) {
    const EntryPtr page = channels_->FindOwnPage(session_.id, handle);
    if (page != nullptr) grant = registry_->AttachReserved(page, access);
  }
  return grant;
}

absl::Status AttachConnection::Attach(const v1::Attach& request,
                                      v1::Attachment* attachment,
                                      UniqueFd* fd) {
  ASSIGN_OR_RETURN(const Access access, AccessFromProto(request.access()));
  if (request.reference_case() == v1::Attach::kChannelPart) {
    return AttachPart(request.channel_part(), access, attachment, fd);
  }
  absl::StatusOr<SegmentRegistry::Attached> grant;
  if (request.reference_case() == v1::Attach::kArena) {
    grant = AttachArena(request.arena(), access);
  } else {
    ASSIGN_OR_RETURN(const Handle handle, ReadReference(request));
    grant = AttachHandle(handle, access);
  }
  if (!grant.ok()) return grant.status();
  return Hold(*std::move(grant), attachment, fd);
}

void AttachConnection::NameOwner(v1::Segment* segment) const {
  const bool ends_with_session =
      segment->lifetime() == v1::Segment::SESSION ||
      segment->lifetime() == v1::Segment::SESSION_UNTIL_SEALED;
  if (ends_with_session && segment->owner_session().empty()) {
    segment->set_owner_session(SessionName(session_.id));
  }
}

absl::Status AttachConnection::Create(v1::CreateSegmentRequest* request,
                                      v1::Segment* created) {
  NameOwner(request->mutable_segment());
  return CreateSegment(*registry_, caller_, *request, AllowedTime(), created);
}

absl::Status AttachConnection::CreateBatch(
    v1::BatchCreateSegmentsRequest* request,
    v1::BatchCreateSegmentsResponse* created) {
  // So that the largest answer fits into a datagram.
  if (request->view() != v1::HANDLE) {
    return InvalidField("create_batch.view", reason::kRequestInvalid,
                        "is not HANDLE");
  }
  for (v1::CreateSegmentRequest& member : *request->mutable_requests()) {
    NameOwner(member.mutable_segment());
  }
  return BatchCreateSegments(*registry_, caller_, *request, AllowedTime(),
                             created);
}

absl::Status AttachConnection::Hold(SegmentRegistry::Attached grant,
                                    v1::Attachment* attachment, UniqueFd* fd) {
  if (!has_entered_) {
    // It counts where it is let in; by a grant, that may be without entry.
    const absl::Status entered =
        sessions_->Enter(session_.id, grant.view.segment->name.name_space);
    if (!entered.ok()) {
      registry_->Release(grant.view.entry);
      return entered;
    }
    has_entered_ = true;
  }
  Holding holding;
  holding.entry = grant.view.entry;
  holding.segment = grant.view.segment;
  holding.access = grant.access;
  const std::optional<uint64_t> number =
      sessions_->Hold(session_.id, std::move(holding));
  if (!number.has_value()) {
    registry_->Release(grant.view.entry);
    return Exhausted(reason::kAttachmentLimit, "attachments of a session", 1, 0,
                     "attachments");
  }
  SHMD_FAILPOINT("attach.held");
  FillAttachment(grant, attachment);
  attachment->set_attachment_id(*number);
  if (const auto* sysv = std::get_if<SysvId>(&grant.object)) {
    attachment->set_sysv_id(sysv->id);
  } else {
    *fd = std::move(std::get<UniqueFd>(grant.object));
  }
  return absl::OkStatus();
}

}  // namespace shmd
