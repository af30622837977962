#include "server/rpc/object_service.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/object/object_names.h"
#include "server/registry/commands.h"
#include "server/rpc/find_caller.h"
#include "server/rpc/object_proto.h"
#include "server/rpc/object_watch.h"
#include "server/rpc/options_from_proto.h"
#include "server/rpc/page.h"
#include "server/session/session.h"
#include "shm/handle.h"
#include "shm/types.h"

namespace shmd {
namespace {

absl::StatusOr<std::vector<NameKey>> ParseIds(
    const std::string& name_space,
    const google::protobuf::RepeatedPtrField<std::string>& names) {
  RETURN_IF_ERROR(CheckBatch("names", names.size()));
  std::vector<NameKey> ids;
  for (int i = 0; i < names.size(); ++i) {
    const size_t index = static_cast<size_t>(i);
    const absl::StatusOr<ParsedObjectName> name =
        ParseObjectName("names", names[i]);
    if (!name.ok()) return AtIndex(name.status(), "names", index);
    if (name->name_space != name_space) {
      return AtIndex(InvalidField("names", reason::kNameInvalid,
                                  "is of another namespace than parent"),
                     "names", index);
    }
    ids.push_back(name->id);
  }
  return ids;
}

// How often an object is looked at that is another one each time it was read.
constexpr int kAttempts = 16;

absl::Status ReplacedAgain(const NameKey& name) {
  return Error(absl::StatusCode::kAborted, reason::kEtagMismatch,
               "the object is replaced again and again while it is read")
      .With("object", name.id());
}

std::optional<absl::Time> DeadlineOf(absl::Duration wait) {
  if (wait == absl::ZeroDuration()) return std::nullopt;
  return absl::Now() + wait;
}

// Short unless it is asked to wait.
bool GetMayWait(const v1::GetObjectRequest& request) {
  return request.has_wait();
}

// To be sealed takes time.
bool CreateMayWait(const v1::CreateObjectRequest& request) {
  return request.object().strict();
}

template <typename Request>
bool NeverWaits(const Request&) {
  return false;
}

}  // namespace

ObjectService::ObjectService(const ConnectionTable* connections,
                             SegmentRegistry* segments, ObjectRegistry* objects,
                             WatchHub* watches)
    : segments_(segments), objects_(objects), methods_(connections, this) {
  using Async = v1::ObjectService::AsyncService;
  methods_.Add("OpenDirectory", &service_, &Async::RequestOpenDirectory,
               &ObjectService::OpenDirectory,
               &MayAlwaysWait<v1::OpenDirectoryRequest>);
  methods_.Add("CreateArena", &service_, &Async::RequestCreateArena,
               &ObjectService::CreateArena,
               &MayAlwaysWait<v1::CreateArenaRequest>);
  methods_.Add("CreateObject", &service_, &Async::RequestCreateObject,
               &ObjectService::CreateObject, &CreateMayWait);
  methods_.Add("GetObject", &service_, &Async::RequestGetObject,
               &ObjectService::GetObject, &GetMayWait);
  methods_.Add("ListObjects", &service_, &Async::RequestListObjects,
               &ObjectService::ListObjects,
               &MayAlwaysWait<v1::ListObjectsRequest>);
  methods_.Add("DeleteObject", &service_, &Async::RequestDeleteObject,
               &ObjectService::DeleteObject,
               &NeverWaits<v1::DeleteObjectRequest>);
  methods_.Add("BatchCreateObjects", &service_,
               &Async::RequestBatchCreateObjects,
               &ObjectService::BatchCreateObjects,
               &MayAlwaysWait<v1::BatchCreateObjectsRequest>);
  methods_.Add("BatchGetObjects", &service_, &Async::RequestBatchGetObjects,
               &ObjectService::BatchGetObjects,
               &MayAlwaysWait<v1::BatchGetObjectsRequest>);
  methods_.Add("BatchDeleteObjects", &service_,
               &Async::RequestBatchDeleteObjects,
               &ObjectService::BatchDeleteObjects,
               &MayAlwaysWait<v1::BatchDeleteObjectsRequest>);
  methods_.Add("ReadObject", &service_, &Async::RequestReadObject,
               &ObjectService::ReadObject,
               &MayAlwaysWait<v1::ReadObjectRequest>);
  methods_.Add("LeaseObject", &service_, &Async::RequestLeaseObject,
               &ObjectService::LeaseObject,
               &NeverWaits<v1::LeaseObjectRequest>);
  methods_.Add("MakeRoom", &service_, &Async::RequestMakeRoom,
               &ObjectService::MakeRoom, &MayAlwaysWait<v1::MakeRoomRequest>);
  watch_.request_call = [this](auto* context, auto* request, auto* writer,
                               auto* completions, void* tag) {
    service_.RequestWatchObjects(context, request, writer, completions,
                                 completions, tag);
  };
  watch_.start = [=](const grpc::ServerContext& context,
                     const v1::WatchObjectsRequest& request,
                     ReplyWriter<v1::WatchObjectsResponse>* writer) {
    return WatchObjects(watches, &segments->namespaces(), objects,
                        FindCaller(*connections, context), request, writer);
  };
}

absl::StatusOr<std::string> ObjectService::HandleTextOf(
    const Caller& caller, const SegmentView& segment, Access access) {
  HandleCommand command;
  command.name = segment.segment->name;
  command.access = access;
  ASSIGN_OR_RETURN(const Handle handle, segments_->MakeHandle(caller, command));
  return EncodeHandle(handle);
}

absl::Status ObjectService::OpenDirectory(
    const Caller& caller, const v1::OpenDirectoryRequest& request,
    v1::Directory* reply) {
  ASSIGN_OR_RETURN(const std::string name_space,
                   ParseNamespaceName("parent", request.parent()));
  ASSIGN_OR_RETURN(const SessionId session,
                   ParseSessionName("session", request.session()));
  ASSIGN_OR_RETURN(const ObjectRegistry::Opened opened,
                   objects_->Open(caller, name_space, session));
  ASSIGN_OR_RETURN(*reply->mutable_directory_handle(),
                   HandleTextOf(caller, opened.directory, Access::kRead));
  ASSIGN_OR_RETURN(
      *reply->mutable_session_page_handle(),
      HandleTextOf(caller, opened.session_page, Access::kReadWrite));
  ASSIGN_OR_RETURN(*reply->mutable_answers_handle(),
                   HandleTextOf(caller, opened.answers, Access::kRead));
  return absl::OkStatus();
}

absl::Status ObjectService::CreateArena(const Caller& caller,
                                        const v1::CreateArenaRequest& request,
                                        v1::Arena* reply) {
  ASSIGN_OR_RETURN(const ArenaCommand command, ArenaFromProto(request));
  ASSIGN_OR_RETURN(const ObjectRegistry::NewArena arena,
                   objects_->CreateArena(caller, command));
  const Segment& segment = *arena.segment.segment;
  reply->set_number(arena.number);
  reply->set_size_bytes(segment.options.size_bytes);
  reply->set_mode(segment.options.mode);
  reply->set_page_size_bytes(segment.options.page_size_bytes);
  reply->set_segment(segment.name.ToString());
  ASSIGN_OR_RETURN(*reply->mutable_handle(),
                   HandleTextOf(caller, arena.segment, Access::kReadWrite));
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<ObjectTable>> ObjectService::TableOfArenas(
    const Caller& caller, const std::string& name_space) const {
  absl::StatusOr<std::shared_ptr<ObjectTable>> table =
      objects_->Table(caller, name_space);
  if (GetErrorReason(table.status()) != reason::kObjectNotFound) return table;
  return absl::StatusOr<std::shared_ptr<ObjectTable>>(
      Error(absl::StatusCode::kNotFound, reason::kArenaNotFound,
            "there is no arena in the namespace")
          .With("namespace", name_space));
}

absl::Status ObjectService::CreateObject(const Caller& caller,
                                         const v1::CreateObjectRequest& request,
                                         v1::Object* reply) {
  ASSIGN_OR_RETURN(const std::string name_space,
                   ParseNamespaceName("parent", request.parent()));
  ASSIGN_OR_RETURN(const PublishCommand command, PublishFromProto(request));
  ASSIGN_OR_RETURN(const std::shared_ptr<ObjectTable> table,
                   TableOfArenas(caller, name_space));
  const ObjectUser user = ObjectUser::Of(caller);
  if (command.strict) RETURN_IF_ERROR(objects_->Seal(*table, user, command));
  ASSIGN_OR_RETURN(const ObjectView object, table->Publish(user, command));
  ObjectToProto(name_space, object, reply);
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<ObjectTable>> ObjectService::TableToGetFrom(
    const Caller& caller, const std::string& name_space, absl::Duration wait) {
  // There may be nothing yet to wait in.
  return wait > absl::ZeroDuration() ? objects_->OpenTable(caller, name_space)
                                     : objects_->Table(caller, name_space);
}

absl::StatusOr<ObjectView> ObjectService::GetOne(const Caller& caller,
                                                 const std::string& name_space,
                                                 ObjectTable& table,
                                                 const Wanted& wanted,
                                                 v1::Object* reply) {
  absl::StatusOr<ObjectView> object = table.Find(wanted.id);
  if (!object.ok() && wanted.deadline.has_value()) {
    const std::optional<WaitSlots::Slot> slot = waits_.Take(caller.uid);
    if (!slot.has_value()) {
      return Exhausted(reason::kWatchLimitExceeded, "calls that wait", 1, 0,
                       "waiting calls");
    }
    object = table.Await(wanted.id, *wanted.deadline);
  }
  RETURN_IF_ERROR(object.status());
  RETURN_IF_ERROR(ObjectRegistry::CheckReadable(caller, *object));
  ObjectToProto(name_space, *object, reply);
  if (object->size_bytes == 0) return object;
  HandleCommand command;
  command.name = object->segment.segment->name;
  command.offset_bytes = object->offset_bytes;
  command.length_bytes = object->size_bytes;
  ASSIGN_OR_RETURN(const Handle handle, segments_->MakeHandle(caller, command));
  reply->set_handle(EncodeHandle(handle));
  return object;
}

absl::Status ObjectService::GetObject(const Caller& caller,
                                      const v1::GetObjectRequest& request,
                                      v1::Object* reply) {
  ASSIGN_OR_RETURN(const ParsedObjectName name,
                   ParseObjectName("name", request.name()));
  ASSIGN_OR_RETURN(const absl::Duration wait, WaitFromProto(request));
  ASSIGN_OR_RETURN(const std::shared_ptr<ObjectTable> table,
                   TableToGetFrom(caller, name.name_space, wait));
  const Wanted wanted = {name.id, DeadlineOf(wait)};
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    reply->Clear();
    ASSIGN_OR_RETURN(const ObjectView object,
                     GetOne(caller, name.name_space, *table, wanted, reply));
    if (object.metadata_bytes == 0) return absl::OkStatus();
    ASSIGN_OR_RETURN(
        const std::optional<std::string> metadata,
        ReadPart(caller, *table, object, RoundUpToPages(object.size_bytes, 8),
                 object.metadata_bytes));
    if (!metadata.has_value()) continue;
    // Anybody may have written anything there.
    if (!reply->mutable_metadata()->ParseFromString(*metadata)) {
      reply->clear_metadata();
    }
    return absl::OkStatus();
  }
  return ReplacedAgain(name.id);
}

absl::StatusOr<std::optional<std::string>> ObjectService::ReadPart(
    const Caller& caller, const ObjectTable& table, const ObjectView& object,
    uint64_t offset_bytes, uint64_t length_bytes) {
  absl::StatusOr<std::string> data =
      segments_->Read(caller, object.segment.segment->name,
                      object.offset_bytes + offset_bytes, length_bytes);
  // Its bytes may have become another one's while they were read.
  const absl::StatusOr<ObjectView> now = table.Find(object.name);
  if (!now.ok() || now->generation != object.generation ||
      now->arena != object.arena) {
    return std::optional<std::string>();
  }
  RETURN_IF_ERROR(data.status());
  return std::optional<std::string>(*std::move(data));
}

absl::Status ObjectService::ListObjects(const Caller& caller,
                                        const v1::ListObjectsRequest& request,
                                        v1::ListObjectsResponse* reply) {
  ASSIGN_OR_RETURN(const std::string name_space,
                   ParseNamespaceName("parent", request.parent()));
  ASSIGN_OR_RETURN(const size_t limit, PageLimit(request.page_size()));
  uint32_t after = 0;
  if (!request.page_token().empty()) {
    ASSIGN_OR_RETURN(const std::string last,
                     ReadPageToken(request.parent(), request.page_token()));
    if (!absl::SimpleAtoi(last, &after)) return PageTokenInvalid();
  }
  const absl::StatusOr<std::shared_ptr<ObjectTable>> table =
      objects_->Table(caller, name_space);
  if (GetErrorReason(table.status()) == reason::kObjectNotFound) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(table.status());
  // One more than asked for tells whether there is a next page.
  const std::vector<ObjectView> found = (*table)->List(after, limit + 1);
  for (size_t i = 0; i < found.size() && i < limit; ++i) {
    ObjectToProto(name_space, found[i], reply->add_objects());
  }
  if (found.size() > limit) {
    reply->set_next_page_token(MakePageToken(
        request.parent(), absl::StrCat(found[limit - 1].position)));
  }
  return absl::OkStatus();
}

absl::Status ObjectService::DeleteObject(const Caller& caller,
                                         const v1::DeleteObjectRequest& request,
                                         google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const ParsedObjectName name,
                   ParseObjectName("name", request.name()));
  ASSIGN_OR_RETURN(const std::shared_ptr<ObjectTable> table,
                   objects_->Table(caller, name.name_space));
  return table->Delete(ObjectUser::Of(caller), name.id, request.generation());
}

absl::Status ObjectService::SealAll(ObjectTable& table, const ObjectUser& user,
                                    absl::Span<const PublishCommand> commands) {
  const bool some_strict =
      std::any_of(commands.begin(), commands.end(),
                  [](const PublishCommand& command) { return command.strict; });
  if (!some_strict) return absl::OkStatus();
  // What can be refused is refused before anything is sealed.
  RETURN_IF_ERROR(table.CheckAll(user, commands));
  for (size_t i = 0; i < commands.size(); ++i) {
    if (!commands[i].strict) continue;
    const absl::Status sealed = objects_->Seal(table, user, commands[i]);
    if (!sealed.ok()) return AtIndex(sealed, "requests", i);
  }
  return absl::OkStatus();
}

absl::Status ObjectService::BatchCreateObjects(
    const Caller& caller, const v1::BatchCreateObjectsRequest& request,
    v1::BatchCreateObjectsResponse* reply) {
  RETURN_IF_ERROR(CheckBatch("requests", request.requests_size()));
  ASSIGN_OR_RETURN(const std::string name_space,
                   ParseNamespaceName("parent", request.parent()));
  std::vector<PublishCommand> commands;
  for (int i = 0; i < request.requests_size(); ++i) {
    const v1::CreateObjectRequest& one = request.requests(i);
    absl::StatusOr<PublishCommand> command = PublishFromProto(one);
    if (command.ok() && !one.parent().empty() &&
        one.parent() != request.parent()) {
      command = InvalidField("parent", reason::kNameInvalid,
                             "is not that of the batch")
                    .ToStatus();
    }
    if (!command.ok()) {
      return AtIndex(command.status(), "requests", static_cast<size_t>(i));
    }
    commands.push_back(*command);
  }
  ASSIGN_OR_RETURN(const std::shared_ptr<ObjectTable> table,
                   TableOfArenas(caller, name_space));
  const ObjectUser user = ObjectUser::Of(caller);
  RETURN_IF_ERROR(SealAll(*table, user, commands));
  ASSIGN_OR_RETURN(const std::vector<ObjectView> objects,
                   table->PublishAll(user, commands));
  for (const ObjectView& object : objects) {
    ObjectToProto(name_space, object, reply->add_objects());
  }
  return absl::OkStatus();
}

absl::Status ObjectService::BatchGetObjects(
    const Caller& caller, const v1::BatchGetObjectsRequest& request,
    v1::BatchGetObjectsResponse* reply) {
  ASSIGN_OR_RETURN(const std::string name_space,
                   ParseNamespaceName("parent", request.parent()));
  ASSIGN_OR_RETURN(const std::vector<NameKey> ids,
                   ParseIds(name_space, request.names()));
  ASSIGN_OR_RETURN(const absl::Duration wait, WaitFromProto(request));
  ASSIGN_OR_RETURN(const std::shared_ptr<ObjectTable> table,
                   TableToGetFrom(caller, name_space, wait));
  const std::optional<absl::Time> deadline = DeadlineOf(wait);
  for (size_t i = 0; i < ids.size(); ++i) {
    const absl::StatusOr<ObjectView> object = GetOne(
        caller, name_space, *table, {ids[i], deadline}, reply->add_objects());
    if (!object.ok()) return AtIndex(object.status(), "names", i);
  }
  return absl::OkStatus();
}

absl::Status ObjectService::BatchDeleteObjects(
    const Caller& caller, const v1::BatchDeleteObjectsRequest& request,
    google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const std::string name_space,
                   ParseNamespaceName("parent", request.parent()));
  ASSIGN_OR_RETURN(const std::vector<NameKey> ids,
                   ParseIds(name_space, request.names()));
  ASSIGN_OR_RETURN(const std::shared_ptr<ObjectTable> table,
                   objects_->Table(caller, name_space));
  return table->DeleteAll(ObjectUser::Of(caller), ids);
}

absl::Status ObjectService::ReadObject(const Caller& caller,
                                       const v1::ReadObjectRequest& request,
                                       v1::ReadObjectResponse* reply) {
  ASSIGN_OR_RETURN(const ParsedObjectName name,
                   ParseObjectName("name", request.name()));
  ASSIGN_OR_RETURN(const std::shared_ptr<ObjectTable> table,
                   objects_->Table(caller, name.name_space));
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    ASSIGN_OR_RETURN(const ObjectView object, table->Find(name.id));
    ASSIGN_OR_RETURN(uint64_t length,
                     ResolveLength(object.size_bytes, request.offset_bytes(),
                                   request.length_bytes()));
    // As ReadSegment does, where no length was asked for.
    if (request.length_bytes() == 0) length = std::min(length, kMaxPeekBytes);
    if (length == 0) return ObjectRegistry::CheckReadable(caller, object);
    ASSIGN_OR_RETURN(
        std::optional<std::string> data,
        ReadPart(caller, *table, object, request.offset_bytes(), length));
    if (!data.has_value()) continue;
    *reply->mutable_data() = *std::move(data);
    return absl::OkStatus();
  }
  return ReplacedAgain(name.id);
}

absl::Status ObjectService::LeaseObject(const Caller& caller,
                                        const v1::LeaseObjectRequest& request,
                                        v1::Object* reply) {
  ASSIGN_OR_RETURN(const ParsedObjectName name,
                   ParseObjectName("name", request.name()));
  ASSIGN_OR_RETURN(const absl::Duration ttl, LeaseFromProto(request));
  ASSIGN_OR_RETURN(const std::shared_ptr<ObjectTable> table,
                   objects_->Table(caller, name.name_space));
  ASSIGN_OR_RETURN(const ObjectView object,
                   table->Lease(name.id, request.generation(), ttl,
                                [&](const ObjectView& found) {
                                  return ObjectRegistry::CheckReadable(caller,
                                                                       found);
                                }));
  ObjectToProto(name.name_space, object, reply);
  return absl::OkStatus();
}

absl::Status ObjectService::MakeRoom(const Caller& caller,
                                     const v1::MakeRoomRequest& request,
                                     v1::MakeRoomResponse* reply) {
  ASSIGN_OR_RETURN(RoomRequest room, RoomFromProto(request));
  const std::optional<WaitSlots::Slot> slot = waits_.Take(caller.uid);
  if (!slot.has_value()) room.wait = absl::ZeroDuration();
  ASSIGN_OR_RETURN(const uint64_t freed_bytes,
                   objects_->MakeRoom(caller, std::move(room)));
  reply->set_freed_bytes(freed_bytes);
  return absl::OkStatus();
}

}  // namespace shmd
