// How a program comes to a namespace's directory and its own pages beside it.

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "client/cpp/object_access.h"
#include "shmd/v1/object.pb.h"

namespace shmd {
inline namespace client {
namespace {

// So that ages can be told by a clock of 32 bits.
uint32_t TrimAfterMs(absl::Duration trim_after) {
  constexpr int64_t kNever = int64_t{1} << 31;
  return static_cast<uint32_t>(
      std::clamp<int64_t>(absl::ToInt64Milliseconds(trim_after), 0, kNever));
}

int Descriptor(const OpenedSegment& opened) {
  const auto* const fd = std::get_if<UniqueFd>(&opened.object);
  return fd == nullptr ? -1 : fd->get();
}

// The greatest size that the file says of itself.
absl::StatusOr<sys::ScopedMmap> MapDirectory(int fd) {
  uint64_t max_size_bytes = 0;
  {
    sys::MmapRequest header;
    header.fd = fd;
    header.length_bytes = sizeof(layout::DirectoryHeader);
    ASSIGN_OR_RETURN(const sys::ScopedMmap mapped,
                     sys::ScopedMmap::Map(header));
    max_size_bytes = layout::HostMemory::Load(
        &static_cast<const layout::DirectoryHeader*>(mapped.data())
             ->max_size_bytes,
        std::memory_order_acquire);
  }
  sys::MmapRequest whole;
  whole.fd = fd;
  whole.length_bytes =
      std::clamp<uint64_t>(max_size_bytes, sizeof(layout::DirectoryHeader),
                           layout::kMaxDirectorySizeBytes);
  return sys::ScopedMmap::Map(whole);
}

}  // namespace

absl::StatusOr<std::shared_ptr<ObjectAccess>> ObjectAccess::Open(
    std::shared_ptr<Client::Impl> client, const ObjectStoreOptions& options) {
  Parts parts;
  ObjectStoreOptions resolved = options;
  if (resolved.name_space.empty()) {
    resolved.name_space = client->name_space();
  }
  client = Client::Impl::ForObjects(client, resolved.name_space);
  ASSIGN_OR_RETURN(parts.link, client->Link());
  v1::OpenDirectoryRequest request;
  v1::Directory reply;
  request.set_parent(absl::StrCat("namespaces/", resolved.name_space));
  RETURN_IF_ERROR(client->CallInSession(
      [&](const std::string& session) { request.set_session(session); },
      [&] {
        return client->Call(&v1::ObjectService::Stub::OpenDirectory, request,
                            reply);
      }));
  SHMD_FAILPOINT("space.opened");
  ASSIGN_OR_RETURN(parts.directory,
                   client->Open(reply.directory_handle(), Access::kRead));
  ASSIGN_OR_RETURN(parts.session_page, client->Open(reply.session_page_handle(),
                                                    Access::kReadWrite));
  ASSIGN_OR_RETURN(parts.answers,
                   client->Open(reply.answers_handle(), Access::kRead));
  SHMD_FAILPOINT("space.attached");
  ASSIGN_OR_RETURN(parts.pages,
                   MappedSessionPages::Map(Descriptor(parts.session_page),
                                           Descriptor(parts.answers)));
  ASSIGN_OR_RETURN(parts.directory_memory,
                   MapDirectory(Descriptor(parts.directory)));
  ASSIGN_OR_RETURN(const DirectoryReader reader,
                   DirectoryReader::Open(parts.directory_memory.data(),
                                         parts.directory_memory.size_bytes()));
  SHMD_FAILPOINT("space.mapped");
  // The mappings are enough from here on.
  parts.directory.object = UniqueFd();
  parts.session_page.object = UniqueFd();
  parts.answers.object = UniqueFd();
  parts.client = std::move(client);
  return std::shared_ptr<ObjectAccess>(
      new ObjectAccess(std::move(parts), reader, std::move(resolved)));
}

ObjectAccess::ObjectAccess(Parts parts, DirectoryReader reader,
                           ObjectStoreOptions options)
    : parts_(std::move(parts)),
      options_(std::move(options)),
      reader_(reader),
      pins_(parts_.pages.session()),
      is_lost_(parts_.directory.attachment.lost_flag()),
      lane_(parts_.link, parts_.pages.session(), parts_.pages.answers(),
            is_lost_, [this](const layout::Answer& answer) { Hear(answer); }),
      trim_after_ms_(TrimAfterMs(options_.trim_after)),
      trim_due_ms_(ObjectArena::NowMs()),
      // Nothing was put before.
      reconciled_(parts_.link->connections()) {}

ObjectAccess::~ObjectAccess() = default;

void ObjectAccess::Retire(std::shared_ptr<ObjectAccess> access) {
  if (access == nullptr || access.use_count() > 1) return;
  absl::flat_hash_set<uint32_t> pinned;
  CollectPins(access->parts_.pages.session(), &pinned);
  // For good: who still reads must never find its memory gone.
  if (!pinned.empty()) new std::shared_ptr<ObjectAccess>(std::move(access));
}

}  // namespace client
}  // namespace shmd
