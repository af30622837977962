#ifndef SHMD_SERVER_RPC_OBJECT_WATCH_H_
#define SHMD_SERVER_RPC_OBJECT_WATCH_H_

#include <memory>

#include "absl/status/statusor.h"
#include "server/access/caller.h"
#include "server/object/object_registry.h"
#include "server/registry/namespace_table.h"
#include "server/rpc/reply_stream.h"
#include "server/rpc/watch_hub.h"
#include "shmd/v1/object.pb.h"

namespace shmd {

// Begins a watch over a namespace's objects: first pages of what exists, then
// the table's events. One that cannot be is finished with its error. Holds one
// page at a time, however slow the watcher is; once the events have moved past
// its place it ends with RESUME_TOKEN_EXPIRED. Makes no directory where there
// is none, but waits for one. Borrows what it is given.
ReplySource* WatchObjects(WatchHub* hub, NamespaceTable* namespaces,
                          ObjectRegistry* objects,
                          absl::StatusOr<std::shared_ptr<const Caller>> caller,
                          const v1::WatchObjectsRequest& request,
                          ReplyWriter<v1::WatchObjectsResponse>* writer);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_OBJECT_WATCH_H_
