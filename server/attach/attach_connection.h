#ifndef SHMD_SERVER_ATTACH_ATTACH_CONNECTION_H_
#define SHMD_SERVER_ATTACH_ATTACH_CONNECTION_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/unique_fd.h"
#include "server/access/caller.h"
#include "server/channel/channel_registry.h"
#include "server/registry/segment_registry.h"
#include "server/session/session_table.h"
#include "shmd/v1/attach.pb.h"

namespace shmd {

inline constexpr size_t kMaxAttachRequestBytes = 4096;

// One program on the attach socket, which is one session. Not thread-safe.
class AttachConnection {
 public:
  // The program at the other end of `socket`, which `session` is the fresh
  // session of. `wake` has the ring of a session looked at. Borrows registry,
  // sessions and channels, of which there may be none.
  AttachConnection(
      UniqueFd socket, Caller caller, SessionIdentity session,
      SegmentRegistry* registry, SessionTable* sessions,
      std::function<void(const SessionId&)> wake = [](const SessionId&) {},
      ChannelRegistry* channels = nullptr)
      : socket_(std::move(socket)),
        caller_(std::move(caller)),
        session_(std::move(session)),
        has_entered_(!session_.name_space.empty()),
        registry_(registry),
        sessions_(sessions),
        channels_(channels),
        wake_(std::move(wake)) {}

  const Caller& caller() const { return caller_; }
  const SessionId& session() const { return session_.id; }

  // Answers what is waiting on the socket. False when the connection is over:
  // the program has gone, broke the protocol, or does not read its answers.
  bool ServeWaiting();

 private:
  // False when the connection is over.
  bool ServeOne(absl::string_view datagram);
  absl::Status Answer(UniqueFd* fd);
  absl::Status Greet(const v1::Hello& request, v1::Welcome* welcome);
  // Where it asks to, else where it may at all; a session that was resumed
  // stays where it was.
  absl::Status EnterNamespace(std::string name_space);
  absl::StatusOr<Handle> HandleOfArena(absl::string_view name);
  absl::Status Attach(const v1::Attach& request, v1::Attachment* attachment,
                      UniqueFd* fd);
  absl::Status AttachPart(const v1::ChannelPart& request, Access access,
                          v1::Attachment* attachment, UniqueFd* fd);
  // Counts what was granted as an attachment of the session's.
  absl::Status Hold(SegmentRegistry::Attached grant, v1::Attachment* attachment,
                    UniqueFd* fd);

  const UniqueFd socket_;
  const Caller caller_;
  SessionIdentity session_;
  bool has_entered_;  // a namespace
  SegmentRegistry* const registry_;
  SessionTable* const sessions_;
  ChannelRegistry* const channels_;
  const std::function<void(const SessionId&)> wake_;
  bool has_asked_ = false;
  v1::AttachRequest request_;
  v1::AttachReply reply_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_ATTACH_ATTACH_CONNECTION_H_
