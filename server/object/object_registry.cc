#include "server/object/object_registry.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/access/policy.h"
#include "shm/sys/file.h"

namespace shmd {
namespace {

constexpr char kDirectoryId[] = "shmd.directory";

// How often what cannot be done yet is looked at again: a directory that is
// empty but in use, say.
constexpr absl::Duration kLookedAtAgain = absl::Milliseconds(5);

constexpr DirectoryOptions kOptions = {kMaxObjects, kMemoryReserveBytes};

SegmentOptions OwnOptions(const Caller& owner, mode_t mode,
                          uint64_t size_bytes) {
  SegmentOptions options;
  options.backend = BackendKind::kMemfd;
  options.size_bytes = size_bytes;
  options.page_size_bytes = BasePageSizeBytes();
  options.mode = mode;
  options.owner = owner.uid;
  options.group = owner.gid;
  options.seal_policy = SealPolicy::kNeverSealed;
  return options;
}

std::string PageId(SegmentRole role, const SessionId& session) {
  return absl::StrCat(
      role == SegmentRole::kSessionPage ? "shmd.page." : "shmd.answers.",
      UidToHex(session));
}

int Descriptor(const ObjectRef& object) {
  return std::get<UniqueFd>(object).get();
}

bool IsGone(const absl::Status& status) {
  return GetErrorReason(status) == reason::kSegmentNotFound;
}

}  // namespace

ObjectRegistry::ObjectRegistry(SegmentRegistry* segments, Caller self)
    : segments_(segments),
      self_(std::move(self)),
      sealer_(segments),
      room_maker_(segments, self_),
      room_server_([this](const RoomRequest& request) {
        return TryMakeRoom(request);
      }) {}

std::optional<RoomServer::Result> ObjectRegistry::TryMakeRoom(
    const RoomRequest& request) {
  if (!segments_->SessionExists(request.session)) {
    return RoomServer::Result(Error(absl::StatusCode::kNotFound,
                                    reason::kSessionNotFound,
                                    "the session has ended"));
  }
  const std::shared_ptr<ObjectTable> table = FindTable(request.name_space);
  if (table == nullptr) return std::nullopt;
  return room_maker_.TryMakeRoom(*table, request);
}

absl::StatusOr<uint64_t> ObjectRegistry::MakeRoom(const Caller& caller,
                                                  RoomRequest request) {
  RETURN_IF_ERROR(
      segments_->namespaces().CheckEntry(caller, request.name_space));
  RETURN_IF_ERROR(segments_->CheckSession(caller, request.session));
  absl::Notification is_done;
  absl::StatusOr<uint64_t> freed = uint64_t{0};
  room_server_.Push(std::move(request), [&](const RoomServer::Result& result) {
    freed = result;
    is_done.Notify();
  });
  is_done.WaitForNotification();
  return freed;
}

absl::Status ObjectRegistry::CheckReadable(const Caller& caller,
                                           const ObjectView& view) {
  if (view.segment.segment != nullptr &&
      MayAccess(caller, view.segment.segment->ownership(), Access::kRead)) {
    return absl::OkStatus();
  }
  return CallerNotAllowed(caller);
}

std::shared_ptr<ObjectTable> ObjectRegistry::FindTable(
    const std::string& name_space) const {
  absl::MutexLock lock(&mutex_);
  const auto found = tables_.find(name_space);
  return found == tables_.end() ? nullptr : found->second;
}

absl::StatusOr<std::shared_ptr<ObjectTable>> ObjectRegistry::Table(
    const Caller& caller, const std::string& name_space) const {
  RETURN_IF_ERROR(segments_->namespaces().CheckEntry(caller, name_space));
  if (std::shared_ptr<ObjectTable> table = FindTable(name_space)) return table;
  return absl::StatusOr<std::shared_ptr<ObjectTable>>(
      Error(absl::StatusCode::kNotFound, reason::kObjectNotFound,
            "there is no object in the namespace")
          .With("namespace", name_space));
}

absl::StatusOr<std::shared_ptr<ObjectTable>> ObjectRegistry::OpenTable(
    const Caller& caller, const std::string& name_space) {
  RETURN_IF_ERROR(segments_->namespaces().CheckEntry(caller, name_space));
  absl::MutexLock making(&making_);
  return FindOrMakeTable(name_space);
}

std::vector<std::shared_ptr<ObjectTable>> ObjectRegistry::Tables() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<ObjectTable>> tables;
  tables.reserve(tables_.size());
  for (const auto& [name_space, table] : tables_) tables.push_back(table);
  return tables;
}

absl::StatusOr<std::shared_ptr<ObjectTable>> ObjectRegistry::MakeTable(
    const SegmentView& directory) {
  ASSIGN_OR_RETURN(ObjectRef object,
                   segments_->OpenObject(directory, Access::kReadWrite));
  ASSIGN_OR_RETURN(
      DirectoryWriter writer,
      DirectoryWriter::Open(std::move(std::get<UniqueFd>(object)), kOptions));
  ObjectTable::Parts parts;
  parts.clock = &segments_->clock();
  parts.sealer = &sealer_;
  parts.signal = &segments_->events().signal();
  parts.wake = [this] { wake_(); };
  auto table = std::make_shared<ObjectTable>(std::move(writer), directory,
                                             std::move(parts));
  const std::string& name_space = directory.segment->name.name_space;
  table->OnRoomAsked([this, name_space](const RoomAsk& ask) {
    room_server_.Push(
        {name_space, ask.session, ask.size_bytes, ask.wait},
        [this, name_space, ask](const RoomServer::Result& freed) {
          // The next run takes the submission up again.
          if (GetErrorReason(freed.status()) == reason::kServerDraining) return;
          const std::shared_ptr<ObjectTable> found = FindTable(name_space);
          if (found != nullptr) found->AnswerRoom(ask, freed);
        });
  });
  return table;
}

absl::StatusOr<std::shared_ptr<ObjectTable>> ObjectRegistry::FindOrMakeTable(
    const std::string& name_space) {
  if (std::shared_ptr<ObjectTable> table = FindTable(name_space)) return table;
  CreateCommand command;
  command.name_space = name_space;
  command.id = kDirectoryId;
  // Everybody who may enter the namespace; to read.
  command.options = OwnOptions(self_, 0444, sizeof(layout::DirectoryHeader));
  command.options.resizable = true;
  command.role = SegmentRole::kDirectory;
  SHMD_FAILPOINT("directory.create");
  ASSIGN_OR_RETURN(const SegmentView directory,
                   segments_->CreateOne(self_, command));
  SHMD_FAILPOINT("directory.created");
  absl::StatusOr<std::shared_ptr<ObjectTable>> table = MakeTable(directory);
  if (!table.ok()) {
    segments_->RemoveReserved(directory.entry).IgnoreError();
    return table.status();
  }
  {
    absl::MutexLock lock(&mutex_);
    tables_[name_space] = *table;
  }
  // It may stay empty, if what it is made for fails.
  wake_();
  return table;
}

absl::StatusOr<SegmentView> ObjectRegistry::FindOrMakePage(
    const Caller& caller, const std::string& name_space,
    const SessionId& session, SegmentRole role) {
  const std::string id = PageId(role, session);
  absl::StatusOr<SegmentView> found = segments_->Get(caller, {name_space, id});
  if (found.ok() || !IsGone(found.status())) return found;
  const bool is_page = role == SegmentRole::kSessionPage;
  CreateCommand command;
  command.name_space = name_space;
  command.id = id;
  command.options = OwnOptions(
      caller, is_page ? 0600 : 0400,
      is_page ? sizeof(layout::SessionPage) : sizeof(layout::AnswersPage));
  command.lifetime = Lifetime::kSession;
  command.owner_session = session;
  command.role = role;
  return segments_->CreateOne(caller, command);
}

absl::StatusOr<std::unique_ptr<Lane>> ObjectRegistry::OpenLane(
    const SessionId& session, const Caller& caller, const SegmentView& page,
    const SegmentView& answers) {
  ASSIGN_OR_RETURN(const ObjectRef page_object,
                   segments_->OpenObject(page, Access::kReadWrite));
  ASSIGN_OR_RETURN(const ObjectRef answers_object,
                   segments_->OpenObject(answers, Access::kReadWrite));
  return Lane::Open(Descriptor(page_object), Descriptor(answers_object),
                    session, caller);
}

absl::StatusOr<ObjectRegistry::Opened> ObjectRegistry::Open(
    const Caller& caller, const std::string& name_space,
    const SessionId& session) {
  RETURN_IF_ERROR(segments_->namespaces().CheckEntry(caller, name_space));
  // Of others nobody learns whether they exist, or have opened it.
  RETURN_IF_ERROR(segments_->CheckSession(caller, session));
  absl::MutexLock making(&making_);
  ASSIGN_OR_RETURN(const std::shared_ptr<ObjectTable> table,
                   FindOrMakeTable(name_space));
  Opened opened;
  opened.directory = table->directory();
  ASSIGN_OR_RETURN(
      opened.session_page,
      FindOrMakePage(caller, name_space, session, SegmentRole::kSessionPage));
  ASSIGN_OR_RETURN(opened.answers, FindOrMakePage(caller, name_space, session,
                                                  SegmentRole::kAnswers));
  if (!table->HasLane(session)) {
    ASSIGN_OR_RETURN(
        std::unique_ptr<Lane> lane,
        OpenLane(session, caller, opened.session_page, opened.answers));
    table->AddLane(session, std::move(lane));
  }
  return opened;
}

absl::StatusOr<ObjectRegistry::NewArena> ObjectRegistry::CreateArena(
    const Caller& caller, const ArenaCommand& command) {
  RETURN_IF_ERROR(
      segments_->namespaces().CheckEntry(caller, command.name_space));
  RETURN_IF_ERROR(segments_->CheckSession(caller, command.session));
  std::shared_ptr<ObjectTable> table;
  {
    absl::MutexLock making(&making_);
    ASSIGN_OR_RETURN(table, FindOrMakeTable(command.name_space));
  }
  NewArena arena;
  arena.number = table->NextArena();
  CreateCommand create;
  create.name_space = command.name_space;
  create.id = ArenaSegmentId(arena.number);
  create.options = OwnOptions(caller, command.mode, command.size_bytes);
  // For a strict object. Who could seal it unasked is its one writer, whose
  // loss that is.
  create.options.seal_policy = SealPolicy::kSealable;
  if (command.page_size_bytes > BasePageSizeBytes()) {
    create.options.page_size_bytes = command.page_size_bytes;
    // What the pool lacks is told now, and not by SIGBUS later.
    create.options.allocation = Allocation::kReserved;
  }
  create.owner_session = command.session;
  create.role = SegmentRole::kArena;
  SHMD_FAILPOINT("arena.create");
  ASSIGN_OR_RETURN(arena.segment,
                   segments_->CreateOne(caller, std::move(create)));
  SHMD_FAILPOINT("arena.created");
  table->AddArena(arena.number, arena.segment, command.session);
  // The session may have ended before its arena was there to be left.
  if (!segments_->SessionExists(command.session)) {
    table->EndSession(command.session);
  }
  return arena;
}

absl::Status ObjectRegistry::Seal(ObjectTable& table, const ObjectUser& user,
                                  const PublishCommand& command) {
  ASSIGN_OR_RETURN(const EntryPtr arena, table.BeginSealing(user, command));
  const absl::Status sealed = segments_->SealReserved(arena);
  table.EndSealing(command.arena, sealed.ok());
  return sealed;
}

void ObjectRegistry::EndSession(const SessionId& session) {
  for (const auto& table : Tables()) table->EndSession(session);
}

void ObjectRegistry::Drain() {
  for (const auto& table : Tables()) table->Drain();
  room_server_.Drain();
}

absl::Duration ObjectRegistry::DoDue() {
  absl::Duration next = absl::InfiniteDuration();
  bool some_unused = false;
  for (const auto& table : Tables()) {
    next = std::min(next, table->DoDue());
    room_maker_.RemoveEmptyArenas(*table);
    if (table->HasUnusedPages() && !GiveBackUnusedPages(table)) {
      next = std::min(next, kLookedAtAgain);
    }
    some_unused = some_unused || table->IsEmpty();
  }
  if (some_unused && !RemoveUnused()) next = std::min(next, kLookedAtAgain);
  return next;
}

bool ObjectRegistry::GiveBackUnusedPages(std::shared_ptr<ObjectTable> table) {
  if (is_tidying_.exchange(true)) return false;
  tidier_.Run([this, table = std::move(table)] {
    for (const ObjectTable::UnusedPages& one : table->TakeUnusedPages()) {
      for (const Extent& run : one.runs) {
        const absl::Status status =
            sys::PunchHole(one.arena.entry->object.memfd.get(),
                           run.offset_bytes, run.size_bytes);
        // They stay until the arena goes.
        if (!status.ok()) Log(LogLevel::kError, status.message());
      }
    }
    is_tidying_ = false;
  });
  return true;
}

bool ObjectRegistry::RemoveUnused() {
  // Nobody opens a directory meanwhile.
  absl::MutexLock making(&making_);
  std::vector<EntryPtr> unused;
  bool all_removed = true;
  {
    absl::MutexLock lock(&mutex_);
    for (auto at = tables_.begin(); at != tables_.end();) {
      const auto table = at++;
      if (!table->second->IsEmpty()) continue;
      // Who has it already is about to wait in it, or to put something there.
      if (table->second.use_count() > 1) {
        all_removed = false;
        continue;
      }
      unused.push_back(table->second->directory().entry);
      tables_.erase(table);
    }
  }
  for (const EntryPtr& entry : unused) {
    const absl::Status status = segments_->RemoveReserved(entry);
    if (!status.ok()) Log(LogLevel::kError, status.message());
  }
  return all_removed;
}

absl::Status ObjectRegistry::TakeUp() {
  const std::vector<SegmentView> reserved = segments_->ListReserved();
  for (const SegmentView& view : reserved) {
    if (view.segment->role != SegmentRole::kDirectory) continue;
    const absl::StatusOr<std::shared_ptr<ObjectTable>> table = MakeTable(view);
    if (!table.ok()) {
      Log(LogLevel::kError,
          absl::StrCat("a directory is lost: ", table.status().message()));
      continue;
    }
    absl::MutexLock lock(&mutex_);
    tables_[view.segment->name.name_space] = *table;
  }
  RETURN_IF_ERROR(TakeUpLanes(reserved));
  for (const auto& table : Tables()) table->TakeUp();
  // Writers and readers that are gone for good.
  for (const SegmentView& view : reserved) {
    if (view.segment->role != SegmentRole::kDirectory &&
        !segments_->SessionExists(view.segment->owner_session)) {
      EndSession(view.segment->owner_session);
    }
  }
  return absl::OkStatus();
}

absl::Status ObjectRegistry::TakeUpLanes(
    const std::vector<SegmentView>& reserved) {
  absl::flat_hash_map<std::string, SegmentView> by_name;
  for (const SegmentView& view : reserved) {
    by_name[view.segment->name.ToString()] = view;
  }
  for (const SegmentView& view : reserved) {
    const Segment& segment = *view.segment;
    const std::shared_ptr<ObjectTable> table =
        FindTable(segment.name.name_space);
    const SessionId& session = segment.owner_session;
    if (segment.role == SegmentRole::kArena) {
      const std::optional<uint32_t> number = ArenaNumberOf(segment.name.id);
      if (table == nullptr || !number.has_value()) {
        // Nothing says any more what is in it. A file may not be to be removed
        // now; it is no reason not to start.
        const absl::Status removed = segments_->RemoveReserved(view.entry);
        if (!removed.ok()) Log(LogLevel::kError, removed.message());
        continue;
      }
      table->AddArena(*number, view, session);
    } else if (segment.role == SegmentRole::kSessionPage && table != nullptr) {
      const SegmentName answers = {segment.name.name_space,
                                   PageId(SegmentRole::kAnswers, session)};
      const auto found = by_name.find(answers.ToString());
      if (found == by_name.end()) continue;
      Caller caller;
      caller.uid = segment.options.owner;
      absl::StatusOr<std::unique_ptr<Lane>> lane =
          OpenLane(session, caller, view, found->second);
      if (lane.ok()) table->AddLane(session, *std::move(lane));
    }
  }
  return absl::OkStatus();
}

}  // namespace shmd
