// Creation.

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/synchronization/blocking_counter.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "server/registry/segment_registry.h"

namespace shmd {
namespace {

// Smaller reservations fit into the reserve that every check leaves, so they
// need not wait for one another.
constexpr uint64_t kLargeReservationBytes = 256 << 10;

// From here on a batch is worth another thread, which takes about 30 us: one
// that is made, and one whose memfds are yet to be.
constexpr size_t kParallelBatch = 32;
constexpr size_t kParallelLateBatch = 320;

// Larger batches do not keep a descriptor of each member until all are made.
constexpr size_t kFewDescriptors = 4;

// A create alone names its fields without an index.
absl::Status OfMember(const absl::Status& status, size_t index, size_t count) {
  if (status.ok() || count == 1) return status;
  return AtIndex(status, "requests", index);
}

// The options of a segment's object; what differs from the segment's own.
SegmentOptions FileOptionsOf(const Segment& segment) {
  SegmentOptions options = segment.options;
  if (IsSpillArena(options, segment.role)) {
    options.mode = 0600;
    options.owner = geteuid();
    options.group = getegid();
  }
  return options;
}

// Whoever makes a segment of another role uses the object itself at once.
bool MayBeLate(const CreateCommand& command) {
  return command.role == SegmentRole::kOrdinary;
}

// The uid of the `number`th segment like one: a request is kept with one alone.
Uid Following(Uid uid, size_t number) {
  uint32_t last;
  std::memcpy(&last, uid.data() + uid.size() - sizeof(last), sizeof(last));
  last += static_cast<uint32_t>(number);
  std::memcpy(uid.data() + uid.size() - sizeof(last), &last, sizeof(last));
  return uid;
}

// Those that this thread may run on.
int CountProcessors() {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return 1;
  return CPU_COUNT(&allowed);
}

}  // namespace

absl::StatusOr<SegmentRegistry::Pending> SegmentRegistry::Reserve(
    const Uid& uid, const std::string& name_space, std::string id,
    const SegmentOptions& options, SegmentRole role) {
  Pending pending;
  pending.uid = uid;
  pending.owner = options.owner;
  pending.name = {name_space, id.empty() ? UidToHex(uid) : std::move(id)};
  pending.use = UseOf(options, role);
  pending.backend = options.backend;
  if (!by_name_.try_emplace(IndexKey(pending.name).view(), nullptr).second) {
    return Error(absl::StatusCode::kAlreadyExists, reason::kSegmentExists,
                 "the name is taken by another segment")
        .With("name", pending.name.ToString());
  }
  pending.generation = next_generation_++;
  return pending;
}

void SegmentRegistry::ForgetPending(const Pending& pending) {
  by_name_.erase(IndexKey(pending.name).view());
  pending_uids_.erase(pending.uid);
}

absl::Status SegmentRegistry::TakeUseOfAll(absl::Span<const Pending> pending) {
  // Of one owner and namespace, as the members of a batch are, in one go.
  const Pending& first = pending.front();
  Budget::Use sum;
  bool is_of_one = pending.size() > 1;
  for (const Pending& one : pending) {
    is_of_one = is_of_one && one.owner == first.owner &&
                one.name.name_space == first.name.name_space;
    sum.Add(one.use);
  }
  if (is_of_one && TakeUse(first.name.name_space, first.owner, sum).ok()) {
    return absl::OkStatus();
  }
  // One by one, also to find which of them is too much.
  for (size_t i = 0; i < pending.size(); ++i) {
    const Pending& one = pending[i];
    const absl::Status taken = TakeUse(one.name.name_space, one.owner, one.use);
    if (taken.ok()) continue;
    for (const Pending& before : pending.subspan(0, i)) {
      GiveBackUse(before.name.name_space, before.owner, before.use);
    }
    return OfMember(taken, i, pending.size());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<SegmentRegistry::Pending>>
SegmentRegistry::ReserveAll(const Caller& caller, const CreateOrder& order) {
  const std::vector<CreateCommand>& commands = order.commands();
  const std::vector<Uid> uids = RandomUids(commands.size());
  std::vector<Pending> all;
  all.reserve(order.size());
  absl::Status status;
  for (size_t i = 0; i < order.size() && status.ok(); ++i) {
    const CreateCommand& command = order[i];
    absl::StatusOr<Pending> one =
        Reserve(order.is_alike() ? Following(uids[0], i) : uids[i],
                command.name_space, command.id, command.options, command.role);
    status = OfMember(one.status(), i, order.size());
    if (status.ok()) all.push_back(*std::move(one));
  }
  if (status.ok()) status = TakeUseOfAll(all);
  if (!status.ok()) {
    for (const Pending& one : all) ForgetPending(one);
    return status;
  }
  for (size_t i = 0; i < commands.size(); ++i) {
    if (commands[i].request_id.empty()) continue;
    pending_uids_.insert(all[i].uid);
    all[i].forgotten_request = requests_.Record(
        caller.uid, commands[i].request_id,
        {commands[i].fingerprint, all[i].uid, all[i].generation});
  }
  return all;
}

void SegmentRegistry::UnreserveLocked(absl::Span<const Pending> pending) {
  for (const Pending& one : pending) {
    ForgetPending(one);
    GiveBackUse(one.name.name_space, one.owner, one.use);
  }
}

void SegmentRegistry::AwaitPending(const Caller& caller,
                                   const CreateOrder& order) {
  const auto done = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    for (const CreateCommand& command : order.commands()) {
      if (command.request_id.empty()) continue;
      const auto earlier = requests_.Find(caller.uid, command.request_id);
      // Another request under the same id is refused at once.
      if (earlier.has_value() && earlier->fingerprint == command.fingerprint &&
          pending_uids_.contains(earlier->segment)) {
        return false;
      }
    }
    return true;
  };
  mutex_.Await(absl::Condition(&done));
}

absl::StatusOr<std::vector<SegmentView>> SegmentRegistry::FindRepeated(
    const Caller& caller, const CreateOrder& order) {
  AwaitPending(caller, order);
  std::vector<SegmentView> views;
  for (size_t i = 0; i < order.size(); ++i) {
    const CreateCommand& command = order[i];
    Uid uid;
    if (order.is_alike() && i > 0) {
      if (views.empty()) break;
      uid = Following(views[0].segment->uid, i);
    } else {
      if (command.request_id.empty()) continue;
      const std::optional<RequestLog::Entry> earlier =
          requests_.Find(caller.uid, command.request_id);
      if (!earlier.has_value()) continue;
      if (earlier->fingerprint != command.fingerprint) {
        return OfMember(InvalidField("request_id", reason::kRequestIdReused,
                                     "was used for another request"),
                        i, order.size());
      }
      uid = earlier->segment;
    }
    const auto found = by_uid_.find(uid);
    if (found == by_uid_.end()) {
      return OfMember(
          Error(absl::StatusCode::kNotFound, reason::kSegmentNotFound,
                "the segment that this request made is gone"),
          i, order.size());
    }
    views.push_back(ViewOf(found->second));
  }
  if (!views.empty() && views.size() < order.size()) {
    return InvalidField("request_id", reason::kRequestIdReused,
                        "is there for a part of this batch alone: another call "
                        "made that part, or the rest is gone since");
  }
  return views;
}

absl::StatusOr<SegmentView> SegmentRegistry::CreateOne(const Caller& caller,
                                                       CreateCommand command) {
  ASSIGN_OR_RETURN(std::vector<SegmentView> made,
                   Create(caller, CreateOrder(std::move(command), 1)));
  return std::move(made.front());
}

absl::StatusOr<std::vector<SegmentView>> SegmentRegistry::Create(
    const Caller& caller, const CreateOrder& order) {
  const std::vector<CreateCommand>& commands = order.commands();
  absl::flat_hash_set<absl::string_view> request_ids;
  for (size_t i = 0; i < commands.size(); ++i) {
    const CreateCommand& command = commands[i];
    absl::Status status;
    // The members of a batch are of one namespace.
    if (!command.is_let_in &&
        (i == 0 || command.name_space != commands[i - 1].name_space)) {
      status = CheckEntry(caller, command.name_space);
    }
    status.Update(CheckNewOwnership(caller, command.options.owner,
                                    command.options.group));
    if (status.ok()) {
      status = CheckFolders(caller, command.options.backend,
                            command.options.file_path, /*is_new=*/true);
    }
    if (!command.request_id.empty() &&
        !request_ids.insert(command.request_id).second) {
      status.Update(InvalidField("request_id", reason::kRequestIdReused,
                                 "is that of another member of the batch"));
    }
    if (!status.ok()) return OfMember(status, i, order.size());
  }
  return CreateNew(caller, order);
}

absl::StatusOr<std::vector<SegmentView>> SegmentRegistry::CreateNew(
    const Caller& caller, const CreateOrder& order) {
  std::vector<Pending> pending;
  {
    absl::MutexLock lock(&mutex_);
    ASSIGN_OR_RETURN(std::vector<SegmentView> repeated,
                     FindRepeated(caller, order));
    if (!repeated.empty()) return repeated;
    ASSIGN_OR_RETURN(pending, ReserveAll(caller, order));
  }
  Made made;
  SHMD_FAILPOINT("create.reserved");
  absl::Status status = Intend(absl::MakeSpan(pending), order);
  SHMD_FAILPOINT("create.intended");
  if (status.ok()) status = MakeAll(pending, order, &made);
  SHMD_FAILPOINT("create.made");
  if (status.ok()) status = OwnAll(caller, made.segments);
  SHMD_FAILPOINT("create.owned");
  if (status.ok()) status = Keep(made);
  SHMD_FAILPOINT("create.kept");
  if (status.ok()) status = RecordMade(caller, made, pending, order);
  SHMD_FAILPOINT("create.recorded");
  if (status.ok()) status = FinishDurably(made);
  if (status.ok()) status = SHMD_FAILPOINT_STATUS("create.finished");
  if (status.ok()) return Publish(made, absl::MakeSpan(pending));
  Abandon(made, pending);
  SHMD_FAILPOINT("create.abandoned");
  absl::MutexLock lock(&mutex_);
  UnreserveLocked(pending);
  for (const CreateCommand& command : order.commands()) {
    requests_.Forget(caller.uid, command.request_id);
  }
  return status;
}

absl::Status SegmentRegistry::FinishDurably(const Made& made) {
  if (!OutlivesPower(made)) return FinishAll(made);
  // The journal, files and, where they need it, their names are flushed side by
  // side: each waits for the storage several times, and a file system that has
  // several of them commits them together. This thread takes the files, which
  // take longest, as the others begin later. A power loss before the record is
  // there leaves a file, as one before its intent would be there does.
  const bool needs_names = std::any_of(
      made.entries.begin(), made.entries.end(),
      [](const EntryPtr& entry) { return entry->object.needs_name_flush; });
  absl::Status recorded;
  absl::Status named;
  absl::BlockingCounter others(needs_names ? 2 : 1);
  flushers_.Run([&] {
    recorded = parts_.store->Sync();
    others.DecrementCount();
  });
  if (needs_names) {
    flushers_.Run([&] {
      named = FlushNames(made);
      others.DecrementCount();
    });
  }
  absl::Status status = FinishAll(made);
  others.Wait();
  status.Update(named);
  status.Update(recorded);
  return status;
}

absl::Status SegmentRegistry::FlushNames(const Made& made) {
  for (size_t i = 0; i < made.entries.size(); ++i) {
    const KernelObject& object = made.entries[i]->object;
    if (!object.needs_name_flush) continue;
    const absl::Status status = BackendOf(*made.segments[i]).FlushName(object);
    if (!status.ok()) return OfMember(status, i, made.entries.size());
  }
  return absl::OkStatus();
}

absl::Status SegmentRegistry::FinishAll(const Made& made) {
  {
    // Before anybody can open them, so that nobody adopts them meanwhile.
    absl::MutexLock lock(&mutex_);
    for (size_t i = 0; i < made.entries.size(); ++i) {
      const std::string key = ObjectKey(made.entries[i]->object.name);
      if (!key.empty()) objects_[key] = made.segments[i]->uid;
    }
  }
  for (size_t i = 0; i < made.entries.size(); ++i) {
    const Segment& segment = *made.segments[i];
    const KernelObject& object = made.entries[i]->object;
    const absl::Status status =
        BackendOf(segment).Finish(object, FileOptionsOf(segment));
    object.unfinished = UniqueFd();
    if (!status.ok()) return OfMember(status, i, made.entries.size());
  }
  return absl::OkStatus();
}

size_t SegmentRegistry::WorthAThread(const CreateCommand& command) const {
  SegmentOptions options = command.options;
  options.may_be_late = MayBeLate(command);
  return parts_.backends->Get(options.backend).IsMadeLate(options)
             ? kParallelLateBatch
             : kParallelBatch;
}

absl::Status SegmentRegistry::MakeAll(absl::Span<const Pending> pending,
                                      const CreateOrder& order, Made* made) {
  const size_t count = order.size();
  const auto make = [&](size_t begin, size_t end, Made* part) {
    absl::Status status;
    for (size_t i = begin; i < end && status.ok(); ++i) {
      status = OfMember(MakeOne(pending[i], order[i], part), i, count);
      if (count > kFewDescriptors && status.ok()) {
        part->entries.back()->object.unfinished = UniqueFd();
      }
    }
    return status;
  };
  made->entries.reserve(count);
  made->segments.reserve(count);
  if (count < WorthAThread(order[0]) || CountProcessors() < 2) {
    return make(0, count, made);
  }
  // The kernel makes objects on two processors in little more than half of the
  // time, and that is most of what a batch takes.
  Made second;
  absl::Status second_status;
  std::thread worker([&] { second_status = make(count / 2, count, &second); });
  absl::Status status = make(0, count / 2, made);
  worker.join();
  for (size_t i = 0; i < second.entries.size(); ++i) {
    made->entries.push_back(std::move(second.entries[i]));
    made->segments.push_back(std::move(second.segments[i]));
  }
  status.Update(second_status);
  return status;
}

absl::Status SegmentRegistry::MakeOne(const Pending& pending,
                                      const CreateCommand& command,
                                      Made* made) {
  auto segment = std::make_shared<Segment>();
  segment->name = pending.name;
  segment->uid = pending.uid;
  segment->generation = pending.generation;
  segment->labels = command.labels;
  segment->options = command.options;
  segment->lifetime = command.lifetime;
  segment->owner_session = command.owner_session;
  segment->role = command.role;
  RETURN_IF_ERROR(SetExpiration(command.expiration, segment.get()));
  RETURN_IF_ERROR(SHMD_FAILPOINT_STATUS("create.make"));
  SegmentOptions& options = segment->options;
  if (!pending.posix_name.empty()) options.posix_name = pending.posix_name;
  options.may_be_late = MayBeLate(command);
  ASSIGN_OR_RETURN(KernelObject object, CreateObject(options));
  options.posix_name = object.name.posix_name;
  made->entries.push_back(std::make_shared<SegmentEntry>(std::move(object)));
  made->segments.push_back(std::move(segment));
  if (command.fill == nullptr) return absl::OkStatus();
  return command.fill({made->entries.back(), made->segments.back()});
}

absl::StatusOr<KernelObject> SegmentRegistry::CreateObject(
    const SegmentOptions& options) {
  const Backend& backend = parts_.backends->Get(options.backend);
  if (options.allocation == Allocation::kReserved &&
      options.size_bytes >= kLargeReservationBytes) {
    absl::MutexLock lock(&reservation_);
    return backend.Make(options);
  }
  return backend.Make(options);
}

absl::Status SegmentRegistry::SetExpiration(const Expiration& expiration,
                                            Segment* segment) const {
  segment->expire_time.reset();
  segment->expire_at.reset();
  segment->lease_ttl = expiration.ttl;
  if (!expiration.ttl.has_value() && !expiration.time.has_value()) {
    return absl::OkStatus();
  }
  const absl::Time now = parts_.clock->WallTime();
  absl::Duration left = absl::InfiniteDuration();
  if (expiration.ttl.has_value()) left = *expiration.ttl;
  if (expiration.time.has_value()) left = *expiration.time - now;
  if (left <= absl::ZeroDuration()) {
    return InvalidField("segment.expire_time", reason::kFieldInvalid,
                        "has passed");
  }
  segment->expire_time = now + left;
  segment->expire_at = parts_.clock->SinceBoot() + left;
  return absl::OkStatus();
}

std::vector<SegmentView> SegmentRegistry::Publish(Made& made,
                                                  absl::Span<Pending> pending) {
  std::vector<EntryPtr>& entries = made.entries;
  std::vector<SegmentView> views;
  views.reserve(entries.size());
  absl::MutexLock lock(&mutex_);
  for (size_t i = 0; i < entries.size(); ++i) {
    parts_.events->Append(EventType::kCreated, made.segments[i]);
    entries[i]->segment = std::move(made.segments[i]);
    Index(entries[i]);
    pending_uids_.erase(pending[i].uid);
    DoomUnlessOwned(entries[i]);
    views.push_back(ViewOf(entries[i]));
    views.back().is_new = true;
  }
  SHMD_FAILPOINT("create.published");
  return views;
}

}  // namespace shmd
