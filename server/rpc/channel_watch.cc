#include "server/rpc/channel_watch.h"

#include <deque>
#include <optional>
#include <string>
#include <utility>

#include "base/status_macros.h"
#include "server/access/policy.h"
#include "server/channel/channel_events.h"
#include "server/registry/names.h"
#include "server/rpc/channel_proto.h"
#include "server/rpc/watch_stream.h"

namespace shmd {
namespace {

constexpr size_t kChannelsPerPage = 64;

// The source of a WatchStream.
class ChannelWatch {
 public:
  using Reply = v1::WatchChannelsResponse;

  ChannelWatch(NamespaceTable* namespaces, const ChannelRegistry* channels,
               std::shared_ptr<const Caller> caller, std::string name_space)
      : namespaces_(namespaces),
        channels_(channels),
        caller_(std::move(caller)),
        name_space_(std::move(name_space)),
        revision_(channels->events().LastRevision()) {}

  absl::StatusOr<bool> Next(Reply* reply) {
    reply->Clear();
    if (synced_) return NextChange(reply);
    RETURN_IF_ERROR(FillPage());
    if (page_.empty()) {
      synced_ = true;
      reply->set_type(Reply::SYNCED);
      return true;
    }
    reply->set_type(Reply::CHANGED);
    ChannelToProto(page_.front(), reply->mutable_channel());
    page_.pop_front();
    return true;
  }

 private:
  absl::Status FillPage() {
    if (!page_.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(
        std::vector<ChannelSnapshot> found,
        channels_->List(*caller_, name_space_, listed_to_, kChannelsPerPage));
    for (ChannelSnapshot& channel : found) {
      listed_to_ = channel.name.id;
      page_.push_back(std::move(channel));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<bool> NextChange(Reply* reply) {
    for (;;) {
      ASSIGN_OR_RETURN(const std::optional<ChannelEvent> event,
                       channels_->events().TakeNext(&revision_));
      if (!event.has_value()) return false;
      const ChannelSnapshot& channel = event->channel;
      if (channel.name.name_space != name_space_) continue;
      // Who may enter can change while somebody watches.
      RETURN_IF_ERROR(namespaces_->CheckEntry(*caller_, name_space_));
      if (!MayAccess(*caller_, OwnershipOf(channel.fields), Access::kRead)) {
        continue;
      }
      if (event->type == ChannelEvent::Type::kDeleted) {
        reply->set_type(Reply::DELETED);
        reply->mutable_channel()->set_name(channel.name.ToString());
        reply->mutable_channel()->set_generation(channel.fields.generation);
      } else {
        reply->set_type(Reply::CHANGED);
        ChannelToProto(channel, reply->mutable_channel());
      }
      return true;
    }
  }

  NamespaceTable* const namespaces_;
  const ChannelRegistry* const channels_;
  const std::shared_ptr<const Caller> caller_;
  const std::string name_space_;
  // Behind what is listed: a change meanwhile is told twice and not missed.
  uint64_t revision_;
  bool synced_ = false;
  std::string listed_to_;
  std::deque<ChannelSnapshot> page_;
};

// The namespace that is to be watched.
absl::StatusOr<std::string> Decode(
    const absl::StatusOr<std::shared_ptr<const Caller>>& caller,
    const v1::WatchChannelsRequest& request, const NamespaceTable& namespaces) {
  RETURN_IF_ERROR(caller.status());
  ASSIGN_OR_RETURN(const std::string name_space,
                   ParseNamespaceName("parent", request.parent()));
  RETURN_IF_ERROR(namespaces.CheckEntry(**caller, name_space));
  return name_space;
}

}  // namespace

ReplySource* WatchChannels(WatchHub* hub, NamespaceTable* namespaces,
                           const ChannelRegistry* channels,
                           absl::StatusOr<std::shared_ptr<const Caller>> caller,
                           const v1::WatchChannelsRequest& request,
                           ReplyWriter<v1::WatchChannelsResponse>* writer) {
  const absl::StatusOr<std::string> name_space =
      Decode(caller, request, *namespaces);
  if (!name_space.ok()) {
    return new RefusedWatch<v1::WatchChannelsResponse>(writer,
                                                       name_space.status());
  }
  const uid_t uid = (*caller)->uid;
  auto* const watch = new WatchStream<ChannelWatch>(
      hub, writer,
      std::make_unique<ChannelWatch>(namespaces, channels, *std::move(caller),
                                     *name_space));
  hub->Add(watch, *name_space, uid);
  return watch;
}

}  // namespace shmd
