#ifndef SHMD_SERVER_RPC_CHANNEL_WATCH_H_
#define SHMD_SERVER_RPC_CHANNEL_WATCH_H_

#include <memory>

#include "absl/status/statusor.h"
#include "server/access/caller.h"
#include "server/channel/channel_registry.h"
#include "server/registry/namespace_table.h"
#include "server/rpc/reply_stream.h"
#include "server/rpc/watch_hub.h"
#include "shmd/v1/channel.pb.h"

namespace shmd {

// Begins a watch over a namespace's channels: first those that exist, then what
// changes. One that cannot be is finished with its error. Holds one page at a
// time, however slow the watcher is; once the events have moved past its place
// it ends with RESUME_TOKEN_EXPIRED. Borrows what it is given.
ReplySource* WatchChannels(WatchHub* hub, NamespaceTable* namespaces,
                           const ChannelRegistry* channels,
                           absl::StatusOr<std::shared_ptr<const Caller>> caller,
                           const v1::WatchChannelsRequest& request,
                           ReplyWriter<v1::WatchChannelsResponse>* writer);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_CHANNEL_WATCH_H_
