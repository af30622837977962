#include "shm/lane/answer_reason.h"

#include <string>

#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

struct ReasonRow {
  AnswerReason number;
  const char* reason;
  const char* message;
};

constexpr ReasonRow kReasons[] = {
    {AnswerReason::kObjectExists, reason::kObjectExists,
     "there is an object of that name"},
    {AnswerReason::kObjectNotFound, reason::kObjectNotFound,
     "there is no such object"},
    {AnswerReason::kObjectIdInvalid, reason::kObjectIdInvalid,
     "is not 1 to 64 of [A-Za-z0-9._-]"},
    {AnswerReason::kArenaNotFound, reason::kArenaNotFound,
     "there is no such arena"},
    {AnswerReason::kCallerNotAllowed, reason::kCallerNotAllowed,
     "the caller may not do this"},
    {AnswerReason::kRangeOutsideSegment, reason::kRangeOutsideSegment,
     "the object does not lie within its arena"},
    {AnswerReason::kFieldInvalid, reason::kFieldInvalid,
     "a field has a value that it cannot have"},
    {AnswerReason::kRequestInvalid, reason::kRequestInvalid,
     "the submission is not of a kind that the daemon knows"},
    {AnswerReason::kDirectoryFull, reason::kDirectoryFull,
     "the directory takes no object more"},
    {AnswerReason::kMemoryExhausted, reason::kMemoryExhausted,
     "there is no memory for the directory"},
    {AnswerReason::kWatchLimitExceeded, reason::kWatchLimitExceeded,
     "the session waits for too many objects"},
    {AnswerReason::kArenaShared, reason::kArenaShared,
     "a strict object's arena holds another object"},
    {AnswerReason::kSegmentInUse, reason::kSegmentInUse,
     "the arena is still mapped writable"},
    {AnswerReason::kObjectsInUse, reason::kObjectsInUse,
     "there is no memory, and nothing that could make room"},
};

}  // namespace

AnswerReason AnswerReasonOf(const absl::Status& status) {
  if (status.ok()) return AnswerReason::kNone;
  const std::string reason = GetErrorReason(status);
  for (const ReasonRow& row : kReasons) {
    if (reason == row.reason) return row.number;
  }
  return AnswerReason::kOther;
}

absl::Status StatusOfAnswer(uint32_t result, uint32_t reason,
                            absl::string_view object) {
  if (result == 0) return absl::OkStatus();
  const auto code = static_cast<absl::StatusCode>(result);
  for (const ReasonRow& row : kReasons) {
    if (static_cast<uint32_t>(row.number) == reason) {
      return Error(code, row.reason, row.message).With("object", object);
    }
  }
  return Error(absl::StatusCode::kInternal, reason::kInvariantBroken,
               "the daemon's answer is not understood")
      .With("result", result)
      .With("reason", reason);
}

}  // namespace shmd
