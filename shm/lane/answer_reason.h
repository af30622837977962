#ifndef SHMD_SHM_LANE_ANSWER_REASON_H_
#define SHMD_SHM_LANE_ANSWER_REASON_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace shmd {

// The reasons of base/error_reason.h that stand in an Answer, by numbers that
// never change.
enum class AnswerReason : uint32_t {
  kNone = 0,
  kOther = 1,
  kObjectExists = 2,
  kObjectNotFound = 3,
  kObjectIdInvalid = 4,
  kArenaNotFound = 5,
  kCallerNotAllowed = 6,
  kRangeOutsideSegment = 7,
  kFieldInvalid = 8,
  kRequestInvalid = 9,
  kDirectoryFull = 10,
  kMemoryExhausted = 11,
  kWatchLimitExceeded = 12,
  kArenaShared = 13,
  kSegmentInUse = 14,
  kObjectsInUse = 15,
};

// The number of a status' reason; kOther for those that have none.
AnswerReason AnswerReasonOf(const absl::Status& status);

// The status of an answer, with a reason and a plain message about `object`.
// For numbers that nobody gave: INTERNAL.
absl::Status StatusOfAnswer(uint32_t result, uint32_t reason,
                            absl::string_view object);

}  // namespace shmd

#endif  // SHMD_SHM_LANE_ANSWER_REASON_H_
