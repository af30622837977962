// Which methods SegmentService has, and which of them may wait.

#include "server/rpc/fill_segment.h"
#include "server/rpc/find_caller.h"
#include "server/rpc/segment_service.h"
#include "server/rpc/segment_watch.h"
#include "server/rpc/shared_calls.h"

namespace shmd {
namespace {

using Async = v1::SegmentService::AsyncService;

}  // namespace

// A full view counts pages one by one.
bool SegmentService::GetMayWait(const v1::GetSegmentRequest& request) const {
  return !IsBrief(request.view()) &&
         (request.view() != v1::BASIC || IsMappedFile(request.name()));
}

SegmentService::SegmentService(const ConnectionTable* connections,
                               SegmentRegistry* registry, WatchHub* watches)
    : connections_(connections),
      registry_(registry),
      watches_(watches),
      methods_(connections, this) {
  AddMethods();
  watch_.request_call = [this](auto* context, auto* request, auto* writer,
                               auto* completions, void* tag) {
    service_.RequestWatchSegments(context, request, writer, completions,
                                  completions, tag);
  };
  watch_.start = [this](const grpc::ServerContext& context,
                        const v1::WatchSegmentsRequest& request,
                        ReplyWriter<v1::WatchSegmentsResponse>* writer) {
    return WatchSegments(watches_, registry_,
                         FindCaller(*connections_, context), request, writer);
  };
}

void SegmentService::Await(CallQueue* queue) {
  methods_.Await(queue);
  ReplyStream<v1::WatchSegmentsRequest, v1::WatchSegmentsResponse>::Await(
      &watch_, queue);
}

bool SegmentService::IsMappedFile(const std::string& name) const {
  const absl::StatusOr<SegmentName> parsed = ParseSegmentName("name", name);
  return parsed.ok() &&
         registry_->BackendOf(*parsed) == BackendKind::kMappedFile;
}

void SegmentService::AddMethods() {
  methods_.Add("CreateSegment", &service_, &Async::RequestCreateSegment,
               &SegmentService::CreateSegment, [this](const auto& request) {
                 return CreateSegmentMayWait(*registry_, request);
               });
  methods_.Add("GetSegment", &service_, &Async::RequestGetSegment,
               &SegmentService::GetSegment,
               [this](const auto& request) { return GetMayWait(request); });
  methods_.Add("ListSegments", &service_, &Async::RequestListSegments,
               &SegmentService::ListSegments,
               &MayAlwaysWait<v1::ListSegmentsRequest>);
  methods_.Add("UpdateSegment", &service_, &Async::RequestUpdateSegment,
               &SegmentService::UpdateSegment,
               &MayAlwaysWait<v1::UpdateSegmentRequest>);
  methods_.Add("RenewLease", &service_, &Async::RequestRenewLease,
               &SegmentService::RenewLease,
               &MayAlwaysWait<v1::RenewLeaseRequest>);
  methods_.Add("DeleteSegment", &service_, &Async::RequestDeleteSegment,
               &SegmentService::DeleteSegment,
               &MayAlwaysWait<v1::DeleteSegmentRequest>,
               &SegmentService::DeleteSegmentAtOnce);
  methods_.Add("SealSegment", &service_, &Async::RequestSealSegment,
               &SegmentService::SealSegment,
               &MayAlwaysWait<v1::SealSegmentRequest>);
  methods_.Add("ResizeSegment", &service_, &Async::RequestResizeSegment,
               &SegmentService::ResizeSegment,
               &MayAlwaysWait<v1::ResizeSegmentRequest>);
  methods_.Add("FlushSegment", &service_, &Async::RequestFlushSegment,
               &SegmentService::FlushSegment,
               &MayAlwaysWait<v1::FlushSegmentRequest>);
  methods_.Add("AdoptSegment", &service_, &Async::RequestAdoptSegment,
               &SegmentService::AdoptSegment,
               &MayAlwaysWait<v1::AdoptSegmentRequest>);
  methods_.Add("DisownSegment", &service_, &Async::RequestDisownSegment,
               &SegmentService::DisownSegment,
               &MayAlwaysWait<v1::DisownSegmentRequest>);
  methods_.Add("ReadSegment", &service_, &Async::RequestReadSegment,
               &SegmentService::ReadSegment,
               &MayAlwaysWait<v1::ReadSegmentRequest>);
  methods_.Add("WriteSegment", &service_, &Async::RequestWriteSegment,
               &SegmentService::WriteSegment,
               [](const v1::WriteSegmentRequest& request) {
                 // Only bytes touch pages.
                 return !request.data().empty();
               });
  methods_.Add(
      "BatchCreateSegments", &service_, &Async::RequestBatchCreateSegments,
      &SegmentService::BatchCreateSegments, [this](const auto& request) {
        return BatchCreateSegmentsMayWait(*registry_, request);
      });
  methods_.Add("BatchGetSegments", &service_, &Async::RequestBatchGetSegments,
               &SegmentService::BatchGetSegments,
               &MayAlwaysWait<v1::BatchGetSegmentsRequest>);
  methods_.Add("BatchDeleteSegments", &service_,
               &Async::RequestBatchDeleteSegments,
               &SegmentService::BatchDeleteSegments,
               &MayAlwaysWait<v1::BatchDeleteSegmentsRequest>);
  methods_.Add("CreateHandle", &service_, &Async::RequestCreateHandle,
               &SegmentService::CreateHandle,
               [](const v1::CreateHandleRequest&) { return false; });
}

}  // namespace shmd
