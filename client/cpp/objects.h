#ifndef SHMD_CLIENT_CPP_OBJECTS_H_
#define SHMD_CLIENT_CPP_OBJECTS_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/cpp/client.h"

namespace shmd {
inline namespace client {

class ObjectAccess;
class ObjectArena;

// What an object holds, as its writer says: ObjectMetadata of object.proto.
struct ObjectMetadata {
  std::string media_type;
  std::string schema;
  std::string dtype;
  std::vector<uint64_t> shape;
  std::vector<int64_t> strides;
  std::map<std::string, std::string> labels;
};

struct ObjectOptions {
  bool replace_existing = false;
  uint8_t priority = 0;  // the lowest go first when room has to be made
  absl::Duration ttl = absl::InfiniteDuration();
  std::optional<ObjectMetadata> metadata;
  // Not even this program can change it once it is sealed: it has an arena of
  // its own, which the kernel closes to all writes. Sealing takes longer, and
  // nothing is evicted for it.
  bool strict = false;
  // How long to wait for memory when there is none, and nothing that the
  // namespace's `when_full` would let go. Then OBJECTS_IN_USE
  // (RESOURCE_EXHAUSTED).
  absl::Duration wait_for_room = absl::ZeroDuration();
};

// An object of the directory, as a listing shows it.
struct ObjectSummary {
  std::string id;
  uint64_t generation = 0;
  uint64_t size_bytes = 0;
  uint32_t arena = 0;
  uid_t owner = 0;
  uint8_t priority = 0;
  // Whether its bytes are in a file of the daemon's.
  bool is_spilled = false;
  bool is_strict = false;
  absl::Time create_time;
  std::optional<absl::Time> expire_time;
};

// An object that this program is using: its bytes stay where they are, also
// when it is deleted or replaced meanwhile, until this ends. Move-only. May
// outlive the ObjectStore. Not thread-safe, but may be ended on any thread.
class PinnedObject {
 public:
  PinnedObject() = default;
  PinnedObject(PinnedObject&& other) noexcept { Swap(other); }
  PinnedObject& operator=(PinnedObject&& other) noexcept {
    PinnedObject old(std::move(*this));
    Swap(other);
    return *this;
  }
  ~PinnedObject() {
    if (access_ != nullptr) End();
  }

  const char* data() const { return data_; }
  uint64_t size_bytes() const { return size_bytes_; }
  absl::Span<const char> span() const {
    return absl::MakeConstSpan(data_, size_bytes_);
  }
  uint64_t generation() const { return generation_; }
  // Whether nobody can change it, its writer included: the daemon says so, who
  // had the kernel seal it.
  bool is_strict() const { return is_strict_; }

  // Whether its writer says anything of it.
  bool has_metadata() const { return metadata_bytes_ != 0; }
  // FIELD_INVALID (INVALID_ARGUMENT) when the writer wrote something else.
  absl::StatusOr<ObjectMetadata> metadata() const;

 private:
  friend class ObjectAccess;

  void Swap(PinnedObject& other) {
    std::swap(access_, other.access_);
    std::swap(slot_, other.slot_);
    std::swap(metadata_bytes_, other.metadata_bytes_);
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    std::swap(generation_, other.generation_);
    std::swap(is_strict_, other.is_strict_);
  }
  void End();

  ObjectAccess* access_ = nullptr;
  uint32_t slot_ = 0;
  uint32_t metadata_bytes_ = 0;
  const char* data_ = nullptr;
  uint64_t size_bytes_ = 0;
  uint64_t generation_ = 0;
  bool is_strict_ = false;
};

// Memory for an object that is being written. What is not sealed when this ends
// never was. Move-only. Not thread-safe.
class ObjectDraft {
 public:
  ObjectDraft() = default;
  ObjectDraft(ObjectDraft&& other) noexcept { Swap(other); }
  ObjectDraft& operator=(ObjectDraft&& other) noexcept {
    ObjectDraft old(std::move(*this));
    Swap(other);
    return *this;
  }
  ~ObjectDraft();

  // At a multiple of 64 bytes; of 4096 from 64 KiB on, of the arena's pages
  // from their size on. Not cleared: it may hold what this program wrote there
  // before.
  absl::Span<char> span() const {
    return absl::MakeSpan(data_, data_ == nullptr ? 0 : size_bytes_);
  }

  // Publishes it; returns its generation. From now on the bytes must not
  // change. OBJECT_EXISTS (ALREADY_EXISTS) and the other codes of CreateObject;
  // after an error it is still a draft.
  //
  // Of a strict object this unmaps span() first, of which nothing may be used
  // after it; SEGMENT_IN_USE (FAILED_PRECONDITION) while somebody else has it
  // mapped writable. After an error span() is mapped again, elsewhere; it is
  // empty when the arena was sealed before the name turned out to be taken.
  absl::StatusOr<uint64_t> Seal();

 private:
  friend class ObjectAccess;
  friend class ObjectStore;

  void CopyFrom(absl::Span<const char> data);
  void Swap(ObjectDraft& other) {
    std::swap(access_, other.access_);
    std::swap(arena_, other.arena_);
    std::swap(id_, other.id_);
    std::swap(options_, other.options_);
    std::swap(data_, other.data_);
    std::swap(size_bytes_, other.size_bytes_);
    std::swap(metadata_bytes_, other.metadata_bytes_);
    std::swap(is_cold_, other.is_cold_);
  }

  std::shared_ptr<ObjectAccess> access_;
  ObjectArena* arena_ = nullptr;
  std::string id_;
  ObjectOptions options_;
  char* data_ = nullptr;
  uint64_t size_bytes_ = 0;
  uint32_t metadata_bytes_ = 0;
  // Whether no cache has its memory, as far as is known.
  bool is_cold_ = false;
};

struct ObjectStoreOptions {
  // Empty: the client's.
  std::string name_space;
  // Who may read what is put here: permission bits, as of a file.
  mode_t mode = 0600;
  // Of one arena, in bytes; larger objects have arenas of their own.
  uint64_t arena_bytes = uint64_t{64} << 20;
  // Of the arenas' pages, in bytes: huge ones are taken from the kernel's pool
  // when an arena is made (OBJECTS_IN_USE when it has none), and objects that
  // are as large begin at one. 0: base pages.
  uint64_t page_size_bytes = 0;
  // Memory that objects were deleted from, and that nothing was put into for so
  // long, goes back to the kernel, in small steps when this program puts or
  // deletes something; InfiniteDuration: never. It is used again before that
  // while it is warm, and costs page faults after it.
  absl::Duration trim_after = absl::Seconds(10);
};

struct PutItem {
  absl::string_view id;
  absl::Span<const char> data;
};

// The objects of a namespace: immutable blobs that are put once and got many
// times. Get makes no call to the daemon and no system call once this program
// has mapped the arena; Put makes none beyond the copy while its arena has
// room and the daemon is awake.
//
// Objects are named by the last part of their name, 1 to 64 of [A-Za-z0-9._-].
// Thread-safe, but for the move operations. When the daemon is restarted, what
// is under way is repeated; with a keeper all objects are still there. Codes
// are those of object.proto, and UNAVAILABLE (SERVER_UNREACHABLE).
class ObjectStore {
 public:
  // Uses the client's session, and may outlive it. A second store in the same
  // namespace has a session of its own.
  static absl::StatusOr<ObjectStore> Open(
      Client& client, const ObjectStoreOptions& options = {});

  ObjectStore(ObjectStore&&) noexcept;
  ObjectStore& operator=(ObjectStore&&) noexcept;
  // What is pinned still stays pinned, and mapped.
  ~ObjectStore();

  // Finds and pins an object. OBJECT_NOT_FOUND; CALLER_NOT_ALLOWED when its
  // arena may not be read. With a `wait`, waits for it that long.
  absl::StatusOr<PinnedObject> Get(absl::string_view id);
  absl::StatusOr<PinnedObject> Get(absl::string_view id, absl::Duration wait);
  // Whether there is one now; pins nothing.
  bool Contains(absl::string_view id) const;

  // Copies `data` in and publishes it; returns its generation.
  absl::StatusOr<uint64_t> Put(absl::string_view id,
                               absl::Span<const char> data,
                               const ObjectOptions& options = {});
  // The same for many, in one exchange with the daemon. After an error, which
  // is that of one that failed, the others are there.
  absl::Status PutAll(absl::Span<const PutItem> items,
                      const ObjectOptions& options = {});
  // All that are there, in the order of the ids; the others are nullopt. With a
  // `wait`, waits for all of them that long.
  absl::StatusOr<std::vector<std::optional<PinnedObject>>> GetAll(
      absl::Span<const absl::string_view> ids);
  absl::StatusOr<std::vector<std::optional<PinnedObject>>> GetAll(
      absl::Span<const absl::string_view> ids, absl::Duration wait);
  // Memory to write an object into in place. FIELD_INVALID for metadata of more
  // than 64 KiB, or that is not UTF-8.
  absl::StatusOr<ObjectDraft> Create(absl::string_view id, uint64_t size_bytes,
                                     const ObjectOptions& options = {});

  // ObjectDraft::Seal for many drafts of this store, in one exchange with the
  // daemon. After an error, which is that of one that failed, the others are
  // sealed. FIELD_INVALID, and none is, when one is of another store;
  // SEGMENT_SEALED when one is sealed already.
  absl::Status SealAll(absl::Span<ObjectDraft> drafts);

  absl::Status Delete(absl::string_view id);
  absl::Status DeleteAll(absl::Span<const absl::string_view> ids);

  // Gives all memory back to the kernel that this program's arenas have and no
  // object is in; how many bytes. For programs that are about to be idle.
  absl::StatusOr<uint64_t> Trim();
  // Keeps an object from being evicted or spilled for `ttl` from now, as a pin
  // does while a program runs; by a call, and not to be ended early.
  absl::Status Lease(absl::string_view id, absl::Duration ttl);

  // In no order. What comes or goes meanwhile may be left out.
  std::vector<ObjectSummary> List() const;

 private:
  explicit ObjectStore(std::shared_ptr<ObjectAccess> access);

  std::shared_ptr<ObjectAccess> access_;
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_OBJECTS_H_
