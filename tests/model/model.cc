#include "tests/model/model.h"

namespace shmd::model {
namespace {

// What Relacy makes for each run.
template <int threads>
class AnyModel : public rl::test_suite<AnyModel<threads>, threads> {
 public:
  static inline MakeModel<threads> make = nullptr;

  AnyModel() : model_(make(memory_)) {}
  ~AnyModel() { model_->~Model(); }

  void before() { model_->before(); }
  void thread(unsigned index) { model_->thread(index); }
  void after() { model_->after(); }

 private:
  alignas(64) char memory_[kMostModelBytes];
  Model<threads>* model_;
};

}  // namespace

template <int threads>
rl::test_result_e SearchModels(MakeModel<threads> make,
                               rl::test_params& params) {
  AnyModel<threads>::make = make;
  rl::simulate<AnyModel<threads>>(params);
  return params.test_result;
}

template rl::test_result_e SearchModels<2>(MakeModel<2>, rl::test_params&);
template rl::test_result_e SearchModels<3>(MakeModel<3>, rl::test_params&);
template rl::test_result_e SearchModels<4>(MakeModel<4>, rl::test_params&);

}  // namespace shmd::model
