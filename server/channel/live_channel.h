#ifndef SHMD_SERVER_CHANNEL_LIVE_CHANNEL_H_
#define SHMD_SERVER_CHANNEL_LIVE_CHANNEL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "server/access/caller.h"
#include "server/channel/bell.h"
#include "server/channel/channel.h"
#include "server/registry/segment_registry.h"
#include "shm/channel/channel_writer.h"
#include "shm/channel/open_part.h"

namespace shmd {

// One channel: its page, who takes part, and with which segments. The page is
// the record; what is held besides is read from it when the channel is taken
// up, and written to it with every change. Thread-safe.
class LiveChannel {
 public:
  // A new channel in the page's segment. Borrows `segments`.
  static absl::StatusOr<std::shared_ptr<LiveChannel>> Make(
      SegmentRegistry* segments, const SegmentView& page,
      const ChannelCommand& command);
  // One of an earlier run: its members have no parts until AddPart.
  // OBJECT_UNSUITABLE for what was never finished, or is deleted.
  static absl::StatusOr<std::shared_ptr<LiveChannel>> TakeUp(
      SegmentRegistry* segments, const SegmentView& page, ChannelName name);

  // Lets go of what it holds of those that have left.
  ~LiveChannel();

  const ChannelName& name() const { return name_; }
  const ChannelFields& fields() const { return fields_; }
  Ownership ownership() const { return OwnershipOf(fields_); }
  const SegmentView& page() const { return page_; }
  ChannelSnapshot View() const;

  // A member and its segments.
  struct Taken {
    MemberView view;
    MemberParts parts;
  };

  // Held from Reserve to Publish.
  absl::Mutex* joining() { return &joining_; }
  // Who takes part already by the same request of the same session.
  std::optional<Taken> FindRequest(const JoinCommand& command) const;
  // A place and a generation for who is about to take part. CHANNEL_FULL,
  // CHANNEL_NOT_FOUND when it is deleted.
  absl::StatusOr<MemberView> Reserve(const Caller& caller,
                                     const JoinCommand& command);
  // Lets everybody see who takes part. CHANNEL_NOT_FOUND when it is deleted
  // meanwhile.
  absl::Status Publish(const MemberView& member, MemberParts parts);

  // MEMBER_NOT_FOUND.
  absl::StatusOr<MemberView> Find(const MemberName& name) const;
  // Who has taken part no longer does; what is left to be removed, its own
  // first. Empty when it does not take part. Where messages are for peers, a
  // publisher stays on the page, as one that has left, and its memory where it
  // is, while there is something to read for who was there before it and has
  // yet to open its ring; in a queue, while there is work.
  std::vector<MemberParts> Remove(const MemberView& member);
  // All of a session; their segments go with it.
  std::vector<MemberParts> RemoveSession(const SessionId& session);
  // Publishers that have left and are awaited no more.
  std::vector<MemberParts> ForgetRead();
  // The first of those that have left, of one user or of any, awaited or not.
  std::vector<MemberParts> ForgetOldest(std::optional<uid_t> uid);
  bool HasDeparted() const;
  // Whether who joins so makes the other end of a client or a server that the
  // grant has let in with one of the two: both are one use. For who holds
  // `joining`.
  bool CompletesPair(const JoinCommand& command) const;
  // Whether the session takes part.
  bool HasSession(const SessionId& session) const;

  // Nobody takes part any more. CHANNEL_IN_USE when somebody does, unless
  // `force`.
  absl::StatusOr<std::vector<Taken>> Close(bool force);

  // Calls `visit(const MemberView&, const MemberParts&)`; no call of this
  // object's in it.
  void Visit(const std::function<void(const MemberView&, const MemberParts&)>&
                 visit) const;

  // What is to be attached, or the bell's descriptor.
  struct Part {
    std::optional<SegmentView> segment;
    UniqueFd bell;
  };
  // A part of another member's, for a session that takes part.
  // MEMBER_NOT_FOUND; CALLER_NOT_ALLOWED for parts that are not for it.
  absl::StatusOr<Part> OpenPart(const Caller& caller, const SessionId& session,
                                const PartRequest& request, Access access);

  // Of an earlier run. False when it is nobody's.
  bool AddPart(MemberKind kind, const SegmentView& part, bool is_claims,
               const PartPlace& place);
  // Removes those that have left, that lack a part, or whose session is not
  // awaited; their segments.
  std::vector<MemberParts> RemoveLost();

 private:
  struct Member {
    MemberView view;
    MemberParts parts;
    std::unique_ptr<Bell> bell;  // of a subscriber, once it was asked for
    // From an earlier run, which may have ended before it rang.
    bool is_taken_up = false;
  };
  using Members = std::map<uint32_t, Member>;  // by index

  LiveChannel(SegmentRegistry* segments, SegmentView page, ChannelName name,
              ChannelWriter writer);

  Members& MembersOf(MemberKind kind) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return kind == MemberKind::kPublisher ? publishers_ : subscribers_;
  }
  const Members& MembersOf(MemberKind kind) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return kind == MemberKind::kPublisher ? publishers_ : subscribers_;
  }
  // Nullptr when there is nobody of that generation.
  const Member* FindMember(MemberKind kind, uint32_t index,
                           uint64_t generation) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // Whether one of the session's own `kind` fits.
  bool HasMember(const SessionId& session, MemberKind kind,
                 const std::function<bool(const MemberView&)>& fits) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // Whether the session may have something for subscriber `of`.
  bool MayRing(const SessionId& session, const MemberView& of) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  bool MayOpen(const SessionId& session, PartKind kind,
               const MemberView& of) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<UniqueFd> OpenBell(const Caller& caller,
                                    const SessionId& session, Member& of,
                                    Access access)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // After a change of the page: wakes who sleeps on a descriptor. Who sleeps
  // otherwise does so on the page as well.
  void RingAll() ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // Takes it out of the page and of `members`; moves on to the next. What is
  // left goes to `parts`.
  void RemoveLocked(Members& members, Members::iterator& at,
                    std::vector<MemberParts>* parts)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The same, unless there are messages that somebody has yet to open, who
  // finds them then.
  void RemoveOrKeep(Members& members, Members::iterator& at,
                    std::vector<MemberParts>* parts)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Forgets who has left and is awaited no more.
  void ForgetReadLocked(std::vector<MemberParts>* parts)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  size_t CountDeparted(uid_t uid) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // False when there is none.
  bool ForgetOldestLocked(std::optional<uid_t> uid,
                          std::vector<MemberParts>* parts)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether somebody is to read what the publisher has written and can have no
  // more than the page to find it by.
  bool IsAwaited(const Member& publisher) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  // Keeps the memory, though the segments be removed. False when they are
  // already.
  bool Hold(const MemberParts& parts);
  void LetGo(const MemberParts& parts);
  void ReadMembers();

  SegmentRegistry* const segments_;
  const SegmentView page_;
  const ChannelName name_;
  const ChannelFields fields_;
  absl::Mutex joining_;
  mutable absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(joining_);
  ChannelWriter writer_ ABSL_GUARDED_BY(mutex_);
  bool is_closed_ ABSL_GUARDED_BY(mutex_) = false;
  Members publishers_ ABSL_GUARDED_BY(mutex_);
  Members subscribers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace shmd

#endif  // SHMD_SERVER_CHANNEL_LIVE_CHANNEL_H_
