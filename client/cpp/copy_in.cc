#include "client/cpp/copy_in.h"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace shmd {
inline namespace client {

#if defined(__x86_64__)
namespace {

// Below, the C library does not use `rep movsb`.
constexpr size_t kSmallBytes = 2048;
// From here on a copy leaves nothing in the cache that a reader would find.
constexpr size_t kStreamedBytes = 16 << 20;
constexpr size_t kBlockBytes = 64;
constexpr uintptr_t kPageMask = 4095;

void StoreBlock(char* to, const char* from, bool streamed) {
  for (size_t i = 0; i < kBlockBytes; i += sizeof(__m128i)) {
    const __m128i word =
        _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    auto* const place = reinterpret_cast<__m128i*>(to + i);
    if (streamed) {
      _mm_stream_si128(place, word);
    } else {
      _mm_store_si128(place, word);
    }
  }
}

// `to` is aligned to 16 bytes. Returns how many bytes it has copied.
template <bool kStreamed>
size_t CopyBlocks(char* to, const char* from, size_t size_bytes) {
  size_t done = 0;
  for (; size_bytes - done >= kBlockBytes; done += kBlockBytes) {
    StoreBlock(to + done, from + done, kStreamed);
  }
  // Whoever sees what is stored next sees these bytes.
  if (kStreamed) _mm_sfence();
  return done;
}

}  // namespace

void CopyIn(void* to, const void* from, size_t size_bytes) {
  const auto to_address = reinterpret_cast<uintptr_t>(to);
  // Shortly behind the place in its page that the bytes come from.
  const uintptr_t ahead =
      (to_address - reinterpret_cast<uintptr_t>(from)) & kPageMask;
  const bool is_slow = ahead > 0 && ahead < kBlockBytes;
  const bool is_aligned = to_address % sizeof(__m128i) == 0;
  size_t done = 0;
  auto* const target = static_cast<char*>(to);
  const auto* const source = static_cast<const char*>(from);
  if (is_aligned && size_bytes >= kStreamedBytes) {
    done = CopyBlocks<true>(target, source, size_bytes);
  } else if (is_aligned && is_slow && size_bytes >= kSmallBytes) {
    done = CopyBlocks<false>(target, source, size_bytes);
  }
  std::memcpy(target + done, source + done, size_bytes - done);
}
#else
void CopyIn(void* to, const void* from, size_t size_bytes) {
  std::memcpy(to, from, size_bytes);
}
#endif

}  // namespace client
}  // namespace shmd
