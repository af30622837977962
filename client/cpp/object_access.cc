#include "client/cpp/object_access.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/base/attributes.h"
#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "shm/directory/directory_words.h"
#include "shm/lane/answer_reason.h"
#include "shm/types.h"
#include "shmd/v1/object.pb.h"

namespace shmd {
inline namespace client {
namespace {

using layout::SubmissionKind;

// As often as it pays to look for memory that was freed: the daemon tells of
// what was freed in this program's arenas, but not of quota that came back.
constexpr absl::Duration kRoomLookedFor = absl::Milliseconds(20);

Error ObjectNotFound(absl::string_view id) {
  return Error(absl::StatusCode::kNotFound, reason::kObjectNotFound,
               "there is no such object")
      .With("object", id);
}

absl::StatusOr<NameKey> KeyOf(absl::string_view id) {
  const std::optional<NameKey> key = NameKey::Of(id);
  if (key.has_value()) return *key;
  return absl::StatusOr<NameKey>(
      InvalidField("object_id", reason::kObjectIdInvalid,
                   "is not 1 to 64 of [A-Za-z0-9._-]"));
}

// The id as a submission has it.
absl::Status SetName(absl::string_view id, layout::Submission* submission) {
  ASSIGN_OR_RETURN(const NameKey key, KeyOf(id));
  std::memcpy(submission->name, key.words, sizeof(submission->name));
  submission->name_length = key.length;
  return absl::OkStatus();
}

uint64_t NanosOf(absl::Duration duration) {
  if (duration == absl::InfiniteDuration()) return 0;
  return static_cast<uint64_t>(
      std::max<int64_t>(absl::ToInt64Nanoseconds(duration), 1));
}

constexpr uint64_t RoundUp(uint64_t bytes, uint64_t to) {
  return (bytes + to - 1) / to * to;
}

absl::StatusOr<std::string> MetadataBytes(const ObjectMetadata& metadata) {
  v1::ObjectMetadata proto;
  proto.set_media_type(metadata.media_type);
  proto.set_schema(metadata.schema);
  proto.set_dtype(metadata.dtype);
  for (const uint64_t size : metadata.shape) proto.add_shape(size);
  for (const int64_t stride : metadata.strides) proto.add_strides(stride);
  for (const auto& [key, value] : metadata.labels) {
    (*proto.mutable_labels())[key] = value;
  }
  std::string bytes = proto.SerializeAsString();
  if (bytes.size() > layout::kMaxObjectMetadataBytes) {
    return InvalidField("metadata", reason::kFieldInvalid,
                        "is more than 65536 bytes")
        .ToStatus();
  }
  // Readers would not take it either.
  if (!proto.ParseFromString(bytes)) {
    return InvalidField("metadata", reason::kFieldInvalid, "is not UTF-8")
        .ToStatus();
  }
  return bytes;
}

}  // namespace

std::string ObjectAccess::Parent() const {
  return absl::StrCat("namespaces/", options_.name_space);
}

absl::Time ObjectAccess::CallDeadline() const {
  return absl::Now() + parts_.client->reconnect_timeout() + absl::Seconds(1);
}

bool ObjectAccess::Contains(absl::string_view id) const {
  const std::optional<NameKey> key = NameKey::Of(id);
  FoundObject found;
  return key.has_value() && reader_.Find(*key, &found) == Lookup::kFound;
}

// Inlined, as the pin is: what was found never leaves the registers then.
ABSL_ATTRIBUTE_ALWAYS_INLINE inline absl::StatusOr<PinnedObject>
ObjectAccess::Pinned(const PinResult& pin, const FoundObject& found) {
  const ArenaView* view = views_.Find(found.arena);
  if (view == nullptr) {
    const absl::StatusOr<const ArenaView*> mapped = MapArena(found.arena);
    if (!mapped.ok()) {
      pins_.Unpin(pin.slot);
      return mapped.status();
    }
    view = *mapped;
  }
  if (found.offset_bytes > view->size_bytes ||
      found.size_bytes > view->size_bytes - found.offset_bytes) {
    pins_.Unpin(pin.slot);
    return Error(absl::StatusCode::kDataLoss, reason::kHeaderCorrupt,
                 "the directory points beyond an arena")
        .ToStatus();
  }
  // In its place: a move would be stores that the next pin has to wait for.
  absl::StatusOr<PinnedObject> made(absl::in_place);
  PinnedObject& object = *made;
  object.access_ = this;
  object.slot_ = pin.slot;
  object.metadata_bytes_ = found.metadata_bytes;
  object.data_ = view->data + found.offset_bytes;
  object.size_bytes_ = found.size_bytes;
  object.generation_ = found.generation;
  object.is_strict_ = (ControlWord::Of(found.control).flags & kStrictFlag) != 0;
  return made;
}

absl::StatusOr<PinnedObject> ObjectAccess::Get(absl::string_view id) {
  const std::optional<NameKey> key = NameKey::Of(id);
  if (!key.has_value()) return KeyOf(id).status();
  lane_.ListenIfAny();
  if (is_lost_->load(std::memory_order_relaxed)) return DirectoryLost();
  FoundObject found;
  const PinResult pin = pins_.Pin(reader_, *key, &found);
  if (pin.outcome == PinOutcome::kPinned) return Pinned(pin, found);
  switch (pin.outcome) {
    case PinOutcome::kAbsent:
      return ObjectNotFound(id).ToStatus();
    case PinOutcome::kNoSlot:
      return Exhausted(reason::kAttachmentLimit, "pins of a session", 1, 0,
                       "pins");
    default:
      return Error(absl::StatusCode::kUnavailable, reason::kHeaderCorrupt,
                   "the directory does not hold still")
          .ToStatus();
  }
}

absl::StatusOr<const ArenaView*> ObjectAccess::MapArena(uint32_t arena) {
  // Not the lock of those who only hear of arenas: this may wait for a daemon.
  absl::MutexLock mapping_one(&mapping_mutex_);
  if (const ArenaView* const mapped = FindView(arena)) return mapped;
  ASSIGN_OR_RETURN(
      OpenedSegment opened,
      parts_.client->Open(absl::StrCat(Parent(), "/arenas/", arena),
                          Access::kRead));
  SHMD_FAILPOINT("view.opened");
  const Attachment::Facts& facts = opened.attachment.facts();
  MapOptions options;
  options.size_bytes = facts.segment_size_bytes;
  options.page_size_bytes = facts.page_size_bytes;
  ASSIGN_OR_RETURN(ReadOnlyMapping mapping,
                   ReadOnlyMapping::Map(opened.object, options));
  SHMD_FAILPOINT("view.mapped");
  auto view = std::make_unique<ArenaView>();
  view->attached =
      ReadOnlyAttached(std::move(opened.attachment), std::move(mapping));
  view->data = static_cast<const char*>(view->attached.data());
  view->size_bytes = view->attached.size_bytes();
  absl::MutexLock lock(&arenas_mutex_);
  return views_.Add(arena, std::move(view));
}

absl::Status ObjectAccess::Await(absl::string_view id, absl::Duration wait) {
  ObjectLane::Operation await;
  await.submission.kind = static_cast<uint32_t>(SubmissionKind::kAwait);
  await.submission.ttl_ns = NanosOf(wait);
  RETURN_IF_ERROR(SetName(id, &await.submission));
  RETURN_IF_ERROR(lane_.Run(absl::MakeSpan(&await, 1), CallDeadline() + wait));
  return StatusOfAnswer(await.answer.result, await.answer.reason, id);
}

absl::StatusOr<v1::Arena> ObjectAccess::CallCreateArena(uint64_t size_bytes) {
  {
    absl::MutexLock lock(&arenas_mutex_);
    for (auto spare = spare_arenas_.begin(); spare != spare_arenas_.end();
         ++spare) {
      if (spare->size_bytes() != size_bytes) continue;
      v1::Arena arena = std::move(*spare);
      spare_arenas_.erase(spare);
      return arena;
    }
  }
  v1::CreateArenaRequest request;
  v1::Arena reply;
  request.set_parent(Parent());
  request.mutable_arena()->set_size_bytes(size_bytes);
  request.mutable_arena()->set_mode(options_.mode);
  request.mutable_arena()->set_page_size_bytes(options_.page_size_bytes);
  RETURN_IF_ERROR(parts_.client->CallInSession(
      [&](const std::string& session) { request.set_session(session); },
      [&] {
        return parts_.client->Call(&v1::ObjectService::Stub::CreateArena,
                                   request, reply);
      }));
  return reply;
}

absl::StatusOr<ObjectArena*> ObjectAccess::NewArena(uint64_t size_bytes,
                                                    bool is_strict) {
  ASSIGN_OR_RETURN(
      v1::Arena reply,
      CallCreateArena(std::max(
          RoundUp(size_bytes, PageBytes()),
          is_strict ? 0 : RoundUp(options_.arena_bytes, PageBytes()))));
  SHMD_FAILPOINT("draft.arena_made");
  // Nothing but the session's end removes it, so the next one takes it up if
  // this fails for now, for want of a descriptor, say.
  auto keep = absl::MakeCleanup([&] {
    absl::MutexLock lock(&arenas_mutex_);
    spare_arenas_.push_back(std::move(reply));
  });
  absl::StatusOr<OpenedSegment> found =
      parts_.client->Open(reply.handle(), Access::kReadWrite);
  const absl::StatusCode code = found.status().code();
  if (code != absl::StatusCode::kOk &&
      code != absl::StatusCode::kResourceExhausted &&
      code != absl::StatusCode::kUnavailable) {
    std::move(keep).Cancel();
  }
  ASSIGN_OR_RETURN(OpenedSegment opened, std::move(found));
  SHMD_FAILPOINT("draft.arena_opened");
  const Attachment::Facts& facts = opened.attachment.facts();
  MapOptions options;
  options.size_bytes = facts.segment_size_bytes;
  options.page_size_bytes = facts.page_size_bytes;
  ASSIGN_OR_RETURN(WritableMapping mapping,
                   WritableMapping::Map(opened.object, options));
  SHMD_FAILPOINT("draft.arena_mapped");
  std::move(keep).Cancel();
  WritableAttached memory(std::move(opened.attachment), std::move(mapping));
  auto arena = std::make_shared<ObjectArena>(
      reply.number(), std::move(memory),
      is_strict ? std::make_optional(std::move(opened.object)) : std::nullopt);
  auto view = std::make_unique<ArenaView>();
  view->data = arena->data();
  view->size_bytes = arena->size_bytes();
  absl::MutexLock lock(&arenas_mutex_);
  // What is sealed is read by another mapping.
  if (!is_strict) views_.Add(reply.number(), std::move(view));
  arenas_.push_back(std::move(arena));
  return arenas_.back().get();
}

std::optional<std::pair<ObjectArena*, Extent>> ObjectAccess::AllocateThere(
    uint64_t size_bytes, uint64_t alignment) {
  absl::MutexLock lock(&arenas_mutex_);
  for (const auto& arena : arenas_) {
    const std::optional<Extent> extent = arena->Allocate(size_bytes, alignment);
    if (extent.has_value()) return std::make_pair(arena.get(), *extent);
  }
  return std::nullopt;
}

absl::StatusOr<std::pair<ObjectArena*, Extent>> ObjectAccess::Allocate(
    uint64_t size_bytes, uint64_t alignment, absl::Time deadline) {
  bool has_made_room = false;
  for (;;) {
    auto found = AllocateThere(size_bytes, alignment);
    if (found.has_value()) return *found;
    // What the daemon has freed may not have been heard of yet.
    lane_.Listen(absl::InfinitePast());
    found = AllocateThere(size_bytes, alignment);
    if (found.has_value()) return *found;
    // What this program had mapped of arenas that went counts until then.
    if (has_made_room) parts_.link->AwaitDetaches();
    absl::Status arena;
    {
      // One is enough for all threads that find none with room.
      absl::MutexLock lock(&growing_mutex_);
      found = AllocateThere(size_bytes, alignment);
      if (found.has_value()) return *found;
      arena = NewArena(size_bytes).status();
    }
    if (arena.ok()) continue;
    if (!absl::IsResourceExhausted(arena)) return arena;
    // Each time something goes, or nothing can, so this comes to an end.
    const absl::Duration left =
        std::max(deadline - absl::Now(), absl::ZeroDuration());
    const absl::Status made =
        MakeRoom(size_bytes, std::min(left, kRoomLookedFor));
    has_made_room = made.ok();
    if (made.ok()) continue;
    if (GetErrorReason(made) != reason::kObjectsInUse) return made;
    if (left == absl::ZeroDuration()) {
      return Error(absl::StatusCode::kResourceExhausted, reason::kObjectsInUse,
                   absl::StrCat("nothing can make room: ", arena.message()))
          .ToStatus();
    }
    lane_.Listen(std::min(deadline, absl::Now() + kRoomLookedFor));
  }
}

absl::StatusOr<ObjectDraft> ObjectAccess::Create(absl::string_view id,
                                                 uint64_t size_bytes,
                                                 const ObjectOptions& options) {
  RETURN_IF_ERROR(KeyOf(id).status());
  TidyUp();
  SHMD_FAILPOINT("draft.create");
  if (size_bytes > ExtentAllocator::kMaxSizeBytes) {
    return InvalidField("size_bytes", reason::kSizeInvalid,
                        "is more than an arena can have");
  }
  std::string metadata;
  if (options.metadata.has_value()) {
    ASSIGN_OR_RETURN(metadata, MetadataBytes(*options.metadata));
  }
  const uint64_t payload = RoundUp(size_bytes, 8);
  const uint64_t wanted = std::max<uint64_t>(payload + metadata.size(), 1);
  const absl::Time deadline = absl::Now() + options.wait_for_room;
  std::pair<ObjectArena*, Extent> place;
  if (options.strict) {
    ASSIGN_OR_RETURN(place.first, AllocateStrict(wanted, deadline));
  } else {
    ASSIGN_OR_RETURN(place,
                     Allocate(wanted, AlignmentOf(size_bytes), deadline));
  }
  SHMD_FAILPOINT("draft.placed");
  ObjectDraft draft;
  draft.access_ = shared_from_this();
  draft.arena_ = place.first;
  draft.id_ = std::string(id);
  draft.options_ = options;
  draft.data_ = place.first->data() + place.second.offset_bytes;
  draft.size_bytes_ = size_bytes;
  draft.metadata_bytes_ = static_cast<uint32_t>(metadata.size());
  draft.is_cold_ = size_bytes >= RecentWrites::kLeastBytes &&
                   !recent_writes_.Note(draft.data_, size_bytes);
  std::memcpy(draft.data_ + payload, metadata.data(), metadata.size());
  return draft;
}

uint64_t ObjectAccess::OffsetOf(const ObjectDraft& draft) {
  return static_cast<uint64_t>(draft.data_ - draft.arena_->data());
}

void ObjectAccess::Abandon(const ObjectDraft& draft) {
  if (draft.options_.strict) return AbandonStrict(draft);
  draft.arena_->Abandon(OffsetOf(draft));
}

ObjectLane::Operation ObjectAccess::PublishOf(const ObjectDraft& draft) {
  ObjectLane::Operation publish;
  layout::Submission& submission = publish.submission;
  submission.kind = static_cast<uint32_t>(SubmissionKind::kPublish);
  submission.arena = draft.arena_->number();
  submission.metadata_bytes = draft.metadata_bytes_;
  submission.offset_bytes = OffsetOf(draft);
  submission.size_bytes = draft.size_bytes_;
  submission.ttl_ns = NanosOf(draft.options_.ttl);
  submission.priority = draft.options_.priority;
  if (draft.options_.replace_existing) {
    submission.flags |= layout::kReplaceExisting;
  }
  if (draft.options_.strict) submission.flags |= layout::kStrict;
  // Create has checked it.
  SetName(draft.id_, &submission).IgnoreError();
  return publish;
}

absl::StatusOr<uint64_t> ObjectAccess::Seal(ObjectDraft& draft) {
  ObjectLane::Operation publish = PublishOf(draft);
  const uint64_t offset_bytes = publish.submission.offset_bytes;
  SHMD_FAILPOINT("draft.seal");
  Close(draft);
  absl::Status status = lane_.Run(absl::MakeSpan(&publish, 1), CallDeadline());
  if (!publish.done) draft.arena_->Doubt(offset_bytes);
  if (status.ok()) {
    status =
        StatusOfAnswer(publish.answer.result, publish.answer.reason, draft.id_);
  }
  if (status.ok()) {
    SHMD_FAILPOINT("draft.sealed");
    draft.arena_->Publish(offset_bytes, publish.answer.value);
  }
  Closed(draft, status.ok());
  RETURN_IF_ERROR(status);
  return publish.answer.value;
}

absl::Status ObjectAccess::SealAll(absl::Span<ObjectDraft> drafts) {
  std::vector<ObjectLane::Operation> publishes;
  publishes.reserve(drafts.size());
  for (ObjectDraft& draft : drafts) {
    publishes.push_back(PublishOf(draft));
    Close(draft);
  }
  SHMD_FAILPOINT("draft.seal_all");
  absl::Status status = lane_.Run(absl::MakeSpan(publishes), CallDeadline());
  SHMD_FAILPOINT("draft.sealed_all");
  for (size_t i = 0; i < drafts.size(); ++i) {
    if (!publishes[i].done) {
      drafts[i].arena_->Doubt(publishes[i].submission.offset_bytes);
      Closed(drafts[i], false);
      continue;
    }
    const layout::Answer& answer = publishes[i].answer;
    const absl::Status one =
        StatusOfAnswer(answer.result, answer.reason, drafts[i].id_);
    status.Update(one);
    if (one.ok()) {
      drafts[i].arena_->Publish(publishes[i].submission.offset_bytes,
                                answer.value);
    }
    Closed(drafts[i], one.ok());
    if (one.ok()) drafts[i].arena_ = nullptr;
  }
  return status;
}

absl::Status ObjectAccess::Delete(absl::Span<const absl::string_view> ids) {
  TidyUp();
  std::vector<ObjectLane::Operation> deletes(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    deletes[i].submission.kind = static_cast<uint32_t>(SubmissionKind::kDelete);
    RETURN_IF_ERROR(SetName(ids[i], &deletes[i].submission));
  }
  SHMD_FAILPOINT("erase.submit");
  absl::Status status = lane_.Run(absl::MakeSpan(deletes), CallDeadline());
  SHMD_FAILPOINT("erase.done");
  for (size_t i = 0; i < ids.size(); ++i) {
    if (!deletes[i].done) continue;
    const absl::Status one = StatusOfAnswer(deletes[i].answer.result,
                                            deletes[i].answer.reason, ids[i]);
    // It was there the first time.
    if (deletes[i].is_repeated && absl::IsNotFound(one)) continue;
    status.Update(one);
  }
  return status;
}

void ObjectAccess::Hear(const layout::Answer& answer) {
  std::unique_ptr<ArenaView> gone;  // unmapped without the lock
  absl::MutexLock lock(&arenas_mutex_);
  switch (static_cast<layout::AnswerKind>(answer.kind)) {
    case layout::AnswerKind::kFreed:
      for (const auto& arena : arenas_) {
        if (arena->number() == answer.arena) {
          arena->Free(answer.value, answer.cookie);
        }
      }
      return;
    case layout::AnswerKind::kArenaGone:
      // Nobody uses it: what is pinned keeps its arena.
      gone = views_.Take(answer.arena);
      return;
    default:
      return;
  }
}

std::vector<ObjectSummary> ObjectAccess::List() const {
  std::vector<ObjectSummary> all;
  reader_.ForEach([&](const ListedObject& listed) {
    ObjectSummary one;
    one.id = std::string(listed.key.id());
    one.generation = listed.object.generation;
    one.size_bytes = listed.object.size_bytes;
    one.arena = listed.object.arena;
    one.owner = listed.owner;
    one.priority = ControlWord::Of(listed.object.control).priority;
    one.is_spilled = listed.object.state == layout::EntryState::kSpilled;
    one.is_strict =
        (ControlWord::Of(listed.object.control).flags & kStrictFlag) != 0;
    one.create_time =
        absl::FromUnixNanos(static_cast<int64_t>(listed.create_time_ns));
    if (listed.expire_time_ns != 0) {
      one.expire_time =
          absl::FromUnixNanos(static_cast<int64_t>(listed.expire_time_ns));
    }
    all.push_back(std::move(one));
    return true;
  });
  return all;
}

}  // namespace client
}  // namespace shmd
