#include "server/store/stored_segment.h"

#include <cstring>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {

const char kCreateTables[] = R"(
CREATE TABLE IF NOT EXISTS identity(
  one INTEGER PRIMARY KEY CHECK(one = 1),
  node INTEGER NOT NULL,
  key BLOB NOT NULL,
  next_generation INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS segments(
  uid BLOB PRIMARY KEY NOT NULL,
  namespace TEXT NOT NULL,
  id TEXT NOT NULL,
  generation INTEGER NOT NULL,
  state INTEGER NOT NULL,
  adopted INTEGER NOT NULL,
  create_time_ns INTEGER NOT NULL,
  expire_time_ns INTEGER NOT NULL,
  labels BLOB NOT NULL,
  backend INTEGER NOT NULL,
  posix_name TEXT NOT NULL,
  sysv_key INTEGER NOT NULL,
  sysv_id INTEGER NOT NULL,
  file_root TEXT NOT NULL,
  file_path TEXT NOT NULL,
  asked_file_path TEXT NOT NULL,
  device INTEGER NOT NULL,
  inode INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL,
  page_size_bytes INTEGER NOT NULL,
  allocation INTEGER NOT NULL,
  populate INTEGER NOT NULL,
  lock_in_memory INTEGER NOT NULL,
  resizable INTEGER NOT NULL,
  mode INTEGER NOT NULL,
  owner INTEGER NOT NULL,
  group_id INTEGER NOT NULL,
  numa_mode INTEGER NOT NULL,
  numa_nodes TEXT NOT NULL,
  huge_page_advice INTEGER NOT NULL,
  seal_policy INTEGER NOT NULL,
  UNIQUE(namespace, id)) STRICT, WITHOUT ROWID;
)";

const char kPutSegment[] =
    "INSERT OR REPLACE INTO segments VALUES("
    "?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)";

const char kReadSegments[] = "SELECT * FROM segments";

namespace {

constexpr int64_t kNever = -1;

std::string EncodeLabels(const Labels& labels) {
  std::string out;
  for (const auto& [key, value] : labels) {
    out.append(key).push_back('\0');
    out.append(absl::StrCat(value.size())).push_back('\0');
    out.append(value);
  }
  return out;
}

bool DecodeLabels(absl::string_view text, Labels* labels) {
  while (!text.empty()) {
    const size_t key_end = text.find('\0');
    if (key_end == absl::string_view::npos) return false;
    const std::string key(text.substr(0, key_end));
    text.remove_prefix(key_end + 1);
    const size_t size_end = text.find('\0');
    size_t size = 0;
    if (size_end == absl::string_view::npos ||
        !absl::SimpleAtoi(text.substr(0, size_end), &size)) {
      return false;
    }
    text.remove_prefix(size_end + 1);
    if (size > text.size()) return false;
    (*labels)[key] = std::string(text.substr(0, size));
    text.remove_prefix(size);
  }
  return true;
}

Error Damaged(absl::string_view what) {
  return Error(absl::StatusCode::kInternal, reason::kStoreFailed,
               absl::StrCat("the store: a row has a damaged ", what));
}

// Reads the columns in turn.
class Row {
 public:
  explicit Row(const Statement& row) : row_(row) {}

  std::string Text() { return row_.Blob(column_++); }
  int64_t Integer() { return row_.Integer(column_++); }
  uint64_t Unsigned() { return static_cast<uint64_t>(Integer()); }
  bool Bool() { return Integer() != 0; }

  // A value of an enum whose last is `last`.
  template <typename Enum>
  bool Read(Enum* value, Enum last) {
    const int64_t number = Integer();
    *value = static_cast<Enum>(number);
    return number >= 0 && number <= static_cast<int64_t>(last);
  }

 private:
  const Statement& row_;
  int column_ = 0;
};

bool ReadOptions(Row& row, SegmentOptions* options) {
  options->size_bytes = row.Unsigned();
  options->page_size_bytes = row.Unsigned();
  bool ok = row.Read(&options->allocation, Allocation::kReserved);
  options->populate = row.Bool();
  options->lock_in_memory = row.Bool();
  options->resizable = row.Bool();
  options->mode = static_cast<mode_t>(row.Integer());
  options->owner = static_cast<uid_t>(row.Integer());
  options->group = static_cast<gid_t>(row.Integer());
  ok &= row.Read(&options->numa.mode, NumaMode::kPreferred);
  for (absl::string_view node :
       absl::StrSplit(row.Text(), ',', absl::SkipEmpty())) {
    uint32_t number = 0;
    ok &= absl::SimpleAtoi(node, &number);
    options->numa.nodes.push_back(number);
  }
  ok &= row.Read(&options->huge_page_advice, HugePageAdvice::kUnwanted);
  ok &= row.Read(&options->seal_policy, SealPolicy::kNeverSealed);
  return ok && options->size_bytes > 0 && options->page_size_bytes > 0;
}

}  // namespace

void BindSegment(const StoredSegment& stored, Statement& statement) {
  const Segment& segment = stored.segment;
  const SegmentOptions& options = segment.options;
  const ObjectName& object = stored.object;
  int at = 0;
  const auto text = [&](const std::string& value) {
    statement.BindText(++at, value);
  };
  const auto blob = [&](const std::string& value) {
    statement.BindBlob(++at, value);
  };
  const auto integer = [&](auto value) {
    statement.BindInteger(++at, static_cast<int64_t>(value));
  };
  blob(std::string(segment.uid.begin(), segment.uid.end()));
  text(segment.name.name_space);
  text(segment.name.id);
  integer(segment.generation);
  integer(segment.state);
  integer(segment.adopted);
  integer(absl::ToUnixNanos(segment.create_time));
  integer(segment.expire_time.has_value()
              ? absl::ToUnixNanos(*segment.expire_time)
              : kNever);
  blob(EncodeLabels(segment.labels));
  integer(object.backend);
  text(object.posix_name);
  integer(object.sysv_key);
  integer(object.sysv_id);
  text(object.file_root);
  text(object.file_path);
  text(options.file_path);
  integer(object.device);
  integer(object.inode);
  integer(options.size_bytes);
  integer(options.page_size_bytes);
  integer(options.allocation);
  integer(options.populate);
  integer(options.lock_in_memory);
  integer(options.resizable);
  integer(options.mode);
  integer(options.owner);
  integer(options.group);
  integer(options.numa.mode);
  text(absl::StrJoin(options.numa.nodes, ","));
  integer(options.huge_page_advice);
  integer(options.seal_policy);
}

absl::StatusOr<StoredSegment> ReadSegment(const Statement& statement) {
  Row row(statement);
  StoredSegment stored;
  Segment& segment = stored.segment;
  ObjectName& object = stored.object;
  const std::string uid = row.Text();
  if (uid.size() != segment.uid.size()) return Damaged("uid");
  std::memcpy(segment.uid.data(), uid.data(), uid.size());
  segment.name.name_space = row.Text();
  segment.name.id = row.Text();
  segment.generation = row.Unsigned();
  if (!row.Read(&segment.state, SegmentState::kSealed)) return Damaged("state");
  segment.adopted = row.Bool();
  segment.create_time = absl::FromUnixNanos(row.Integer());
  const int64_t expire_time_ns = row.Integer();
  if (expire_time_ns != kNever) {
    segment.expire_time = absl::FromUnixNanos(expire_time_ns);
  }
  if (!DecodeLabels(row.Text(), &segment.labels)) return Damaged("label");
  if (!row.Read(&object.backend, BackendKind::kMappedFile)) {
    return Damaged("backend");
  }
  object.posix_name = row.Text();
  object.sysv_key = static_cast<uint32_t>(row.Integer());
  object.sysv_id = static_cast<int>(row.Integer());
  object.file_root = row.Text();
  object.file_path = row.Text();
  segment.options.file_path = row.Text();
  object.device = row.Unsigned();
  object.inode = row.Unsigned();
  segment.options.backend = object.backend;
  segment.options.posix_name = object.posix_name;
  segment.options.sysv_key = object.sysv_key;
  if (!ReadOptions(row, &segment.options)) return Damaged("option");
  return stored;
}

}  // namespace shmd
