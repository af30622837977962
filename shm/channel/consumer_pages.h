#ifndef SHMD_SHM_CHANNEL_CONSUMER_PAGES_H_
#define SHMD_SHM_CHANNEL_CONSUMER_PAGES_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "shm/channel/channel_format.h"
#include "shm/channel/channel_view.h"
#include "shm/channel/claim_words.h"
#include "shm/channel/descriptor_bell.h"
#include "shm/channel/open_part.h"
#include "shm/channel/reader_pins.h"
#include "shm/layout/channel_layout.h"

namespace shmd {

// The pages of the other consumers of a queue, mapped when they are first asked
// for: to tell claims that nobody makes good, and who sleeps. Not thread-safe.
template <typename Memory>
class BasicConsumerPages {
 public:
  BasicConsumerPages(BasicChannelView<Memory> view, const MemberId& self,
                     const layout::ReaderPage* own, OpenPart open)
      : view_(view), self_(self), own_(own), open_(std::move(open)) {}

  // Whether who has claimed takes part.
  bool IsPresent(uint64_t claim) const {
    return Claim::IsOf(
        claim, view_.generation(MemberKind::kSubscriber, Claim::Index(claim)));
  }

  // Whether who has claimed has the message pinned, as who claims has before;
  // true also where its page cannot be had.
  bool HasPinned(uint64_t claim, const MemberId& publisher, uint64_t number) {
    const layout::ReaderPage* const page = PageOf(Claim::Index(claim));
    return page == nullptr ||
           BasicReaderPins<Memory>::Has(page, PinWord(publisher, number));
  }

  // After a message was given back: rings for those that sleep on their
  // descriptors, who sleep on no word.
  void RingSleepers(uint64_t now_ns) {
    owes_ = false;
    const std::optional<Member> self =
        view_.Get(MemberKind::kSubscriber, self_.index);
    if (!self.has_value()) return;
    for (uint32_t i = 0; i < layout::kMaxSubscribers; ++i) {
      const std::optional<Member> other = view_.Get(MemberKind::kSubscriber, i);
      if (i == self_.index || !other.has_value() ||
          other->fields.role != self->fields.role) {
        continue;
      }
      owes_ = !RingIfAsleep(other->id, now_ns) || owes_;
    }
  }
  // Whether somebody could not be rung for: to be tried again soon.
  bool owes() const { return owes_; }

 private:
  struct Known {
    uint64_t generation = 0;
    MappedReaderPage part;
    DescriptorBell bell;
  };

  bool RingIfAsleep(const MemberId& other, uint64_t now_ns) {
    const layout::ReaderPage* const page = PageOf(other.index);
    // Who has left sleeps no more.
    if (page == nullptr) {
      return view_.generation(MemberKind::kSubscriber, other.index) !=
             other.generation;
    }
    const uint64_t asleep =
        Memory::Load(&page->header.asleep, std::memory_order_seq_cst);
    return (asleep & layout::kSleepsOnDescriptor) == 0 ||
           known_[other.index].bell.Ring(open_, other, now_ns);
  }

  const layout::ReaderPage* PageOf(uint32_t index) {
    if (index == self_.index) return own_;
    const uint64_t generation =
        view_.generation(MemberKind::kSubscriber, index);
    if (known_.size() <= index) known_.resize(index + 1);
    Known& known = known_[index];
    if (known.generation == generation && generation != 0) {
      return known.part.page();
    }
    const absl::StatusOr<UniqueFd> fd =
        open_({PartKind::kPage, index, generation});
    if (!fd.ok()) return nullptr;
    absl::StatusOr<MappedReaderPage> part =
        MappedReaderPage::Map(fd->get(), generation, /*writable=*/false);
    if (!part.ok()) return nullptr;
    known.generation = generation;
    known.part = *std::move(part);
    known.bell = DescriptorBell();
    return known.part.page();
  }

  BasicChannelView<Memory> view_;
  MemberId self_;
  const layout::ReaderPage* own_;
  OpenPart open_;
  std::vector<Known> known_;  // by index
  bool owes_ = false;
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_CONSUMER_PAGES_H_
