#ifndef SHMD_SERVER_RPC_SEGMENT_SERVICE_H_
#define SHMD_SERVER_RPC_SEGMENT_SERVICE_H_

#include <functional>

#include "server/access/connection_table.h"
#include "server/registry/segment_registry.h"
#include "server/rpc/watch_hub.h"
#include "shmd/v1/segment.grpc.pb.h"

namespace shmd {

// SegmentService over the registry: each method decodes, calls, encodes.
// Watches use the callback API, since they wait; the rest is synchronous.
// Thread-safe. Borrows what it is given.
class SegmentService final
    : public v1::SegmentService::WithCallbackMethod_WatchSegments<
          v1::SegmentService::Service> {
 public:
  SegmentService(const ConnectionTable* connections, SegmentRegistry* registry,
                 WatchHub* watches)
      : connections_(connections), registry_(registry), watches_(watches) {}

  grpc::Status CreateSegment(grpc::ServerContext* context,
                             const v1::CreateSegmentRequest* request,
                             v1::Segment* reply) override;
  grpc::Status GetSegment(grpc::ServerContext* context,
                          const v1::GetSegmentRequest* request,
                          v1::Segment* reply) override;
  grpc::Status ListSegments(grpc::ServerContext* context,
                            const v1::ListSegmentsRequest* request,
                            v1::ListSegmentsResponse* reply) override;
  grpc::Status UpdateSegment(grpc::ServerContext* context,
                             const v1::UpdateSegmentRequest* request,
                             v1::Segment* reply) override;
  grpc::Status DeleteSegment(grpc::ServerContext* context,
                             const v1::DeleteSegmentRequest* request,
                             google::protobuf::Empty* reply) override;
  grpc::Status SealSegment(grpc::ServerContext* context,
                           const v1::SealSegmentRequest* request,
                           v1::Segment* reply) override;
  grpc::Status ResizeSegment(grpc::ServerContext* context,
                             const v1::ResizeSegmentRequest* request,
                             v1::Segment* reply) override;
  grpc::Status FlushSegment(grpc::ServerContext* context,
                            const v1::FlushSegmentRequest* request,
                            google::protobuf::Empty* reply) override;
  grpc::Status AdoptSegment(grpc::ServerContext* context,
                            const v1::AdoptSegmentRequest* request,
                            v1::Segment* reply) override;
  grpc::Status DisownSegment(grpc::ServerContext* context,
                             const v1::DisownSegmentRequest* request,
                             google::protobuf::Empty* reply) override;
  grpc::Status ReadSegment(grpc::ServerContext* context,
                           const v1::ReadSegmentRequest* request,
                           v1::ReadSegmentResponse* reply) override;
  grpc::Status WriteSegment(grpc::ServerContext* context,
                            const v1::WriteSegmentRequest* request,
                            google::protobuf::Empty* reply) override;
  grpc::ServerWriteReactor<v1::WatchSegmentsResponse>* WatchSegments(
      grpc::CallbackServerContext* context,
      const v1::WatchSegmentsRequest* request) override;
  grpc::Status BatchCreateSegments(
      grpc::ServerContext* context,
      const v1::BatchCreateSegmentsRequest* request,
      v1::BatchCreateSegmentsResponse* reply) override;
  grpc::Status BatchGetSegments(grpc::ServerContext* context,
                                const v1::BatchGetSegmentsRequest* request,
                                v1::BatchGetSegmentsResponse* reply) override;
  grpc::Status BatchDeleteSegments(
      grpc::ServerContext* context,
      const v1::BatchDeleteSegmentsRequest* request,
      google::protobuf::Empty* reply) override;
  grpc::Status CreateHandle(grpc::ServerContext* context,
                            const v1::CreateHandleRequest* request,
                            v1::CreateHandleResponse* reply) override;

 private:
  // Finds the caller, runs `body`, and turns its result into gRPC's.
  grpc::Status Serve(grpc::ServerContext* context, const char* method,
                     const std::function<absl::Status(const Caller&)>& body);

  // The whole of a segment: metadata, handle and status.
  void Fill(const Caller& caller, const SegmentView& view, bool with_nodes,
            v1::Segment* reply);

  const ConnectionTable* const connections_;
  SegmentRegistry* const registry_;
  WatchHub* const watches_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_SEGMENT_SERVICE_H_
