#include "client/cpp/client.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/socket_dir.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"

namespace shmd {
inline namespace client {
namespace {

// A page of a list has at most 1000 segments, of which each has at most 64
// labels of 318 bytes.
constexpr int kMaxReplyBytes = 64 << 20;

// How a grant is mapped; RANGE_OUTSIDE_SEGMENT.
absl::StatusOr<MapOptions> ToMapOptions(const Attachment::Facts& facts,
                                        const AttachOptions& options) {
  if (options.offset_bytes > facts.length_bytes ||
      options.length_bytes > facts.length_bytes - options.offset_bytes) {
    return Error(absl::StatusCode::kOutOfRange, reason::kRangeOutsideSegment,
                 absl::StrCat("bytes ", options.offset_bytes, " to ",
                              options.offset_bytes, " + ", options.length_bytes,
                              " do not lie within the handle's ",
                              facts.length_bytes))
        .With("offset_bytes", options.offset_bytes)
        .With("length_bytes", options.length_bytes)
        .With("size_bytes", facts.length_bytes)
        .ToStatus();
  }
  MapOptions out;
  out.size_bytes = facts.segment_size_bytes;
  out.page_size_bytes = facts.page_size_bytes;
  out.offset_bytes = facts.offset_bytes + options.offset_bytes;
  out.length_bytes = options.length_bytes != 0
                         ? options.length_bytes
                         : facts.length_bytes - options.offset_bytes;
  out.populate = options.populate;
  out.lock_in_memory = options.lock_in_memory;
  out.advise_huge_pages = facts.advise_huge_pages;
  out.fixed_address = options.fixed_address;
  return out;
}

}  // namespace

absl::StatusOr<std::shared_ptr<AttachSocket>> Client::Impl::Connection() {
  absl::MutexLock lock(&connection_mutex_);
  if (connection_ == nullptr || connection_->lost() ||
      !connection_->owned_by_this_process()) {
    ASSIGN_OR_RETURN(connection_, AttachSocket::Open(options_.socket_dir,
                                                     options_.attach_timeout));
  }
  return connection_;
}

absl::StatusOr<OpenedSegment> Client::Impl::Open(absl::string_view handle,
                                                 Access access) {
  ASSIGN_OR_RETURN(std::shared_ptr<AttachSocket> connection, Connection());
  absl::StatusOr<AttachSocket::Grant> grant =
      connection->Attach(handle, access);
  if (!grant.ok() && connection->lost()) {
    // Its daemon has gone; perhaps another is there by now.
    ASSIGN_OR_RETURN(connection, Connection());
    grant = connection->Attach(handle, access);
  }
  if (!grant.ok()) return grant.status();
  return OpenedSegment{
      Attachment(std::move(connection), std::move(grant->facts)),
      std::move(grant->object)};
}

void Client::Impl::AwaitDetaches() {
  std::shared_ptr<AttachSocket> connection;
  {
    absl::MutexLock lock(&connection_mutex_);
    connection = connection_;
  }
  if (connection != nullptr && connection->owned_by_this_process()) {
    connection->AwaitDetaches();
  }
}

std::string Client::Impl::Parent() const {
  return absl::StrCat("namespaces/", options_.name_space);
}

std::string Client::Impl::FullName(absl::string_view name) const {
  if (name.find('/') != absl::string_view::npos) return std::string(name);
  return absl::StrCat(Parent(), "/segments/", name);
}

std::shared_ptr<Client::Impl::Stubs> Client::Impl::MakeStubs() {
  absl::MutexLock lock(&stubs_mutex_);
  if (stubs_ == nullptr) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxReplyBytes);
    // A connection of its own: the daemon knows callers by connection.
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    const std::shared_ptr<grpc::Channel> channel = grpc::CreateCustomChannel(
        absl::StrCat("unix:", options_.socket_dir, "/grpc.sock"),
        grpc::InsecureChannelCredentials(), arguments);
    stubs_ = std::make_shared<Stubs>();
    stubs_->segments = v1::SegmentService::NewStub(channel);
    stubs_->nodes = v1::NodeService::NewStub(channel);
    stubs_->orphans = v1::OrphanService::NewStub(channel);
    stubs_->sessions = v1::SessionService::NewStub(channel);
  }
  return stubs_;
}

std::shared_ptr<v1::SegmentService::Stub> Client::Impl::Segments() {
  const std::shared_ptr<Stubs> stubs = MakeStubs();
  return {stubs, stubs->segments.get()};
}

std::shared_ptr<v1::NodeService::Stub> Client::Impl::Nodes() {
  const std::shared_ptr<Stubs> stubs = MakeStubs();
  return {stubs, stubs->nodes.get()};
}

std::shared_ptr<v1::OrphanService::Stub> Client::Impl::Orphans() {
  const std::shared_ptr<Stubs> stubs = MakeStubs();
  return {stubs, stubs->orphans.get()};
}

std::shared_ptr<v1::SessionService::Stub> Client::Impl::Sessions() {
  const std::shared_ptr<Stubs> stubs = MakeStubs();
  return {stubs, stubs->sessions.get()};
}

void Client::Impl::NoteEnd(const void* stub, const absl::Status& status) {
  if (GetErrorReason(status) != reason::kServerUnreachable) return;
  absl::MutexLock lock(&stubs_mutex_);
  // Unless another thread has been here.
  if (stubs_ != nullptr &&
      (stubs_->segments.get() == stub || stubs_->nodes.get() == stub ||
       stubs_->orphans.get() == stub || stubs_->sessions.get() == stub)) {
    stubs_.reset();
  }
}

absl::StatusOr<Client> Client::Connect(const ConnectOptions& options) {
  ConnectOptions resolved = options;
  resolved.socket_dir = ResolveSocketDir(options.socket_dir);
  auto impl = std::make_unique<Impl>(std::move(resolved));
  RETURN_IF_ERROR(impl->Connection().status());
  return Client(std::move(impl));
}

Client::Client(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

const std::string& Client::socket_dir() const { return impl_->socket_dir(); }

template <typename Mapping>
absl::StatusOr<Attached<Mapping>> Client::MapAs(absl::string_view handle,
                                                Access access,
                                                const AttachOptions& options) {
  ASSIGN_OR_RETURN(OpenedSegment opened, impl_->Open(handle, access));
  ASSIGN_OR_RETURN(const MapOptions map_options,
                   ToMapOptions(opened.attachment.facts(), options));
  ASSIGN_OR_RETURN(Mapping mapping, Mapping::Map(opened.object, map_options));
  return Attached<Mapping>(std::move(opened.attachment), std::move(mapping));
}

absl::StatusOr<ReadOnlyAttached> Client::MapReadOnly(
    absl::string_view handle, const AttachOptions& options) {
  return MapAs<ReadOnlyMapping>(handle, Access::kRead, options);
}

absl::StatusOr<WritableAttached> Client::MapWritable(
    absl::string_view handle, const AttachOptions& options) {
  return MapAs<WritableMapping>(handle, Access::kReadWrite, options);
}

absl::StatusOr<PrivateAttached> Client::MapPrivate(
    absl::string_view handle, const AttachOptions& options) {
  return MapAs<CopyOnWriteMapping>(handle, Access::kRead, options);
}

absl::StatusOr<OpenedSegment> Client::Open(absl::string_view handle,
                                           Access access) {
  return impl_->Open(handle, access);
}

}  // namespace client
}  // namespace shmd
