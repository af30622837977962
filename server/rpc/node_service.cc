#include "server/rpc/node_service.h"

#include "base/status_macros.h"
#include "server/version.h"
#include "shm/limits.h"

namespace shmd {

NodeService::NodeService(const ConnectionTable* connections,
                         SegmentRegistry* registry, absl::Time start_time)
    : registry_(registry),
      start_time_(start_time),
      methods_(connections, this) {
  // It reads files.
  methods_.Add("GetNode", &service_,
               &v1::NodeService::AsyncService::RequestGetNode,
               &NodeService::GetNode, &MayAlwaysWait<v1::GetNodeRequest>);
}

absl::Status NodeService::GetNode(const Caller&, const v1::GetNodeRequest&,
                                  v1::Node* reply) {
  reply->set_node(registry_->node());
  reply->set_version(kVersion);
  reply->mutable_start_time()->set_seconds(absl::ToUnixSeconds(start_time_));
  const Budget::Use used = registry_->budget().used();
  reply->set_segment_count(used.segments);
  reply->set_segment_bytes(used.bytes);
  reply->set_budget_bytes(registry_->budget().limits().memory_bytes);
  ASSIGN_OR_RETURN(const uint64_t memory, ReadMemoryAvailableBytes());
  reply->set_memory_available_bytes(memory);
  const std::optional<uint64_t> cgroup = ReadCgroupAvailableBytes();
  if (cgroup.has_value()) reply->set_cgroup_available_bytes(*cgroup);
  const absl::StatusOr<uint64_t> posix = ReadPosixAvailableBytes();
  if (posix.ok()) reply->set_posix_available_bytes(*posix);
  for (const HugePagePool& pool : ReadHugePagePools()) {
    auto* const proto = reply->add_huge_page_pools();
    proto->set_page_size_bytes(pool.page_size_bytes);
    proto->set_total_pages(pool.total_pages);
    proto->set_available_pages(pool.available_pages);
  }
  return absl::OkStatus();
}

}  // namespace shmd
