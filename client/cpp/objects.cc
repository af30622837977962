#include "client/cpp/objects.h"

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/copy_in.h"
#include "client/cpp/object_access.h"
#include "shmd/v1/object.pb.h"

namespace shmd {
inline namespace client {
namespace {

absl::Status AlreadySealed() {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kSegmentSealed,
               "the object is sealed already");
}

}  // namespace

void PinnedObject::End() { access_->Unpin(slot_); }

absl::StatusOr<ObjectMetadata> PinnedObject::metadata() const {
  ObjectMetadata metadata;
  if (metadata_bytes_ == 0) return metadata;
  v1::ObjectMetadata proto;
  // A copy: the writer could change it while it is parsed.
  const std::string bytes(data_ + (size_bytes_ + 7) / 8 * 8, metadata_bytes_);
  if (!proto.ParseFromString(bytes)) {
    return InvalidField("metadata", reason::kFieldInvalid,
                        "is no ObjectMetadata");
  }
  metadata.media_type = proto.media_type();
  metadata.schema = proto.schema();
  metadata.dtype = proto.dtype();
  metadata.shape.assign(proto.shape().begin(), proto.shape().end());
  metadata.strides.assign(proto.strides().begin(), proto.strides().end());
  metadata.labels.insert(proto.labels().begin(), proto.labels().end());
  return metadata;
}

ObjectDraft::~ObjectDraft() {
  if (access_ != nullptr && arena_ != nullptr) access_->Abandon(*this);
}

void ObjectDraft::CopyFrom(absl::Span<const char> data) {
  CopyIn(data_, data.data(), data.size(),
         is_cold_ ? CacheState::kCold : CacheState::kWritten);
}

absl::StatusOr<uint64_t> ObjectDraft::Seal() {
  if (arena_ == nullptr) {
    return AlreadySealed();
  }
  ASSIGN_OR_RETURN(const uint64_t generation, access_->Seal(*this));
  arena_ = nullptr;
  return generation;
}

absl::StatusOr<ObjectStore> ObjectStore::Open(
    Client& client, const ObjectStoreOptions& options) {
  ASSIGN_OR_RETURN(std::shared_ptr<ObjectAccess> access,
                   ObjectAccess::Open(client.impl_, options));
  return ObjectStore(std::move(access));
}

ObjectStore::ObjectStore(std::shared_ptr<ObjectAccess> access)
    : access_(std::move(access)) {}
ObjectStore::ObjectStore(ObjectStore&&) noexcept = default;
ObjectStore& ObjectStore::operator=(ObjectStore&& other) noexcept {
  std::swap(access_, other.access_);
  return *this;
}
ObjectStore::~ObjectStore() { ObjectAccess::Retire(std::move(access_)); }

absl::StatusOr<PinnedObject> ObjectStore::Get(absl::string_view id) {
  return access_->Get(id);
}

absl::StatusOr<PinnedObject> ObjectStore::Get(absl::string_view id,
                                              absl::Duration wait) {
  const absl::Time deadline = absl::Now() + wait;
  for (;;) {
    absl::StatusOr<PinnedObject> object = access_->Get(id);
    const absl::Duration left = deadline - absl::Now();
    if (GetErrorReason(object.status()) != reason::kObjectNotFound ||
        left <= absl::ZeroDuration()) {
      return object;
    }
    RETURN_IF_ERROR(access_->Await(id, left));
  }
}

bool ObjectStore::Contains(absl::string_view id) const {
  return access_->Contains(id);
}

absl::StatusOr<uint64_t> ObjectStore::Put(absl::string_view id,
                                          absl::Span<const char> data,
                                          const ObjectOptions& options) {
  ASSIGN_OR_RETURN(ObjectDraft draft,
                   access_->Create(id, data.size(), options));
  draft.CopyFrom(data);
  return draft.Seal();
}

absl::Status ObjectStore::PutAll(absl::Span<const PutItem> items,
                                 const ObjectOptions& options) {
  std::vector<ObjectDraft> drafts;
  drafts.reserve(items.size());
  absl::Status status;
  for (const PutItem& item : items) {
    absl::StatusOr<ObjectDraft> draft =
        access_->Create(item.id, item.data.size(), options);
    status.Update(draft.status());
    if (!draft.ok()) continue;
    draft->CopyFrom(item.data);
    drafts.push_back(*std::move(draft));
  }
  status.Update(access_->SealAll(absl::MakeSpan(drafts)));
  return status;
}

absl::Status ObjectStore::SealAll(absl::Span<ObjectDraft> drafts) {
  for (const ObjectDraft& draft : drafts) {
    if (draft.arena_ == nullptr) return AlreadySealed();
    if (draft.access_ != access_) {
      return InvalidField("drafts", reason::kFieldInvalid,
                          "one is of another store");
    }
  }
  return access_->SealAll(drafts);
}

absl::StatusOr<std::vector<std::optional<PinnedObject>>> ObjectStore::GetAll(
    absl::Span<const absl::string_view> ids) {
  std::vector<std::optional<PinnedObject>> objects;
  objects.reserve(ids.size());
  for (const absl::string_view id : ids) {
    absl::StatusOr<PinnedObject> object = access_->Get(id);
    if (object.ok()) {
      objects.emplace_back(*std::move(object));
    } else if (GetErrorReason(object.status()) == reason::kObjectNotFound) {
      objects.emplace_back();
    } else {
      return object.status();
    }
  }
  return objects;
}

absl::StatusOr<std::vector<std::optional<PinnedObject>>> ObjectStore::GetAll(
    absl::Span<const absl::string_view> ids, absl::Duration wait) {
  const absl::Time deadline = absl::Now() + wait;
  ASSIGN_OR_RETURN(std::vector<std::optional<PinnedObject>> objects,
                   GetAll(ids));
  for (size_t i = 0; i < ids.size(); ++i) {
    if (objects[i].has_value()) continue;
    absl::StatusOr<PinnedObject> object = Get(ids[i], deadline - absl::Now());
    if (object.ok()) {
      objects[i].emplace(*std::move(object));
    } else if (GetErrorReason(object.status()) != reason::kObjectNotFound) {
      return object.status();
    }
  }
  return objects;
}

absl::StatusOr<ObjectDraft> ObjectStore::Create(absl::string_view id,
                                                uint64_t size_bytes,
                                                const ObjectOptions& options) {
  return access_->Create(id, size_bytes, options);
}

absl::Status ObjectStore::Delete(absl::string_view id) {
  return access_->Delete(absl::MakeConstSpan(&id, 1));
}

absl::Status ObjectStore::DeleteAll(absl::Span<const absl::string_view> ids) {
  return access_->Delete(ids);
}

absl::StatusOr<uint64_t> ObjectStore::Trim() { return access_->Trim(); }

absl::Status ObjectStore::Lease(absl::string_view id, absl::Duration ttl) {
  return access_->Lease(id, ttl);
}

std::vector<ObjectSummary> ObjectStore::List() const { return access_->List(); }

}  // namespace client
}  // namespace shmd
