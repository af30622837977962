#ifndef SHMD_CLIENT_CPP_ATTACH_SOCKET_H_
#define SHMD_CLIENT_CPP_ATTACH_SOCKET_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"
#include "client/cpp/attached.h"
#include "shm/kernel_object.h"
#include "shm/sys/datagram_spin.h"
#include "shm/types.h"
#include "shmd/v1/channel.pb.h"
#include "shmd/v1/segment.pb.h"

namespace shmd {
namespace v1 {
class Attachment;
class AttachRequest;
}  // namespace v1

inline namespace client {

struct AttachAnswer;

// One connection to attach.sock (protos/shmd/v1/attach.proto), which has said
// Hello. The connection of a SessionLink until the daemon goes away.
// Thread-safe: one request at a time, detaching at any time.
class AttachSocket {
 public:
  struct Grant {
    Attachment::Facts facts;
    ObjectRef object;
  };
  // Who the daemon knows this program as, and what proves it later.
  struct Identity {
    std::string session;  // sessions/{session}; empty: a new one
    std::string resume_token;
  };
  // What another one who takes part in a channel has made: ChannelPart of
  // attach.proto.
  enum class PartKind { kRing, kPage, kClaims, kBell };
  struct Part {
    std::string channel;  // namespaces/{namespace}/channels/{channel}
    PartKind kind = PartKind::kRing;
    uint32_t index = 0;
    uint64_t generation = 0;
    Access access = Access::kRead;
  };
  // How the session takes part in a channel: who it is, and what it maps, in
  // the order of Joined in attach.proto.
  struct Joined {
    v1::JoinChannelResponse members;
    std::vector<Grant> grants;
  };
  struct Options {
    std::string socket_dir;
    std::string name_space;
    absl::Duration timeout;  // of connecting and of each request
  };

  // Connects to `socket_dir`/attach.sock and asks to be `earlier`;
  // SERVER_UNREACHABLE, NAMESPACE_NOT_FOUND.
  static absl::StatusOr<std::shared_ptr<AttachSocket>> Open(
      const Options& options, const Identity& earlier);

  AttachSocket(UniqueFd socket, std::string socket_dir);

  // The session of this connection. Not `earlier` when that has ended.
  const Identity& identity() const { return identity_; }

  // Asks for a segment, by a handle's text or an arena's name, and verifies
  // what comes back. Once lost() is true
  // after an error, the daemon has not answered and never will.
  absl::StatusOr<Grant> Attach(absl::string_view reference, Access access);

  // Asks for a part of a channel. Not counted as attached: the daemon knows who
  // takes part.
  absl::StatusOr<UniqueFd> OpenPart(const Part& part);

  // Takes part in a channel, and verifies what comes back. As of Attach, an
  // answer may never come: `request` should have an id, and be asked again.
  absl::StatusOr<Joined> Join(const v1::JoinChannelRequest& request);
  // Takes part no more, by the member's name.
  absl::Status Leave(const std::string& member);

  // Whether the next requests of this connection may wait for as long as a call
  // takes; what is not short is refused where not: REQUEST_INVALID.
  enum class Pace { kShort, kLong };
  // Makes a segment, or several alike, of a request that Takes() is true for:
  // of a larger one the daemon hangs up. As of Attach, an answer may never
  // come: `request` should have an id, and be asked again.
  absl::StatusOr<v1::Segment> Create(const v1::CreateSegmentRequest& request,
                                     Pace pace);
  absl::StatusOr<v1::BatchCreateSegmentsResponse> CreateBatch(
      const v1::BatchCreateSegmentsRequest& request);
  // Deletes a segment, after what was detached. An answer that does not come
  // tells nothing.
  absl::Status Delete(const v1::DeleteSegmentRequest& request, Pace pace);
  // Whether a request is small enough for these.
  static bool Takes(const google::protobuf::MessageLite& request);

  // Has the daemon look at this session's ring; never blocks. A socket that is
  // full has requests that wake it as well.
  void Ring();

  // Tells the daemon that an attachment has ended; never blocks. What finds
  // the socket full is sent with the next request.
  void Detach(uint64_t attachment_id);

  // Returns when the daemon has seen every Detach so far, so that a Delete
  // which follows does not find the segment attached. Best effort.
  void AwaitDetaches();
  // Whether the daemon is still at the other end: asks it something.
  bool Answers();
  // Whether it has not hung up: asks the kernel.
  bool IsConnected() const;

  // Whether the peer has hung up, as far as a call has noticed.
  bool lost() const;
  // To poll for POLLRDHUP. Nobody else may receive.
  int descriptor() const { return socket_.get(); }

 private:
  absl::Status Greet(const std::string& name_space, const Identity& earlier);
  absl::Status Send(const std::string& datagram, int flags) const;
  absl::StatusOr<AttachAnswer> Exchange(v1::AttachRequest& request)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(request_mutex_);
  // The same of one request among others.
  absl::StatusOr<AttachAnswer> Ask(v1::AttachRequest& request);
  // What an Attach grants.
  absl::StatusOr<Grant> ExchangeAttach(v1::AttachRequest& request);
  // Ends what an answer that nobody uses has granted.
  void Decline(const AttachAnswer& answer);
  void SendLateDetaches();
  void NoteLost() const;

  const UniqueFd socket_;
  const std::string socket_dir_;
  Identity identity_;  // constant once open

  absl::Mutex request_mutex_;
  uint64_t sequence_ ABSL_GUARDED_BY(request_mutex_) = 0;
  // Three times what a batch of 64 takes (docs/adr/0020).
  sys::DatagramSpin spin_ ABSL_GUARDED_BY(request_mutex_){400'000};

  mutable absl::Mutex state_mutex_;  // never held during a blocking call
  mutable bool lost_ ABSL_GUARDED_BY(state_mutex_) = false;
  std::vector<uint64_t> late_detaches_ ABSL_GUARDED_BY(state_mutex_);
  bool detaches_unseen_ ABSL_GUARDED_BY(state_mutex_) = false;
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_ATTACH_SOCKET_H_
