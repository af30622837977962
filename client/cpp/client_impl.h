#ifndef SHMD_CLIENT_CPP_CLIENT_IMPL_H_
#define SHMD_CLIENT_CPP_CLIENT_IMPL_H_

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/client.h"
#include "client/cpp/session_link.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "shmd/v1/channel.grpc.pb.h"
#include "shmd/v1/grant.grpc.pb.h"
#include "shmd/v1/namespace.grpc.pb.h"
#include "shmd/v1/node.grpc.pb.h"
#include "shmd/v1/object.grpc.pb.h"
#include "shmd/v1/orphan.grpc.pb.h"
#include "shmd/v1/segment.grpc.pb.h"
#include "shmd/v1/session.grpc.pb.h"
#include "shmd/v1/sync.grpc.pb.h"

namespace shmd {
inline namespace client {

// The most that the daemon puts on a page of a list.
inline constexpr int kListPageSize = 1000;

class SyncDomain;

// Whether a call does the same when it is made twice, so that it may be made
// again when its answer was lost.
enum class Repeat { kHarmless, kHarmful };

// What a Client holds: its session, and the gRPC channel once an RPC was made.
// Thread-safe.
class Client::Impl {
 public:
  explicit Impl(ConnectOptions options) : options_(std::move(options)) {}

  const std::string& socket_dir() const { return options_.socket_dir; }
  const std::string& name_space() const { return options_.name_space; }
  absl::Duration reconnect_timeout() const {
    return options_.reconnect_timeout;
  }

  // The session; opens one when there is none, or it is the parent's.
  absl::StatusOr<std::shared_ptr<SessionLink>> Link();
  // The session's name; empty when there is none.
  std::string session_name() const;

  // Asks for a segment.
  absl::StatusOr<OpenedSegment> Open(absl::string_view handle, Access access);

  // Waits until the daemon has seen what was detached.
  void AwaitDetaches();

  // Who puts and gets objects of a namespace by this client's session: this for
  // the first that asks, another with a session of its own for the next. A
  // session has one page in a namespace, and its pins and rings one writer.
  static std::shared_ptr<Impl> ForObjects(const std::shared_ptr<Impl>& impl,
                                          const std::string& name_space);

  // `namespaces/default`.
  std::string Parent() const;
  // The full name of a segment, and of a channel.
  std::string FullName(absl::string_view name) const;
  std::string ChannelName(absl::string_view name) const;

  // That of a service, for calls that are not unary.
  template <typename Stub>
  std::shared_ptr<Stub> StubOf() {
    const std::shared_ptr<Stubs> stubs = MakeStubs();
    return {stubs, std::get<std::unique_ptr<Stub>>(stubs->all).get()};
  }

  // To be told how every call on a stub has ended. After SERVER_UNREACHABLE
  // the next call gets a new channel.
  template <typename Stub>
  void NoteEnd(const Stub* stub, const absl::Status& status) {
    if (GetErrorReason(status) != reason::kServerUnreachable) return;
    absl::MutexLock lock(&stubs_mutex_);
    // Unless another thread has been here.
    if (stubs_ != nullptr &&
        std::get<std::unique_ptr<Stub>>(stubs_->all).get() == stub) {
      stubs_.reset();
    }
  }

  // One unary call with a deadline. A daemon that is away is waited for. A
  // call whose answer may have been lost is made again if that is harmless.
  template <typename Stub, typename Request, typename Reply>
  absl::Status Call(grpc::Status (Stub::*method)(grpc::ClientContext*,
                                                 const Request&, Reply*),
                    const Request& request, Reply& reply,
                    Repeat repeat = Repeat::kHarmless) {
    return CallWhenReady(
        repeat, [&](const Stubs& stubs, grpc::ClientContext* context) {
          Stub* const stub = std::get<std::unique_ptr<Stub>>(stubs.all).get();
          return (stub->*method)(context, request, &reply);
        });
  }

  // Makes a call that names this program's session, which `name` puts into the
  // request. Again when the daemon was restarted and did not know the session
  // yet, or did not wait for it.
  using NameSession = std::function<void(const std::string& session)>;
  absl::Status CallInSession(const NameSession& name,
                             const std::function<absl::Status()>& call);
  // Has `ask` make a request of the attach socket, which `name` has given an id
  // and, `in_session`, the session; that is empty otherwise.
  absl::Status Ask(bool in_session, const NameSession& name,
                   const std::function<absl::Status(AttachSocket&)>& ask);

  // Has `ask` make one that is not made again (SessionLink::ExchangeOnce).
  absl::Status AskOnce(const std::function<absl::Status(AttachSocket&)>& ask);

  // Has `ask` make a request that may take long, once or as Ask does: on a
  // connection for such ones alone, a session of its own, so that nothing else
  // of this program waits for it. `call` makes it where one is under way.
  absl::Status AskLong(Repeat repeat,
                       const std::function<absl::Status(AttachSocket&)>& ask,
                       const std::function<absl::Status()>& call);

  // Of the segment or channel of that name.
  absl::StatusOr<NewGrant> CreateGrant(const std::string& parent,
                                       const GrantSpec& spec);
  absl::StatusOr<std::vector<Grant>> ListGrants(const std::string& parent);

  // For SyncCalls: the one page of the session.
  absl::Mutex sync_mutex_;
  std::shared_ptr<SyncDomain> sync_ ABSL_GUARDED_BY(sync_mutex_);

 private:
  // Those of one channel.
  struct Stubs {
    std::shared_ptr<grpc::Channel> channel;
    std::tuple<std::unique_ptr<v1::SegmentService::Stub>,
               std::unique_ptr<v1::NodeService::Stub>,
               std::unique_ptr<v1::ObjectService::Stub>,
               std::unique_ptr<v1::OrphanService::Stub>,
               std::unique_ptr<v1::SessionService::Stub>,
               std::unique_ptr<v1::GrantService::Stub>,
               std::unique_ptr<v1::NamespaceService::Stub>,
               std::unique_ptr<v1::ChannelService::Stub>,
               std::unique_ptr<v1::SyncService::Stub>>
        all;
    // That of the session which the daemon had that answered a call.
    std::atomic<uint64_t> known_connection{0};
  };
  using UnaryCall =
      std::function<grpc::Status(const Stubs&, grpc::ClientContext*)>;

  std::shared_ptr<Stubs> MakeStubs();
  absl::Status CallWhenReady(Repeat repeat, const UnaryCall& call);
  absl::Status AwaitReady(const Stubs& stubs, Repeat repeat,
                          absl::Time give_up) const;
  uint64_t StandingConnection() const;

  const ConnectOptions options_;

  // `link`, made anew when there is none or it is the parent's.
  absl::StatusOr<std::shared_ptr<SessionLink>> Renewed(
      std::shared_ptr<SessionLink>& link, absl::Duration timeout) const;

  mutable absl::Mutex link_mutex_;
  std::shared_ptr<SessionLink> link_ ABSL_GUARDED_BY(link_mutex_);

  std::mutex long_mutex_;  // one request that takes long at a time
  std::shared_ptr<SessionLink> long_link_;  // whoever has long_mutex_

  absl::Mutex object_mutex_;
  // Namespaces whose page has been taken, for good: answers to what a former
  // user has submitted may still come.
  absl::flat_hash_set<std::string> object_namespaces_
      ABSL_GUARDED_BY(object_mutex_);

  absl::Mutex stubs_mutex_;
  std::shared_ptr<Stubs> stubs_ ABSL_GUARDED_BY(stubs_mutex_);
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_CLIENT_IMPL_H_
