#include "server/registry/change_log.h"

#include <cstring>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "shm/types.h"

namespace shmd {

std::string MakeResumeToken(const ChangePlace& place) {
  return absl::StrFormat("%x-%x", place.epoch, place.revision);
}

absl::StatusOr<ChangePlace> ParseResumeToken(absl::string_view token) {
  const std::vector<absl::string_view> parts = absl::StrSplit(token, '-');
  ChangePlace place;
  if (parts.size() == 2 && token.size() <= 40 &&
      absl::SimpleHexAtoi(parts[0], &place.epoch) &&
      absl::SimpleHexAtoi(parts[1], &place.revision) &&
      MakeResumeToken(place) == token) {
    return place;
  }
  return absl::StatusOr<ChangePlace>(
      InvalidField("resume_token", reason::kResumeTokenInvalid,
                   "is not one that a watch gave"));
}

absl::Status ResumeTokenExpired() {
  return Error(absl::StatusCode::kOutOfRange, reason::kResumeTokenExpired,
               "the changes since are no longer kept; watch again without a "
               "resume token");
}

uint64_t RandomEpoch() {
  uint64_t epoch = 0;
  const Uid random = RandomUid();
  std::memcpy(&epoch, random.data(), sizeof(epoch));
  return epoch;
}

}  // namespace shmd
