#ifndef SHMD_CLIENT_CPP_CHANNEL_PLACE_H_
#define SHMD_CLIENT_CPP_CHANNEL_PLACE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/error.h"
#include "client/cpp/attached.h"
#include "client/cpp/channel.h"
#include "client/cpp/client.h"
#include "client/cpp/session_link.h"
#include "shm/channel/member_parts.h"
#include "shm/channel/subscriber.h"
#include "shm/sys/bell_set.h"
#include "shmd/v1/channel.pb.h"

namespace shmd {
inline namespace client {

// What the core takes for the options' `spin`.
uint64_t SpinNs(absl::Duration spin);

// How a program takes part in a channel: as one publisher, or one subscriber,
// from when it joins until this ends. All by the attach socket, which hands
// over the memory with the answer, and later what others have made.
// Thread-safe.
class ChannelPlace {
 public:
  // What the core is made of; the place outlives it.
  struct Publishing {
    std::unique_ptr<ChannelPlace> place;
    PublisherParts parts;
  };
  struct Subscribing {
    std::unique_ptr<ChannelPlace> place;
    SubscriberParts parts;
  };

  // What lets in; both may be empty.
  struct Entrance {
    std::optional<ChannelSpec> create;  // to be made first, unless by a grant
    std::string grant;                  // a handle's text
  };
  static absl::StatusOr<Publishing> Publish(Client& client,
                                            absl::string_view channel,
                                            const Entrance& entrance);
  static absl::StatusOr<Subscribing> Subscribe(Client& client,
                                               absl::string_view channel,
                                               SlowPolicy policy,
                                               const Entrance& entrance);
  // As a client or a server, which is both, by one exchange.
  struct Calling {
    Publishing out;
    Subscribing in;
  };
  static absl::StatusOr<Calling> Call(Client& client, absl::string_view channel,
                                      ChannelRole role,
                                      const Entrance& entrance);

  // Tells the daemon, if this process has joined and its session still lives;
  // waits for it at most as long as the client's calls do.
  ~ChannelPlace();

  // A subscriber's descriptor to be waited for by poll(2), which every daemon
  // that comes back rings; ends when one knows nothing of it.
  absl::StatusOr<int> DescriptorOf(RingSubscriber& ring);

  // SERVER_UNREACHABLE (UNAVAILABLE) once a daemon that was started anew knows
  // nothing of it, so that nobody says any more who comes and goes.
  absl::Status status() const;

  // namespaces/default/channels/frames
  const std::string& channel() const { return channel_; }

  // Makes attempts at something that waits for others and fails with `late`
  // when it has waited long enough, until `deadline`, or this place is lost.
  template <typename Attempt>
  auto Await(const Deadline& deadline, absl::string_view late,
             const Attempt& attempt) const -> decltype(attempt(deadline)) {
    for (;;) {
      if (IsLost()) return status();
      const Deadline slice = SliceOf(deadline);
      auto result = attempt(slice);
      if (slice.ns() == deadline.ns() || result.ok() ||
          GetErrorReason(StatusOf(result)) != late) {
        return result;
      }
    }
  }

 private:
  // What all places of one exchange have in common.
  struct Shared;
  class OwedBells;

  // Again does nothing.
  void KeepRinging(const std::shared_ptr<sys::BellSet>& bells);

  ChannelPlace(std::shared_ptr<SessionLink> link, std::string channel,
               std::string member, MemberId id,
               std::shared_ptr<const Attachment> page);

  static absl::StatusOr<Shared> Join(Client& client,
                                     v1::JoinChannelRequest request);
  static v1::JoinChannelRequest RequestOf(const Client& client,
                                          absl::string_view channel,
                                          const Entrance& entrance);
  // Of what has been joined; the publishing one first.
  static Publishing TakePublishing(Shared& shared);
  static Subscribing TakeSubscribing(Shared& shared);
  static const absl::Status& StatusOf(const absl::Status& status) {
    return status;
  }
  template <typename T>
  static const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
    return result.status();
  }
  static Deadline SliceOf(const Deadline& deadline);

  bool IsLost() const { return is_lost_->load(std::memory_order_acquire); }
  // How the core gets the others' parts.
  OpenPart Opener() const;

  const std::shared_ptr<SessionLink> link_;
  const std::string channel_;
  const std::string member_;  // its name
  const MemberId id_;
  // What is attached stays so until it ends.
  const std::shared_ptr<const Attachment> page_;
  const std::shared_ptr<const std::atomic<bool>> is_lost_;
  std::vector<Attachment> own_;
  const std::shared_ptr<OwedBells> owed_;
  const uint64_t owed_renewal_;
  uint64_t renewal_ = 0;  // of the bells; 0: none
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_CHANNEL_PLACE_H_
