#ifndef SHMD_CLIENT_CPP_COPY_IN_H_
#define SHMD_CLIENT_CPP_COPY_IN_H_

#include <cstddef>

namespace shmd {
inline namespace client {

// What is known of the place that is about to be written.
enum class CacheState {
  kWritten,  // not long ago, so that the cache may still have it
  kCold,
};

// memcpy into memory that this program has no more use for, at a rate that
// depends neither on where the two lie in their pages nor on the size: the C
// library's falls to a tenth where `rep movsb` is slow, and reads from memory
// what a large copy, or one to a cold place, is about to overwrite. They do not
// overlap.
void CopyIn(void* to, const void* from, size_t size_bytes,
            CacheState state = CacheState::kWritten);

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_COPY_IN_H_
