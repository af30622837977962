#ifndef SHMD_SERVER_RPC_TIME_TO_PROTO_H_
#define SHMD_SERVER_RPC_TIME_TO_PROTO_H_

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include "absl/time/time.h"

namespace shmd {

inline constexpr int64_t kNanosPerSecond = 1000000000;

inline void TimeToProto(absl::Time time, google::protobuf::Timestamp* proto) {
  const int64_t nanos = absl::ToUnixNanos(time);
  proto->set_seconds(nanos / kNanosPerSecond);
  proto->set_nanos(static_cast<int>(nanos % kNanosPerSecond));
}

inline void DurationToProto(absl::Duration duration,
                            google::protobuf::Duration* proto) {
  proto->set_seconds(absl::IDivDuration(duration, absl::Seconds(1), &duration));
  proto->set_nanos(static_cast<int>(absl::ToInt64Nanoseconds(duration)));
}

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_TIME_TO_PROTO_H_
