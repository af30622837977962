// A server writes responses to two clients into a ring of two slots, and takes
// back from a client what that has not read when it is out of patience, which
// may be at any moment; either may die before any store. The client reads
// every response that is for it, or learns that it has missed one; it does not
// learn that of what it has read; and what it is reading stays as it is.

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "shm/channel/missed_words.h"
#include "shm/channel/reader_pins.h"
#include "shm/channel/slot_words.h"
#include "tests/model/model_memory.h"

namespace shmd::model {
namespace {

enum class Bug {
  kNone,
  kNotTold,       // the server takes a response without a word
  kToldAfter,     // it says so when the response is gone already
  kAskedFirst,    // the client looks for that before it sees what is gone
  kReadIsMissed,  // it takes for missed what it has read
  kNoSecondLook,  // it does not look whether its pin came too late
  kScanFirst,     // the server reads pins before it takes the response
  kWeakPin,       // the pin is not sequentially consistent
  kWeakTake,      // nor is the number's change
};

constexpr uint64_t kSlots = 2;
constexpr uint64_t kResponses = 5;
// What is pinned is set aside: there are enough for all.
constexpr uint64_t kPlaces = kResponses;
// In turns of the other thread.
constexpr unsigned kLongestPause = 60;
constexpr uint64_t kClient = 7;  // generations
constexpr uint64_t kOther = 8;
const MemberId kServer = {0, 1};

// Addresses; nothing is ever there.
struct Ring {
  layout::RingSlot slots[kSlots];
  uint64_t oldest;
  layout::MissedResponse missed;  // the client's
};
struct Page {
  struct {
    uint32_t pins_used;
  } header;
  uint64_t released;
  uint64_t pins[1];
};
alignas(64) char ring_bytes[sizeof(Ring)];
alignas(64) char page_bytes[sizeof(Page)];

template <bool is_weak>
struct Weak : Sound {
  static std::memory_order Demote(std::memory_order order) {
    return is_weak && order == std::memory_order_seq_cst
               ? std::memory_order_acq_rel
               : order;
  }
};
struct ServerTag {};
struct ClientTag {};
template <typename Who, bool is_weak>
struct TagOf : Weak<is_weak> {};

// To whom response `number` is: every second one is the other client's, who has
// read it by the time that its slot is wanted.
constexpr uint64_t ToOf(uint64_t number) {
  return number % 2 == 0 ? kOther : kClient;
}

template <Bug bug, bool dies>
struct CutOffModel : Model<2> {
  using Writing = ModelMemory<TagOf<ServerTag, bug == Bug::kWeakTake>>;
  using Reading = ModelMemory<TagOf<ClientTag, bug == Bug::kWeakPin>>;
  using Write = BasicSlotWords<Writing>;
  using Read = BasicSlotWords<Reading>;
  using Tell = BasicMissedWords<Writing>;
  using Learn = BasicMissedWords<Reading>;
  using WritingPins = BasicReaderPins<Writing, Page>;
  using ReadingPins = BasicReaderPins<Reading, Page>;

  Words words;
  rl::var<uint64_t> places[kPlaces];

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
    Writing::stores_left = rl::rand(60);
    Reading::stores_left = rl::rand(12);
  }

  void TellMissed(uint64_t number) {
    if (bug != Bug::kNotTold) Tell::Tell(&ring()->missed, kClient, number);
  }

  void StoreOldest(uint64_t oldest) {
    Writing::Exchange(&ring()->oldest, oldest, std::memory_order_seq_cst);
  }

  bool IsPinned(uint64_t number) {
    return WritingPins::Has(page(), PinWord(kServer, number));
  }

  // Makes room for response `number`, whose place may be that of the one which
  // goes.
  void MakeRoom(uint64_t number, std::vector<uint64_t>& free,
                const std::vector<uint64_t>& place_of) {
    if (number < kSlots) return;
    const uint64_t old = number - kSlots;
    const bool is_done =
        ToOf(old) != kClient ||
        Writing::Load(&page()->released, std::memory_order_seq_cst) > old;
    if (is_done) {
      StoreOldest(old + 1);
      free.push_back(place_of[old]);
      return;
    }
    const bool early = bug == Bug::kScanFirst && IsPinned(old);
    if (bug != Bug::kToldAfter) TellMissed(old);
    StoreOldest(old + 1);
    Write::Take(slot(old));
    if (bug == Bug::kToldAfter) TellMissed(old);
    if (Writing::IsDead()) return;
    const bool is_pinned = bug == Bug::kScanFirst ? early : IsPinned(old);
    if (!is_pinned) free.push_back(place_of[old]);
  }

  void RunServer() {
    std::vector<uint64_t> free;
    for (uint64_t i = kPlaces; i > 0; --i) free.push_back(i - 1);
    std::vector<uint64_t> place_of;
    for (uint64_t number = 0; number < kResponses; ++number) {
      MakeRoom(number, free, place_of);
      if (Writing::IsDead()) return;
      const uint64_t place = free.back();
      free.pop_back();
      place_of.push_back(place);
      places[place]($) = number;
      SlotFields fields;
      fields.offset_bytes = place;
      fields.size_bytes = number;
      fields.to = ToOf(number);
      Write::Fill(slot(number), fields);
      Write::Show(slot(number), number);
    }
  }

  // Over what is gone; whether it missed something.
  static bool Skip(uint64_t* next) {
    uint64_t from = bug == Bug::kReadIsMissed ? 0 : *next;
    if (bug != Bug::kAskedFirst) {
      const bool missed =
          Learn::Skip(&ring()->oldest, &ring()->missed, kClient, &from);
      *next = from;
      return missed;
    }
    const bool missed =
        Reading::Load(&ring()->missed.generation, std::memory_order_acquire) ==
            kClient &&
        Reading::Load(&ring()->missed.number, std::memory_order_acquire) > from;
    *next = Reading::Load(&ring()->oldest, std::memory_order_seq_cst);
    return missed;
  }

  // The first response from `number` on that is to the client.
  static uint64_t FirstOfClient(uint64_t number) {
    return ToOf(number) == kClient ? number : number + 1;
  }

  void Release(uint64_t number) {
    Reading::Exchange(&page()->released, number, std::memory_order_seq_cst);
  }

  static void Pass(unsigned turns) {
    for (unsigned i = 0; i < turns; ++i) rl::yield(1, $);
  }

  // One look for message `*next`; false when it is not there yet.
  bool ReadOne(ReadingPins& pins, uint64_t* next) {
    const SlotLook look = Read::Look(slot(*next), &ring()->oldest, *next);
    if (look == SlotLook::kNotYet) return false;
    if (look == SlotLook::kTaken) {
      const uint64_t from = *next;
      const bool missed = Skip(next);
      RL_ASSERT(*next > from);
      // None is passed over in silence, and none that was read is missed.
      if (FirstOfClient(from) < *next) RL_ASSERT(missed);
      if (missed) {
        RL_ASSERT(Reading::Load(&ring()->missed.number,
                                std::memory_order_acquire) > from);
      }
      Release(*next);
      return true;
    }
    if (Read::To(slot(*next)) != kClient) {
      if (Read::IsStill(slot(*next), *next)) Release(++*next);
      return true;
    }
    const std::optional<uint32_t> pin = pins.Pin(PinWord(kServer, *next));
    SlotFields fields;
    Read::Copy(slot(*next), &fields);
    if (bug != Bug::kNoSecondLook && !Read::IsStill(slot(*next), *next)) {
      pins.Unpin(*pin);
      return true;
    }
    if (Reading::IsDead()) return true;
    RL_ASSERT(fields.to == kClient && fields.size_bytes == *next);
    RL_ASSERT(fields.offset_bytes < kPlaces);
    for (int i = 0; i < 2; ++i) {
      RL_ASSERT(places[fields.offset_bytes]($) == *next);
    }
    Release(++*next);
    pins.Unpin(*pin);
    return true;
  }

  void RunClient() {
    ReadingPins pins(page());
    uint64_t next = 0;
    for (int i = 0; i < 12 && next < kResponses && !Reading::IsDead(); ++i) {
      // As it likes: the server's patience is over before.
      const unsigned pause = rl::rand(kLongestPause);
      if (pause % 2 == 0) Pass(pause);
      if (!ReadOne(pins, &next)) Pass(1);
    }
  }

  void thread(unsigned index) override {
    if (index == 0) {
      RunServer();
    } else {
      RunClient();
    }
  }
};

constexpr unsigned kRuns = 100000;

template <Bug bug>
bool Holds() {
  return HoldsAtRandom<CutOffModel<bug, true>>(kRuns) &&
         HoldsAtRandom<CutOffModel<bug, false>>(kRuns);
}

TEST(ChannelCutOffModelTest, NoResponseIsMissedInSilence) {
  EXPECT_TRUE(Holds<Bug::kNone>());
}

TEST(ChannelCutOffModelTest, FindsEachBugThatLosesOneInSilence) {
  EXPECT_FALSE(Holds<Bug::kNotTold>());
  EXPECT_FALSE(Holds<Bug::kToldAfter>());
  EXPECT_FALSE(Holds<Bug::kAskedFirst>());
}

TEST(ChannelCutOffModelTest, FindsTheBugThatMissesWhatWasRead) {
  EXPECT_FALSE(Holds<Bug::kReadIsMissed>());
}

TEST(ChannelCutOffModelTest, FindsEachBugThatWritesOverWhatIsPinned) {
  EXPECT_FALSE(Holds<Bug::kNoSecondLook>());
  EXPECT_FALSE(Holds<Bug::kScanFirst>());
  EXPECT_FALSE(Holds<Bug::kWeakPin>());
  EXPECT_FALSE(Holds<Bug::kWeakTake>());
}

}  // namespace
}  // namespace shmd::model
