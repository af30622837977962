#ifndef SHMD_CLIENT_CPP_FILE_TRANSFER_H_
#define SHMD_CLIENT_CPP_FILE_TRANSFER_H_

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "client/cpp/client.h"
#include "client/cpp/segment.h"

namespace shmd {
inline namespace client {

// Called now and then while a copy goes on, and once at its end, on the
// calling thread. False stops the copy, which then fails with CANCELLED.
using ProgressCallback =
    std::function<bool(uint64_t done_bytes, uint64_t total_bytes)>;

// Creates a segment as `spec` says and copies the regular file `path` into it.
// Its size is the file's, rounded up to huge pages where they are asked for,
// unless the spec asks for more; what is behind the file's end stays zero.
// With `seal` it is immutable at the return. After an error there is no
// segment: FILE_ERROR when the file cannot be read, is empty, or changed
// meanwhile; else as Create and Seal.
absl::StatusOr<Segment> PutFile(Client& client, const std::string& path,
                                SegmentSpec spec, bool seal = false,
                                const ProgressCallback& progress = nullptr);

// Copies the handle's range into the file `path`, which appears, or is
// replaced, only once it is whole and on the storage; mode 0600, because a
// segment is its owner's. After an error nothing has changed: FILE_ERROR when
// the file cannot be written (metadata `errno`), SEGMENT_TRUNCATED when
// another program made the segment smaller; else as MapReadOnly.
absl::Status GetFile(Client& client, absl::string_view handle,
                     const std::string& path,
                     const ProgressCallback& progress = nullptr);

// As GetFile, into an open descriptor. What was written before an error stays
// written; a pipe whose reader has gone is FILE_ERROR with errno EPIPE, where
// the program ignores SIGPIPE.
absl::Status GetToDescriptor(Client& client, absl::string_view handle, int fd,
                             const ProgressCallback& progress = nullptr);

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_FILE_TRANSFER_H_
