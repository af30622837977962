// A publisher writes a ring of two slots round and round while a subscriber
// reads it; either may die before any store. The places of payloads are plain
// words: Relacy tells when one is read and written at the same time.

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "shm/channel/reader_pins.h"
#include "shm/channel/slot_words.h"
#include "tests/model/model_memory.h"

namespace shmd::model {
namespace {

enum class Bug {
  kNone,
  kShowIsRelaxed,  // the number may be seen before what it is about
  kNumberStays,    // the rest of a slot changes below the old number
  kReleaseEarly,   // the cursor moves before the payload was read
  kNoWait,         // the publisher does not look at the cursor
  kWeakPin,        // the pin is not sequentially consistent
  kWeakTake,       // nor is the number's change
  kNoSecondLook,   // the subscriber does not look whether it was too late
  kScanFirst,      // the publisher reads pins before it takes the message
  kNoScan,         // and not at all
  kNoTake,         // the publisher leaves the number as it is
};

constexpr uint64_t kSlots = 2;
constexpr uint64_t kMessages = 3;
constexpr uint64_t kPlaces = 3;
const MemberId kPublisher = {0, 1};

// Addresses; nothing is ever there.
struct Ring {
  layout::RingSlot slots[kSlots];
  uint64_t oldest;
};
struct Page {
  struct {
    uint32_t pins_used;
  } header;
  uint64_t released;
  uint64_t pins[2];
};
alignas(64) char ring_bytes[sizeof(Ring)];
alignas(64) char page_bytes[sizeof(Page)];

template <Bug bug>
struct Publisher : Sound {
  static std::memory_order Demote(std::memory_order order) {
    if (bug == Bug::kShowIsRelaxed) return std::memory_order_relaxed;
    return bug == Bug::kWeakTake && order == std::memory_order_seq_cst
               ? std::memory_order_acq_rel
               : order;
  }
};

template <Bug bug>
struct Subscriber : Sound {
  static std::memory_order Demote(std::memory_order order) {
    return bug == Bug::kWeakPin && order == std::memory_order_seq_cst
               ? std::memory_order_acq_rel
               : order;
  }
};

enum class Policy {
  kWaits,      // the publisher waits for the subscriber
  kTakes,      // it takes from it what it has not pinned
  kBystander,  // the message is to another: only the slot is looked at
};

template <Bug bug, Policy policy, bool dies>
struct RingModel : Model<2> {
  static constexpr bool kWaits = policy == Policy::kWaits;
  static constexpr bool kPins = policy == Policy::kTakes;

  using Writing = ModelMemory<Publisher<bug>>;
  using Reading = ModelMemory<Subscriber<bug>>;
  using Write = BasicSlotWords<Writing>;
  using Read = BasicSlotWords<Reading>;
  using WritingPins = BasicReaderPins<Writing, Page>;
  using ReadingPins = BasicReaderPins<Reading, Page>;

  Words words;
  rl::var<uint64_t> places[kPlaces];
  uint64_t read = 0;  // for after()

  static Ring* ring() { return reinterpret_cast<Ring*>(ring_bytes); }
  static Page* page() { return reinterpret_cast<Page*>(page_bytes); }
  static layout::RingSlot* slot(uint64_t number) {
    return &ring()->slots[number % kSlots];
  }

  void before() override {
    words.Clear();
    for (auto& place : places) place($) = ~uint64_t{0};
    Writing::stores_left = ~uint64_t{0};
    Reading::stores_left = ~uint64_t{0};
    if (!dies) return;
    Writing::stores_left = rl::rand(50);
    Reading::stores_left = rl::rand(12);
  }

  // Makes room for message `number`; its place, or none.
  bool MakeRoom(uint64_t number, std::vector<uint64_t>& free,
                std::vector<uint64_t>& place_of) {
    if (number < kSlots) return true;
    const uint64_t old = number - kSlots;
    const bool is_released =
        Writing::Load(&page()->released, std::memory_order_seq_cst) > old ||
        bug == Bug::kNoWait || policy == Policy::kBystander;
    const uint64_t word = PinWord(kPublisher, old);
    const bool early = bug == Bug::kScanFirst && WritingPins::Has(page(), word);
    if (kWaits) {
      if (is_released) free.push_back(place_of[old]);
      return is_released;
    }
    StoreOldest(old + 1);
    if (!is_released && bug != Bug::kNoTake) Write::Take(slot(old));
    if (Writing::IsDead()) return false;
    const bool is_pinned = bug == Bug::kScanFirst
                               ? early
                               : bug != Bug::kNoScan && !is_released &&
                                     WritingPins::Has(page(), word);
    // What is pinned is set aside for good: there is one place more.
    if (!is_pinned) free.push_back(place_of[old]);
    return true;
  }

  void StoreOldest(uint64_t oldest) {
    Writing::Exchange(&ring()->oldest, oldest, std::memory_order_seq_cst);
  }

  void RunPublisher() {
    std::vector<uint64_t> free = {2, 1, 0};
    std::vector<uint64_t> place_of;
    for (uint64_t number = 0; number < kMessages; ++number) {
      bool has_room = false;
      for (int i = 0; i < 4 && !has_room && !Writing::IsDead(); ++i) {
        has_room = MakeRoom(number, free, place_of);
        if (!has_room) rl::yield(1, $);
      }
      if (!has_room || free.empty() || Writing::IsDead()) return;
      const uint64_t place = free.back();
      free.pop_back();
      place_of.push_back(place);
      places[place]($) = number;
      SlotFields fields;
      fields.offset_bytes = place;
      fields.size_bytes = number;
      fields.correlation = ~number;
      if (bug == Bug::kNumberStays) {
        Writing::Store(&slot(number)->offset_bytes, place,
                       std::memory_order_release);
        Writing::Store(&slot(number)->size_bytes, number,
                       std::memory_order_release);
      }
      Write::Fill(slot(number), fields);
      Write::Show(slot(number), number);
    }
  }

  // The next message, or what comes after those that were taken.
  bool ReadOne(ReadingPins& pins, uint64_t* next) {
    const SlotLook look = Read::Look(slot(*next), &ring()->oldest, *next);
    if (look == SlotLook::kNotYet) return false;
    if (look == SlotLook::kTaken) {
      const uint64_t oldest =
          Reading::Load(&ring()->oldest, std::memory_order_seq_cst);
      // Nothing is lost where the publisher waits.
      RL_ASSERT(!kWaits && oldest > *next);
      *next = oldest;
      Release(*next);
      return true;
    }
    std::optional<uint32_t> pin;
    if (kPins) pin = pins.Pin(PinWord(kPublisher, *next));
    SlotFields fields;
    Read::Copy(slot(*next), &fields);
    if (bug != Bug::kNoSecondLook && !Read::IsStill(slot(*next), *next)) {
      RL_ASSERT(!kWaits);
      if (pin.has_value()) pins.Unpin(*pin);
      return true;
    }
    if (Reading::IsDead()) return true;
    if (bug == Bug::kReleaseEarly) Release(*next + 1);
    // All of one message, and its payload stays while it is read.
    RL_ASSERT(fields.size_bytes == *next && fields.correlation == ~*next);
    RL_ASSERT(fields.offset_bytes < kPlaces);
    for (int i = 0; i < 2 && policy != Policy::kBystander; ++i) {
      RL_ASSERT(places[fields.offset_bytes]($) == *next);
    }
    ++read;
    ++*next;
    // The cursor does not move past what is pinned.
    Release(*next);
    if (pin.has_value()) pins.Unpin(*pin);
    return true;
  }

  void Release(uint64_t number) {
    Reading::Exchange(&page()->released, number, std::memory_order_seq_cst);
  }

  void RunSubscriber() {
    ReadingPins pins(page());
    uint64_t next = 0;
    for (int i = 0; i < 8 && next < kMessages && !Reading::IsDead(); ++i) {
      if (!ReadOne(pins, &next)) rl::yield(1, $);
    }
  }

  void thread(unsigned index) override {
    if (index == 0) {
      RunPublisher();
    } else {
      RunSubscriber();
    }
  }
};

constexpr unsigned kRuns = 10000;

template <Bug bug, Policy policy>
bool Holds() {
  return HoldsAtRandom<RingModel<bug, policy, true>>(kRuns) &&
         HoldsAtRandom<RingModel<bug, policy, false>>(kRuns) &&
         HoldsWithInterruptions<RingModel<bug, policy, false>>(
             policy == Policy::kTakes ? 2 : 1);
}

TEST(ChannelRingModelTest, NothingIsTornOrLostWhereThePublisherWaits) {
  EXPECT_TRUE((Holds<Bug::kNone, Policy::kWaits>()));
  EXPECT_FALSE((Holds<Bug::kShowIsRelaxed, Policy::kWaits>()));
  EXPECT_FALSE((Holds<Bug::kReleaseEarly, Policy::kWaits>()));
  EXPECT_FALSE((Holds<Bug::kNoWait, Policy::kWaits>()));
}

TEST(ChannelRingModelTest, NothingThatIsPinnedIsWrittenOver) {
  EXPECT_TRUE((Holds<Bug::kNone, Policy::kTakes>()));
}

TEST(ChannelRingModelTest, FindsEachBugThatWritesOverWhatIsPinned) {
  EXPECT_FALSE((Holds<Bug::kWeakPin, Policy::kTakes>()));
  EXPECT_FALSE((Holds<Bug::kWeakTake, Policy::kTakes>()));
  EXPECT_FALSE((Holds<Bug::kNoSecondLook, Policy::kTakes>()));
  EXPECT_FALSE((Holds<Bug::kScanFirst, Policy::kTakes>()));
  EXPECT_FALSE((Holds<Bug::kNoScan, Policy::kTakes>()));
  EXPECT_FALSE((Holds<Bug::kNoTake, Policy::kTakes>()));
}

TEST(ChannelRingModelTest, SlotsAreReadWholeByThoseWhomNobodyWaitsFor) {
  EXPECT_TRUE((Holds<Bug::kNone, Policy::kBystander>()));
  EXPECT_FALSE((Holds<Bug::kNumberStays, Policy::kBystander>()));
  EXPECT_FALSE((Holds<Bug::kNoSecondLook, Policy::kBystander>()));
}

}  // namespace
}  // namespace shmd::model
