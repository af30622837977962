#include "client/cpp/client_impl.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "client/cpp/backoff.h"
#include "client/cpp/rpc_status.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace shmd {
inline namespace client {
namespace {

// A page of a list has at most 1000 segments, of which each has at most 64
// labels of 318 bytes.
constexpr int kMaxReplyBytes = 64 << 20;

// gRPC's own back-off begins with 1 s and grows to 2 min; a restarted daemon
// was there after 0.3 s.
constexpr int kFirstReconnectMs = 100;
constexpr int kLongestReconnectMs = 1000;

// A daemon that is there has the time to accept, however short the patience
// with one that is not.
constexpr absl::Duration kAcceptTime = absl::Seconds(1);

// The session may end while a call that names it is made; more often than this
// is no accident.
constexpr int kMaxSessionsPerCall = 5;

}  // namespace

absl::StatusOr<std::shared_ptr<SessionLink>> Client::Impl::Link() {
  absl::MutexLock lock(&link_mutex_);
  return Renewed(link_, options_.attach_timeout);
}

absl::StatusOr<std::shared_ptr<SessionLink>> Client::Impl::Renewed(
    std::shared_ptr<SessionLink>& link, absl::Duration timeout) const {
  if (link == nullptr || !link->owned_by_this_process()) {
    SessionLink::Options options;
    options.socket.socket_dir = options_.socket_dir;
    options.socket.name_space = options_.name_space;
    options.socket.timeout = timeout;
    options.patience = options_.reconnect_timeout;
    ASSIGN_OR_RETURN(link, SessionLink::Open(options));
  }
  return link;
}

std::string Client::Impl::session_name() const {
  absl::MutexLock lock(&link_mutex_);
  return link_ == nullptr ? "" : link_->session_name();
}

absl::StatusOr<OpenedSegment> Client::Impl::Open(absl::string_view handle,
                                                 Access access) {
  ASSIGN_OR_RETURN(std::shared_ptr<SessionLink> link, Link());
  ASSIGN_OR_RETURN(SessionLink::Grant grant, link->Attach(handle, access));
  return OpenedSegment{
      Attachment(std::move(link), grant.hold, std::move(grant.granted.facts)),
      std::move(grant.granted.object)};
}

void Client::Impl::AwaitDetaches() {
  const absl::StatusOr<std::shared_ptr<SessionLink>> link = Link();
  if (link.ok()) (*link)->AwaitDetaches();
}

std::shared_ptr<Client::Impl> Client::Impl::ForObjects(
    const std::shared_ptr<Impl>& impl, const std::string& name_space) {
  {
    absl::MutexLock lock(&impl->object_mutex_);
    if (impl->object_namespaces_.insert(name_space).second) return impl;
  }
  auto other = std::make_shared<Impl>(impl->options_);
  other->object_namespaces_.insert(name_space);
  return other;
}

std::string Client::Impl::Parent() const {
  return absl::StrCat("namespaces/", options_.name_space);
}

std::string Client::Impl::FullName(absl::string_view name) const {
  if (name.find('/') != absl::string_view::npos) return std::string(name);
  return absl::StrCat(Parent(), "/segments/", name);
}

std::string Client::Impl::ChannelName(absl::string_view name) const {
  if (name.find('/') != absl::string_view::npos) return std::string(name);
  return absl::StrCat(Parent(), "/channels/", name);
}

std::shared_ptr<Client::Impl::Stubs> Client::Impl::MakeStubs() {
  absl::MutexLock lock(&stubs_mutex_);
  if (stubs_ == nullptr) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxReplyBytes);
    // A connection of its own: the daemon knows callers by connection.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectMs);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestReconnectMs);
    stubs_ = std::make_shared<Stubs>();
    SHMD_FAILPOINT("client.channel");
    stubs_->channel = grpc::CreateCustomChannel(
        absl::StrCat("unix:", options_.socket_dir, "/grpc.sock"),
        grpc::InsecureChannelCredentials(), arguments);
    stubs_->all = {v1::SegmentService::NewStub(stubs_->channel),
                   v1::NodeService::NewStub(stubs_->channel),
                   v1::ObjectService::NewStub(stubs_->channel),
                   v1::OrphanService::NewStub(stubs_->channel),
                   v1::SessionService::NewStub(stubs_->channel),
                   v1::GrantService::NewStub(stubs_->channel),
                   v1::NamespaceService::NewStub(stubs_->channel),
                   v1::ChannelService::NewStub(stubs_->channel),
                   v1::SyncService::NewStub(stubs_->channel)};
  }
  return stubs_;
}

// Until calls on the channel are sent: what fails from then on may have been
// done.
absl::Status Client::Impl::AwaitReady(const Stubs& stubs, Repeat repeat,
                                      absl::Time give_up) const {
  grpc::Channel& channel = *stubs.channel;
  // gRPC learns that a daemon has gone when somebody polls, which this does: a
  // call on the dead connection would fail, and not be made again. It takes a
  // millisecond, so not where the session tells that its daemon is there.
  const uint64_t known = stubs.known_connection;
  if (repeat == Repeat::kHarmful &&
      (known == 0 || known != StandingConnection())) {
    channel.WaitForStateChange(GRPC_CHANNEL_READY,
                               std::chrono::system_clock::now());
  }
  if (channel.GetState(false) == GRPC_CHANNEL_READY) return absl::OkStatus();
  const absl::Time end = std::max(give_up, absl::Now() + kAcceptTime);
  if (channel.WaitForConnected(absl::ToChronoTime(end))) {
    return absl::OkStatus();
  }
  return UnreachableStatus(options_.socket_dir, "it does not answer");
}

uint64_t Client::Impl::StandingConnection() const {
  std::shared_ptr<SessionLink> link;
  {
    absl::MutexLock lock(&link_mutex_);
    if (link_ == nullptr || !link_->owned_by_this_process()) return 0;
    link = link_;
  }
  return link->StandingConnection();
}

absl::Status Client::Impl::CallWhenReady(Repeat repeat, const UnaryCall& call) {
  const absl::Time give_up = absl::Now() + options_.reconnect_timeout;
  Backoff backoff;
  while (true) {
    const std::shared_ptr<Stubs> stubs = MakeStubs();
    RETURN_IF_ERROR(AwaitReady(*stubs, repeat, give_up));
    grpc::ClientContext context;
    if (options_.call_timeout != absl::InfiniteDuration()) {
      context.set_deadline(
          absl::ToChronoTime(absl::Now() + options_.call_timeout));
    }
    SHMD_FAILPOINT("client.call");
    const absl::Status status =
        StatusFromGrpc(call(*stubs, &context), options_.socket_dir);
    SHMD_FAILPOINT("client.called");
    NoteEnd(std::get<0>(stubs->all).get(), status);
    // Two daemons are never there at once, so this one has the session too.
    if (status.ok() && repeat == Repeat::kHarmful) {
      stubs->known_connection = StandingConnection();
    }
    if (!absl::IsUnavailable(status) || repeat == Repeat::kHarmful ||
        absl::Now() >= give_up) {
      return status;
    }
    absl::SleepFor(backoff.Next());
  }
}

absl::Status Client::Impl::CallInSession(
    const NameSession& name, const std::function<absl::Status()>& call) {
  ASSIGN_OR_RETURN(const std::shared_ptr<SessionLink> link, Link());
  std::string session = link->session_name();
  absl::Status status;
  for (int i = 0; i < kMaxSessionsPerCall; ++i) {
    name(session);
    status = call();
    if (GetErrorReason(status) != reason::kSessionNotFound) break;
    ASSIGN_OR_RETURN(session, link->AwaitSession());
  }
  return status;
}

absl::Status Client::Impl::Ask(
    bool in_session, const NameSession& name,
    const std::function<absl::Status(AttachSocket&)>& ask) {
  ASSIGN_OR_RETURN(const std::shared_ptr<SessionLink> link, Link());
  std::optional<std::string> named;
  return link->Exchange([&](AttachSocket& socket) {
    const std::string session = in_session ? socket.identity().session : "";
    // Only then is it another request.
    if (named != session) name(session);
    named = session;
    return ask(socket);
  });
}

absl::Status Client::Impl::AskOnce(
    const std::function<absl::Status(AttachSocket&)>& ask) {
  ASSIGN_OR_RETURN(const std::shared_ptr<SessionLink> link, Link());
  return link->ExchangeOnce(ask);
}

absl::Status Client::Impl::AskLong(
    Repeat repeat, const std::function<absl::Status(AttachSocket&)>& ask,
    const std::function<absl::Status()>& call) {
  const std::unique_lock<std::mutex> lock(long_mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return call();
  ASSIGN_OR_RETURN(const std::shared_ptr<SessionLink> link,
                   Renewed(long_link_, options_.call_timeout));
  return repeat == Repeat::kHarmful ? link->ExchangeOnce(ask)
                                    : link->Exchange(ask);
}

}  // namespace client
}  // namespace shmd
