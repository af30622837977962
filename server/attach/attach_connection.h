#ifndef SHMD_SERVER_ATTACH_ATTACH_CONNECTION_H_
#define SHMD_SERVER_ATTACH_ATTACH_CONNECTION_H_

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "server/access/caller.h"
#include "server/registry/segment_registry.h"
#include "shmd/v1/attach.pb.h"

namespace shmd {

inline constexpr size_t kMaxAttachRequestBytes = 4096;
inline constexpr size_t kMaxAttachmentsPerConnection = 16384;

// One program on the attach socket and what it has attached. Not thread-safe.
class AttachConnection {
 public:
  AttachConnection(UniqueFd socket, Caller caller, SegmentRegistry* registry)
      : socket_(std::move(socket)),
        caller_(std::move(caller)),
        registry_(registry) {}

  // Releases all attachments.
  ~AttachConnection();

  const Caller& caller() const { return caller_; }

  // Answers what is waiting on the socket. False when the connection is over:
  // the program has gone, broke the protocol, or does not read its answers.
  bool ServeWaiting();

 private:
  // False when the connection is over.
  bool ServeOne(absl::string_view datagram);
  absl::Status Attach(const v1::Attach& request, v1::Attachment* attachment,
                      UniqueFd* fd);

  const UniqueFd socket_;
  const Caller caller_;
  SegmentRegistry* const registry_;
  uint64_t last_attachment_id_ = 0;
  absl::flat_hash_map<uint64_t, EntryPtr> attachments_;
  v1::AttachRequest request_;
  v1::AttachReply reply_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_ATTACH_ATTACH_CONNECTION_H_
