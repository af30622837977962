#ifndef SHMD_SERVER_CHANNEL_CHANNEL_REGISTRY_H_
#define SHMD_SERVER_CHANNEL_CHANNEL_REGISTRY_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/channel/channel.h"
#include "server/channel/channel_events.h"
#include "server/channel/channel_stats.h"
#include "server/channel/live_channel.h"
#include "server/registry/segment_registry.h"

namespace shmd {

// The channels of all namespaces. Their pages, and what members own, are
// segments, so that quotas, restarts and removal are those of segments.
// Thread-safe. Borrows the segments.
class ChannelRegistry {
 public:
  explicit ChannelRegistry(SegmentRegistry* segments);

  // Takes up what an earlier run left; call once, after the segments.
  void TakeUp();

  absl::StatusOr<ChannelSnapshot> Create(const Caller& caller,
                                         const ChannelCommand& command);
  absl::StatusOr<ChannelSnapshot> Get(const Caller& caller,
                                      const ChannelName& name) const;
  // Those that the caller may read, by name, from behind `after_id`.
  absl::StatusOr<std::vector<ChannelSnapshot>> List(
      const Caller& caller, const std::string& name_space,
      const std::string& after_id, size_t limit) const;
  absl::Status Delete(const Caller& caller, const ChannelName& name,
                      bool force);

  // Who takes part now, and with what.
  struct Joined {
    MemberView member;
    SegmentView channel;
    MemberParts parts;
    bool is_repeated = false;  // by an earlier call with the same request id
  };
  absl::StatusOr<Joined> Join(const Caller& caller, JoinCommand command);
  // All of them or none, in their order; a channel that was made stays.
  absl::StatusOr<std::vector<Joined>> JoinAll(const Caller& caller,
                                              const MembershipCommand& command);
  // Takes back what JoinAll has done for one, when nobody is told of it.
  void Undo(const ChannelName& name, const Joined& joined);
  absl::Status Leave(const Caller& caller, const MemberName& name);

  // Grants that let others join: CreateGrant and so on of grant.proto, for
  // channels.
  absl::StatusOr<SegmentRegistry::NewGrant> CreateGrant(
      const Caller& caller, const ChannelName& name,
      const GrantCommand& command);
  absl::StatusOr<std::vector<Grant>> ListGrants(const Caller& caller,
                                                const ChannelName& name) const;
  absl::Status DeleteGrant(const Caller& caller, const ChannelName& name,
                           const std::string& id);

  absl::StatusOr<ChannelStats> Stats(const Caller& caller,
                                     const ChannelName& name) const;

  // For a session of the caller's that takes part, whatever the modes.
  // CHANNEL_NOT_FOUND, MEMBER_NOT_FOUND, CALLER_NOT_ALLOWED.
  absl::StatusOr<LiveChannel::Part> OpenPart(const Caller& caller,
                                             const SessionId& session,
                                             const ChannelName& name,
                                             const PartRequest& request,
                                             Access access);

  // The page that a handle is of, if the session takes part in that channel:
  // whatever the modes, for who was let in by a grant. Null otherwise.
  EntryPtr FindOwnPage(const SessionId& session, const Handle& handle) const;

  // A session has ended: it takes part in nothing any more. Never blocks for
  // long: what it leaves goes with LookAfterDeparted.
  void EndSession(const SessionId& session);

  // To be called now and then, by a thread that may take its time: lets go of
  // publishers that have left and are awaited no more, and of what was left.
  void LookAfterDeparted();

  // The daemon stops. Where nothing keeps the pages, all who take part are told
  // that their channels end.
  void Drain();

  const ChannelEvents& events() const { return events_; }

  // Whether a call may have to wait for the keeper.
  bool MayWait() const { return segments_->KeepsMemfds(); }

 private:
  using ChannelPtr = std::shared_ptr<LiveChannel>;
  using ById = std::map<std::string, ChannelPtr>;

  std::vector<ChannelPtr> All() const;
  // Null where there is none; of any namespace.
  ChannelPtr FindAny(const ChannelName& name) const;
  // For a caller who may enter its namespace: CHANNEL_NOT_FOUND.
  absl::StatusOr<ChannelPtr> Find(const Caller& caller,
                                  const ChannelName& name) const;
  absl::StatusOr<ChannelPtr> FindReadable(const Caller& caller,
                                          const ChannelName& name) const;
  absl::StatusOr<ChannelPtr> FindManaged(const Caller& caller,
                                         const ChannelName& name) const;
  // For who may join it so. What is left of `command->grant` is that the caller
  // is only let in by it, if it is good for that.
  absl::StatusOr<ChannelPtr> FindToJoin(const Caller& caller,
                                        JoinCommand* command) const;
  // One use of the grant that lets the caller join, or of none.
  absl::StatusOr<GrantRegistry::Use> UseGrant(const Caller& caller,
                                              const LiveChannel& channel,
                                              const JoinCommand& command);
  // Of a channel that is deleted, what members leave.
  absl::StatusOr<std::vector<LiveChannel::Taken>> DeletePage(
      const Caller& caller, const ChannelName& name, bool force);
  absl::StatusOr<ChannelPtr> MakeChannel(const Caller& caller,
                                         const ChannelCommand& command);
  absl::StatusOr<MemberParts> MakeParts(const Caller& caller,
                                        const LiveChannel& channel,
                                        const MemberView& member);
  // A place and parts for who joins.
  absl::Status MakeMember(const Caller& caller, LiveChannel& channel,
                          const JoinCommand& command, Joined* joined);
  // Gives up what only those need who have yet to open it, where that may help
  // against `refusal`. False when there was nothing of that.
  bool MakeRoom(const Caller& caller, LiveChannel& channel,
                const JoinCommand& command, const absl::Status& refusal);
  // Removes what members leave.
  void Discard(std::vector<MemberParts> parts);
  // Of memory that nobody else has, on the reaper's thread, because it may take
  // its time.
  void GiveBackLater(std::vector<MemberParts> parts);
  // Has LookAfterDeparted called when those who are awaited may have opened
  // what they are to read.
  void AwaitReaders(const ChannelPtr& channel);
  absl::Status Remove(const ChannelPtr& channel, const MemberView& member);
  void RemoveSegment(const EntryPtr& entry);
  void RemoveParts(const MemberParts& parts);
  void NoteMember(const SessionId& session, const ChannelPtr& channel);
  void ForgetMember(const SessionId& session, const ChannelPtr& channel);
  void NoteChange(const LiveChannel& channel,
                  ChannelEvent::Type type = ChannelEvent::Type::kChanged);

  void TakeUpChannels(const std::vector<SegmentView>& reserved);
  void TakeUpParts(const std::vector<SegmentView>& reserved);

  SegmentRegistry* const segments_;
  ChannelEvents events_;
  const Uid timer_;  // of no segment, in the queue of what expires
  // Held while a session ends, so that who ends it too knows that it has.
  absl::Mutex ending_;
  // Held while a channel's page is made or removed.
  absl::Mutex making_;
  mutable absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(making_);
  absl::flat_hash_map<std::string, ById> by_namespace_ ABSL_GUARDED_BY(mutex_);
  // Those with publishers that have left.
  absl::flat_hash_set<ChannelPtr> departed_ ABSL_GUARDED_BY(mutex_);
  absl::Duration next_look_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteDuration();
  absl::Duration until_next_look_ ABSL_GUARDED_BY(mutex_);
  std::vector<MemberParts> discarded_ ABSL_GUARDED_BY(mutex_);
  // Where each session takes part.
  absl::flat_hash_map<SessionId, std::vector<ChannelPtr>> by_session_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace shmd

#endif  // SHMD_SERVER_CHANNEL_CHANNEL_REGISTRY_H_
