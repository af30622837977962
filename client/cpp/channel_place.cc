#include "client/cpp/channel_place.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <map>
#include <utility>
#include <variant>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "client/cpp/channel_convert.h"
#include "client/cpp/client_impl.h"
#include "shm/sys/bell_pipe.h"

namespace shmd {
inline namespace client {
namespace {

// How soon who waits learns that its place is lost.
constexpr uint64_t kSliceNs = 200'000'000;

AttachSocket::PartKind PartKindOf(PartKind kind) {
  switch (kind) {
    case PartKind::kRing:
      return AttachSocket::PartKind::kRing;
    case PartKind::kPage:
      return AttachSocket::PartKind::kPage;
    case PartKind::kClaims:
      return AttachSocket::PartKind::kClaims;
    case PartKind::kBell:
      break;
  }
  return AttachSocket::PartKind::kBell;
}

}  // namespace

uint64_t SpinNs(absl::Duration spin) {
  return static_cast<uint64_t>(
      std::max<int64_t>(absl::ToInt64Nanoseconds(spin), 0));
}

Deadline ChannelPlace::SliceOf(const Deadline& deadline) {
  // A tick's precision is enough, at a fifth of the price.
  return Deadline::At(
      std::min(deadline.ns(), sys::RecentMonotonicNs() + kSliceNs));
}

// The page's descriptor goes to each place, what else came to one of them.
struct ChannelPlace::Shared {
  std::shared_ptr<SessionLink> link;
  std::string channel;
  SessionLink::Joined joined;
  std::shared_ptr<const Attachment> page;
  size_t taken = 1;  // of the grants

  UniqueFd second_page;  // where two take part
  UniqueFd& descriptor(size_t i) {
    // The attach socket has let through nothing else.
    return std::get<UniqueFd>(joined.grants[i].granted.object);
  }
  Attachment AttachmentOf(size_t i) {
    SessionLink::Grant& grant = joined.grants[i];
    return Attachment(link, grant.hold, std::move(grant.granted.facts));
  }
  // The next part of a place's own.
  UniqueFd Take(std::vector<Attachment>* own) {
    own->push_back(AttachmentOf(taken));
    return std::move(descriptor(taken++));
  }
  // Who has joined.
  std::vector<std::string> MemberNames() const {
    std::vector<std::string> names;
    const v1::JoinChannelResponse& members = joined.members;
    if (members.has_publisher()) names.push_back(members.publisher().name());
    if (members.has_subscriber()) names.push_back(members.subscriber().name());
    return names;
  }
};

// Others' bells that could not be had while the daemon was away, and are rung
// when it is back: who has published its last message may not call again for
// long. Thread-safe.
class ChannelPlace::OwedBells {
 public:
  void Owe(const AttachSocket::Part& part) {
    absl::MutexLock lock(&mutex_);
    owed_[part.generation] = part;
  }

  void Ring(AttachSocket& socket) {
    std::map<uint64_t, AttachSocket::Part> owed;
    {
      absl::MutexLock lock(&mutex_);
      owed.swap(owed_);
    }
    for (const auto& [generation, part] : owed) {
      const absl::StatusOr<UniqueFd> bell = socket.OpenPart(part);
      if (bell.ok()) {
        sys::RingBellPipe(bell->get());
      } else if (socket.lost()) {
        Owe(part);
      }
    }
  }

 private:
  absl::Mutex mutex_;
  std::map<uint64_t, AttachSocket::Part> owed_  // by generation
      ABSL_GUARDED_BY(mutex_);
};

ChannelPlace::ChannelPlace(std::shared_ptr<SessionLink> link,
                           std::string channel, std::string member, MemberId id,
                           std::shared_ptr<const Attachment> page)
    : link_(std::move(link)),
      channel_(std::move(channel)),
      member_(std::move(member)),
      id_(id),
      page_(std::move(page)),
      is_lost_(page_->lost_flag()),
      owed_(std::make_shared<OwedBells>()),
      owed_renewal_(link_->OnReconnect(
          [owed = owed_](AttachSocket& socket) { owed->Ring(socket); })) {}

v1::JoinChannelRequest ChannelPlace::RequestOf(const Client& client,
                                               absl::string_view channel,
                                               const Entrance& entrance) {
  v1::JoinChannelRequest request;
  request.set_name(client.impl_->ChannelName(channel));
  request.set_grant_handle(entrance.grant);
  // What somebody has a grant for is there, and may be another's.
  if (entrance.create.has_value() && entrance.grant.empty()) {
    ChannelToProto(*entrance.create, request.mutable_create());
  }
  return request;
}

absl::StatusOr<ChannelPlace::Shared> ChannelPlace::Join(
    Client& client, v1::JoinChannelRequest request) {
  Shared shared;
  ASSIGN_OR_RETURN(shared.link, client.impl_->Link());
  shared.channel = request.name();
  ASSIGN_OR_RETURN(shared.joined, shared.link->Join(std::move(request)));
  shared.page = std::make_shared<const Attachment>(shared.AttachmentOf(0));
  const std::vector<std::string> members = shared.MemberNames();
  if (members.size() < 2) return shared;
  shared.second_page.Reset(
      fcntl(shared.descriptor(0).get(), F_DUPFD_CLOEXEC, 0));
  if (shared.second_page.valid()) return shared;
  const absl::Status status = ErrnoStatus(errno, "fcntl");
  for (const std::string& member : members) {
    shared.link->Leave(member).IgnoreError();
  }
  return status;
}

ChannelPlace::Publishing ChannelPlace::TakePublishing(Shared& shared) {
  const v1::Publisher& member = shared.joined.members.publisher();
  Publishing out;
  out.place.reset(new ChannelPlace(shared.link, shared.channel, member.name(),
                                   {member.index(), member.generation()},
                                   shared.page));
  out.parts.channel = std::move(shared.descriptor(0));
  out.parts.ring = shared.Take(&out.place->own_);
  if (!member.claims_handle().empty()) {
    out.parts.claims = shared.Take(&out.place->own_);
  }
  out.parts.index = member.index();
  out.parts.generation = member.generation();
  out.parts.open_part = out.place->Opener();
  return out;
}

ChannelPlace::Subscribing ChannelPlace::TakeSubscribing(Shared& shared) {
  const v1::Subscriber& member = shared.joined.members.subscriber();
  Subscribing out;
  out.place.reset(new ChannelPlace(shared.link, shared.channel, member.name(),
                                   {member.index(), member.generation()},
                                   shared.page));
  out.parts.channel = shared.second_page.valid()
                          ? std::move(shared.second_page)
                          : std::move(shared.descriptor(0));
  out.parts.page = shared.Take(&out.place->own_);
  out.parts.index = member.index();
  out.parts.generation = member.generation();
  out.parts.open_part = out.place->Opener();
  return out;
}

absl::StatusOr<ChannelPlace::Publishing> ChannelPlace::Publish(
    Client& client, absl::string_view channel, const Entrance& entrance) {
  v1::JoinChannelRequest request = RequestOf(client, channel, entrance);
  request.mutable_publisher();
  ASSIGN_OR_RETURN(Shared shared, Join(client, std::move(request)));
  return TakePublishing(shared);
}

absl::StatusOr<ChannelPlace::Subscribing> ChannelPlace::Subscribe(
    Client& client, absl::string_view channel, SlowPolicy policy,
    const Entrance& entrance) {
  v1::JoinChannelRequest request = RequestOf(client, channel, entrance);
  request.mutable_subscriber()->set_slow_policy(PolicyToProto(policy));
  ASSIGN_OR_RETURN(Shared shared, Join(client, std::move(request)));
  return TakeSubscribing(shared);
}

absl::StatusOr<ChannelPlace::Calling> ChannelPlace::Call(
    Client& client, absl::string_view channel, ChannelRole role,
    const Entrance& entrance) {
  v1::JoinChannelRequest request = RequestOf(client, channel, entrance);
  request.mutable_publisher()->set_role(RoleToProto(role));
  request.mutable_subscriber()->set_role(RoleToProto(role));
  ASSIGN_OR_RETURN(Shared shared, Join(client, std::move(request)));
  Calling out;
  out.out = TakePublishing(shared);
  out.in = TakeSubscribing(shared);
  return out;
}

ChannelPlace::~ChannelPlace() {
  if (link_->owned_by_this_process()) {
    link_->Forget(owed_renewal_);
    if (renewal_ != 0) link_->Forget(renewal_);
  }
  if (IsLost() || !link_->owned_by_this_process()) return;
  // What cannot be told now ends with the session.
  link_->Leave(member_).IgnoreError();
}

absl::StatusOr<int> ChannelPlace::DescriptorOf(RingSubscriber& ring) {
  ASSIGN_OR_RETURN(const int descriptor, ring.Descriptor());
  KeepRinging(ring.bells());
  return descriptor;
}

void ChannelPlace::KeepRinging(const std::shared_ptr<sys::BellSet>& bells) {
  if (renewal_ != 0) return;
  AttachSocket::Part part;
  part.channel = channel_;
  part.kind = AttachSocket::PartKind::kBell;
  part.index = id_.index;
  part.generation = id_.generation;
  // The pipe of the run before stays: publishers that have its other end go on
  // to ring that one.
  renewal_ = link_->OnReconnect([bells, part](AttachSocket& socket) {
    absl::StatusOr<UniqueFd> bell = socket.OpenPart(part);
    if (bell.ok() && bells->Add(*std::move(bell)).ok()) return;
    // Of another daemon that is about to come it is asked anew.
    if (!socket.lost()) bells->End();
  });
}

absl::Status ChannelPlace::status() const {
  if (!IsLost()) return absl::OkStatus();
  return Error(absl::StatusCode::kUnavailable, reason::kServerUnreachable,
               "the daemon was started anew and knows nothing of who took part "
               "in the channel; open it again")
      .With("channel", channel_)
      .ToStatus();
}

OpenPart ChannelPlace::Opener() const {
  return [link = link_, channel = channel_, own = id_.generation, owed = owed_](
             const PartRequest& request) -> absl::StatusOr<UniqueFd> {
    AttachSocket::Part part;
    part.channel = channel;
    part.kind = PartKindOf(request.kind);
    part.index = request.index;
    part.generation = request.generation;
    // Of a bell all get the end to write to but whose own it is.
    const bool is_to_ring =
        request.kind == PartKind::kBell && request.generation != own;
    if (request.kind == PartKind::kClaims || is_to_ring) {
      part.access = Access::kReadWrite;
    }
    absl::StatusOr<UniqueFd> opened = link->OpenPart(part);
    if (!is_to_ring || !absl::IsUnavailable(opened.status())) return opened;
    owed->Owe(part);
    // The daemon may have come back just before.
    return link->OpenPart(part);
  };
}

}  // namespace client
}  // namespace shmd
