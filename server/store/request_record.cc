#include "server/store/request_record.h"

#include <array>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "server/store/journal_file.h"
#include "server/store/record.pb.h"
#include "server/store/record_bytes.h"

namespace shmd {
namespace {

constexpr size_t kUidBytes = 4;

std::string KeyBytes(const RequestLog::Key& key) {
  std::string bytes;
  for (size_t i = 0; i < kUidBytes; ++i) {
    bytes.push_back(static_cast<char>(key.first >> 8 * i));
  }
  return bytes + key.second;
}

}  // namespace

Change PutOf(const StoredRequest& request) {
  store::RequestRecord record;
  record.set_fingerprint(request.entry.fingerprint);
  record.set_segment(ToBytes(request.entry.segment));
  record.set_generation(request.entry.generation);
  return {RecordKind::kRequest, KeyBytes(request.key),
          record.SerializeAsString()};
}

Change RemovalOf(const RequestLog::Key& key) {
  return {RecordKind::kRequest, KeyBytes(key), std::nullopt};
}

absl::StatusOr<StoredRequest> ParseRequestRecord(absl::string_view key,
                                                 absl::string_view value) {
  StoredRequest request;
  store::RequestRecord record;
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size())) ||
      key.size() <= kUidBytes ||
      !FromBytes(record.segment(), &request.entry.segment)) {
    return StoreFailed("read a request's record", "it is damaged");
  }
  for (size_t i = 0; i < kUidBytes; ++i) {
    request.key.first |= static_cast<uid_t>(static_cast<uint8_t>(key[i]))
                         << 8 * i;
  }
  request.key.second = std::string(key.substr(kUidBytes));
  request.entry.fingerprint = record.fingerprint();
  request.entry.generation = record.generation();
  return request;
}

}  // namespace shmd
