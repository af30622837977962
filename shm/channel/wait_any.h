#ifndef SHMD_SHM_CHANNEL_WAIT_ANY_H_
#define SHMD_SHM_CHANNEL_WAIT_ANY_H_

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "shm/channel/subscriber.h"

namespace shmd {

// Waits for several subscribers, of any channels, at once: the index of one
// that may have something to receive, or whose channel has changed. Spins for
// a while and then sleeps. NO_MESSAGE when there was nothing until `deadline`;
// WAIT_LIMIT_EXCEEDED when the kernel cannot wait for so much at once: a word
// for each channel, one for each publisher, and one more for each of a queue,
// 128 in all. For the thread that uses all of them.
absl::StatusOr<size_t> WaitAny(absl::Span<RingSubscriber* const> subscribers,
                               const Deadline& deadline);

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_WAIT_ANY_H_
