#ifndef SHMD_SERVER_RPC_SEGMENT_SERVICE_H_
#define SHMD_SERVER_RPC_SEGMENT_SERVICE_H_

#include <string>

#include "server/access/connection_table.h"
#include "server/registry/segment_registry.h"
#include "server/rpc/method_set.h"
#include "server/rpc/reply_stream.h"
#include "server/rpc/rpc_service.h"
#include "server/rpc/shared_calls.h"
#include "server/rpc/watch_hub.h"
#include "shmd/v1/segment.grpc.pb.h"

namespace shmd {

// SegmentService over the registry: each method decodes, calls, encodes.
// Thread-safe. Borrows what it is given.
class SegmentService final : public RpcService {
 public:
  SegmentService(const ConnectionTable* connections, SegmentRegistry* registry,
                 WatchHub* watches);

  const char* name() const override {
    return v1::SegmentService::service_full_name();
  }
  grpc::Service* service() override { return &service_; }
  void Await(CallQueue* queue) override;

 private:
  absl::Status CreateSegment(const Caller& caller,
                             const v1::CreateSegmentRequest& request,
                             v1::Segment* reply) {
    return shmd::CreateSegment(*registry_, caller, request, LetThrough::kAll,
                               reply);
  }
  absl::Status GetSegment(const Caller& caller,
                          const v1::GetSegmentRequest& request,
                          v1::Segment* reply);
  absl::Status ListSegments(const Caller& caller,
                            const v1::ListSegmentsRequest& request,
                            v1::ListSegmentsResponse* reply);
  absl::Status UpdateSegment(const Caller& caller,
                             const v1::UpdateSegmentRequest& request,
                             v1::Segment* reply);
  absl::Status RenewLease(const Caller& caller,
                          const v1::RenewLeaseRequest& request,
                          v1::Segment* reply);
  absl::Status DeleteSegment(const Caller& caller,
                             const v1::DeleteSegmentRequest& request,
                             google::protobuf::Empty* reply);
  absl::Status SealSegment(const Caller& caller,
                           const v1::SealSegmentRequest& request,
                           v1::Segment* reply);
  absl::Status ResizeSegment(const Caller& caller,
                             const v1::ResizeSegmentRequest& request,
                             v1::Segment* reply);
  absl::Status FlushSegment(const Caller& caller,
                            const v1::FlushSegmentRequest& request,
                            google::protobuf::Empty* reply);
  absl::Status AdoptSegment(const Caller& caller,
                            const v1::AdoptSegmentRequest& request,
                            v1::Segment* reply);
  absl::Status DisownSegment(const Caller& caller,
                             const v1::DisownSegmentRequest& request,
                             google::protobuf::Empty* reply);
  absl::Status ReadSegment(const Caller& caller,
                           const v1::ReadSegmentRequest& request,
                           v1::ReadSegmentResponse* reply);
  absl::Status WriteSegment(const Caller& caller,
                            const v1::WriteSegmentRequest& request,
                            google::protobuf::Empty* reply);
  absl::Status BatchCreateSegments(
      const Caller& caller, const v1::BatchCreateSegmentsRequest& request,
      v1::BatchCreateSegmentsResponse* reply) {
    return shmd::BatchCreateSegments(*registry_, caller, request,
                                     LetThrough::kAll, reply);
  }
  absl::Status BatchGetSegments(const Caller& caller,
                                const v1::BatchGetSegmentsRequest& request,
                                v1::BatchGetSegmentsResponse* reply);
  absl::Status BatchDeleteSegments(
      const Caller& caller, const v1::BatchDeleteSegmentsRequest& request,
      google::protobuf::Empty* reply);
  absl::Status CreateHandle(const Caller& caller,
                            const v1::CreateHandleRequest& request,
                            v1::CreateHandleResponse* reply);

  bool DeleteSegmentAtOnce(const Caller& caller,
                           const v1::DeleteSegmentRequest& request,
                           google::protobuf::Empty* reply);

  void AddMethods();
  // Whether what is asked of the segment leads to storage.
  bool IsMappedFile(const std::string& name) const;
  // Whether the request has to wait for more than a few system calls.
  bool GetMayWait(const v1::GetSegmentRequest& request) const;

  const ConnectionTable* const connections_;
  SegmentRegistry* const registry_;
  WatchHub* const watches_;
  v1::SegmentService::AsyncService service_;
  MethodSet<SegmentService> methods_;
  ReplyStreamMethod<v1::WatchSegmentsRequest, v1::WatchSegmentsResponse> watch_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_SEGMENT_SERVICE_H_
