#include "server/store/intent_record.h"

#include "absl/strings/str_cat.h"
#include "server/store/journal_file.h"
#include "server/store/record.pb.h"
#include "server/store/record_bytes.h"

namespace shmd {

Change PutOf(const Intent& intent) {
  store::IntentRecord record;
  record.set_backend(static_cast<uint32_t>(intent.object.backend));
  record.set_posix_name(intent.object.posix_name);
  record.set_file_path(intent.object.file_path);
  return {RecordKind::kIntent, ToBytes(intent.segment),
          record.SerializeAsString()};
}

Change RemovalOfIntent(const Uid& segment) {
  return {RecordKind::kIntent, ToBytes(segment), std::nullopt};
}

absl::StatusOr<Intent> ParseIntentRecord(absl::string_view key,
                                         absl::string_view value) {
  Intent intent;
  store::IntentRecord record;
  const auto last = static_cast<uint32_t>(BackendKind::kMappedFile);
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size())) ||
      !FromBytes(key, &intent.segment) || record.backend() > last) {
    return StoreFailed("read an intent's record", "it is damaged");
  }
  intent.object.backend = static_cast<BackendKind>(record.backend());
  intent.object.posix_name = record.posix_name();
  intent.object.file_path = record.file_path();
  return intent;
}

}  // namespace shmd
