#include "server/sync/locker_numbers.h"

#include <algorithm>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/store/journal_file.h"
#include "shm/layout/sync_layout.h"

namespace shmd {
namespace {

// So many are recorded as used at once, and lost when the daemon ends.
constexpr uint32_t kBlock = 1024;

constexpr char kKey[] = "end";

}  // namespace

absl::Status LockerNumbers::TakeUp() {
  ASSIGN_OR_RETURN(const std::vector<Record> records,
                   store_->Load(RecordKind::kLocker));
  absl::MutexLock lock(&mutex_);
  for (const Record& record : records) {
    if (record.key != kKey) continue;
    if (!absl::SimpleAtoi(record.value, &next_) || next_ == 0) {
      return StoreFailed("read the last locker", "its record is damaged");
    }
  }
  recorded_end_ = next_;
  return absl::OkStatus();
}

absl::StatusOr<uint32_t> LockerNumbers::Next() {
  absl::MutexLock lock(&mutex_);
  if (next_ > layout::kLockerMask) {
    return Exhausted(reason::kSyncLimitExceeded,
                     "numbers for sessions that use locks", 1, 0, "numbers");
  }
  if (next_ == recorded_end_) {
    const uint32_t end =
        std::min(recorded_end_ + kBlock, layout::kLockerMask + 1);
    const Change change = {RecordKind::kLocker, kKey, absl::StrCat(end)};
    // Words in files survive a loss of power, and so does this.
    RETURN_IF_ERROR(store_->Commit(absl::MakeConstSpan(&change, 1),
                                   Durability::kPowerLoss));
    recorded_end_ = end;
  }
  return next_++;
}

}  // namespace shmd
