#include "bench/ipc/payload.h"

#include <cstring>

namespace shmd::bench {

uint64_t SumWords(const void* data, size_t size_bytes) {
  const char* bytes = static_cast<const char*>(data);
  uint64_t sum = 0;
  for (size_t i = 0; i + sizeof(uint64_t) <= size_bytes;
       i += sizeof(uint64_t)) {
    uint64_t word;
    memcpy(&word, bytes + i, sizeof word);
    sum += word;
  }
  return sum;
}

Payload::Payload(size_t size_bytes) : words_(1 + size_bytes / 8) {
  words_[0] = size_bytes;
  for (size_t i = 2; i < words_.size(); ++i) {
    words_[i] = i * 0x9e3779b97f4a7c15u;
    rest_sum_ += words_[i];
  }
}

}  // namespace shmd::bench
