#ifndef SHMD_CLIENT_CPP_CHANNEL_PLACE_H_
#define SHMD_CLIENT_CPP_CHANNEL_PLACE_H_

#include <atomic>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/error.h"
#include "client/cpp/attached.h"
#include "client/cpp/channel.h"
#include "client/cpp/client.h"
#include "client/cpp/client_impl.h"
#include "client/cpp/session_link.h"
#include "shm/channel/member_parts.h"

namespace shmd {
inline namespace client {

// How a program takes part in a channel: as one publisher, or one subscriber,
// from when it joins until this ends. Made, and told the daemon of, by RPC;
// what others have made comes through the attach socket. Thread-safe.
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
                                            ChannelRole role,
                                            const Entrance& entrance);
  static absl::StatusOr<Subscribing> Subscribe(Client& client,
                                               absl::string_view channel,
                                               ChannelRole role,
                                               SlowPolicy policy,
                                               const Entrance& entrance);

  // Tells the daemon, if this process has joined and its session still lives;
  // waits for it at most as long as the client's calls do.
  ~ChannelPlace();

  // SERVER_UNREACHABLE (UNAVAILABLE) once a daemon that was started anew knows
  // nothing of it, so that nobody says any more who comes and goes.
  absl::Status status() const;

  // namespaces/default/channels/frames
  const std::string& channel() const { return channel_; }

  // Makes attempts at something that waits for others and fails with `late`
  // when it has waited long enough, until `deadline`, or this place is lost.
  template <typename Attempt>
  auto Await(absl::Time deadline, absl::string_view late,
             const Attempt& attempt) const -> decltype(attempt(deadline)) {
    for (;;) {
      if (IsLost()) return status();
      const absl::Time slice = SliceOf(deadline);
      auto result = attempt(slice);
      if (slice == deadline || result.ok() ||
          GetErrorReason(StatusOf(result)) != late) {
        return result;
      }
    }
  }

 private:
  ChannelPlace(std::shared_ptr<Client::Impl> client,
               std::shared_ptr<SessionLink> link, std::string channel)
      : client_(std::move(client)),
        link_(std::move(link)),
        channel_(std::move(channel)) {}

  static absl::StatusOr<std::unique_ptr<ChannelPlace>> Find(
      Client& client, absl::string_view channel, const Entrance& entrance);
  static const absl::Status& StatusOf(const absl::Status& status) {
    return status;
  }
  template <typename T>
  static const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
    return result.status();
  }
  static absl::Time SliceOf(absl::Time deadline);

  bool IsLost() const {
    return is_lost_ != nullptr && is_lost_->load(std::memory_order_acquire);
  }
  // One of the place's own parts. What is attached stays so until it ends.
  absl::StatusOr<UniqueFd> Attach(const std::string& handle, Access access,
                                  Attachment* attachment);
  // How the core gets the others'.
  OpenPart Opener() const;

  const std::shared_ptr<Client::Impl> client_;
  const std::shared_ptr<SessionLink> link_;
  const std::string channel_;
  std::string member_;  // its name; empty: never joined
  bool is_publisher_ = false;
  Attachment attachments_[3];
  std::shared_ptr<const std::atomic<bool>> is_lost_;
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_CHANNEL_PLACE_H_
