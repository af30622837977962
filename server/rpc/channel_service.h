#ifndef SHMD_SERVER_RPC_CHANNEL_SERVICE_H_
#define SHMD_SERVER_RPC_CHANNEL_SERVICE_H_

#include <string>

#include "server/access/connection_table.h"
#include "server/channel/channel_registry.h"
#include "server/registry/segment_registry.h"
#include "server/rpc/method_set.h"
#include "server/rpc/reply_stream.h"
#include "server/rpc/rpc_service.h"
#include "server/rpc/watch_hub.h"
#include "shmd/v1/channel.grpc.pb.h"

namespace shmd {

// Channels and who takes part in them. Thread-safe. Borrows what it is given.
class ChannelService final : public RpcService {
 public:
  ChannelService(const ConnectionTable* connections, SegmentRegistry* segments,
                 ChannelRegistry* channels, WatchHub* watches);

  const char* name() const override {
    return v1::ChannelService::service_full_name();
  }
  grpc::Service* service() override { return &service_; }
  void Await(CallQueue* queue) override {
    methods_.Await(queue);
    ReplyStream<v1::WatchChannelsRequest, v1::WatchChannelsResponse>::Await(
        &watch_, queue);
  }

 private:
  absl::Status CreateChannel(const Caller& caller,
                             const v1::CreateChannelRequest& request,
                             v1::Channel* reply);
  absl::Status GetChannel(const Caller& caller,
                          const v1::GetChannelRequest& request,
                          v1::Channel* reply);
  absl::Status ListChannels(const Caller& caller,
                            const v1::ListChannelsRequest& request,
                            v1::ListChannelsResponse* reply);
  absl::Status DeleteChannel(const Caller& caller,
                             const v1::DeleteChannelRequest& request,
                             google::protobuf::Empty* reply);
  absl::Status CreatePublisher(const Caller& caller,
                               const v1::CreatePublisherRequest& request,
                               v1::Publisher* reply);
  absl::Status CreateSubscriber(const Caller& caller,
                                const v1::CreateSubscriberRequest& request,
                                v1::Subscriber* reply);
  absl::Status JoinChannel(const Caller& caller,
                           const v1::JoinChannelRequest& request,
                           v1::JoinChannelResponse* reply);
  absl::Status DeletePublisher(const Caller& caller,
                               const v1::DeletePublisherRequest& request,
                               google::protobuf::Empty* reply);
  absl::Status DeleteSubscriber(const Caller& caller,
                                const v1::DeleteSubscriberRequest& request,
                                google::protobuf::Empty* reply);
  absl::Status GetChannelStats(const Caller& caller,
                               const v1::GetChannelStatsRequest& request,
                               v1::ChannelStats* reply);

  SegmentRegistry* const segments_;
  ChannelRegistry* const channels_;
  v1::ChannelService::AsyncService service_;
  MethodSet<ChannelService> methods_;
  ReplyStreamMethod<v1::WatchChannelsRequest, v1::WatchChannelsResponse> watch_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_CHANNEL_SERVICE_H_
