#ifndef SHMD_SERVER_OBJECT_OBJECT_TABLE_H_
#define SHMD_SERVER_OBJECT_OBJECT_TABLE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/clock.h"
#include "server/object/arena_sealer.h"
#include "server/object/lane.h"
#include "server/object/object.h"
#include "server/object/object_events.h"
#include "server/object/recent_uses.h"
#include "server/object/victims.h"
#include "server/registry/change_signal.h"
#include "shm/arena/extent_allocator.h"
#include "shm/directory/directory_writer.h"

namespace shmd {

inline constexpr size_t kMaxArenas = 65536;
inline constexpr size_t kMaxAwaitsOfLane = 64;       // by a ring
inline constexpr size_t kMaxRetiredObjects = 65536;  // waiting for their pins
// So that nobody waits for long while all objects are looked at.
inline constexpr uint64_t kEntriesAtOnce = 4096;

// The objects of one namespace: its directory, the arenas they lie in, and the
// sessions that take part without calls. Thread-safe; makes no system call but
// to grow the directory and to wake a session.
class ObjectTable : public std::enable_shared_from_this<ObjectTable> {
 public:
  struct Parts {
    Clock* clock = nullptr;
    ArenaSealer* sealer = nullptr;
    ChangeSignal* signal = nullptr;  // noted when a watch has something to read
    // Called, with the table's mutex held, when DoDue is to be called soon
    // although nothing has rung.
    std::function<void()> wake;
  };

  // Borrows the parts.
  ObjectTable(DirectoryWriter directory, SegmentView segment, Parts parts);

  const SegmentView& directory() const { return segment_; }

  // A new arena's number.
  uint32_t NextArena();
  // Takes an arena in: `writer` may publish in it, until its session ends.
  // What the daemon spills objects to has no writer but this table.
  void AddArena(uint32_t number, SegmentView segment, const SessionId& writer);

  // Lets a session take part; replaces nothing that is there.
  void AddLane(const SessionId& session, std::unique_ptr<Lane> lane);
  bool HasLane(const SessionId& session) const;

  // Of a strict object the arena has to be sealed: BeginSealing, the sealing
  // itself, EndSealing, and then this, which lets go of the arena should it
  // fail.
  absl::StatusOr<ObjectView> Publish(const ObjectUser& user,
                                     const PublishCommand& command);
  // All or none; the status of a batch names the `index` at fault.
  absl::StatusOr<std::vector<ObjectView>> PublishAll(
      const ObjectUser& user, absl::Span<const PublishCommand> commands);
  // What PublishAll would refuse; changes nothing.
  absl::Status CheckAll(const ObjectUser& user,
                        absl::Span<const PublishCommand> commands) const;
  // The arena to be sealed for a strict object, in which nothing else can be
  // published from now on. ARENA_SHARED, and what Publish would refuse.
  absl::StatusOr<EntryPtr> BeginSealing(const ObjectUser& user,
                                        const PublishCommand& command);
  void EndSealing(uint32_t arena, bool is_sealed);

  // `generation` 0: whichever it is.
  absl::Status Delete(const ObjectUser& user, const NameKey& name,
                      uint64_t generation);
  absl::Status DeleteAll(const ObjectUser& user,
                         absl::Span<const NameKey> names);
  absl::StatusOr<ObjectView> Find(const NameKey& name) const;
  // Waits for it, at most until `deadline`: then OBJECT_NOT_FOUND.
  absl::StatusOr<ObjectView> Await(const NameKey& name, absl::Time deadline);
  // Those behind a position, 0 for all.
  std::vector<ObjectView> List(uint32_t after, size_t limit) const;

  // What a watch reads: events behind `revision`, and what exists up to
  // `last_generation`.
  struct WatchStart {
    std::shared_ptr<const ObjectEvents> events;
    uint64_t revision = 0;
    uint64_t last_generation = 0;
  };
  // Changes are kept from now on, until EndWatch and a while beyond. From the
  // place of a token, unless it is empty: RESUME_TOKEN_INVALID,
  // RESUME_TOKEN_EXPIRED.
  absl::StatusOr<WatchStart> StartWatch(absl::string_view resume_token);
  void EndWatch();

  // Serves what sessions have submitted that are being looked at; whether
  // there was anything.
  bool Serve();
  // Has a session looked at, because it asked for that.
  void Rang(const SessionId& session);
  // From now on every session has to ask. False when one has submitted
  // something already: then serve.
  bool FallAsleep();
  // Frees what nobody has pinned any more, removes what has expired, answers
  // who has waited too long. Returns how long nothing of that can be due.
  absl::Duration DoDue();
  // Ends all waiting by RPC.
  void Drain();

  // What the session pinned and wrote is not its own any more.
  void EndSession(const SessionId& session);
  // Arenas that nobody writes and nothing is in, to be removed by the caller.
  std::vector<SegmentView> TakeEmptyArenas();
  // object_table_arenas.cc. Whole pages of arenas that nobody writes any more,
  // and that nothing is in and nothing will be: to be given back to the kernel.
  struct UnusedPages {
    SegmentView arena;
    std::vector<Extent> runs;
  };
  bool HasUnusedPages() const;
  std::vector<UnusedPages> TakeUnusedPages();
  // Nobody takes part, and there is nothing.
  bool IsEmpty() const;

  // Keeps the object from being evicted for `ttl` from now, if `check` has
  // nothing against it. ETAG_MISMATCH as Delete.
  absl::StatusOr<ObjectView> Lease(
      const NameKey& name, uint64_t generation, absl::Duration ttl,
      const std::function<absl::Status(const ObjectView&)>& check);

  // object_table_room.cc. Objects that could go so that a session can write so
  // much more; nothing when there are none. The mutex is let go in between,
  // so the others take them in groups, each as a whole if it is as it was.
  std::vector<VictimGroup> ChooseVictims(const SessionId& session,
                                         uint64_t size_bytes);
  // Deletes those groups that are as they were; how many bytes went.
  uint64_t Evict(absl::Span<const VictimGroup> groups);
  // Where each victim goes, in its order; an arena and places in it.
  struct SpillPlaces {
    SegmentView from;
    SegmentView to;
    uint32_t arena = 0;
    std::vector<Extent> extents;
  };
  // Keeps the victims where they are until EndSpill. OBJECTS_IN_USE when they
  // are not as they were; SHM_SPACE_EXHAUSTED when there is no place: add an
  // arena for spilled objects, of at least SpillBytes, to be read by the same.
  absl::StatusOr<SpillPlaces> BeginSpill(const VictimGroup& group);
  static uint64_t SpillBytes(const VictimGroup& group);
  absl::StatusOr<SegmentView> Arena(uint32_t number) const;
  // Sum of the sizes of arenas for spilled objects.
  uint64_t SpillArenaBytes() const;
  // The bytes are there: has the names lead to them, or, when they are not,
  // gives the places back. Whether all victims have moved.
  bool EndSpill(const VictimGroup& group, const SpillPlaces& places,
                bool is_copied);
  // Has arenas for spilled objects removed that have none.
  void LeaveUnusedPlaces();
  // Has `ask` called, with the mutex held, for what sessions submit.
  void OnRoomAsked(std::function<void(const RoomAsk&)> ask);
  void AnswerRoom(const RoomAsk& ask, const absl::StatusOr<uint64_t>& freed);

  // After a restart: counts what the directory has, once all arenas are in.
  void TakeUp();

 private:
  struct ArenaState {
    SegmentView segment;
    uint64_t size_bytes = 0;
    uid_t owner = 0;
    std::optional<SessionId> writer;
    uint64_t objects = 0;     // that lie in it, retired ones too
    uint64_t used_bytes = 0;  // by these
    // Freed since its unused pages were last given back, when nobody writes it.
    uint64_t freed_bytes = 0;
    // Which parts have spilled objects; null where a session writes, or wrote.
    std::unique_ptr<ExtentAllocator> spilled;
    bool is_sealing = false;
    bool is_sealed = false;  // nobody can write it any more
  };
  // Unlinked, and to be freed when it is not pinned.
  struct Retired {
    uint32_t position = 0;
    uint32_t arena = 0;
    uint64_t offset_bytes = 0;
    uint64_t generation = 0;
  };
  // Of a live object that has an end, by moment.
  struct Expiry {
    uint64_t time_ns = 0;
    uint32_t position = 0;
    bool operator<(const Expiry& other) const {
      return std::tie(time_ns, position) <
             std::tie(other.time_ns, other.position);
    }
  };
  struct LaneWait {
    SessionId session;
    uint64_t cookie = 0;
    absl::Duration deadline;  // since boot
  };

  absl::Status CheckPublish(const ObjectUser& user,
                            const PublishCommand& command) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether an arena's writer reads what it is told, so that what is freed does
  // not pile up.
  absl::Status CheckListens(const SessionId& writer) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether an object of that name is in the way; `existing` is its position.
  absl::Status CheckName(const ObjectUser& user, const PublishCommand& command,
                         uint32_t existing) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckAllLocked(const ObjectUser& user,
                              absl::Span<const PublishCommand> commands) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether the same was published before: by a ring that was served anew.
  bool IsRepeated(const ObjectUser& user, uint32_t position,
                  const PublishCommand& command) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<uint32_t> PublishLocked(const ObjectUser& user,
                                         const PublishCommand& command)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CheckGeneration(uint32_t position, uint64_t generation) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<uint32_t> FindDeletable(const ObjectUser& user,
                                         const NameKey& name,
                                         uint64_t generation) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // After Unlink, or the publication of another in its place.
  void Retire(uint32_t position) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  ObjectView ViewOf(uint32_t position) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // object_table_room.cc
  using Positions = absl::flat_hash_set<uint32_t>;
  void AddRecentUses() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Positions CollectAllPins() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Candidate CandidateOf(uint32_t position, const Positions& pinned) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether all of the group are there as they were, and may go.
  bool MayGo(const VictimGroup& group, const Positions& pinned) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void GiveBackPlaces(const SpillPlaces& places)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MoveTo(const Candidate& victim, uint32_t arena, const Extent& place)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LeaveUnusedPlacesLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeUpPlaces() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AskForRoom(Lane& lane, const layout::Submission& submission)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // object_table_strict.cc
  absl::StatusOr<EntryPtr> BeginSealingLocked(const ObjectUser& user,
                                              const PublishCommand& command)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndSealingLocked(uint32_t arena, bool is_sealed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The generation, or nullopt when it is answered later.
  absl::StatusOr<std::optional<uint64_t>> PublishStrictByLane(
      Lane& lane, const PublishCommand& command, uint64_t cookie)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FinishStrictByLane(const ObjectUser& user, const PublishCommand& command,
                          uint64_t cookie, const absl::Status& sealed);
  // What was sealed for an object that could not be published is of no use.
  void DropUnused(const PublishCommand& command)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // object_table_watch.cc; the first costs nothing unless `events_` is there.
  void NoteEvent(ObjectEvent::Type type, const NameKey& name,
                 const EntryFields& entry)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TellWatches() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration ForgetEvents() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // object_table_lanes.cc
  bool ServeLane(Lane& lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ServeOne(Lane& lane, const layout::Submission& submission)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What the answer's value is; nullopt when it is answered later.
  absl::StatusOr<std::optional<uint64_t>> Execute(
      Lane& lane, const NameKey& name, const layout::Submission& submission)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Answers it, now or later; false when the session waits too much already.
  bool AwaitByLane(Lane& lane, const NameKey& name,
                   const layout::Submission& submission)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AnswerWaiters(const NameKey& name, uint64_t generation)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration EndOldWaits() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Duration RemoveExpired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FreeRetired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The next FreeRetired looks at the pins, however long that takes.
  void LookAtPinsNow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    pins_looked_at_ = 0;
  }
  // The retired ones that are pinned.
  Positions PinnedOfRetired() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The arena's account of what it is used for.
  void NoteUsed(const EntryFields& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteFreed(uint32_t arena, const EntryFields& entry)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void NoteWriterEnded(uint32_t arena) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Free(const Retired& retired) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void LeaveArena(uint32_t number) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void MarkDirty(Lane& lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Answer(Lane& lane, uint64_t cookie, const absl::Status& status,
              uint64_t value) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // After a change by RPC: answers sessions, and has the rest done in time.
  void Settle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FlushAnswers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const SegmentView segment_;
  Clock* const clock_;
  ArenaSealer* const sealer_;
  ChangeSignal* const signal_;
  const std::function<void()> wake_;
  mutable absl::Mutex mutex_;
  DirectoryWriter directory_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<uint32_t, ArenaState> arenas_ ABSL_GUARDED_BY(mutex_);
  std::vector<SegmentView> empty_arenas_ ABSL_GUARDED_BY(mutex_);
  // That nobody writes, and that have pages nothing is in.
  absl::flat_hash_set<uint32_t> untidy_arenas_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<SessionId, std::unique_ptr<Lane>> lanes_
      ABSL_GUARDED_BY(mutex_);
  // Those that are looked at, and those with answers to be flushed.
  BasicLaneSet<Lane> hot_lanes_ ABSL_GUARDED_BY(mutex_);
  std::vector<Lane*> dirty_lanes_ ABSL_GUARDED_BY(mutex_);
  std::vector<Retired> retired_ ABSL_GUARDED_BY(mutex_);
  // How many slots the last look at pins went through, and when the next may
  // begin, since boot.
  uint64_t pins_looked_at_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Duration next_look_at_pins_ ABSL_GUARDED_BY(mutex_);
  // Being copied by the daemon itself, which is as good as a pin.
  absl::flat_hash_set<uint32_t> copied_ ABSL_GUARDED_BY(mutex_);
  UseOrder uses_ ABSL_GUARDED_BY(mutex_);
  std::function<void(const RoomAsk&)> ask_for_room_ ABSL_GUARDED_BY(mutex_);
  std::set<Expiry> expiries_ ABSL_GUARDED_BY(mutex_);
  std::multimap<std::string, LaneWait> lane_waits_ ABSL_GUARDED_BY(mutex_);
  // Null while nobody watches.
  std::shared_ptr<ObjectEvents> events_ ABSL_GUARDED_BY(mutex_);
  size_t watches_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Duration unwatched_since_ ABSL_GUARDED_BY(mutex_);  // since boot
  bool has_news_ ABSL_GUARDED_BY(mutex_) = false;
  // RPCs that wait, and what tells them that something was published.
  size_t waiters_ ABSL_GUARDED_BY(mutex_) = 0;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  absl::CondVar published_some_;
};

// ARENA_SHARED (FAILED_PRECONDITION).
absl::Status ArenaShared(uint32_t arena);

}  // namespace shmd

#endif  // SHMD_SERVER_OBJECT_OBJECT_TABLE_H_
