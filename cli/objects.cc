#include "cli/objects.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "cli/format.h"
#include "client/cpp/objects.h"

namespace shmd::cli {
namespace {

absl::StatusOr<uint64_t> SizeOf(int fd, const std::string& file) {
  struct stat found = {};
  if (fstat(fd, &found) != 0) return ErrnoStatus(errno, file);
  return static_cast<uint64_t>(found.st_size);
}

absl::Status ReadAll(int fd, const std::string& file, absl::Span<char> out) {
  while (!out.empty()) {
    const ssize_t count = read(fd, out.data(), out.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus(errno, file);
    if (count == 0) return ErrnoStatus(EIO, file + " became shorter");
    out.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

absl::Status WriteAll(int fd, const std::string& file,
                      absl::Span<const char> data) {
  while (!data.empty()) {
    const ssize_t count = write(fd, data.data(), data.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus(errno, file);
    data.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

void PrintJson(const std::vector<ObjectSummary>& objects) {
  nlohmann::ordered_json out;
  out["objects"] = nlohmann::ordered_json::array();
  for (const ObjectSummary& object : objects) {
    out["objects"].push_back(ObjectToJson(object));
  }
  printf("%s\n", ToText(out).c_str());
}

nlohmann::ordered_json MetadataToJson(const ObjectMetadata& metadata) {
  nlohmann::ordered_json json;
  json["media_type"] = metadata.media_type;
  json["schema"] = metadata.schema;
  json["dtype"] = metadata.dtype;
  json["shape"] = metadata.shape;
  json["strides"] = metadata.strides;
  json["labels"] = metadata.labels;
  return json;
}

// What the writer may have left out.
void PrintIfSaid(const char* key, const std::string& value) {
  if (!value.empty()) PrintField(key, value);
}

void PrintObject(const ObjectSummary& object, const ObjectMetadata& metadata) {
  PrintField("id", object.id);
  PrintField("generation", absl::StrCat(object.generation));
  PrintField("size", ExactSize(object.size_bytes));
  PrintField("arena", absl::StrCat(object.arena));
  PrintField("owner", UserName(object.owner));
  PrintField("priority", absl::StrCat(object.priority));
  if (object.is_strict) PrintField("strict", "yes");
  if (object.is_spilled) PrintField("spilled", "yes");
  PrintField("created", TimeText(object.create_time));
  if (object.expire_time.has_value()) {
    PrintField("expires", TimeText(*object.expire_time));
  }
  PrintIfSaid("media type", metadata.media_type);
  PrintIfSaid("schema", metadata.schema);
  PrintIfSaid("dtype", metadata.dtype);
  PrintIfSaid("shape", absl::StrJoin(metadata.shape, " "));
  PrintIfSaid("strides", absl::StrJoin(metadata.strides, " "));
  for (const auto& [key, value] : metadata.labels) {
    PrintField("label", absl::StrCat(key, "=", value));
  }
}

}  // namespace

nlohmann::ordered_json ObjectToJson(const ObjectSummary& object) {
  nlohmann::ordered_json json;
  json["id"] = object.id;
  json["generation"] = std::to_string(object.generation);
  json["size_bytes"] = std::to_string(object.size_bytes);
  json["arena"] = object.arena;
  json["owner"] = object.owner;
  json["priority"] = object.priority;
  json["spilled"] = object.is_spilled;
  if (object.is_strict) json["strict"] = true;
  json["create_time"] = absl::FormatTime(object.create_time);
  if (object.expire_time.has_value()) {
    json["expire_time"] = absl::FormatTime(*object.expire_time);
  }
  return json;
}

absl::Status PutObject(Context& context, const PutObjectOptions& options) {
  const UniqueFd file(open(options.file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, options.file);
  ASSIGN_OR_RETURN(const uint64_t size_bytes, SizeOf(file.get(), options.file));
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ObjectStoreOptions store_options;
  store_options.mode = options.mode;
  // Nothing else will be put there.
  store_options.arena_bytes = std::max<uint64_t>(size_bytes, 1);
  ASSIGN_OR_RETURN(ObjectStore store,
                   ObjectStore::Open(*client, store_options));
  ASSIGN_OR_RETURN(ObjectDraft draft,
                   store.Create(options.id, size_bytes, options.object));
  RETURN_IF_ERROR(ReadAll(file.get(), options.file, draft.span()));
  return draft.Seal().status();
}

absl::Status GetObject(Context& context, const std::string& id,
                       const std::string& file) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(ObjectStore store, ObjectStore::Open(*client));
  ASSIGN_OR_RETURN(const PinnedObject object, store.Get(id));
  const UniqueFd out(
      open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!out.valid()) return ErrnoStatus(errno, file);
  return WriteAll(out.get(), file, object.span());
}

absl::Status StatObject(Context& context, const std::string& id) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(ObjectStore store, ObjectStore::Open(*client));
  ASSIGN_OR_RETURN(const PinnedObject object, store.Get(id));
  ASSIGN_OR_RETURN(const ObjectMetadata metadata, object.metadata());
  for (const ObjectSummary& summary : store.List()) {
    if (summary.generation != object.generation()) continue;
    if (!context.json) {
      PrintObject(summary, metadata);
      return absl::OkStatus();
    }
    nlohmann::ordered_json json = ObjectToJson(summary);
    if (object.has_metadata()) json["metadata"] = MetadataToJson(metadata);
    printf("%s\n", ToText(json).c_str());
    return absl::OkStatus();
  }
  return Error(absl::StatusCode::kNotFound, reason::kObjectNotFound,
               "the object was deleted or replaced just now");
}

absl::Status ListObjects(Context& context, bool quiet) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(ObjectStore store, ObjectStore::Open(*client));
  std::vector<ObjectSummary> objects = store.List();
  std::sort(objects.begin(), objects.end(),
            [](const ObjectSummary& a, const ObjectSummary& b) {
              return a.id < b.id;
            });
  if (context.json) {
    PrintJson(objects);
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows;
  uint64_t total_bytes = 0;
  for (const ObjectSummary& object : objects) {
    if (quiet) printf("%s\n", object.id.c_str());
    total_bytes += object.size_bytes;
    rows.push_back({object.id, HumanSize(object.size_bytes),
                    absl::StrCat(object.arena), object.is_spilled ? "yes" : "",
                    UserName(object.owner),
                    absl::FormatTime("%Y-%m-%d %H:%M:%S", object.create_time,
                                     absl::LocalTimeZone())});
  }
  if (quiet) return absl::OkStatus();
  printf("%s%s, %s\n",
         FormatTable({"ID", "SIZE", "ARENA", "SPILLED", "OWNER", "CREATED"},
                     rows, {1, 2})
             .c_str(),
         Counted(objects.size(), "object").c_str(),
         HumanSize(total_bytes).c_str());
  return absl::OkStatus();
}

absl::Status RemoveObjects(Context& context,
                           const std::vector<std::string>& ids) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(ObjectStore store, ObjectStore::Open(*client));
  const std::vector<absl::string_view> views(ids.begin(), ids.end());
  return store.DeleteAll(views);
}

}  // namespace shmd::cli
