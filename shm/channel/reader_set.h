#ifndef SHMD_SHM_CHANNEL_READER_SET_H_
#define SHMD_SHM_CHANNEL_READER_SET_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/unique_fd.h"
#include "shm/channel/channel_format.h"
#include "shm/channel/channel_view.h"
#include "shm/channel/descriptor_bell.h"
#include "shm/channel/missed_words.h"
#include "shm/channel/open_part.h"
#include "shm/channel/reader_pins.h"
#include "shm/channel/sleep_words.h"
#include "shm/layout/channel_layout.h"
#include "shm/sys/futex_any.h"

namespace shmd {

// The subscribers of one publisher, as it sees them: it reads their pages, and
// believes no word further than that it may wait too long for who wrote it. Not
// thread-safe.
template <typename Memory, typename Wait>
class BasicReaderSet {
 public:
  using Pins = BasicReaderPins<Memory>;

  struct Reader {
    MemberId id;
    layout::SlowPolicy policy = layout::SlowPolicy::kNone;
    layout::MemberRole role = layout::MemberRole::kPeer;
    MappedReaderPage part;
    layout::ReaderPage* page = nullptr;
    DescriptorBell bell;
    bool is_owed = false;  // the bell could not be had for now
    // Was there before the publisher: it gets all messages from the first.
    bool from_start = false;
    bool is_cut_off = false;
    uint64_t rung = 0;      // the sleep that it was woken from last
    uint64_t released = 0;  // as it said last

    bool IsWaitedFor() const { return policy == layout::SlowPolicy::kBlock; }
  };

  // `ring` is the publisher's own. Readers of `role` only.
  BasicReaderSet(BasicChannelView<Memory> view, layout::RingHeader* ring,
                 const MemberId& self, layout::MemberRole role, OpenPart open)
      : view_(view),
        ring_(ring),
        self_(self),
        role_(role),
        open_(std::move(open)) {}

  // Maps the pages of who has joined, and forgets who has left. False when a
  // page could not be had for now.
  bool Refresh() {
    bool complete = true;
    for (uint32_t i = 0; i < layout::kMaxSubscribers; ++i) {
      const std::optional<Member> member =
          view_.Get(MemberKind::kSubscriber, i);
      const auto known = Find(i);
      if (known != readers_.end() &&
          (!member.has_value() || !((*known)->id == member->id))) {
        readers_.erase(known);
      } else if (known != readers_.end()) {
        (*known)->bell.TryAgain();
        continue;
      }
      if (member.has_value() && member->fields.role == role_) {
        complete = Join(*member) && complete;
      }
    }
    return complete;
  }

  bool empty() const { return readers_.empty(); }
  size_t size() const { return readers_.size(); }

  // All messages before this one are done with, of `published`, as far as
  // those are concerned whom `counts` wants. What is not above `enough` is as
  // good as any other: then only the cursor is read that was the last one the
  // last time, and the others' lines stay with those who write them.
  template <typename Counts>
  uint64_t Released(uint64_t published, uint64_t enough, const Counts& counts) {
    uint64_t least = published;
    const auto look = [&](size_t i) {
      if (!counts(*readers_[i])) return;
      const std::optional<uint64_t> released =
          CursorOf(*readers_[i], published);
      if (!released.has_value() || *released >= least) return;
      least = *released;
      last_ = i;
    };
    if (last_ < readers_.size()) look(last_);
    for (size_t i = 0; i < readers_.size() && least > enough; ++i) look(i);
    return least;
  }

  // Those that have said where they begin, or are to get all from the first.
  size_t CountBegun(uint64_t published) {
    size_t count = 0;
    for (const auto& reader : readers_) {
      if (CursorOf(*reader, published).has_value()) ++count;
    }
    return count;
  }

  // Whether the subscriber of this generation has yet to release `number`.
  bool IsWaitedForBy(uint64_t generation, uint64_t number, uint64_t published) {
    for (const auto& reader : readers_) {
      if (reader->id.generation != generation) continue;
      return CursorOf(*reader, published).value_or(0) <= number;
    }
    return false;
  }

  // Whether anybody has `number` pinned.
  bool IsPinned(uint64_t number) const {
    const uint64_t word = PinWord(self_, number);
    for (const auto& reader : readers_) {
      if (Pins::Has(reader->page, word)) return true;
    }
    return false;
  }

  // Cuts off whose policy it is and who has not released `number`.
  void CutOff(uint64_t number, uint64_t published) {
    for (const auto& reader : readers_) {
      if (reader->policy != layout::SlowPolicy::kCutOff || reader->is_cut_off ||
          CursorOf(*reader, published).value_or(published) > number) {
        continue;
      }
      reader->is_cut_off = true;
      // Sequentially consistent, for the look at whether it sleeps.
      Memory::Exchange(&ring_->cut_off[reader->id.index], reader->id.generation,
                       std::memory_order_seq_cst);
      WakeIfAsleep(*reader);
    }
  }

  // Before response `number` is taken from the subscriber of this generation,
  // which has not read it, unless it has it pinned.
  void Miss(uint64_t generation, uint64_t number) {
    for (const auto& reader : readers_) {
      if (reader->id.generation != generation) continue;
      BasicMissedWords<Memory>::Tell(&ring_->missed[reader->id.index],
                                     generation, number);
    }
  }

  bool HasCutOff() const {
    return std::any_of(readers_.begin(), readers_.end(),
                       [](const auto& reader) { return reader->is_cut_off; });
  }

  // After something was shown: wakes all who sleep, or, where each message is
  // for one, `most` of them.
  void WakeSleepers(uint64_t most) {
    for (size_t i = 0; i < readers_.size(); ++i) {
      if (!WakeIfAsleep(*readers_[i])) continue;
      if (--most > 0) continue;
      // Another one's turn the next time.
      std::rotate(readers_.begin(),
                  readers_.begin() + static_cast<ptrdiff_t>(i) + 1,
                  readers_.end());
      return;
    }
  }

  // Wakes the subscriber of this generation only.
  void WakeOne(uint64_t generation) {
    for (const auto& reader : readers_) {
      if (reader->id.generation == generation) WakeIfAsleep(*reader);
    }
  }

  // Whether somebody sleeps on whose bell could not be had: to be tried again
  // soon.
  bool owes() const { return owes_; }
  void RingOwed() {
    owes_ = false;
    for (const auto& reader : readers_) {
      if (std::exchange(reader->is_owed, false)) WakeIfAsleep(*reader);
    }
  }

  // What goes up when somebody releases something.
  void AppendWords(std::vector<sys::FutexWord>* words) const {
    for (const auto& reader : readers_) {
      const uint32_t* const bell = &reader->page->cursors[self_.index].bell;
      words->push_back({bell, Sleeps::Bell(bell)});
    }
  }

 private:
  using Readers = std::vector<std::unique_ptr<Reader>>;
  using Sleeps = BasicSleepWords<Memory>;

  typename Readers::iterator Find(uint32_t index) {
    return std::find_if(
        readers_.begin(), readers_.end(),
        [&](const auto& reader) { return reader->id.index == index; });
  }

  bool Join(const Member& member) {
    const absl::StatusOr<UniqueFd> fd =
        open_({PartKind::kPage, member.id.index, member.id.generation});
    if (!fd.ok()) return absl::IsNotFound(fd.status());
    absl::StatusOr<MappedReaderPage> part = MappedReaderPage::Map(
        fd->get(), member.id.generation, /*writable=*/false);
    // What is no page is nobody.
    if (!part.ok()) return true;
    auto reader = std::make_unique<Reader>();
    reader->id = member.id;
    reader->policy = member.fields.policy;
    reader->role = member.fields.role;
    reader->part = *std::move(part);
    reader->page = reader->part.page();
    reader->from_start = member.id.generation < self_.generation;
    readers_.push_back(std::move(reader));
    return true;
  }

  // nullopt while it has not said where it begins.
  std::optional<uint64_t> CursorOf(Reader& reader, uint64_t published) {
    if (reader.is_cut_off) return std::nullopt;
    const layout::ReaderCursor& cursor = reader.page->cursors[self_.index];
    if (Memory::Load(&cursor.generation, std::memory_order_seq_cst) !=
        self_.generation) {
      if (reader.from_start) return 0;
      return std::nullopt;
    }
    const uint64_t released =
        Memory::Load(&cursor.released, std::memory_order_seq_cst);
    reader.released = std::max(reader.released, std::min(released, published));
    return reader.released;
  }

  // False when it is awake, was woken from this sleep already, or cannot be
  // woken for now.
  bool WakeIfAsleep(Reader& reader) {
    const uint64_t asleep =
        Sleeps::ToEnd(&reader.page->header.asleep, &reader.rung);
    if (asleep == 0) return false;
    uint32_t* const bell = &ring_->bells[reader.id.index];
    Sleeps::Ring(bell);
    if ((asleep & layout::kSleepsOnFutex) != 0) Wait::Wake(bell);
    if ((asleep & layout::kSleepsOnDescriptor) == 0 ||
        reader.bell.Ring(open_, reader.id, Wait::RecentNs())) {
      return true;
    }
    reader.rung = 0;
    reader.is_owed = owes_ = true;
    return false;
  }

  BasicChannelView<Memory> view_;
  layout::RingHeader* ring_;
  MemberId self_;
  layout::MemberRole role_;
  OpenPart open_;
  Readers readers_;
  bool owes_ = false;
  size_t last_ = 0;  // the one that has released least, if it is there
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_READER_SET_H_
