#include "server/store/segments_v1.h"

#include <cstring>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {

const char kReadSegmentsV1[] = "SELECT * FROM segments";

namespace {

constexpr int64_t kNever = -1;

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

Error DamagedV1(absl::string_view what) {
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

bool ReadOptionsV1(Row& row, SegmentOptions* options) {
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

absl::StatusOr<StoredSegment> ReadSegmentV1(const Statement& statement) {
  Row row(statement);
  StoredSegment stored;
  Segment& segment = stored.segment;
  ObjectName& object = stored.object;
  const std::string uid = row.Text();
  if (uid.size() != segment.uid.size()) return DamagedV1("uid");
  std::memcpy(segment.uid.data(), uid.data(), uid.size());
  segment.name.name_space = row.Text();
  segment.name.id = row.Text();
  segment.generation = row.Unsigned();
  if (!row.Read(&segment.state, SegmentState::kSealed))
    return DamagedV1("state");
  segment.adopted = row.Bool();
  segment.create_time = absl::FromUnixNanos(row.Integer());
  const int64_t expire_time_ns = row.Integer();
  if (expire_time_ns != kNever) {
    segment.expire_time = absl::FromUnixNanos(expire_time_ns);
  }
  if (!DecodeLabels(row.Text(), &segment.labels)) return DamagedV1("label");
  if (!row.Read(&object.backend, BackendKind::kMappedFile)) {
    return DamagedV1("backend");
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
  if (!ReadOptionsV1(row, &segment.options)) return DamagedV1("option");
  return stored;
}

}  // namespace shmd
