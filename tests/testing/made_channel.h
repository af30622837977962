#ifndef SHMD_TESTS_TESTING_MADE_CHANNEL_H_
#define SHMD_TESTS_TESTING_MADE_CHANNEL_H_

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "shm/channel/channel_format.h"
#include "shm/channel/channel_writer.h"
#include "shm/channel/member_parts.h"
#include "shm/channel/open_part.h"
#include "shm/sys/bell_pipe.h"

namespace shmd {

// A channel as the daemon makes it, without a daemon; for tests and
// measurements, which end where it cannot be had. What was made before a fork
// is there in both processes; each has lists of its own of what comes after.
class MadeChannel {
 public:
  explicit MadeChannel(const ChannelFields& fields = {})
      : fields_(fields),
        page_(Checked(CreatePart(kChannelPageBytes))),
        writer_(Checked(ChannelWriter::Format(page_.get(), fields))) {}
  MadeChannel(const MadeChannel&) = delete;

  ChannelWriter& writer() { return writer_; }
  int page_fd() const { return page_.get(); }

  PublisherParts AddPublisher(
      layout::MemberRole role = layout::MemberRole::kPeer) {
    const MemberId id = Checked(writer_.Reserve(MemberKind::kPublisher));
    UniqueFd ring =
        Checked(CreatePart(RingBytes(fields_.slots, fields_.payload_bytes)));
    Check(InitRing(ring.get(), fields_, id.generation));
    UniqueFd claims;
    if (HasClaims(fields_.kind, role)) {
      claims = Checked(CreatePart(ClaimsBytes(fields_.slots)));
      Check(InitClaims(claims.get(), fields_, id.generation));
    }
    PublisherParts parts;
    parts.channel = Reopen(page_.get(), O_RDONLY);
    parts.ring = Reopen(ring.get(), O_RDWR);
    if (claims.valid()) parts.claims = Reopen(claims.get(), O_RDWR);
    parts.index = id.index;
    parts.generation = id.generation;
    parts.open_part = OpenPartFor(id, MemberKind::kPublisher);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      parts_[{PartKind::kRing, id.generation}] = std::move(ring);
      parts_[{PartKind::kClaims, id.generation}] = std::move(claims);
    }
    MemberFields fields;
    fields.role = role;
    writer_.Add(MemberKind::kPublisher, id, fields);
    return parts;
  }

  SubscriberParts AddSubscriber(
      layout::SlowPolicy policy = layout::SlowPolicy::kBlock,
      layout::MemberRole role = layout::MemberRole::kPeer) {
    const MemberId id = Checked(writer_.Reserve(MemberKind::kSubscriber));
    UniqueFd page = Checked(CreatePart(kReaderPageBytes));
    Check(InitReaderPage(page.get(), id.generation));
    SubscriberParts parts;
    parts.channel = Reopen(page_.get(), O_RDONLY);
    parts.page = Reopen(page.get(), O_RDWR);
    parts.index = id.index;
    parts.generation = id.generation;
    parts.open_part = OpenPartFor(id, MemberKind::kSubscriber);
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      parts_[{PartKind::kPage, id.generation}] = std::move(page);
      bells_[id.generation] = Checked(sys::CreateBellPipe());
    }
    MemberFields fields;
    fields.role = role;
    fields.policy = policy;
    writer_.Add(MemberKind::kSubscriber, id, fields);
    return parts;
  }

  // As the daemon does when a session ends, with a publisher whose ring
  // somebody has yet to read.
  void MarkLeft(uint32_t index, uint64_t generation) {
    writer_.MarkLeft({index, generation});
  }
  // What others have mapped stays.
  void Remove(MemberKind kind, uint32_t index, uint64_t generation) {
    writer_.Remove(kind, {index, generation});
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const PartKind part :
         {PartKind::kRing, PartKind::kClaims, PartKind::kPage}) {
      parts_.erase({part, generation});
    }
    bells_.erase(generation);
  }

  // A part, open for writing whatever it is: for who breaks the rules.
  UniqueFd Part(PartKind kind, uint64_t generation) const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return Reopen(parts_.at({kind, generation}).get(), O_RDWR);
  }

  // Parts of this kind cannot be had for now, as without the daemon.
  void Refuse(PartKind kind, bool is_refused) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (is_refused) {
      refused_.insert(kind);
    } else {
      refused_.erase(kind);
    }
  }

  // Parts that were asked for.
  uint64_t asked() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return asked_;
  }

  template <typename T>
  static T Checked(absl::StatusOr<T> value) {
    Check(value.status());
    return *std::move(value);
  }
  static void Check(const absl::Status& status) {
    if (status.ok()) return;
    fprintf(stderr, "%s\n", status.ToString().c_str());
    std::abort();
  }

 private:
  static UniqueFd Reopen(int fd, int flags) {
    UniqueFd opened(open(("/proc/self/fd/" + std::to_string(fd)).c_str(),
                         flags | O_CLOEXEC));
    if (!opened.valid()) std::abort();
    return opened;
  }

  OpenPart OpenPartFor(const MemberId& self, MemberKind kind) {
    return [this, self,
            kind](const PartRequest& request) -> absl::StatusOr<UniqueFd> {
      const std::lock_guard<std::mutex> lock(mutex_);
      ++asked_;
      if (refused_.count(request.kind) != 0) {
        return absl::UnavailableError("refused");
      }
      if (request.kind == PartKind::kBell) {
        const auto bell = bells_.find(request.generation);
        if (bell == bells_.end()) return absl::NotFoundError("no bell");
        const bool is_own = kind == MemberKind::kSubscriber &&
                            request.generation == self.generation;
        return UniqueFd(dup(is_own ? bell->second.read_end.get()
                                   : bell->second.write_end.get()));
      }
      const auto part = parts_.find({request.kind, request.generation});
      if (part == parts_.end() || !part->second.valid()) {
        return absl::NotFoundError("no part");
      }
      return Reopen(part->second.get(),
                    request.kind == PartKind::kClaims ? O_RDWR : O_RDONLY);
    };
  }

  const ChannelFields fields_;
  const UniqueFd page_;
  ChannelWriter writer_;
  mutable std::mutex mutex_;  // of what follows; the writer is one thread's
  std::map<std::pair<PartKind, uint64_t>, UniqueFd> parts_;
  std::map<uint64_t, sys::BellPipe> bells_;
  std::set<PartKind> refused_;
  uint64_t asked_ = 0;
};

}  // namespace shmd

#endif  // SHMD_TESTS_TESTING_MADE_CHANNEL_H_
