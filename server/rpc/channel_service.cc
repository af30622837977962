#include "server/rpc/channel_service.h"

#include <optional>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "server/registry/names.h"
#include "server/rpc/channel_proto.h"
#include "server/rpc/channel_watch.h"
#include "server/rpc/find_caller.h"
#include "server/rpc/page.h"

namespace shmd {

ChannelService::ChannelService(const ConnectionTable* connections,
                               SegmentRegistry* segments,
                               ChannelRegistry* channels, WatchHub* watches)
    : segments_(segments), channels_(channels), methods_(connections, this) {
  using Async = v1::ChannelService::AsyncService;
  // To make or remove memfds is short, but where the keeper has to be told.
  const auto with_keeper = [this](const auto&) { return channels_->MayWait(); };
  const auto never = [](const auto&) { return false; };
  const auto always = [](const auto&) { return true; };
  methods_.Add("CreateChannel", &service_, &Async::RequestCreateChannel,
               &ChannelService::CreateChannel, with_keeper);
  methods_.Add("GetChannel", &service_, &Async::RequestGetChannel,
               &ChannelService::GetChannel, never);
  methods_.Add("ListChannels", &service_, &Async::RequestListChannels,
               &ChannelService::ListChannels, always);
  methods_.Add("DeleteChannel", &service_, &Async::RequestDeleteChannel,
               &ChannelService::DeleteChannel, always);
  methods_.Add("CreatePublisher", &service_, &Async::RequestCreatePublisher,
               &ChannelService::CreatePublisher, with_keeper);
  methods_.Add("CreateSubscriber", &service_, &Async::RequestCreateSubscriber,
               &ChannelService::CreateSubscriber, with_keeper);
  methods_.Add("JoinChannel", &service_, &Async::RequestJoinChannel,
               &ChannelService::JoinChannel, with_keeper);
  methods_.Add("DeletePublisher", &service_, &Async::RequestDeletePublisher,
               &ChannelService::DeletePublisher, always);
  methods_.Add("DeleteSubscriber", &service_, &Async::RequestDeleteSubscriber,
               &ChannelService::DeleteSubscriber, with_keeper);
  methods_.Add("GetChannelStats", &service_, &Async::RequestGetChannelStats,
               &ChannelService::GetChannelStats, always);
  watch_.request_call = [this](auto* context, auto* request, auto* writer,
                               auto* completions, void* tag) {
    service_.RequestWatchChannels(context, request, writer, completions,
                                  completions, tag);
  };
  watch_.start = [=](const grpc::ServerContext& context,
                     const v1::WatchChannelsRequest& request,
                     ReplyWriter<v1::WatchChannelsResponse>* writer) {
    return WatchChannels(watches, &segments->namespaces(), channels,
                         FindCaller(*connections, context), request, writer);
  };
}

absl::Status ChannelService::CreateChannel(
    const Caller& caller, const v1::CreateChannelRequest& request,
    v1::Channel* reply) {
  ASSIGN_OR_RETURN(const ChannelCommand command,
                   ChannelFromProto(caller, request));
  ASSIGN_OR_RETURN(const ChannelSnapshot channel,
                   channels_->Create(caller, command));
  ChannelToProto(channel, reply);
  return absl::OkStatus();
}

absl::Status ChannelService::GetChannel(const Caller& caller,
                                        const v1::GetChannelRequest& request,
                                        v1::Channel* reply) {
  ASSIGN_OR_RETURN(const ChannelName name,
                   ParseChannelName("name", request.name()));
  ASSIGN_OR_RETURN(const ChannelSnapshot channel, channels_->Get(caller, name));
  ChannelToProto(channel, reply);
  return absl::OkStatus();
}

absl::Status ChannelService::ListChannels(
    const Caller& caller, const v1::ListChannelsRequest& request,
    v1::ListChannelsResponse* reply) {
  ASSIGN_OR_RETURN(const std::string name_space,
                   ParseNamespaceName("parent", request.parent()));
  ASSIGN_OR_RETURN(const size_t limit, PageLimit(request.page_size()));
  std::string after;
  if (!request.page_token().empty()) {
    ASSIGN_OR_RETURN(after,
                     ReadPageToken(request.parent(), request.page_token()));
  }
  // One more than asked for tells whether there is a next page.
  ASSIGN_OR_RETURN(const std::vector<ChannelSnapshot> found,
                   channels_->List(caller, name_space, after, limit + 1));
  for (size_t i = 0; i < found.size() && i < limit; ++i) {
    ChannelToProto(found[i], reply->add_channels());
  }
  if (found.size() > limit) {
    reply->set_next_page_token(
        MakePageToken(request.parent(), found[limit - 1].name.id));
  }
  return absl::OkStatus();
}

absl::Status ChannelService::DeleteChannel(
    const Caller& caller, const v1::DeleteChannelRequest& request,
    google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(const ChannelName name,
                   ParseChannelName("name", request.name()));
  return channels_->Delete(caller, name, request.force());
}

absl::Status ChannelService::CreatePublisher(
    const Caller& caller, const v1::CreatePublisherRequest& request,
    v1::Publisher* reply) {
  ASSIGN_OR_RETURN(const JoinCommand command, JoinFromProto(request));
  ASSIGN_OR_RETURN(const ChannelRegistry::Joined joined,
                   channels_->Join(caller, command));
  JoinedToProto(*segments_, command.channel, joined, reply);
  return absl::OkStatus();
}

absl::Status ChannelService::CreateSubscriber(
    const Caller& caller, const v1::CreateSubscriberRequest& request,
    v1::Subscriber* reply) {
  ASSIGN_OR_RETURN(const JoinCommand command, JoinFromProto(request));
  ASSIGN_OR_RETURN(const ChannelRegistry::Joined joined,
                   channels_->Join(caller, command));
  JoinedToProto(*segments_, command.channel, joined, reply);
  return absl::OkStatus();
}

absl::Status ChannelService::JoinChannel(const Caller& caller,
                                         const v1::JoinChannelRequest& request,
                                         v1::JoinChannelResponse* reply) {
  ASSIGN_OR_RETURN(const MembershipCommand command,
                   MembershipFromProto(caller, request, std::nullopt));
  ASSIGN_OR_RETURN(const std::vector<ChannelRegistry::Joined> joined,
                   channels_->JoinAll(caller, command));
  MembershipToProto(*segments_, command.members.front().channel, joined, reply);
  return absl::OkStatus();
}

absl::Status ChannelService::DeletePublisher(
    const Caller& caller, const v1::DeletePublisherRequest& request,
    google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(
      const MemberName name,
      ParseMemberName("name", request.name(), MemberKind::kPublisher));
  return channels_->Leave(caller, name);
}

absl::Status ChannelService::DeleteSubscriber(
    const Caller& caller, const v1::DeleteSubscriberRequest& request,
    google::protobuf::Empty*) {
  ASSIGN_OR_RETURN(
      const MemberName name,
      ParseMemberName("name", request.name(), MemberKind::kSubscriber));
  return channels_->Leave(caller, name);
}

absl::Status ChannelService::GetChannelStats(
    const Caller& caller, const v1::GetChannelStatsRequest& request,
    v1::ChannelStats* reply) {
  ASSIGN_OR_RETURN(const ChannelName name,
                   ParseChannelName("name", request.name()));
  ASSIGN_OR_RETURN(const ChannelStats stats, channels_->Stats(caller, name));
  StatsToProto(name, stats, reply);
  return absl::OkStatus();
}

}  // namespace shmd
