#ifndef SHMD_TESTS_FUZZ_FUZZ_INPUT_H_
#define SHMD_TESTS_FUZZ_FUZZ_INPUT_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"

// What libFuzzer calls with each input; one in each target.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace shmd {

// An input in pieces. What is asked for beyond its end is empty.
class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size)
      : rest_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const { return rest_.empty(); }

  uint8_t TakeByte() {
    const absl::string_view byte = Cut(1);
    return byte.empty() ? 0 : static_cast<uint8_t>(byte[0]);
  }

  // A piece whose length, of two bytes, stands before it.
  absl::string_view TakePiece() {
    const size_t low = TakeByte();
    return Cut(low + size_t{256} * TakeByte());
  }

  absl::string_view TakeRest() { return Cut(rest_.size()); }

 private:
  absl::string_view Cut(size_t size) {
    const absl::string_view piece = rest_.substr(0, size);
    rest_.remove_prefix(piece.size());
    return piece;
  }

  absl::string_view rest_;
};

// Ends the program, which is a finding, unless `holds`.
inline void Expect(bool holds) {
  if (!holds) abort();
}

}  // namespace shmd

#endif  // SHMD_TESTS_FUZZ_FUZZ_INPUT_H_
