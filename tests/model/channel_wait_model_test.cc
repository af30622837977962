// A publisher and a subscriber of a ring with one slot sleep until the other
// one has done something; the publisher may die before any store, which the
// daemon tells. Nobody sleeps for ever.

#include <gtest/gtest.h>

#include "shm/channel/sleep_words.h"
#include "shm/channel/slot_words.h"
#include "tests/model/model_memory.h"

namespace shmd::model {
namespace {

enum class Bug {
  kNone,
  kWeakShow,             // the message's number is not sequentially consistent
  kWeakAnnounce,         // nor is the word of who sleeps
  kNoLastLook,           // who sleeps does not look again
  kBellIsReadLate,       // the bell is read after the last look
  kFutexDoesNotCompare,  // the kernel does not look at the bell
  kSleepsAreTheSame,     // one sleep cannot be told from the next
  kDeathIsNotTold,       // the daemon does not say who has died
};

constexpr uint64_t kMessages = 3;

// Addresses; nothing is ever there.
struct Shared {
  layout::RingSlot slot;
  uint64_t oldest;
  uint64_t waiting;
  uint32_t bell;  // the publisher's, for the subscriber
  uint64_t asleep;
  uint64_t released;
  uint32_t reader_bell;
  uint32_t change;
};
alignas(64) char bytes[sizeof(Shared)];

template <bool is_weak>
struct Weak : Sound {
  static std::memory_order Demote(std::memory_order order) {
    return is_weak && order == std::memory_order_seq_cst
               ? std::memory_order_acq_rel
               : order;
  }
};
struct PublisherTag {};
struct SubscriberTag {};
template <typename Who, bool is_weak>
struct TagOf : Weak<is_weak> {};

template <Bug bug, bool dies>
struct WaitModel : Model<2> {
  using Writing = ModelMemory<TagOf<PublisherTag, bug == Bug::kWeakShow>>;
  using Reading = ModelMemory<TagOf<SubscriberTag, bug == Bug::kWeakAnnounce>>;
  using Daemon = ModelMemory<Sound>;
  using Write = BasicSlotWords<Writing>;
  using Read = BasicSlotWords<Reading>;
  using WriterSleeps = BasicSleepWords<Writing>;
  using ReaderSleeps = BasicSleepWords<Reading>;

  Words words;
  rl::mutex kernel;
  rl::condition_variable futex;

  static Shared* shared() { return reinterpret_cast<Shared*>(bytes); }

  void before() override {
    words.Clear();
    Writing::stores_left = ~uint64_t{0};
    Reading::stores_left = ~uint64_t{0};
    Daemon::stores_left = ~uint64_t{0};
    if (dies) Writing::stores_left = rl::rand(50);
  }

  // futex_waitv(2).
  void Wait(const uint32_t* bell, uint32_t expected, uint32_t change) {
    kernel.lock($);
    const bool same =
        bug == Bug::kFutexDoesNotCompare ||
        (Words::At(bell).load(rl::mo_relaxed, $) == expected &&
         Words::At(&shared()->change).load(rl::mo_relaxed, $) == change);
    if (same) futex.wait(kernel, $);
    kernel.unlock($);
  }
  void Wake() {
    kernel.lock($);
    futex.notify_all($);
    kernel.unlock($);
  }

  static uint64_t SleepNumber(uint64_t* sleeps) {
    return bug == Bug::kSleepsAreTheSame ? 1 : ++*sleeps;
  }

  void RunPublisher() {
    uint64_t sleeps = 0;
    uint64_t rung = 0;
    for (uint64_t number = 0; number < kMessages; ++number) {
      const auto has_room = [&] {
        return Writing::Load(&shared()->released, std::memory_order_seq_cst) >=
               number;
      };
      bool is_first = true;
      while (is_first ? !has_room() : true) {
        is_first = false;
        const uint32_t bell = WriterSleeps::Bell(&shared()->reader_bell);
        WriterSleeps::Announce(&shared()->waiting, SleepNumber(&sleeps));
        if (Writing::IsDead()) return Die();
        if (has_room()) break;
        Wait(&shared()->reader_bell, bell, 0);
      }
      WriterSleeps::End(&shared()->waiting);
      Write::Fill(&shared()->slot, SlotFields());
      Write::Show(&shared()->slot, number);
      // A dead one wakes nobody.
      if (Writing::IsDead()) return Die();
      if (WriterSleeps::ToEnd(&shared()->asleep, &rung) == 0) continue;
      WriterSleeps::Ring(&shared()->bell);
      if (Writing::IsDead()) return Die();
      Wake();
    }
  }

  void Die() {
    if (bug == Bug::kDeathIsNotTold) return;
    Daemon::Exchange(&shared()->change, uint32_t{1}, std::memory_order_seq_cst);
    Wake();
  }

  bool IsThere(uint64_t number) {
    return Read::Look(&shared()->slot, &shared()->oldest, number,
                      std::memory_order_seq_cst) == SlotLook::kThere;
  }

  // False when the publisher has died, and this message never was.
  bool Await(uint64_t number, uint64_t* sleeps) {
    while (!IsThere(number)) {
      if (Reading::Load(&shared()->change, std::memory_order_seq_cst) != 0) {
        return IsThere(number);
      }
      uint32_t bell = ReaderSleeps::Bell(&shared()->bell);
      ReaderSleeps::Announce(&shared()->asleep, SleepNumber(sleeps));
      if (bug != Bug::kNoLastLook && IsThere(number)) break;
      if (bug == Bug::kBellIsReadLate)
        bell = ReaderSleeps::Bell(&shared()->bell);
      Wait(&shared()->bell, bell, 0);
    }
    ReaderSleeps::End(&shared()->asleep);
    return true;
  }

  void RunSubscriber() {
    uint64_t sleeps = 0;
    uint64_t rung = 0;
    for (uint64_t number = 0; number < kMessages; ++number) {
      if (!Await(number, &sleeps)) return;
      Reading::Exchange(&shared()->released, number + 1,
                        std::memory_order_seq_cst);
      if (ReaderSleeps::ToEnd(&shared()->waiting, &rung) == 0) continue;
      ReaderSleeps::Ring(&shared()->reader_bell);
      Wake();
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

constexpr unsigned kRuns = 15000;

template <Bug bug>
bool Holds() {
  return HoldsAtRandom<WaitModel<bug, true>>(kRuns) &&
         HoldsAtRandom<WaitModel<bug, false>>(kRuns);
}

TEST(ChannelWaitModelTest, NobodySleepsForEver) {
  EXPECT_TRUE(Holds<Bug::kNone>());
}

TEST(ChannelWaitModelTest, FindsEachSeededBug) {
  EXPECT_FALSE(Holds<Bug::kWeakShow>());
  EXPECT_FALSE(Holds<Bug::kWeakAnnounce>());
  EXPECT_FALSE(Holds<Bug::kNoLastLook>());
  EXPECT_FALSE(Holds<Bug::kBellIsReadLate>());
  EXPECT_FALSE(Holds<Bug::kFutexDoesNotCompare>());
  EXPECT_FALSE(Holds<Bug::kSleepsAreTheSame>());
  EXPECT_FALSE(Holds<Bug::kDeathIsNotTold>());
}

}  // namespace
}  // namespace shmd::model
