#ifndef SHMD_BENCH_OBJECTS_STORE_WRITE_OPERATIONS_H_
#define SHMD_BENCH_OBJECTS_STORE_WRITE_OPERATIONS_H_

#include "bench/objects/peers/operations.h"
#include "client/cpp/objects.h"

namespace shmd::bench {

// Puts: bytes that are copied in, and bytes that are written in place. Beside
// each, for operations named _same, memcpy and memset of the same memory.
void AddWrites(Operations& operations, ObjectStore& store);

}  // namespace shmd::bench

#endif  // SHMD_BENCH_OBJECTS_STORE_WRITE_OPERATIONS_H_
