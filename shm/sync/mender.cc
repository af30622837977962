#include "shm/sync/mender.h"

#include "absl/types/span.h"

namespace shmd {

bool GuardedWords::Load(const uint32_t* word, uint32_t* value) {
  // One aligned word lies in one page, so it is copied whole or not at all.
  const absl::StatusOr<size_t> copied = sys::CopyFromOwnMemory(
      word, absl::MakeSpan(reinterpret_cast<char*>(value), sizeof(*value)));
  return copied.ok() && *copied == sizeof(*value);
}

}  // namespace shmd
