// What others than its owner may attach of a member.

#include <utility>

#include "base/failpoint.h"
#include "base/status_macros.h"
#include "server/access/policy.h"
#include "server/channel/live_channel.h"

namespace shmd {
namespace {

MemberKind OwnerOf(PartKind kind) {
  const bool is_publishers =
      kind == PartKind::kRing || kind == PartKind::kClaims;
  return is_publishers ? MemberKind::kPublisher : MemberKind::kSubscriber;
}

}  // namespace

bool LiveChannel::MayRing(const SessionId& session,
                          const MemberView& of) const {
  const auto publishes_to = [&](const MemberView& own) {
    return ReadsFrom(of.role, own.role);
  };
  const auto claims = [&](const MemberView& own) {
    return Claims(fields_.kind, own.role);
  };
  // A consumer gives back what another one may take.
  return HasMember(session, MemberKind::kPublisher, publishes_to) ||
         (Claims(fields_.kind, of.role) &&
          HasMember(session, MemberKind::kSubscriber, claims));
}

bool LiveChannel::MayOpen(const SessionId& session, PartKind kind,
                          const MemberView& of) const {
  // What has left is there for who would have read it had it looked in time.
  const auto reads = [&](const MemberView& own) {
    return ReadsFrom(own.role, of.role) &&
           (!of.has_left || fields_.kind == layout::ChannelKind::kQueue ||
            own.generation < of.generation);
  };
  const auto claims = [&](const MemberView& own) {
    return Claims(fields_.kind, own.role);
  };
  switch (kind) {
    case PartKind::kRing:
      return HasMember(session, MemberKind::kSubscriber, reads);
    case PartKind::kPage:
      // Whether it sleeps; a consumer also looks whether another one still has
      // what it had claimed.
      return MayRing(session, of);
    case PartKind::kClaims:
      return of.session == session ||
             (HasClaims(fields_.kind, of.role) &&
              HasMember(session, MemberKind::kSubscriber, claims));
    case PartKind::kBell:
      return of.session == session || MayRing(session, of);
  }
  return false;
}

absl::StatusOr<UniqueFd> LiveChannel::OpenBell(const Caller& caller,
                                               const SessionId& session,
                                               Member& of, Access access) {
  const bool to_read = access == Access::kRead && of.view.session == session;
  if (!to_read && !MayRing(session, of.view)) return CallerNotAllowed(caller);
  if (of.bell == nullptr) {
    ASSIGN_OR_RETURN(of.bell,
                     Bell::Make(segments_, name_.name_space, of.view.uid));
    SHMD_FAILPOINT("channel.bell");
    // What happened while no daemon ran rings now.
    if (of.is_taken_up) of.bell->Ring();
  }
  return to_read ? of.bell->OpenToRead() : of.bell->OpenToWrite();
}

void LiveChannel::RingAll() {
  for (const auto& [index, subscriber] : subscribers_) {
    if (subscriber.bell != nullptr) subscriber.bell->Ring();
  }
}

absl::StatusOr<LiveChannel::Part> LiveChannel::OpenPart(
    const Caller& caller, const SessionId& session, const PartRequest& request,
    Access access) {
  const MemberKind kind = OwnerOf(request.kind);
  absl::MutexLock lock(&mutex_);
  const Member* const found =
      FindMember(kind, request.index, request.generation);
  if (found == nullptr) {
    return MemberNotFound({name_, kind, request.index, request.generation});
  }
  if (!MayOpen(session, request.kind, found->view)) {
    return CallerNotAllowed(caller);
  }
  Part part;
  if (request.kind == PartKind::kBell) {
    ASSIGN_OR_RETURN(
        part.bell,
        OpenBell(caller, session, MembersOf(kind)[request.index], access));
    return part;
  }
  if (request.kind == PartKind::kClaims) {
    // Messages of a publisher without claims go to everybody.
    if (!found->parts.claims.has_value()) {
      return MemberNotFound({name_, kind, request.index, request.generation});
    }
    part.segment = found->parts.claims;
    return part;
  }
  if (access == Access::kReadWrite) return CallerNotAllowed(caller);
  part.segment = found->parts.part;
  return part;
}

}  // namespace shmd
