#ifndef SHMD_CLIENT_CPP_ATTACH_ANSWER_H_
#define SHMD_CLIENT_CPP_ATTACH_ANSWER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "client/cpp/attach_socket.h"
#include "client/cpp/attached.h"
#include "shm/kernel_object.h"
#include "shmd/v1/attach.pb.h"
#include "shmd/v1/channel.pb.h"

namespace shmd {
inline namespace client {

// One answer of the daemon on attach.sock, as it came.
struct AttachAnswer {
  v1::AttachReply reply;
  std::vector<UniqueFd> descriptors;
  bool descriptors_lost = false;  // this program had no room for them
};

absl::Status ProtocolBroken(absl::string_view what);

// Waits for the next one, as long as SO_RCVTIMEO says; SERVER_UNREACHABLE,
// UNAVAILABLE when the connection has ended.
absl::StatusOr<AttachAnswer> ReceiveAnswer(int socket,
                                           absl::string_view socket_dir);

// Handles of what a program that joins maps, in the order of Joined in
// attach.proto.
std::vector<std::string> PartHandlesOf(const v1::JoinChannelResponse& members);

Attachment::Facts FactsOf(const v1::Attachment& granted);

// What can be mapped of what an answer grants, once it has been verified
// against the kernel. The size is compared with fstat when it is mapped.
absl::StatusOr<ObjectRef> TakeObject(AttachAnswer& answer);
absl::StatusOr<std::vector<AttachSocket::Grant>> TakeParts(
    AttachAnswer& answer);

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_ATTACH_ANSWER_H_
