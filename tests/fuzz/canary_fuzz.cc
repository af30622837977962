// Has an error on purpose: a fuzzing run that does not find it finds nothing.

#include <cstring>
#include <memory>

#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shmd::FuzzInput input(data, size);
  if (input.TakePiece() != "shmd") return 0;
  const absl::string_view rest = input.TakeRest();
  const std::unique_ptr<char[]> copy(new char[4]);
  std::memcpy(copy.get(), rest.data(), rest.size());
  return copy[0] == 'x' ? 1 : 0;
}
