// Two consumers claim the messages of a ring of two slots, which its publisher
// uses again; one of them may die before any store, and the other one takes
// over what it had. A place is a plain word: Relacy tells when it is written
// while a consumer reads it.

#include <gtest/gtest.h>

#include <optional>

#include "shm/channel/claim_words.h"
#include "shm/channel/reader_pins.h"
#include "shm/channel/slot_words.h"
#include "tests/model/model_memory.h"

namespace shmd::model {
namespace {

using layout::ClaimState;

enum class Bug {
  kNone,
  kClaimFirst,           // the claim comes before the pin
  kUnpinFirst,           // the pin goes before the claim is done
  kLoserGoesOn,          // whoever lost the race believes that it has won
  kStealsFromTheLiving,  // a claim of one that lives is nobody's
  kReusesWhatIsClaimed,  // the publisher does not wait for the consumer
  kDeadKeepTheirs,       // nobody takes over what a dead consumer had
};

constexpr uint64_t kSlots = 2;
constexpr uint64_t kMessages = 3;
const MemberId kPublisher = {0, 1};

// Addresses; nothing is ever there.
struct Page {
  struct {
    uint32_t pins_used;
  } header;
  uint64_t pins[1];
};
struct Shared {
  layout::RingSlot slots[kSlots];
  uint64_t oldest;
  uint64_t claims[kSlots];
  uint64_t gone[2];
  Page pages[2];
};
alignas(64) char bytes[sizeof(Shared)];

template <int consumer>
struct ConsumerTag : Sound {};
struct PublisherTag : Sound {};

template <Bug bug, bool dies>
struct ClaimModel : Model<3> {
  using Writing = ModelMemory<PublisherTag>;
  using Daemon = ModelMemory<Sound>;

  Words words;
  rl::var<uint64_t> places[kSlots];
  int holders[kMessages] = {};
  int acknowledged[kMessages] = {};

  static Shared* shared() { return reinterpret_cast<Shared*>(bytes); }
  static layout::RingSlot* slot(uint64_t number) {
    return &shared()->slots[number % kSlots];
  }

  void before() override {
    words.Clear();
    for (auto& place : places) place($) = ~uint64_t{0};
    for (uint64_t i = 0; i < kSlots; ++i) {
      Words::At(&shared()->claims[i]).store(i + 1, rl::mo_relaxed, $);
    }
    for (uint64_t i = 0; i < kMessages; ++i) holders[i] = acknowledged[i] = 0;
    Writing::stores_left = ~uint64_t{0};
    Daemon::stores_left = ~uint64_t{0};
    ModelMemory<ConsumerTag<0>>::stores_left = ~uint64_t{0};
    ModelMemory<ConsumerTag<1>>::stores_left = ~uint64_t{0};
    if (dies) ModelMemory<ConsumerTag<0>>::stores_left = rl::rand(12);
  }

  void RunPublisher() {
    const BasicClaimWords<Writing> claims(shared()->claims, kSlots);
    for (uint64_t number = 0; number < kMessages; ++number) {
      bool has_room = number < kSlots;
      for (int i = 0; i < 8 && !has_room; ++i) {
        const uint64_t old = number - kSlots;
        const ClaimState state = Claim::State(claims.Get(old), old);
        has_room =
            state == ClaimState::kDone ||
            (bug == Bug::kReusesWhatIsClaimed && state == ClaimState::kClaimed);
        if (has_room) {
          Writing::Exchange(&shared()->oldest, old + 1,
                            std::memory_order_seq_cst);
        } else {
          rl::yield(1, $);
        }
      }
      if (!has_room) return;
      places[number % kSlots]($) = number;
      SlotFields fields;
      fields.size_bytes = number;
      BasicSlotWords<Writing>::Fill(slot(number), fields);
      BasicSlotWords<Writing>::Show(slot(number), number);
    }
  }

  template <typename Memory>
  bool IsAvailable(uint64_t word, uint64_t number) {
    const ClaimState state = Claim::State(word, number);
    if (state != ClaimState::kClaimed) return state == ClaimState::kFree;
    if (bug == Bug::kStealsFromTheLiving) return true;
    const uint32_t other = Claim::Index(word);
    if (Memory::Load(&shared()->gone[other], std::memory_order_acquire) != 0) {
      return bug != Bug::kDeadKeepTheirs;
    }
    // As the last look before sleeping does.
    return !BasicReaderPins<Memory, Page>::Has(&shared()->pages[other],
                                               PinWord(kPublisher, number));
  }

  template <int self>
  void ConsumeOne(BasicReaderPins<ModelMemory<ConsumerTag<self>>, Page>& pins,
                  uint64_t number) {
    using Memory = ModelMemory<ConsumerTag<self>>;
    using Slots = BasicSlotWords<Memory>;
    BasicClaimWords<Memory> claims(shared()->claims, kSlots);
    const MemberId id = {self, 10 + self};
    if (Slots::Look(slot(number), &shared()->oldest, number) !=
        SlotLook::kThere) {
      return rl::yield(1, $);
    }
    const uint64_t word = claims.Get(number);
    if (!IsAvailable<Memory>(word, number)) return;
    const uint64_t pin_word = PinWord(kPublisher, number);
    std::optional<uint32_t> pin;
    if (bug != Bug::kClaimFirst) pin = pins.Pin(pin_word);
    if (Memory::IsDead()) return;
    const bool is_mine = claims.TryClaim(number, word, id);
    if (Memory::IsDead()) return;
    if (bug == Bug::kClaimFirst) pin = pins.Pin(pin_word);
    if (!is_mine && bug != Bug::kLoserGoesOn) return pins.Unpin(*pin);
    SlotFields fields;
    Slots::Copy(slot(number), &fields);
    if (!Slots::IsStill(slot(number), number)) {
      claims.Finish(number, ClaimState::kFree, id);
      return pins.Unpin(*pin);
    }
    // Nobody who lives has it, and nobody is done with it.
    RL_ASSERT(holders[number] == 0 && acknowledged[number] == 0);
    ++holders[number];
    RL_ASSERT(fields.size_bytes == number);
    RL_ASSERT(places[number % kSlots]($) == number);
    if (bug == Bug::kUnpinFirst) pins.Unpin(*pin);
    const bool was_alive = !Memory::IsDead();
    if (was_alive && claims.Finish(number, ClaimState::kDone, id)) {
      ++acknowledged[number];
    }
    --holders[number];
    if (bug != Bug::kUnpinFirst) pins.Unpin(*pin);
  }

  template <int self>
  void RunConsumer() {
    using Memory = ModelMemory<ConsumerTag<self>>;
    BasicReaderPins<Memory, Page> pins(&shared()->pages[self]);
    for (int i = 0; i < 9 && !Memory::IsDead(); ++i) {
      ConsumeOne<self>(pins, static_cast<uint64_t>(i) % kMessages);
    }
    if (!Memory::IsDead()) return;
    Daemon::Exchange(&shared()->gone[self], uint64_t{1},
                     std::memory_order_seq_cst);
  }

  void thread(unsigned index) override {
    if (index == 0) {
      RunPublisher();
    } else if (index == 1) {
      RunConsumer<0>();
    } else {
      RunConsumer<1>();
    }
  }

  void after() override {
    // Whoever is left gets what is there.
    BasicReaderPins<ModelMemory<ConsumerTag<1>>, Page> pins(
        &shared()->pages[1]);
    for (uint64_t number = 0; number < kMessages; ++number) {
      ConsumeOne<1>(pins, number);
      const bool is_there =
          Words::At(&slot(number)->sequence).load(rl::mo_seq_cst, $) ==
          number + 1;
      RL_ASSERT(!is_there ||
                Claim::State(Words::At(&shared()->claims[number % kSlots])
                                 .load(rl::mo_seq_cst, $),
                             number) == ClaimState::kDone);
    }
  }
};

constexpr unsigned kRuns = 15000;

template <Bug bug>
bool Holds() {
  return HoldsAtRandom<ClaimModel<bug, true>>(kRuns) &&
         HoldsAtRandom<ClaimModel<bug, false>>(kRuns);
}

TEST(ChannelClaimModelTest, EachMessageIsDoneOnceWhoeverDies) {
  EXPECT_TRUE(Holds<Bug::kNone>());
}

TEST(ChannelClaimModelTest, FindsEachSeededBug) {
  EXPECT_FALSE(Holds<Bug::kClaimFirst>());
  EXPECT_FALSE(Holds<Bug::kUnpinFirst>());
  EXPECT_FALSE(Holds<Bug::kLoserGoesOn>());
  EXPECT_FALSE(Holds<Bug::kStealsFromTheLiving>());
  EXPECT_FALSE(Holds<Bug::kReusesWhatIsClaimed>());
  EXPECT_FALSE(Holds<Bug::kDeadKeepTheirs>());
}

}  // namespace
}  // namespace shmd::model
