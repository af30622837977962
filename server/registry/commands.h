#ifndef SHMD_SERVER_REGISTRY_COMMANDS_H_
#define SHMD_SERVER_REGISTRY_COMMANDS_H_

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/registry/filter.h"
#include "server/registry/segment.h"
#include "shm/handle.h"
#include "shm/types.h"

namespace shmd {

struct SegmentView;

// What the RPCs ask of the registry, decoded and checked for form. Field names
// and meanings are those of segment.proto.

// When a segment ends: at a moment or after a time, or never.
struct Expiration {
  std::optional<absl::Time> time;
  std::optional<absl::Duration> ttl;
};

struct CreateCommand {
  std::string name_space;
  std::string id;  // empty: the uid
  SegmentOptions options;
  Labels labels;
  Expiration expiration;
  Lifetime lifetime = Lifetime::kUntilDeleted;
  Uid owner_session = {};
  SegmentRole role = SegmentRole::kOrdinary;
  std::string request_id;
  std::string fingerprint;  // of the whole request, when it has an id
  // Whoever asked for this was let in, be it without entry.
  bool is_let_in = false;
  // Writes what the first reader is to find, before anybody can find the
  // segment; may be empty.
  std::function<absl::Status(const SegmentView&)> fill;
};

// What is to be made in one go: a segment for each command, or several alike
// for the only one, all under its request id.
class CreateOrder {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): what most orders are.
  CreateOrder(std::vector<CreateCommand> commands)
      : commands_(std::move(commands)), size_(commands_.size()) {}
  CreateOrder(std::initializer_list<CreateCommand> commands)
      : CreateOrder(std::vector<CreateCommand>(commands)) {}
  CreateOrder(CreateCommand one, size_t count) : size_(count) {
    commands_.push_back(std::move(one));
  }

  size_t size() const { return size_; }
  bool is_alike() const { return size_ != commands_.size(); }
  // Each once: of segments alike, that of all.
  const std::vector<CreateCommand>& commands() const { return commands_; }
  // That of one segment.
  const CreateCommand& operator[](size_t i) const {
    return commands_[is_alike() ? 0 : i];
  }

 private:
  std::vector<CreateCommand> commands_;
  size_t size_;
};

struct AdoptCommand {
  std::string name_space;
  std::string id;
  AdoptOptions options;
  Labels labels;
  Expiration expiration;
};

struct ListCommand {
  std::string name_space;
  std::string after_id;  // exclusive; empty: from the first
  size_t limit = 0;
  SegmentFilter filter;
};

struct UpdateCommand {
  SegmentName name;
  std::string etag;
  std::optional<Labels> labels;  // all of them
  std::optional<std::map<std::string, std::optional<std::string>>>
      label_changes;  // nullopt removes one
  std::optional<mode_t> mode;
  std::optional<uid_t> owner;
  std::optional<gid_t> group;
  std::optional<Expiration> expiration;  // empty: never
};

struct RemoveCommand {
  std::vector<SegmentName> names;
  std::string etag;  // of the only one
  bool force = false;
  bool revoke_memory = false;  // implies force
  // Refuses what is larger, and mapped files, which wait for their storage.
  uint64_t most_bytes = UINT64_MAX;
};

struct HandleCommand {
  SegmentName name;
  Access access = Access::kRead;
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  std::optional<absl::Duration> ttl;
};

// `status` as that of one of the `members`, the field of a batch that has
// them: names its index, and the field at fault within it.
absl::Status AtIndex(const absl::Status& status, absl::string_view members,
                     size_t index);

struct GrantCommand {
  SegmentName name;  // of a segment's
  Access access = Access::kRead;
  uint32_t roles = 0;  // GrantRoles of a channel's
  Expiration expiration;
  uint64_t max_uses = 0;
  std::optional<uid_t> uid;
};

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_COMMANDS_H_
