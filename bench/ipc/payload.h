#ifndef SHMD_BENCH_IPC_PAYLOAD_H_
#define SHMD_BENCH_IPC_PAYLOAD_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace shmd::bench {

// The sum of the 64-bit words at `data`, which is how every receiver proves
// that it has read every byte. `size_bytes` is a multiple of 8.
uint64_t SumWords(const void* data, size_t size_bytes);

// The bytes that are moved, in the sender's warm private memory, behind one
// word that says how many they are: a stream sends both in one call.
class Payload {
 public:
  explicit Payload(size_t size_bytes);

  size_t size_bytes() const { return (words_.size() - 1) * sizeof(uint64_t); }
  const void* data() const { return words_.data() + 1; }

  const void* framed() const { return words_.data(); }
  size_t framed_bytes() const { return words_.size() * sizeof(uint64_t); }

  // Makes this round's payload differ from the last one's.
  void SetRound(uint64_t round) { words_[1] = round; }
  uint64_t round() const { return words_[1]; }

  // What the receiver must answer.
  uint64_t ExpectedSum() const { return rest_sum_ + words_[1]; }

 private:
  std::vector<uint64_t> words_;
  uint64_t rest_sum_ = 0;  // without the round's word
};

}  // namespace shmd::bench

#endif  // SHMD_BENCH_IPC_PAYLOAD_H_
