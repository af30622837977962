// Which methods SegmentService has, and which of them may wait.

#include <algorithm>

#include "server/rpc/find_caller.h"
#include "server/rpc/segment_service.h"
#include "server/rpc/segment_watch.h"

namespace shmd {
namespace {

using Async = v1::SegmentService::AsyncService;

// From here on a batch keeps other calls waiting for longer than it takes to
// give it a thread.
constexpr int kLongBatch = 16;

// A memfd without pages takes a few system calls that never sleep.
bool IsLazyMemfd(const v1::Segment& segment) {
  const bool is_memfd = segment.backend() == v1::Segment::MEMFD ||
                        segment.backend() == v1::Segment::BACKEND_UNSPECIFIED;
  const bool is_lazy =
      segment.allocation() == v1::Segment::ALLOCATION_UNSPECIFIED ||
      segment.allocation() == v1::Segment::LAZY;
  return is_memfd && is_lazy && !segment.populate() &&
         !segment.lock_in_memory() &&
         segment.page_size_bytes() <= BasePageSizeBytes();
}

}  // namespace

// The keeper's queue may be full, and a memfd that is kept is recorded, which
// is a write. A request id may be that of a call that is still at work. A full
// view counts pages one by one.
bool SegmentService::CreateMayWait(
    const v1::CreateSegmentRequest& request) const {
  return !IsLazyMemfd(request.segment()) || registry_->KeepsMemfds() ||
         !request.request_id().empty() || request.view() == v1::FULL;
}

bool SegmentService::BatchCreateMayWait(
    const v1::BatchCreateSegmentsRequest& request) const {
  const auto& members = request.requests();
  return members.size() >= kLongBatch ||
         std::any_of(
             members.begin(), members.end(),
             [this](const auto& member) { return CreateMayWait(member); });
}

// A full view counts pages one by one.
bool SegmentService::GetMayWait(const v1::GetSegmentRequest& request) const {
  return request.view() != v1::IDENTITY &&
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
               &SegmentService::CreateSegment,
               [this](const auto& request) { return CreateMayWait(request); });
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
      &SegmentService::BatchCreateSegments,
      [this](const auto& request) { return BatchCreateMayWait(request); });
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
