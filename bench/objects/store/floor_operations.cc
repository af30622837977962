#include "bench/objects/store/floor_operations.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "bench/objects/store/require.h"

namespace shmd::bench {
namespace {

// Places of one size, written before, which are taken in turn.
class Places {
 public:
  // At the start of a page, as a store's are from 64 KiB on.
  Places(size_t size_bytes, size_t count)
      : size_bytes_(size_bytes),
        all_bytes_(size_bytes * count),
        memory_(static_cast<char*>(std::aligned_alloc(
            kPageSizeBytes, (all_bytes_ + kPageSizeBytes - 1) / kPageSizeBytes *
                                kPageSizeBytes))) {
    if (memory_ == nullptr) exit(1);
    std::memset(memory_.get(), 'x', all_bytes_);
  }

  char* Next() {
    next_bytes_ += size_bytes_;
    if (next_bytes_ >= all_bytes_) next_bytes_ = 0;
    return memory_.get() + next_bytes_;
  }

 private:
  static constexpr size_t kPageSizeBytes = 4096;

  struct Free {
    void operator()(char* data) const { std::free(data); }
  };

  const size_t size_bytes_;
  const size_t all_bytes_;
  const std::unique_ptr<char, Free> memory_;
  size_t next_bytes_ = 0;
};

Timer Fill(size_t size_bytes, size_t count) {
  const auto places = std::make_shared<Places>(size_bytes, count);
  return Timed([places, size_bytes, value = 0]() mutable {
    char* const to = places->Next();
    std::memset(to, ++value, size_bytes);
    Observe(to);
  });
}

Timer Copy(size_t size_bytes, size_t count) {
  const auto places = std::make_shared<Places>(size_bytes, count);
  const auto from = std::make_shared<std::vector<char>>(size_bytes, 'x');
  return Timed([places, from, size_bytes] {
    char* const to = places->Next();
    std::memcpy(to, from->data(), size_bytes);
    Observe(to);
  });
}

}  // namespace

void AddFloors(Operations& operations) {
  for (const size_t size_bytes : kSizes) {
    operations.Add("memset", size_bytes,
                   [size_bytes] { return Fill(size_bytes, 1); });
    operations.Add("memcpy", size_bytes,
                   [size_bytes] { return Copy(size_bytes, 1); });
  }
  operations.Add("memset_in_turn", kTurnBytes,
                 [] { return Fill(kTurnBytes, kPlaces); });
  operations.Add("memcpy_in_turn", kTurnBytes,
                 [] { return Copy(kTurnBytes, kPlaces); });
}

}  // namespace shmd::bench
