#ifndef SHMD_TESTS_MODEL_SYNC_SUITE_H_
#define SHMD_TESTS_MODEL_SYNC_SUITE_H_

#include <gtest/gtest.h>

#include <iostream>

#include "tests/model/sync_model.h"
#include "tests/testing/effort.h"

namespace shmd::model {

// What one test is about; Relacy makes the suites itself.
struct Scenario {
  Bug bug = Bug::kNone;
  bool one_dies = false;
};
inline Scenario scenario;

inline constexpr bool kNobodyDies = false;
inline constexpr bool kOneDies = true;

// More than any thread stores, so that it sometimes lives.
inline constexpr unsigned kMostStores = 48;
inline constexpr unsigned kExecutions = 40000;

// The first of the threads is the one that may die.
inline void BeginSuite(SyncWorld* world, layout::SyncKind kind) {
  world->Begin(scenario.bug, scenario.one_dies ? 0 : -1, kMostStores);
  Words::At(Place::memory).store(layout::SyncHead(kind), rl::mo_relaxed, $);
}

template <typename Layout>
Layout* PrimitiveAs() {
  return reinterpret_cast<Layout*>(Place::memory);
}

// Only who dies within two stores leaves a count behind.
inline void CheckNobodyIsCounted() {
  const uint64_t waiters =
      Words::At(WordOfPrimitive(8)).load(rl::mo_relaxed, $);
  RL_ASSERT(waiters <= (SyncWorld::current->any_died ? 1 : 0));
}

template <typename Suite>
rl::test_result_e Explore(const Scenario& what, bool explain) {
  scenario = what;
  std::ostream nowhere(nullptr);
  rl::test_params params;
  params.iteration_count = static_cast<unsigned>(Effort(kExecutions));
  params.output_stream = explain ? &std::cout : &nowhere;
  params.progress_stream = &nowhere;
  params.output_history = !explain;
  params.execution_depth_limit = 5000;
  return Search<Suite>(params);
}

template <typename Suite>
void ExpectGood(bool one_dies) {
  EXPECT_EQ(Explore<Suite>({Bug::kNone, one_dies}, /*explain=*/true),
            rl::test_result_success);
}

template <typename Suite>
void ExpectFound(Bug bug, bool one_dies) {
  EXPECT_NE(Explore<Suite>({bug, one_dies}, /*explain=*/false),
            rl::test_result_success)
      << "bug " << static_cast<int>(bug);
}

}  // namespace shmd::model

#endif  // SHMD_TESTS_MODEL_SYNC_SUITE_H_
