#ifndef SHMD_SHM_CHANNEL_PUBLISHER_H_
#define SHMD_SHM_CHANNEL_PUBLISHER_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "shm/channel/channel_view.h"
#include "shm/channel/host_wait.h"
#include "shm/channel/member_parts.h"
#include "shm/channel/message.h"
#include "shm/channel/open_part.h"
#include "shm/channel/reader_set.h"
#include "shm/channel/ring_room.h"
#include "shm/channel/slot_words.h"
#include "shm/layout/channel_layout.h"
#include "shm/layout/memory_word.h"

namespace shmd {

// Publishes in a channel: writes the ring that the daemon has made for it, and
// wakes who sleeps. Makes no system call while those who read are awake and
// keep up. One thread at a time may use it; the daemon is asked, by `open_part`
// and from within any call, only when somebody has joined.
//
// Errors of all calls: CHANNEL_CLOSED when the channel was deleted;
// MEMBER_NOT_FOUND when the daemon has ended this publisher.
template <typename Memory, typename Wait = HostWait>
class BasicRingPublisher {
 public:
  // Maps the parts, which have to belong together (OBJECT_UNSUITABLE), and
  // those of all subscribers.
  static absl::StatusOr<std::unique_ptr<BasicRingPublisher>> Open(
      PublisherParts parts) {
    ASSIGN_OR_RETURN(MappedPublisherParts mapped,
                     MappedPublisherParts::Map(parts));
    std::unique_ptr<BasicRingPublisher> publisher(new BasicRingPublisher(
        std::move(mapped), {parts.index, parts.generation},
        std::move(parts.open_part)));
    publisher->room_.Refresh();
    return publisher;
  }

  BasicRingPublisher(const BasicRingPublisher&) = delete;
  BasicRingPublisher& operator=(const BasicRingPublisher&) = delete;

  // A place to write a message in, and a slot for it. Waits until `deadline`
  // for subscribers that are waited for: CHANNEL_BLOCKED. MESSAGE_TOO_LARGE for
  // what the ring never holds. `metadata_bytes` is kept free behind the
  // payload.
  absl::StatusOr<Loan> Borrow(uint64_t size_bytes, const Deadline& deadline,
                              uint32_t metadata_bytes = 0) {
    return room_.Borrow(size_bytes, metadata_bytes, deadline);
  }

  // Publishes what was borrowed from this publisher; never waits. The message's
  // number, counted from 0. MESSAGE_TOO_LARGE for metadata that does not fit.
  absl::StatusOr<uint64_t> Publish(Loan&& loan,
                                   const MessageOptions& options = {}) {
    RETURN_IF_ERROR(CheckLoan(loan, options));
    const uint64_t number = room_.published();
    layout::RingSlot* const slot = Fill(number, std::move(loan), options);
    SHMD_FAILPOINT("publish.filled");
    Slots::Show(slot, number);
    SHMD_FAILPOINT("publish.shown");
    Shown(number, 1, options.to);
    return number;
  }

  // Copies a message and publishes it. Errors as of Borrow.
  absl::StatusOr<uint64_t> Publish(absl::Span<const char> payload,
                                   const MessageOptions& options,
                                   const Deadline& deadline) {
    ASSIGN_OR_RETURN(Loan loan, Borrow(payload.size(), deadline,
                                       MetadataBytes(options.metadata)));
    if (!payload.empty()) {
      std::memcpy(loan.data(), payload.data(), payload.size());
    }
    return Publish(std::move(loan), options);
  }

  // Publishes all, which readers see at once, and looks once at who sleeps. The
  // first one's number. Nothing is published when one of the loans is none of
  // this publisher's.
  absl::StatusOr<uint64_t> PublishAll(absl::Span<Loan> loans,
                                      const MessageOptions& options = {}) {
    for (const Loan& loan : loans) RETURN_IF_ERROR(CheckLoan(loan, options));
    const uint64_t first = room_.published();
    if (loans.empty()) return first;
    for (size_t i = loans.size() - 1; i > 0; --i) {
      Slots::ShowLater(Fill(first + i, std::move(loans[i]), options),
                       first + i);
    }
    Slots::Show(Fill(first, std::move(loans[0]), options), first);
    Shown(first, loans.size(), options.to);
    return first;
  }

  // Copies messages and publishes them, as many at once as there is room for.
  // How many: fewer than asked for, and at least one, when `deadline` came in
  // between or one of them cannot be published; else that error.
  absl::StatusOr<size_t> PublishAll(absl::Span<const OutgoingMessage> messages,
                                    const Deadline& deadline);

  // Waits until all that are waited for are done with what was published; until
  // so many subscribers have begun to read, to whom what comes then is not
  // lost. CHANNEL_BLOCKED.
  absl::Status Drain(const Deadline& deadline) {
    return room_.AwaitReleased(deadline);
  }
  absl::Status AwaitReaders(size_t count, const Deadline& deadline) {
    return room_.AwaitReaders(count, deadline);
  }
  // The longest that a wait for room spins; 0 sleeps at once.
  void set_spin_ns(uint64_t most_ns) { room_.set_spin_ns(most_ns); }

  // Messages that were published.
  uint64_t published() const { return room_.published(); }
  // Whose pages are known: those who were there at the last call.
  size_t subscriber_count() const { return room_.readers().size(); }
  const MemberId& id() const { return self_; }
  const ChannelFields& channel() const { return parts_.channel.fields; }
  BasicChannelView<Memory> view() const { return view_; }

  // Of clients in kCall: the claims on their requests.
  BasicClaimWords<Memory>& claims() { return room_.claims(); }
  // Messages before this one are gone: their slots and places are used anew.
  uint64_t first_kept() const { return room_.first_kept(); }

  // Looks whether anybody has joined or left; OK while the publisher can go on.
  absl::Status Check() {
    room_.RefreshIfChanged();
    return room_.status();
  }

 private:
  using Slots = BasicSlotWords<Memory>;

  BasicRingPublisher(MappedPublisherParts parts, const MemberId& self,
                     OpenPart open_part)
      : parts_(std::move(parts)),
        view_(parts_.channel.page()),
        self_(self),
        slots_(parts_.ring.slot_array()),
        room_(parts_, view_, self, std::move(open_part)) {}

  static uint32_t MetadataBytes(absl::Span<const char> metadata) {
    return static_cast<uint32_t>(
        std::min<size_t>(metadata.size(), kMaxMetadataBytes + 1));
  }

  absl::Status CheckLoan(const Loan& loan,
                         const MessageOptions& options) const {
    if (!room_.status().ok()) return room_.status();
    if (loan.places_ != &room_.places()) return NotBorrowedError();
    const uint64_t room = loan.place_.size_bytes - loan.size_bytes_;
    if (options.metadata.size() > std::min<uint64_t>(room, kMaxMetadataBytes)) {
      return MetadataTooLargeError(options.metadata.size(), room);
    }
    return absl::OkStatus();
  }

  // All but the number.
  layout::RingSlot* Fill(uint64_t number, Loan loan,
                         const MessageOptions& options) {
    layout::RingSlot* const slot = &slots_[number & (parts_.ring.slots - 1)];
    Slots::Begin(slot);
    SlotFields fields;
    fields.offset_bytes =
        static_cast<uint64_t>(loan.data_ - parts_.ring.start());
    fields.size_bytes = loan.size_bytes_;
    fields.metadata_bytes = static_cast<uint32_t>(options.metadata.size());
    fields.time_ns = UnixNanos();
    fields.to = options.to;
    fields.correlation = options.correlation;
    fields.flags = options.flags & ~layout::kHasChecksum;
    if (!options.metadata.empty()) {
      std::memcpy(loan.data_ + loan.size_bytes_, options.metadata.data(),
                  options.metadata.size());
    }
    if (parts_.channel.fields.checksums) {
      fields.flags |= layout::kHasChecksum;
      fields.checksum =
          MessageChecksum(loan.data_, fields.size_bytes, fields.metadata_bytes);
    }
    Slots::Fill(slot, fields);
    room_.Keep(number, loan.Take(), options.to);
    room_.NotePace(fields.time_ns);
    return slot;
  }

  void Shown(uint64_t first, uint64_t count, uint64_t to) {
    room_.Published(count);
    // The lines that are written soon, from those who read them last.
    const uint64_t ahead = first + count + kPrefetchAhead;
    __builtin_prefetch(&slots_[ahead & (parts_.ring.slots - 1)], 1);
    room_.RefreshIfChanged();
    room_.WakeSleepers(count, to);
    room_.ReclaimLarge();
  }

  static constexpr uint64_t kPrefetchAhead = 8;

  MappedPublisherParts parts_;
  BasicChannelView<Memory> view_;
  MemberId self_;
  layout::RingSlot* slots_;
  BasicRingRoom<Memory, Wait> room_;
};

template <typename Memory, typename Wait>
absl::StatusOr<size_t> BasicRingPublisher<Memory, Wait>::PublishAll(
    absl::Span<const OutgoingMessage> messages, const Deadline& deadline) {
  size_t done = 0;
  absl::Status status;
  while (done < messages.size() && status.ok()) {
    // Only the first of each round waits.
    const uint64_t first = room_.published();
    std::vector<Loan> loans;
    while (done + loans.size() < messages.size()) {
      const OutgoingMessage& message = messages[done + loans.size()];
      absl::StatusOr<Loan> loan =
          Borrow(message.payload.size(),
                 loans.empty() ? deadline : absl::InfinitePast(),
                 MetadataBytes(message.options.metadata));
      if (loan.ok()) status = CheckLoan(*loan, message.options);
      if (!loan.ok() || !status.ok()) {
        if (loans.empty() && !loan.ok()) status = loan.status();
        break;
      }
      if (!message.payload.empty()) {
        std::memcpy(loan->data(), message.payload.data(),
                    message.payload.size());
      }
      loans.push_back(*std::move(loan));
    }
    if (loans.empty()) break;
    for (size_t i = loans.size() - 1; i > 0; --i) {
      Slots::ShowLater(
          Fill(first + i, std::move(loans[i]), messages[done + i].options),
          first + i);
    }
    Slots::Show(Fill(first, std::move(loans[0]), messages[done].options),
                first);
    Shown(first, loans.size(), /*to=*/0);
    done += loans.size();
  }
  if (done > 0 || messages.empty()) return done;
  return status;
}

using RingPublisher = BasicRingPublisher<layout::HostMemory>;

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_PUBLISHER_H_
