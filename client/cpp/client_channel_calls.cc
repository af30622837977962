#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "client/cpp/channel_convert.h"
#include "client/cpp/client.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/watch_loop.h"

// Channels: the RPCs of Client.

namespace shmd {
inline namespace client {
namespace {

using Stub = v1::ChannelService::Stub;

// A request that no token resumes: a watcher that comes back starts anew.
struct ChannelWatchRequest {
  v1::WatchChannelsRequest proto;

  static std::string resume_token() { return ""; }
  static void set_resume_token(const std::string&) {}
  static void clear_resume_token() {}
};

// As WatchLoop knows events.
struct ChannelLoopEvent {
  WatchEvent::Type type = WatchEvent::Type::kExisting;
  ChannelWatchEvent event;
  std::string resume_token;
};

struct ChannelWatching {
  using Stub = v1::ChannelService::Stub;
  using Request = ChannelWatchRequest;
  using Response = v1::WatchChannelsResponse;
  using Event = ChannelLoopEvent;

  static std::unique_ptr<grpc::ClientReader<Response>> Start(
      Stub& stub, grpc::ClientContext* context, const Request& request) {
    return stub.WatchChannels(context, request.proto);
  }
  static Event FromProto(const Response& response) {
    Event event;
    event.event = EventFromProto(response);
    return event;
  }
};

}  // namespace

absl::StatusOr<Channel> Client::CreateChannel(absl::string_view id,
                                              const ChannelSpec& spec,
                                              bool allow_existing) {
  v1::CreateChannelRequest request;
  request.set_parent(impl_->Parent());
  request.set_channel_id(std::string(id));
  request.set_allow_existing(allow_existing);
  ChannelToProto(spec, request.mutable_channel());
  v1::Channel reply;
  RETURN_IF_ERROR(
      impl_->Call(&Stub::CreateChannel, request, reply,
                  allow_existing ? Repeat::kHarmless : Repeat::kHarmful));
  return ChannelFromProto(reply);
}

absl::StatusOr<Channel> Client::GetChannel(absl::string_view name) {
  v1::GetChannelRequest request;
  request.set_name(impl_->ChannelName(name));
  v1::Channel reply;
  RETURN_IF_ERROR(impl_->Call(&Stub::GetChannel, request, reply));
  return ChannelFromProto(reply);
}

absl::StatusOr<std::vector<Channel>> Client::ListChannels() {
  std::vector<Channel> out;
  v1::ListChannelsRequest request;
  request.set_parent(impl_->Parent());
  request.set_page_size(kListPageSize);
  do {
    v1::ListChannelsResponse reply;
    RETURN_IF_ERROR(impl_->Call(&Stub::ListChannels, request, reply));
    for (const v1::Channel& one : reply.channels()) {
      out.push_back(ChannelFromProto(one));
    }
    request.set_page_token(reply.next_page_token());
  } while (!request.page_token().empty());
  return out;
}

absl::Status Client::DeleteChannel(absl::string_view name, bool force) {
  v1::DeleteChannelRequest request;
  request.set_name(impl_->ChannelName(name));
  request.set_force(force);
  google::protobuf::Empty reply;
  return impl_->Call(&Stub::DeleteChannel, request, reply, Repeat::kHarmful);
}

absl::StatusOr<ChannelStats> Client::GetChannelStats(absl::string_view name) {
  v1::GetChannelStatsRequest request;
  request.set_name(impl_->ChannelName(name));
  v1::ChannelStats reply;
  RETURN_IF_ERROR(impl_->Call(&Stub::GetChannelStats, request, reply));
  return StatsFromProto(reply);
}

absl::Status Client::WatchChannels(
    const ChannelWatchOptions& options,
    const std::function<bool(const ChannelWatchEvent&)>& visit) {
  ChannelWatchRequest request;
  request.proto.set_parent(
      options.name_space.empty()
          ? impl_->Parent()
          : absl::StrCat("namespaces/", options.name_space));
  return RunWatch<ChannelWatching>(
      impl_.get(), std::move(request), {options.cancel, options.patience},
      [&visit](const ChannelLoopEvent& event) {
        if (event.type != WatchEvent::Type::kRelisted) {
          return visit(event.event);
        }
        ChannelWatchEvent relisted;
        relisted.type = ChannelWatchEvent::Type::kRelisted;
        return visit(relisted);
      });
}

}  // namespace client
}  // namespace shmd
