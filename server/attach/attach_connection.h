#ifndef SHMD_SERVER_ATTACH_ATTACH_CONNECTION_H_
#define SHMD_SERVER_ATTACH_ATTACH_CONNECTION_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"
#include "server/access/caller.h"
#include "server/channel/channel_registry.h"
#include "server/registry/segment_registry.h"
#include "server/rpc/shared_calls.h"
#include "server/session/session_table.h"
#include "shm/sys/datagram_spin.h"
#include "shmd/v1/attach.pb.h"

namespace shmd {

inline constexpr size_t kMaxAttachRequestBytes = 4096;

// For how long a thread of its own waits for a connection's next request.
inline constexpr absl::Duration kAttendedIdle = absl::Milliseconds(10);
// For how long it looks, at most, before it sleeps (docs/adr/0017-spinning.md).
inline constexpr uint64_t kAttendedSpinNs = 50'000;

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

  // Whether it asks so often that a thread that does nothing else is worth it.
  bool is_busy() const { return calls_in_tick_ >= kBusyCalls; }
  // Answers what was deferred, then as ServeWaiting, and waits for what comes
  // next, until nothing has come for kAttendedIdle or `stop` is set. On a
  // thread that may wait: nothing is deferred. Meanwhile nothing is called but
  // caller() and session().
  bool Attend(const std::atomic<bool>& stop);

  // Whether it has stopped at a request that may have to wait for somebody, or
  // give much memory back: nothing else is to be served before ServeDeferred.
  bool is_deferred() const { return is_deferred_; }
  // Whether that one may take as long as a call.
  bool is_long() const { return request_.may_take_long(); }
  // Answers that one, on any thread; meanwhile nothing is called but caller()
  // and session(). False as above.
  bool ServeDeferred();

 private:
  // So many within a tick of the kernel's coarse clock, some 4 ms.
  static constexpr int kBusyCalls = 16;

  enum class Turn { kQuiet, kServed, kOver };
  // One datagram; `flags` as recv(2). Looked for by `spin` first, if given.
  Turn ServeNext(int flags, sys::DatagramSpin* spin = nullptr);
  void CountCall();
  // False when the connection is over.
  bool ServeOne(absl::string_view datagram);
  bool MayWait() const;
  LetThrough AllowedTime() const {
    return is_long() ? LetThrough::kAll : LetThrough::kShort;
  }
  bool SendAnswer();
  // Sends the reply with its descriptors, or what was in the way of it.
  bool SendReply(const absl::Status& status, absl::Span<const UniqueFd> fds);
  absl::Status Answer(std::vector<UniqueFd>* fds);
  absl::Status Greet(const v1::Hello& request, v1::Welcome* welcome);
  // Where it asks to, else where it may at all; a session that was resumed
  // stays where it was.
  absl::Status EnterNamespace(std::string name_space);
  absl::StatusOr<SegmentRegistry::Attached> AttachArena(absl::string_view name,
                                                        Access access);
  absl::StatusOr<SegmentRegistry::Attached> AttachHandle(const Handle& handle,
                                                         Access access);
  absl::Status Attach(const v1::Attach& request, v1::Attachment* attachment,
                      UniqueFd* fd);
  absl::Status AttachPart(const v1::ChannelPart& request, Access access,
                          v1::Attachment* attachment, UniqueFd* fd);
  absl::Status Join(const v1::JoinChannelRequest& request, v1::Joined* joined,
                    std::vector<UniqueFd>* fds);
  // What they map; on failure some of it may have been granted.
  absl::Status HandOver(const std::vector<ChannelRegistry::Joined>& members,
                        v1::Joined* joined, std::vector<UniqueFd>* fds);
  absl::Status HandOver(const SegmentView& part, Access access,
                        v1::Joined* joined, std::vector<UniqueFd>* fds);
  absl::Status Leave(const v1::Leave& request);
  absl::Status Create(v1::CreateSegmentRequest* request, v1::Segment* created);
  absl::Status CreateBatch(v1::BatchCreateSegmentsRequest* request,
                           v1::BatchCreateSegmentsResponse* created);
  // Names this session where one of a lifetime is wanted and none is named.
  void NameOwner(v1::Segment* segment) const;
  void LetGo(uint64_t attachment_id);
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
  bool is_deferred_ = false;
  uint64_t tick_ns_ = 0;
  int calls_in_tick_ = 0;
  sys::DatagramSpin spin_{kAttendedSpinNs};
  v1::AttachRequest request_;
  v1::AttachReply reply_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_ATTACH_ATTACH_CONNECTION_H_
