#include "server/rpc/orphan_service.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/rpc/page.h"
#include "server/rpc/time_to_proto.h"

namespace shmd {
namespace {

// What a page token is of.
constexpr char kQuery[] = "orphans";

v1::Segment::Backend BackendToProto(BackendKind kind) {
  switch (kind) {
    case BackendKind::kPosix:
      return v1::Segment::POSIX;
    case BackendKind::kSysv:
      return v1::Segment::SYSV;
    case BackendKind::kMappedFile:
      return v1::Segment::MAPPED_FILE;
    case BackendKind::kMemfd:  // ends with its last holder
      break;
  }
  return v1::Segment::BACKEND_UNSPECIFIED;
}

void OrphanToProto(const Orphan& orphan, v1::Orphan* out) {
  const FoundObject& object = orphan.object;
  out->set_name(absl::StrCat("orphans/", object.id));
  out->set_backend(BackendToProto(object.name.backend));
  out->set_location(object.location);
  out->set_resident_bytes(object.resident_bytes);
  out->set_size_bytes(object.size_bytes);
  out->set_page_size_bytes(object.page_size_bytes);
  out->set_owner(object.owner);
  out->set_mode(object.mode);
  TimeToProto(object.last_use, out->mutable_last_use_time());
  out->set_creator_pid(object.creator);
  out->set_creator_alive(orphan.creator_alive);
  for (const std::string& fact : orphan.evidence) out->add_evidence(fact);
  out->set_hidden_processes(orphan.hidden_processes);
  out->set_etag(object.etag);
}

// The id that the page begins behind; empty for the first.
absl::StatusOr<std::string> AfterId(const std::string& token) {
  if (token.empty()) return std::string();
  return ReadPageToken(kQuery, token);
}

}  // namespace

OrphanService::OrphanService(const ConnectionTable* connections,
                             OrphanCensus* census)
    : census_(census), methods_(connections, this) {
  using Async = v1::OrphanService::AsyncService;
  methods_.Add("ListOrphans", &service_, &Async::RequestListOrphans,
               &OrphanService::ListOrphans,
               &MayAlwaysWait<v1::ListOrphansRequest>);
  methods_.Add("DeleteOrphan", &service_, &Async::RequestDeleteOrphan,
               &OrphanService::DeleteOrphan,
               &MayAlwaysWait<v1::DeleteOrphanRequest>);
}

absl::Status OrphanService::ListOrphans(const Caller& caller,
                                        const v1::ListOrphansRequest& request,
                                        v1::ListOrphansResponse* reply) {
  ASSIGN_OR_RETURN(const size_t limit, PageLimit(request.page_size()));
  ASSIGN_OR_RETURN(const std::string after, AfterId(request.page_token()));
  ASSIGN_OR_RETURN(const std::vector<Orphan> orphans, census_->List(caller));
  std::string last;
  for (const Orphan& orphan : orphans) {
    if (orphan.object.id <= after) continue;
    if (static_cast<size_t>(reply->orphans_size()) == limit) {
      reply->set_next_page_token(MakePageToken(kQuery, last));
      break;
    }
    OrphanToProto(orphan, reply->add_orphans());
    last = orphan.object.id;
  }
  return absl::OkStatus();
}

absl::Status OrphanService::DeleteOrphan(const Caller& caller,
                                         const v1::DeleteOrphanRequest& request,
                                         google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const std::string id,
                   ParseOrphanName("name", request.name()));
  return census_->Remove(caller, id, request.etag(),
                         request.allow_living_creator());
}

}  // namespace shmd
