#include "client/cpp/object_watch.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/proto_convert.h"
#include "client/cpp/watch_loop.h"
#include "shmd/v1/object.pb.h"

namespace shmd {
inline namespace client {
namespace {

ObjectSummary SummaryFromProto(const v1::Object& proto) {
  ObjectSummary object;
  object.id = proto.name().substr(proto.name().rfind('/') + 1);
  object.generation = proto.generation();
  object.size_bytes = proto.size_bytes();
  object.arena = proto.arena();
  object.owner = proto.owner();
  object.priority = static_cast<uint8_t>(proto.priority());
  object.is_spilled = proto.spilled();
  object.is_strict = proto.strict();
  object.create_time = TimeFromProto(proto.create_time());
  if (proto.has_expire_time()) {
    object.expire_time = TimeFromProto(proto.expire_time());
  }
  return object;
}

WatchEvent::Type TypeFromProto(v1::WatchObjectsResponse::Type type) {
  switch (type) {
    case v1::WatchObjectsResponse::SYNCED:
      return WatchEvent::Type::kSynced;
    case v1::WatchObjectsResponse::CREATED:
      return WatchEvent::Type::kCreated;
    case v1::WatchObjectsResponse::DELETED:
      return WatchEvent::Type::kDeleted;
    default:
      return WatchEvent::Type::kExisting;
  }
}

struct ObjectWatching {
  using Stub = v1::ObjectService::Stub;
  using Request = v1::WatchObjectsRequest;
  using Response = v1::WatchObjectsResponse;
  using Event = ObjectWatchEvent;

  static std::unique_ptr<grpc::ClientReader<Response>> Start(
      Stub& stub, grpc::ClientContext* context, const Request& request) {
    return stub.WatchObjects(context, request);
  }
  static Event FromProto(const Response& response) {
    Event event;
    event.type = TypeFromProto(response.type());
    if (response.has_object()) {
      event.object = SummaryFromProto(response.object());
    }
    event.resume_token = response.resume_token();
    return event;
  }
};

}  // namespace

absl::Status Client::WatchObjects(
    const ObjectWatchOptions& options,
    const std::function<bool(const ObjectWatchEvent&)>& visit) {
  v1::WatchObjectsRequest request;
  request.set_parent(options.name_space.empty()
                         ? impl_->Parent()
                         : absl::StrCat("namespaces/", options.name_space));
  request.set_id_prefix(options.id_prefix);
  request.set_resume_token(options.resume_token);
  return RunWatch<ObjectWatching>(impl_.get(), std::move(request),
                                  {options.cancel, options.patience}, visit);
}

}  // namespace client
}  // namespace shmd
