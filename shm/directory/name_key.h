#ifndef SHMD_SHM_DIRECTORY_NAME_KEY_H_
#define SHMD_SHM_DIRECTORY_NAME_KEY_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

#include "absl/base/attributes.h"
#include "absl/strings/string_view.h"
#include "shm/layout/directory_layout.h"

namespace shmd {

// The id of an object as the directory has it: 1 to 64 bytes of any value, in
// little-endian words, with zeros behind the last byte.
struct NameKey {
  uint64_t words[layout::kNameWords];
  uint32_t length;

  // nullopt for an id that is empty or too long.
  static std::optional<NameKey> Of(absl::string_view id);

  // SAFETY: chars may look at any object. Valid as long as *this.
  absl::string_view id() const {
    return absl::string_view(reinterpret_cast<const char*>(words), length);
  }
  size_t used_words() const { return (length + 7) / 8; }

  friend bool operator==(const NameKey& a, const NameKey& b) {
    return a.length == b.length &&
           std::memcmp(a.words, b.words, sizeof(a.words)) == 0;
  }
};

inline constexpr uint64_t kHashMultiplier = 0xFF51AFD7ED558CCD;
inline constexpr uint64_t kLastHashMultiplier = 0xC4CEB9FE1A85EC53;

// The hash of a name, modulo 2^64, over the ceil(length / 8) words that it
// has:
//
//   hash := seed
//   for each word:  hash := (hash xor word) * kHashMultiplier
//                   hash := hash xor (hash >> 32)
//   at last         hash := (hash xor length) * kLastHashMultiplier
//                   hash := hash xor (hash >> 32)
//
// The last round carries what the last word's high bytes changed into the low
// bits, which choose the bucket; with the first multiplier once more, names of
// eight characters that end in a number would share a few buckets. Who chooses
// names so that they collide fills his own namespace's buckets, and is refused.
inline uint64_t HashName(uint64_t seed, const NameKey& key) {
  uint64_t hash = seed;
  const auto mix = [&](uint64_t word) {
    hash = (hash ^ word) * kHashMultiplier;
    hash ^= hash >> 32;
  };
  // Most names have no more than three words, and these need no loop.
  const size_t words = key.used_words();
  if (words > 0) mix(key.words[0]);
  if (words > 1) mix(key.words[1]);
  if (words > 2) mix(key.words[2]);
  for (size_t i = 3; i < words; ++i) mix(key.words[i]);
  hash = (hash ^ key.length) * kLastHashMultiplier;
  return hash ^ (hash >> 32);
}

ABSL_ATTRIBUTE_ALWAYS_INLINE inline std::optional<NameKey> NameKey::Of(
    absl::string_view id) {
  // One variable for all returns, so that nothing is copied: a copy reads words
  // in other pieces than they were just written in, and processors wait then.
  std::optional<NameKey> made;
  if (id.empty() || id.size() > layout::kMaxObjectIdBytes) return made;
  NameKey& key = made.emplace();
  key.length = static_cast<uint32_t>(id.size());
  const size_t whole = id.size() / 8;
  const size_t rest = id.size() % 8;
  const char* const bytes = id.data();
  // Told one by one, because a loop becomes one instruction that takes longer
  // than the rest of a look-up.
  const auto copy = [&](size_t i) {
    std::memcpy(&key.words[i], bytes + 8 * i, 8);
  };
  switch (whole) {
    case 8:
      copy(7);
      [[fallthrough]];
    case 7:
      copy(6);
      [[fallthrough]];
    case 6:
      copy(5);
      [[fallthrough]];
    case 5:
      copy(4);
      [[fallthrough]];
    case 4:
      copy(3);
      [[fallthrough]];
    case 3:
      copy(2);
      [[fallthrough]];
    case 2:
      copy(1);
      [[fallthrough]];
    case 1:
      copy(0);
      [[fallthrough]];
    default:
      break;
  }
  if (rest == 0) return made;
  // Fixed lengths, which compilers turn into single loads.
  if (whole > 0) {
    uint64_t last = 0;
    std::memcpy(&last, bytes + id.size() - 8, 8);
    key.words[whole] = last >> (64 - 8 * rest);
  } else if (rest >= 4) {
    uint32_t first = 0;
    uint32_t last = 0;
    std::memcpy(&first, bytes, 4);
    std::memcpy(&last, bytes + rest - 4, 4);
    key.words[0] = first | uint64_t{last} << (8 * (rest - 4));
  } else {
    for (size_t i = 0; i < rest; ++i) {
      key.words[0] |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
    }
  }
  return made;
}

}  // namespace shmd

#endif  // SHMD_SHM_DIRECTORY_NAME_KEY_H_
