#ifndef SHMD_SERVER_STORE_RECORD_BYTES_H_
#define SHMD_SERVER_STORE_RECORD_BYTES_H_

#include <cstring>
#include <string>

#include "absl/strings/string_view.h"

namespace shmd {

// Arrays of bytes as records have them.

template <typename Array>
std::string ToBytes(const Array& array) {
  return std::string(reinterpret_cast<const char*>(array.data()), array.size());
}

// False, and nothing done, unless `bytes` are as many as the array has.
template <typename Array>
bool FromBytes(absl::string_view bytes, Array* array) {
  static_assert(sizeof((*array)[0]) == 1);
  if (bytes.size() != array->size()) return false;
  std::memcpy(array->data(), bytes.data(), bytes.size());
  return true;
}

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_RECORD_BYTES_H_
