#ifndef SHMD_TESTS_MODEL_LANE_MEMORY_H_
#define SHMD_TESTS_MODEL_LANE_MEMORY_H_

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "shm/layout/session_layout.h"
#include "tests/model/model.h"

namespace shmd::model {

// Pages of the same shape as those of a session, with rings so short that a
// few operations fill them.
struct SmallSubmission {
  uint64_t cookie;
  uint64_t check;
};

struct SmallAnswer {
  uint64_t cookie;
  uint64_t check;
};

struct SmallSessionPage {
  layout::SessionHeader header;
  SmallSubmission submissions[2];
};

struct SmallAnswersPage {
  layout::AnswersHeader header;
  SmallAnswer answers[4];
};

// What is wrong on purpose, to see that the model finds it.
enum class Bug {
  kNone,
  kSubmittedIsRelaxed,
  kProducedIsRelaxed,
  kBellIsNotSequential,
  kWakeIsNotSequential,
  kKeptBackIsNotSequential,
  kNoLastLookBeforeSleep,
  kFutexDoesNotCompare,
  kRingIsNeverFull,
  kAnswersAreAlwaysRead,
  kLostIsNotSubmittedAgain,
};

// Thrown by the store after which a thread is to die.
struct Died {};

// The words of both pages as Relacy sees them, what the kernel keeps, and who
// is to die when. One at a time, made anew for every execution.
struct World {
  static constexpr size_t kWords = 32;

  World() { current = this; }

  rl::atomic<uint64_t>& Cell(const void* address) {
    const ptrdiff_t session = static_cast<const char*>(address) -
                              reinterpret_cast<const char*>(&session_page);
    if (session >= 0 &&
        session < static_cast<ptrdiff_t>(sizeof(SmallSessionPage))) {
      return cells[SessionWord(session)];
    }
    const ptrdiff_t answers = static_cast<const char*>(address) -
                              reinterpret_cast<const char*>(&answers_page);
    return cells[AnswersWord(answers)];
  }

  // After the store has been made.
  void Stored() {
    if (static_cast<int>(rl::thread_index()) != victim) return;
    if (stores_left-- == 1) throw Died();
  }

  inline static World* current = nullptr;

  // Only the addresses count; what is in them is in `cells`.
  inline static SmallSessionPage session_page;
  inline static SmallAnswersPage answers_page;

  rl::atomic<uint64_t> cells[kWords];
  Bug bug = Bug::kNone;
  int victim = -1;
  int stores_left = 0;

  // The kernel: a lock for its queues, the bell, the run of the daemon that a
  // program is connected to.
  rl::mutex kernel;
  rl::condition_variable futex;
  rl::condition_variable bell;
  bool rung = false;
  int run = 0;

 private:
  static size_t SessionWord(size_t offset) {
    using layout::SessionHeader;
    switch (offset) {
      case offsetof(SessionHeader, waiting):
        return 0;
      case offsetof(SessionHeader, submitted):
        return 1;
      case offsetof(SessionHeader, answers_read):
        return 2;
    }
    return 7 + (offset - offsetof(SmallSessionPage, submissions)) / 8;
  }

  static size_t AnswersWord(size_t offset) {
    using layout::AnswersHeader;
    switch (offset) {
      case offsetof(AnswersHeader, asleep):
        return 3;
      case offsetof(AnswersHeader, produced):
        return 4;
      case offsetof(AnswersHeader, taken):
        return 5;
      case offsetof(AnswersHeader, lost_before):
        return 6;
    }
    return 11 + (offset - offsetof(SmallAnswersPage, answers)) / 8;
  }
};

// In place of layout::HostMemory.
struct Memory {
  template <typename Word>
  static Word Load(const Word* word, std::memory_order order) {
    World& world = *World::current;
    const void* const from = Instead(word);
    return static_cast<Word>(world.Cell(from)($).load(LoadOrder(from, order)));
  }

  template <typename Word>
  static void Store(Word* word, Word value, std::memory_order order) {
    World& world = *World::current;
    world.Cell(word)($).store(value, StoreOrder(word, order));
    world.Stored();
  }

  template <typename Word>
  static Word Exchange(Word* word, Word value, std::memory_order order) {
    World& world = *World::current;
    const Word before = static_cast<Word>(
        world.Cell(word)($).exchange(value, ExchangeOrder(word)));
    world.Stored();
    return before;
  }

 private:
  static bool Has(Bug bug) { return World::current->bug == bug; }

  // A word that a thread takes for another one.
  static const void* Instead(const void* word) {
    const auto& session = World::session_page.header;
    const auto& answers = World::answers_page.header;
    if (Has(Bug::kRingIsNeverFull) && word == &answers.taken) {
      return &session.submitted;
    }
    if (Has(Bug::kAnswersAreAlwaysRead) && word == &session.answers_read) {
      return &answers.produced;
    }
    return word;
  }

  static bool IsSequential(const void* word) {
    const auto& session = World::session_page.header;
    const auto& answers = World::answers_page.header;
    if (word == &session.submitted) return !Has(Bug::kBellIsNotSequential);
    if (word == &answers.asleep) {
      return !Has(Bug::kBellIsNotSequential) &&
             !Has(Bug::kKeptBackIsNotSequential);
    }
    if (word == &session.answers_read) {
      return !Has(Bug::kKeptBackIsNotSequential);
    }
    if (word == &session.waiting || word == &answers.produced) {
      return !Has(Bug::kWakeIsNotSequential);
    }
    return true;
  }

  static bool IsRelaxed(const void* word) {
    return (Has(Bug::kSubmittedIsRelaxed) &&
            word == &World::session_page.header.submitted) ||
           (Has(Bug::kProducedIsRelaxed) &&
            word == &World::answers_page.header.produced);
  }

  static rl::memory_order LoadOrder(const void* word, std::memory_order order) {
    if (IsRelaxed(word) || order == std::memory_order_relaxed) {
      return rl::mo_relaxed;
    }
    if (order == std::memory_order_seq_cst && IsSequential(word)) {
      return rl::mo_seq_cst;
    }
    return rl::mo_acquire;
  }

  static rl::memory_order StoreOrder(const void* word,
                                     std::memory_order order) {
    if (IsRelaxed(word) || order == std::memory_order_relaxed) {
      return rl::mo_relaxed;
    }
    return rl::mo_release;
  }

  // The rings exchange in sequentially consistent order only.
  static rl::memory_order ExchangeOrder(const void* word) {
    if (IsRelaxed(word)) return rl::mo_relaxed;
    return IsSequential(word) ? rl::mo_seq_cst : rl::mo_acq_rel;
  }
};

// In place of HostSleep.
struct Sleep {
  // No deadline passes in the model; a new run of the daemon ends the wait, as
  // AnswerConsumer::Interrupt does.
  static bool Wait(const uint64_t* counter, uint32_t low, const Deadline&) {
    World& world = *World::current;
    world.kernel.lock($);
    const int run = world.run;
    const bool same = world.bug == Bug::kFutexDoesNotCompare ||
                      static_cast<uint32_t>(
                          world.Cell(counter)($).load(rl::mo_relaxed)) == low;
    if (same && run == seen_run) world.futex.wait(world.kernel, $);
    const bool interrupted = world.run != seen_run;
    world.kernel.unlock($);
    return !interrupted;
  }

  static void Wake(const uint64_t*) {
    World& world = *World::current;
    world.kernel.lock($);
    world.futex.notify_all($);
    world.kernel.unlock($);
  }

  static void Pause() {}
  static uint32_t MaxSpins() { return 0; }

  // Of the program: the run that it knows of.
  inline static int seen_run = 0;
};

}  // namespace shmd::model

#endif  // SHMD_TESTS_MODEL_LANE_MEMORY_H_
