#include "server/channel/live_channel.h"

#include <algorithm>
#include <cstring>
#include <variant>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"

namespace shmd {
namespace {

absl::StatusOr<int> DescriptorOf(const ObjectRef& object) {
  if (const auto* fd = std::get_if<UniqueFd>(&object)) return fd->get();
  return absl::StatusOr<int>(Error(absl::StatusCode::kFailedPrecondition,
                                   reason::kObjectUnsuitable,
                                   "a channel's page is not a memfd"));
}

MemberFields FieldsOf(const MemberView& view, uint64_t part_bytes,
                      absl::Time now) {
  MemberFields fields;
  fields.role = view.role;
  fields.policy = view.policy;
  fields.part_bytes = part_bytes;
  static_assert(sizeof(fields.session) == sizeof(view.session));
  std::memcpy(fields.session, view.session.data(), sizeof(fields.session));
  fields.uid = view.uid;
  fields.pid = view.pid;
  fields.join_time_ns = static_cast<uint64_t>(absl::ToUnixNanos(now));
  fields.request = view.request;
  return fields;
}

MemberView ViewOf(MemberKind kind, const shmd::Member& member) {
  MemberView view;
  view.kind = kind;
  view.index = member.id.index;
  view.generation = member.id.generation;
  view.role = member.fields.role;
  view.policy = member.fields.policy;
  std::memcpy(view.session.data(), member.fields.session,
              sizeof(member.fields.session));
  view.uid = member.fields.uid;
  view.pid = member.fields.pid;
  view.request = member.fields.request;
  view.has_left = member.fields.has_left;
  return view;
}

}  // namespace

LiveChannel::LiveChannel(SegmentRegistry* segments, SegmentView page,
                         ChannelName name, ChannelWriter writer)
    : segments_(segments),
      page_(std::move(page)),
      name_(std::move(name)),
      fields_(writer.fields()),
      writer_(std::move(writer)) {}

absl::StatusOr<std::shared_ptr<LiveChannel>> LiveChannel::Make(
    SegmentRegistry* segments, const SegmentView& page,
    const ChannelCommand& command) {
  ASSIGN_OR_RETURN(const ObjectRef object,
                   segments->OpenObject(page, Access::kReadWrite));
  ASSIGN_OR_RETURN(const int fd, DescriptorOf(object));
  ChannelFields fields = command.fields;
  fields.generation = page.segment->generation;
  fields.create_time_ns =
      static_cast<uint64_t>(absl::ToUnixNanos(page.segment->create_time));
  ASSIGN_OR_RETURN(ChannelWriter writer, ChannelWriter::Format(fd, fields));
  return std::shared_ptr<LiveChannel>(
      new LiveChannel(segments, page, command.name, std::move(writer)));
}

absl::StatusOr<std::shared_ptr<LiveChannel>> LiveChannel::TakeUp(
    SegmentRegistry* segments, const SegmentView& page, ChannelName name) {
  ASSIGN_OR_RETURN(const ObjectRef object,
                   segments->OpenObject(page, Access::kReadWrite));
  ASSIGN_OR_RETURN(const int fd, DescriptorOf(object));
  ASSIGN_OR_RETURN(ChannelWriter writer, ChannelWriter::Open(fd));
  if (writer.view().closed() ||
      writer.fields().generation != page.segment->generation) {
    return Error(absl::StatusCode::kFailedPrecondition,
                 reason::kObjectUnsuitable, "the channel was deleted");
  }
  auto channel = std::shared_ptr<LiveChannel>(
      new LiveChannel(segments, page, std::move(name), std::move(writer)));
  channel->ReadMembers();
  return channel;
}

void LiveChannel::ReadMembers() {
  absl::MutexLock lock(&mutex_);
  for (const MemberKind kind :
       {MemberKind::kPublisher, MemberKind::kSubscriber}) {
    for (const shmd::Member& member : writer_.List(kind)) {
      Member& known = MembersOf(kind)[member.id.index];
      known.view = ViewOf(kind, member);
      known.is_taken_up = true;
    }
  }
}

ChannelSnapshot LiveChannel::View() const {
  ChannelSnapshot view;
  view.name = name_;
  view.fields = fields_;
  absl::MutexLock lock(&mutex_);
  view.publishers = static_cast<uint32_t>(
      std::count_if(publishers_.begin(), publishers_.end(),
                    [](const auto& one) { return !one.second.view.has_left; }));
  view.subscribers = static_cast<uint32_t>(subscribers_.size());
  return view;
}

absl::StatusOr<MemberView> LiveChannel::Reserve(const Caller& caller,
                                                const JoinCommand& command) {
  absl::MutexLock lock(&mutex_);
  if (is_closed_) return ChannelNotFound(name_);
  ASSIGN_OR_RETURN(const MemberId id, writer_.Reserve(command.kind));
  MemberView view;
  view.kind = command.kind;
  view.index = id.index;
  view.generation = id.generation;
  view.role = command.role;
  view.policy = command.policy;
  view.session = command.session;
  view.uid = caller.uid;
  view.pid = caller.pid;
  if (command.grant.has_value()) view.grant = KeyOf(*command.grant->grant);
  view.request = command.request;
  return view;
}

std::optional<LiveChannel::Taken> LiveChannel::FindRequest(
    const JoinCommand& command) const {
  absl::MutexLock lock(&mutex_);
  if (command.request == 0) return std::nullopt;
  for (const auto& [index, member] : MembersOf(command.kind)) {
    if (member.view.session == command.session && !member.view.has_left &&
        member.view.request == command.request) {
      return Taken{member.view, member.parts};
    }
  }
  return std::nullopt;
}

absl::Status LiveChannel::Publish(const MemberView& view, MemberParts parts) {
  absl::MutexLock lock(&mutex_);
  if (is_closed_) return ChannelNotFound(name_);
  const MemberFields fields =
      FieldsOf(view, parts.part.segment->options.size_bytes,
               segments_->clock().WallTime());
  Member& member = MembersOf(view.kind)[view.index];
  member.view = view;
  member.parts = std::move(parts);
  writer_.Add(view.kind, IdOf(view), fields);
  RingAll();
  return absl::OkStatus();
}

const LiveChannel::Member* LiveChannel::FindMember(MemberKind kind,
                                                   uint32_t index,
                                                   uint64_t generation) const {
  const Members& members = MembersOf(kind);
  const auto found = members.find(index);
  return found != members.end() && found->second.view.generation == generation
             ? &found->second
             : nullptr;
}

absl::StatusOr<MemberView> LiveChannel::Find(const MemberName& name) const {
  absl::MutexLock lock(&mutex_);
  const Member* const member =
      FindMember(name.kind, name.index, name.generation);
  if (member == nullptr || member->view.has_left) return MemberNotFound(name);
  return member->view;
}

void LiveChannel::RemoveLocked(Members& members, Members::iterator& at,
                               std::vector<MemberParts>* parts) {
  const MemberView view = at->second.view;
  writer_.Remove(view.kind, IdOf(view));
  // Nobody else rings for it any more.
  if (at->second.bell != nullptr) at->second.bell->Ring();
  if (view.has_left) LetGo(at->second.parts);
  parts->push_back(std::move(at->second.parts));
  at = members.erase(at);
}

std::vector<MemberParts> LiveChannel::Remove(const MemberView& view) {
  std::vector<MemberParts> parts;
  absl::MutexLock lock(&mutex_);
  const Member* const found =
      FindMember(view.kind, view.index, view.generation);
  if (found == nullptr || found->view.has_left) return parts;
  Members& members = MembersOf(view.kind);
  auto at = members.find(view.index);
  RemoveOrKeep(members, at, &parts);
  ForgetReadLocked(&parts);
  RingAll();
  return parts;
}

std::vector<MemberParts> LiveChannel::RemoveSession(const SessionId& session) {
  std::vector<MemberParts> parts;
  absl::MutexLock lock(&mutex_);
  // Its subscribers first: its publishers do not wait for those.
  for (Members* members : {&subscribers_, &publishers_}) {
    for (auto at = members->begin(); at != members->end();) {
      const MemberView& view = at->second.view;
      if (view.session == session && !view.has_left) {
        RemoveOrKeep(*members, at, &parts);
      } else {
        ++at;
      }
    }
  }
  if (parts.empty()) return parts;
  ForgetReadLocked(&parts);
  RingAll();
  return parts;
}

bool LiveChannel::HasMember(
    const SessionId& session, MemberKind kind,
    const std::function<bool(const MemberView&)>& fits) const {
  const Members& members = MembersOf(kind);
  return std::any_of(members.begin(), members.end(), [&](const auto& one) {
    const MemberView& view = one.second.view;
    return view.session == session && !view.has_left && fits(view);
  });
}

bool LiveChannel::HasSession(const SessionId& session) const {
  const auto any = [](const MemberView&) { return true; };
  absl::MutexLock lock(&mutex_);
  return HasMember(session, MemberKind::kPublisher, any) ||
         HasMember(session, MemberKind::kSubscriber, any);
}

bool LiveChannel::CompletesPair(const JoinCommand& command) const {
  if (command.role == layout::MemberRole::kPeer) return false;
  const GrantKey key = KeyOf(*command.grant->grant);
  const auto is_end = [&](const auto& one) {
    const MemberView& view = one.second.view;
    return view.session == command.session && view.role == command.role &&
           view.grant == key;
  };
  absl::MutexLock lock(&mutex_);
  const auto publishers =
      std::count_if(publishers_.begin(), publishers_.end(), is_end);
  const auto subscribers =
      std::count_if(subscribers_.begin(), subscribers_.end(), is_end);
  return command.kind == MemberKind::kPublisher ? publishers < subscribers
                                                : subscribers < publishers;
}

absl::StatusOr<std::vector<LiveChannel::Taken>> LiveChannel::Close(bool force) {
  absl::MutexLock lock(&mutex_);
  if (is_closed_) return ChannelNotFound(name_);
  const size_t members = publishers_.size() + subscribers_.size();
  if (members > 0 && !force) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kChannelInUse,
                 "somebody takes part, or has left messages behind; force "
                 "deletes it all the same")
        .With("name", name_.ToString())
        .With("members", members);
  }
  is_closed_ = true;
  writer_.Close();
  std::vector<Taken> removed;
  for (Members* all : {&publishers_, &subscribers_}) {
    for (auto at = all->begin(); at != all->end();) {
      const MemberView view = at->second.view;
      std::vector<MemberParts> parts;
      RemoveLocked(*all, at, &parts);
      removed.push_back({view, std::move(parts.front())});
    }
  }
  return removed;
}

void LiveChannel::Visit(
    const std::function<void(const MemberView&, const MemberParts&)>& visit)
    const {
  absl::MutexLock lock(&mutex_);
  for (const Members* members : {&publishers_, &subscribers_}) {
    for (const auto& [index, member] : *members) {
      visit(member.view, member.parts);
    }
  }
}

bool LiveChannel::AddPart(MemberKind kind, const SegmentView& part,
                          bool is_claims, const PartPlace& place) {
  absl::MutexLock lock(&mutex_);
  if (FindMember(kind, place.index, place.generation) == nullptr) return false;
  Member& member = MembersOf(kind)[place.index];
  if (part.segment->owner_session != member.view.session) return false;
  if (is_claims) {
    member.parts.claims = part;
  } else {
    member.parts.part = part;
  }
  return true;
}

std::vector<MemberParts> LiveChannel::RemoveLost() {
  std::vector<MemberParts> lost;
  absl::MutexLock lock(&mutex_);
  for (Members* members : {&publishers_, &subscribers_}) {
    for (auto at = members->begin(); at != members->end();) {
      Member& member = at->second;
      const MemberView& view = member.view;
      const bool lacks_claims = view.kind == MemberKind::kPublisher &&
                                HasClaims(fields_.kind, view.role) &&
                                !member.parts.claims.has_value();
      if (std::exchange(member.view.has_left, false) ||
          member.parts.part.entry == nullptr || lacks_claims ||
          !segments_->SessionExists(view.session)) {
        RemoveLocked(*members, at, &lost);
      } else {
        ++at;
      }
    }
  }
  return lost;
}

}  // namespace shmd
