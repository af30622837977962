#ifndef SHMD_BENCH_OBJECTS_STORE_FLOOR_OPERATIONS_H_
#define SHMD_BENCH_OBJECTS_STORE_FLOOR_OPERATIONS_H_

#include <cstddef>

#include "bench/objects/peers/operations.h"

namespace shmd::bench {

// More places than caches hold, taken in turn: memory is warm and caches are
// not, as for who writes objects that others keep.
inline constexpr size_t kPlaces = 128;
inline constexpr size_t kTurnBytes = 1 << 20;

// memset and memcpy into warm memory of malloc.
void AddFloors(Operations& operations);

}  // namespace shmd::bench

#endif  // SHMD_BENCH_OBJECTS_STORE_FLOOR_OPERATIONS_H_
