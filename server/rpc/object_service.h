#ifndef SHMD_SERVER_RPC_OBJECT_SERVICE_H_
#define SHMD_SERVER_RPC_OBJECT_SERVICE_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "server/access/connection_table.h"
#include "server/object/object_registry.h"
#include "server/registry/segment_registry.h"
#include "server/rpc/method_set.h"
#include "server/rpc/reply_stream.h"
#include "server/rpc/rpc_service.h"
#include "server/rpc/wait_slots.h"
#include "server/rpc/watch_hub.h"
#include "shmd/v1/object.grpc.pb.h"

namespace shmd {

// Objects, for who does not find them in memory. Thread-safe. Borrows what it
// is given.
class ObjectService final : public RpcService {
 public:
  ObjectService(const ConnectionTable* connections, SegmentRegistry* segments,
                ObjectRegistry* objects, WatchHub* watches);

  const char* name() const override {
    return v1::ObjectService::service_full_name();
  }
  grpc::Service* service() override { return &service_; }
  void Await(CallQueue* queue) override {
    methods_.Await(queue);
    ReplyStream<v1::WatchObjectsRequest, v1::WatchObjectsResponse>::Await(
        &watch_, queue);
  }

 private:
  absl::Status OpenDirectory(const Caller& caller,
                             const v1::OpenDirectoryRequest& request,
                             v1::Directory* reply);
  absl::Status CreateArena(const Caller& caller,
                           const v1::CreateArenaRequest& request,
                           v1::Arena* reply);
  absl::Status CreateObject(const Caller& caller,
                            const v1::CreateObjectRequest& request,
                            v1::Object* reply);
  absl::Status GetObject(const Caller& caller,
                         const v1::GetObjectRequest& request,
                         v1::Object* reply);
  absl::Status ListObjects(const Caller& caller,
                           const v1::ListObjectsRequest& request,
                           v1::ListObjectsResponse* reply);
  absl::Status DeleteObject(const Caller& caller,
                            const v1::DeleteObjectRequest& request,
                            google::protobuf::Empty* reply);
  absl::Status BatchCreateObjects(const Caller& caller,
                                  const v1::BatchCreateObjectsRequest& request,
                                  v1::BatchCreateObjectsResponse* reply);
  absl::Status BatchGetObjects(const Caller& caller,
                               const v1::BatchGetObjectsRequest& request,
                               v1::BatchGetObjectsResponse* reply);
  absl::Status BatchDeleteObjects(const Caller& caller,
                                  const v1::BatchDeleteObjectsRequest& request,
                                  google::protobuf::Empty* reply);
  absl::Status ReadObject(const Caller& caller,
                          const v1::ReadObjectRequest& request,
                          v1::ReadObjectResponse* reply);

  absl::Status LeaseObject(const Caller& caller,
                           const v1::LeaseObjectRequest& request,
                           v1::Object* reply);
  absl::Status MakeRoom(const Caller& caller,
                        const v1::MakeRoomRequest& request,
                        v1::MakeRoomResponse* reply);

  // An object to get, by when if it is to be waited for.
  struct Wanted {
    NameKey id;
    std::optional<absl::Time> deadline;
  };
  absl::StatusOr<std::shared_ptr<ObjectTable>> TableToGetFrom(
      const Caller& caller, const std::string& name_space, absl::Duration wait);
  // All of it but its metadata.
  absl::StatusOr<ObjectView> GetOne(const Caller& caller,
                                    const std::string& name_space,
                                    ObjectTable& table, const Wanted& wanted,
                                    v1::Object* reply);
  // Bytes from an object's begin on, its metadata included. Nothing when it is
  // another one by now.
  absl::StatusOr<std::optional<std::string>> ReadPart(const Caller& caller,
                                                      const ObjectTable& table,
                                                      const ObjectView& object,
                                                      uint64_t offset_bytes,
                                                      uint64_t length_bytes);

  // ARENA_NOT_FOUND where there never was one.
  absl::StatusOr<std::shared_ptr<ObjectTable>> TableOfArenas(
      const Caller& caller, const std::string& name_space) const;
  // The arenas of those that are strict. What was sealed when another one is
  // refused stays so, until it is published.
  absl::Status SealAll(ObjectTable& table, const ObjectUser& user,
                       absl::Span<const PublishCommand> commands);
  absl::StatusOr<std::string> HandleTextOf(const Caller& caller,
                                           const SegmentView& segment,
                                           Access access);

  SegmentRegistry* const segments_;
  ObjectRegistry* const objects_;
  v1::ObjectService::AsyncService service_;
  MethodSet<ObjectService> methods_;
  WaitSlots waits_;
  ReplyStreamMethod<v1::WatchObjectsRequest, v1::WatchObjectsResponse> watch_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_OBJECT_SERVICE_H_
