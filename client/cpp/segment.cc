#include "client/cpp/segment.h"

namespace shmd {
inline namespace client {

const char* LifetimeName(Lifetime lifetime) {
  switch (lifetime) {
    case Lifetime::kSession:
      return "SESSION";
    case Lifetime::kSessionUntilSealed:
      return "SESSION_UNTIL_SEALED";
    case Lifetime::kUntilDeleted:
      break;
  }
  return "UNTIL_DELETED";
}

const char* SegmentStateName(SegmentState state) {
  switch (state) {
    case SegmentState::kUnspecified:
      return "UNSPECIFIED";
    case SegmentState::kCreating:
      return "CREATING";
    case SegmentState::kActive:
      return "ACTIVE";
    case SegmentState::kClosedToWriters:
      return "CLOSED_TO_WRITERS";
    case SegmentState::kSealed:
      return "SEALED";
    case SegmentState::kDeleted:
      return "DELETED";
  }
  return "UNSPECIFIED";
}

}  // namespace client
}  // namespace shmd
