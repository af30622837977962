#include "client/cpp/client.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/socket_dir.h"

namespace shmd {
inline namespace client {
namespace {

// How a grant is mapped; RANGE_OUTSIDE_SEGMENT, SEGMENT_REVOCABLE.
absl::StatusOr<MapOptions> ToMapOptions(const Attachment::Facts& facts,
                                        const AttachOptions& options) {
  if (facts.revocable && !options.allow_revocable) {
    return Error(absl::StatusCode::kFailedPrecondition,
                 reason::kSegmentRevocable,
                 "the segment's memory can be taken away while it is mapped")
        .With("name", facts.name)
        .ToStatus();
  }
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

absl::StatusOr<Client> Client::Connect(const ConnectOptions& options) {
  RETURN_IF_ERROR(ArmFailpointsOfEnvironment());
  ConnectOptions resolved = options;
  resolved.socket_dir = ResolveSocketDir(options.socket_dir);
  auto impl = std::make_shared<Impl>(std::move(resolved));
  RETURN_IF_ERROR(impl->Link().status());
  return Client(std::move(impl));
}

Client::Client(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&&) noexcept = default;
Client::~Client() = default;

std::string Client::session_name() const { return impl_->session_name(); }

const std::string& Client::socket_dir() const { return impl_->socket_dir(); }

template <typename Mapping>
absl::StatusOr<Attached<Mapping>> Client::MapAs(absl::string_view handle,
                                                Access access,
                                                const AttachOptions& options) {
  ASSIGN_OR_RETURN(OpenedSegment opened, impl_->Open(handle, access));
  SHMD_FAILPOINT("client.opened");
  ASSIGN_OR_RETURN(const MapOptions map_options,
                   ToMapOptions(opened.attachment.facts(), options));
  SHMD_FAILPOINT("client.map");
  ASSIGN_OR_RETURN(Mapping mapping, Mapping::Map(opened.object, map_options));
  SHMD_FAILPOINT("client.mapped");
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
