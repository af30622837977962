#ifndef SHMD_TESTS_MODEL_MODEL_H_
#define SHMD_TESTS_MODEL_MODEL_H_

// Models, and the search for a run of one in which it does not hold.

#include <cstddef>
#include <new>

#include "tests/model/relacy.h"

namespace shmd::model {

// One run: what it holds, and what its threads do with it. Made anew for each
// run. before() and after() run when nothing else does.
template <int threads>
class Model {
 public:
  static constexpr int kThreads = threads;

  virtual ~Model() = default;
  virtual void before() {}
  virtual void thread(unsigned index) = 0;
  virtual void after() {}
};

inline constexpr size_t kMostModelBytes = 64 << 10;

// Makes a model in so much memory: Relacy watches the heap.
template <int threads>
using MakeModel = Model<threads>* (*)(void* memory);

// For 2 to 4 threads. Relacy is compiled anew for every type of what it runs,
// in seconds each; so it is here, for one type of any model, and nowhere else.
template <int threads>
rl::test_result_e SearchModels(MakeModel<threads> make,
                               rl::test_params& params);

// Runs the model M as `params` say, until all is done or a run has failed.
template <typename M>
rl::test_result_e Search(rl::test_params& params) {
  static_assert(sizeof(M) <= kMostModelBytes);
  return SearchModels<M::kThreads>(
      [](void* memory) -> Model<M::kThreads>* { return new (memory) M(); },
      params);
}

}  // namespace shmd::model

#endif  // SHMD_TESTS_MODEL_MODEL_H_
