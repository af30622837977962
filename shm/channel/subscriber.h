#ifndef SHMD_SHM_CHANNEL_SUBSCRIBER_H_
#define SHMD_SHM_CHANNEL_SUBSCRIBER_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "shm/channel/call_status.h"
#include "shm/channel/channel_view.h"
#include "shm/channel/consumer_pages.h"
#include "shm/channel/host_wait.h"
#include "shm/channel/member_parts.h"
#include "shm/channel/open_part.h"
#include "shm/channel/reader_pins.h"
#include "shm/channel/received_message.h"
#include "shm/channel/ring_source.h"
#include "shm/channel/sleep_words.h"
#include "shm/channel/spin.h"
#include "shm/layout/channel_layout.h"
#include "shm/layout/memory_word.h"
#include "shm/sys/bell_set.h"
#include "shm/sys/futex_any.h"

namespace shmd {

// Reads all publishers of a channel; of a queue, and for servers of calls, it
// claims what it reads. Makes no system call while there is something to read.
// One thread at a time may use it, and its messages; the daemon is asked, by
// `open_part` and from within any call, only when somebody has joined.
//
// Errors of all calls that receive: CHANNEL_CLOSED when the channel was deleted
// and all is read; MEMBER_NOT_FOUND when the daemon has ended this subscriber;
// CUT_OFF, for good, when it did not keep up and its policy is that; and, once
// for each message, MESSAGE_DAMAGED. MESSAGES_HELD when 512 messages that have
// to be pinned (of a queue or calls; of policies other than kBlock) are held
// already. To clients of calls CUT_OFF is not for good: responses were taken
// back that this subscriber had not read.
template <typename Memory, typename Wait = HostWait>
class BasicRingSubscriber {
 public:
  using Message = BasicReceivedMessage<Memory, Wait>;

  // Maps the parts (OBJECT_UNSUITABLE) and the rings of all publishers, and
  // sets where it begins in each: of those that are there, with as many earlier
  // messages as the channel's history has; of those that come later, with their
  // first message.
  static absl::StatusOr<std::unique_ptr<BasicRingSubscriber>> Open(
      SubscriberParts parts) {
    ASSIGN_OR_RETURN(MappedSubscriberParts mapped,
                     MappedSubscriberParts::Map(parts));
    std::unique_ptr<BasicRingSubscriber> subscriber(new BasicRingSubscriber(
        std::move(mapped), {parts.index, parts.generation},
        std::move(parts.open_part)));
    subscriber->Refresh();
    return subscriber;
  }

  BasicRingSubscriber(const BasicRingSubscriber&) = delete;
  BasicRingSubscriber& operator=(const BasicRingSubscriber&) = delete;

  // The next message of any publisher, or nullopt when there is none now.
  absl::StatusOr<std::optional<Message>> TryReceive() {
    absl::StatusOr<std::optional<Message>> message(absl::in_place);
    absl::Status status = TryReceiveInto(&*message);
    if (!status.ok()) message = std::move(status);
    return message;
  }

  // The next message; NO_MESSAGE when there was none until `deadline`.
  absl::StatusOr<Message> Receive(const Deadline& deadline) {
    for (uint32_t looks = 1;; ++looks) {
      std::optional<Message> message;
      RETURN_IF_ERROR(TryReceiveInto(&message));
      if (message.has_value()) return *std::move(message);
      RETURN_IF_ERROR(AwaitMessage(deadline));
      // What wakes us may be for others, or there for no reason.
      if (looks % kLooksBetweenClocks == 0 && deadline.HasPassed()) {
        return NoMessageError();
      }
    }
  }

  // Up to `max` messages that are there now; none when there are none. An error
  // that comes after the first is told by the next call.
  absl::StatusOr<std::vector<Message>> ReceiveAll(size_t max) {
    std::vector<Message> messages;
    while (messages.size() < max) {
      std::optional<Message> message;
      const absl::Status status = TryReceiveInto(&message);
      if (!status.ok() && !messages.empty()) {
        kept_error_ = status;
        break;
      }
      RETURN_IF_ERROR(status);
      if (!message.has_value()) break;
      messages.push_back(*std::move(message));
    }
    return messages;
  }

  // The next message, and up to `max` that are there then; otherwise as
  // Receive.
  absl::StatusOr<std::vector<Message>> ReceiveAll(size_t max,
                                                  const Deadline& deadline) {
    for (uint32_t looks = 1;; ++looks) {
      ASSIGN_OR_RETURN(std::vector<Message> messages, ReceiveAll(max));
      if (!messages.empty()) return messages;
      RETURN_IF_ERROR(AwaitMessage(deadline));
      if (looks % kLooksBetweenClocks == 0 && deadline.HasPassed()) {
        return NoMessageError();
      }
    }
  }

  // Waits until there may be a message, or who takes part has changed: spins
  // for a while, as long as that has paid of late, and then sleeps. NO_MESSAGE
  // when there was nothing until `deadline`.
  absl::Status AwaitMessage(const Deadline& deadline);
  // The longest that a wait spins; 0 sleeps at once.
  void set_spin_ns(uint64_t most_ns) { spin_.set_most_ns(most_ns); }

  // For poll(2) and epoll(7): a descriptor, of this object, that is readable
  // after Arm when there is something to receive.
  absl::StatusOr<int> Descriptor();
  // What that waits for, to which its owner adds what another run of the daemon
  // rings; null before Descriptor.
  const std::shared_ptr<sys::BellSet>& bells() const { return bells_; }
  // Asks for that. False, and nothing is asked for, when there is something
  // already.
  bool Arm();
  // Ends what Arm began, before receiving.
  void Disarm();

  // For who waits for several subscribers: WaitAny, by the first one's spin.
  BasicSpin<Wait>& spin() { return spin_; }
  bool SpinOnce() const;
  void AnnounceSleep(std::vector<sys::FutexWord>* words);
  bool LookAgain();
  // Until when to sleep, if nothing happens before; and what to do then.
  Deadline WakeTime(const Deadline& deadline) const {
    if (IsSettled()) return deadline;
    return deadline.NoLaterThan(kPartRetryAfter);
  }
  void TryPartsAgain() {
    if (!complete_) Refresh();
    if (consumers_.owes()) consumers_.RingSleepers(Wait::RecentNs());
  }
  void EndSleep();

  // Looks whether anybody has joined or left; OK while there may be messages.
  absl::Status Check() {
    if (HasChanged()) Refresh();
    return status_;
  }

  // Messages that were gone before they were read, of publishers that have not
  // left.
  uint64_t lost() const {
    uint64_t lost = 0;
    for (const auto& source : sources_) lost += source->lost();
    return lost;
  }
  // Messages that were received and are neither released nor acknowledged.
  uint32_t held() const {
    uint32_t held = 0;
    for (const auto& source : sources_) held += source->held();
    return held;
  }
  // Whose rings are mapped.
  size_t publisher_count() const { return sources_.size(); }
  const MemberId& id() const { return reader_.self; }
  const ChannelFields& channel() const { return parts_.channel.fields; }
  BasicChannelView<Memory> view() const { return view_; }

 private:
  using Source = BasicRingSource<Memory, Wait>;
  using Sleeps = BasicSleepWords<Memory>;

  static constexpr uint32_t kLooksBetweenClocks = 16;
  // Looks for messages from one try to map a newcomer's ring to the next.
  static constexpr uint32_t kBetweenTries = 4096;

  BasicRingSubscriber(MappedSubscriberParts parts, const MemberId& self,
                      OpenPart open_part)
      : parts_(std::move(parts)),
        view_(parts_.channel.page()),
        page_(parts_.page.page()),
        open_part_(std::move(open_part)),
        pins_(page_),
        consumers_(view_, self, page_, open_part_) {
    const layout::ChannelKind kind = parts_.channel.fields.kind;
    reader_.self = self;
    reader_.kind = kind;
    reader_.policy = parts_.policy;
    reader_.claims = HasClaims(kind, OtherRole(parts_.role));
    if (kind == layout::ChannelKind::kPublish) {
      reader_.history = parts_.channel.fields.history;
    }
    reader_.page = page_;
    reader_.pins = &pins_;
    reader_.consumers = &consumers_;
  }

  bool HasChanged() {
    return view_.change() != seen_change_ ||
           (!complete_ && ++tries_ % kBetweenTries == 0);
  }

  // Whether nothing is left to be tried again of what the daemon was asked for.
  bool IsSettled() const { return complete_ && !consumers_.owes(); }
  // Maps the rings of who has joined; those of who has left go when they are
  // read.
  void Refresh();
  bool IsToRead(const Member& member) const;
  bool Join(const Member& member);
  Source* FindAlive(uint32_t index);
  void DropExhausted();

  absl::Status TryReceiveInto(std::optional<Message>* message);
  absl::Status ErrorOf(Took took, const TakenMessage& taken,
                       const Source& source);

  MappedSubscriberParts parts_;
  BasicChannelView<Memory> view_;
  layout::ReaderPage* page_;
  OpenPart open_part_;
  BasicReaderPins<Memory> pins_;
  BasicConsumerPages<Memory> consumers_;
  RingReader<Memory> reader_;
  std::vector<std::unique_ptr<Source>> sources_;
  size_t turn_ = 0;      // the source to look at first
  absl::Status status_;  // for good
  bool is_closed_ = false;
  absl::Status kept_error_;
  std::shared_ptr<sys::BellSet> bells_;
  BasicSpin<Wait> spin_;
  uint64_t sleeps_ = 0;
  uint32_t seen_change_ = 0;
  uint32_t tries_ = 0;
  bool complete_ = true;
  bool has_ended_ = false;  // some source, which may be dropped
};

template <typename Memory, typename Wait>
inline absl::Status BasicRingSubscriber<Memory, Wait>::TryReceiveInto(
    std::optional<Message>* message) {
  if (HasChanged()) Refresh();
  if (!status_.ok()) return status_;
  if (!kept_error_.ok()) return std::exchange(kept_error_, absl::OkStatus());
  // Taken where it stays: it is large beside what it costs to take it.
  message->emplace();
  for (size_t i = 0; i < sources_.size(); ++i) {
    if (++turn_ >= sources_.size()) turn_ = 0;
    Source& source = *sources_[turn_];
    const Took took = source.TryTake(&(*message)->taken_);
    if (took == Took::kNothing) continue;
    if (took != Took::kMessage)
      return ErrorOf(took, (*message)->taken_, source);
    (*message)->source_ = &source;
    (*message)->publisher_ = source.publisher();
    (*message)->is_claimed_ = reader_.claims;
    return absl::OkStatus();
  }
  message->reset();
  if (has_ended_) DropExhausted();
  return is_closed_ ? ClosedError() : absl::OkStatus();
}

template <typename Memory, typename Wait>
absl::Status BasicRingSubscriber<Memory, Wait>::ErrorOf(
    Took took, const TakenMessage& taken, const Source& source) {
  switch (took) {
    case Took::kCutOff:
      status_ = CutOffError();
      return status_;
    case Took::kPinsUsedUp:
      return HeldError();
    case Took::kMissed:
      return ResponseLostError();
    default:
      return DamagedError(source.publisher(), taken.number);
  }
}

template <typename Memory, typename Wait>
absl::Status BasicRingSubscriber<Memory, Wait>::AwaitMessage(
    const Deadline& deadline) {
  if (deadline.IsNow()) return NoMessageError();
  if (spin_.Until([this] { return SpinOnce(); })) return absl::OkStatus();
  std::vector<sys::FutexWord> words;
  AnnounceSleep(&words);
  bool in_time = true;
  if (!LookAgain()) {
    in_time = Wait::Any(words, WakeTime(deadline));
    if (!IsSettled()) {
      TryPartsAgain();
      in_time = in_time || !deadline.HasPassed();
    }
  }
  EndSleep();
  spin_.Slept();
  return in_time || SpinOnce() ? absl::OkStatus() : NoMessageError();
}

template <typename Memory, typename Wait>
bool BasicRingSubscriber<Memory, Wait>::SpinOnce() const {
  if (view_.change() != seen_change_) return true;
  for (const auto& source : sources_) {
    if (source->IsReady(std::memory_order_acquire)) return true;
  }
  return false;
}

template <typename Memory, typename Wait>
void BasicRingSubscriber<Memory, Wait>::AnnounceSleep(
    std::vector<sys::FutexWord>* words) {
  // All are read before the last look, so that what goes up after it is seen.
  words->push_back({view_.change_word(), seen_change_});
  for (const auto& source : sources_) source->AppendWords(words);
  Sleeps::Announce(&page_->header.asleep,
                   ++sleeps_ << 2 | layout::kSleepsOnFutex);
}

template <typename Memory, typename Wait>
bool BasicRingSubscriber<Memory, Wait>::LookAgain() {
  if (view_.change() != seen_change_ || !status_.ok() || is_closed_) {
    return true;
  }
  for (const auto& source : sources_) {
    if (source->LookAgain()) return true;
  }
  return false;
}

template <typename Memory, typename Wait>
void BasicRingSubscriber<Memory, Wait>::EndSleep() {
  Sleeps::End(&page_->header.asleep);
}

template <typename Memory, typename Wait>
absl::StatusOr<int> BasicRingSubscriber<Memory, Wait>::Descriptor() {
  if (bells_ == nullptr) {
    ASSIGN_OR_RETURN(std::shared_ptr<sys::BellSet> bells, sys::BellSet::Make());
    ASSIGN_OR_RETURN(UniqueFd bell,
                     open_part_({PartKind::kBell, reader_.self.index,
                                 reader_.self.generation}));
    RETURN_IF_ERROR(bells->Add(std::move(bell)));
    bells_ = std::move(bells);
  }
  return bells_->descriptor();
}

template <typename Memory, typename Wait>
bool BasicRingSubscriber<Memory, Wait>::Arm() {
  Sleeps::Announce(&page_->header.asleep,
                   ++sleeps_ << 2 | layout::kSleepsOnDescriptor);
  TryPartsAgain();
  if (LookAgain()) {
    EndSleep();
    return false;
  }
  // Who has come and could not be looked at may have rung already.
  if (!IsSettled() && bells_ != nullptr) bells_->WakeAfter(kPartRetryAfter);
  return true;
}

template <typename Memory, typename Wait>
void BasicRingSubscriber<Memory, Wait>::Disarm() {
  EndSleep();
  if (bells_ != nullptr) bells_->Drain();
}

template <typename Memory, typename Wait>
void BasicRingSubscriber<Memory, Wait>::Refresh() {
  // Whatever changes from here on is looked at the next time.
  seen_change_ = view_.change();
  complete_ = true;
  for (uint32_t i = 0; i < layout::kMaxPublishers; ++i) {
    const std::optional<Member> member = view_.Get(MemberKind::kPublisher, i);
    Source* const source = FindAlive(i);
    if (source != nullptr) {
      if (member.has_value() && source->publisher() == member->id &&
          !member->fields.has_left) {
        continue;
      }
      source->End();
      has_ended_ = true;
    }
    if (member.has_value() && IsToRead(*member)) {
      complete_ = Join(*member) && complete_;
    }
  }
  // Who has left may have claimed something.
  for (const auto& source : sources_) source->Rescan();
  // Who deletes a channel says so before it ends the parts.
  const bool is_gone =
      view_.generation(MemberKind::kSubscriber, reader_.self.index) !=
      reader_.self.generation;
  is_closed_ = view_.closed();
  if (is_gone && !is_closed_) status_ = MemberGoneError();
}

// Of who has left it reads what it would have read had it looked in time.
template <typename Memory, typename Wait>
bool BasicRingSubscriber<Memory, Wait>::IsToRead(const Member& member) const {
  if (member.fields.role != OtherRole(parts_.role)) return false;
  if (!member.fields.has_left) return true;
  const bool was_first = reader_.self.generation < member.id.generation;
  return (was_first || reader_.claims) &&
         Memory::Load(&page_->cursors[member.id.index].generation,
                      std::memory_order_relaxed) != member.id.generation;
}

// False when it has to be tried again.
template <typename Memory, typename Wait>
bool BasicRingSubscriber<Memory, Wait>::Join(const Member& member) {
  const absl::StatusOr<UniqueFd> ring_fd =
      open_part_({PartKind::kRing, member.id.index, member.id.generation});
  if (!ring_fd.ok()) return absl::IsNotFound(ring_fd.status());
  // What is no ring is nobody's; there may be room for a ring later.
  absl::StatusOr<MappedRing> ring =
      MappedRing::Map(ring_fd->get(), member.id.generation, /*writable=*/false);
  if (!ring.ok()) {
    return GetErrorReason(ring.status()) == reason::kObjectUnsuitable;
  }
  std::optional<MappedClaims> claims;
  if (reader_.claims) {
    const absl::StatusOr<UniqueFd> claims_fd =
        open_part_({PartKind::kClaims, member.id.index, member.id.generation});
    if (!claims_fd.ok()) return absl::IsNotFound(claims_fd.status());
    absl::StatusOr<MappedClaims> mapped =
        MappedClaims::Map(claims_fd->get(), member.id.generation, ring->slots);
    if (!mapped.ok()) {
      return GetErrorReason(mapped.status()) == reason::kObjectUnsuitable;
    }
    claims = *std::move(mapped);
  }
  sources_.push_back(std::make_unique<Source>(
      &reader_, member.id, *std::move(ring), std::move(claims)));
  sources_.back()->Begin();
  if (member.fields.has_left) {
    sources_.back()->End();
    has_ended_ = true;
  }
  return true;
}

template <typename Memory, typename Wait>
typename BasicRingSubscriber<Memory, Wait>::Source*
BasicRingSubscriber<Memory, Wait>::FindAlive(uint32_t index) {
  for (const auto& source : sources_) {
    if (source->is_alive() && source->publisher().index == index) {
      return source.get();
    }
  }
  return nullptr;
}

template <typename Memory, typename Wait>
void BasicRingSubscriber<Memory, Wait>::DropExhausted() {
  has_ended_ = false;
  for (size_t i = 0; i < sources_.size();) {
    if (sources_[i]->IsExhausted()) {
      sources_[i] = std::move(sources_.back());
      sources_.pop_back();
      continue;
    }
    has_ended_ = has_ended_ || !sources_[i]->is_alive();
    ++i;
  }
}

using RingSubscriber = BasicRingSubscriber<layout::HostMemory>;
using ReceivedMessage = RingSubscriber::Message;

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_SUBSCRIBER_H_
