#ifndef SHMD_SHM_CHANNEL_READER_PINS_H_
#define SHMD_SHM_CHANNEL_READER_PINS_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include "shm/channel/channel_view.h"
#include "shm/layout/channel_layout.h"

namespace shmd {

// The word that pins message `number` of a publisher.
inline uint64_t PinWord(const MemberId& publisher, uint64_t number) {
  constexpr uint64_t kNumberMask = (uint64_t{1} << 48) - 1;
  return ((number + 1) & kNumberMask) | uint64_t{publisher.index} << 48 |
         publisher.generation << 56;
}

// What a subscriber pins in its page. Not thread-safe.
template <typename Memory, typename Page = layout::ReaderPage>
class BasicReaderPins {
 public:
  static constexpr uint32_t kMost = sizeof(Page::pins) / sizeof(uint64_t);

  explicit BasicReaderPins(Page* page) : page_(page) {}

  // The pin's index; nullopt when there is none left. Sequentially consistent:
  // whether the message is still there has to be asked afterwards.
  std::optional<uint32_t> Pin(uint64_t word) {
    uint32_t index = used_;
    if (!unused_.empty()) {
      index = unused_.back();
      unused_.pop_back();
    } else if (used_ == kMost) {
      return std::nullopt;
    } else {
      ++used_;
      // Before any pin there.
      Memory::Exchange(&page_->header.pins_used, used_,
                       std::memory_order_seq_cst);
    }
    Memory::Exchange(&page_->pins[index], word, std::memory_order_seq_cst);
    return index;
  }

  void Unpin(uint32_t index) {
    // What was pinned has been read; sequentially consistent, for the look at
    // whether the publisher waits for this.
    Memory::Exchange(&page_->pins[index], uint64_t{0},
                     std::memory_order_seq_cst);
    unused_.push_back(index);
  }

  // Of anybody's page. Each word is read once and leads nowhere.
  static bool Has(const Page* page, uint64_t word) {
    const uint32_t used = std::min(
        kMost,
        Memory::Load(&page->header.pins_used, std::memory_order_seq_cst));
    for (uint32_t i = 0; i < used; ++i) {
      if (Memory::Load(&page->pins[i], std::memory_order_seq_cst) == word) {
        return true;
      }
    }
    return false;
  }

 private:
  Page* page_;
  uint32_t used_ = 0;
  std::vector<uint32_t> unused_;
};

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_READER_PINS_H_
