#ifndef SHMD_EXAMPLES_WORK_QUEUE_JOB_H_
#define SHMD_EXAMPLES_WORK_QUEUE_JOB_H_

#include "client/cpp/channel.h"

namespace work_queue {

// Paths of files to hash; each goes to one worker.
inline constexpr char kJobs[] = "jobs";
// A line as of sha256sum(1) for each; an empty message when there are no more.
inline constexpr char kResults[] = "results";

inline shmd::ChannelSpec JobChannel() {
  shmd::ChannelSpec spec;
  spec.kind = shmd::ChannelKind::kQueue;
  spec.slots = 64;
  spec.payload_bytes = 1 << 20;
  return spec;
}

inline shmd::ChannelSpec ResultChannel() {
  shmd::ChannelSpec spec;
  spec.slots = 64;
  spec.payload_bytes = 1 << 20;
  return spec;
}

}  // namespace work_queue

#endif  // SHMD_EXAMPLES_WORK_QUEUE_JOB_H_
