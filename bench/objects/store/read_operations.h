#ifndef SHMD_BENCH_OBJECTS_STORE_READ_OPERATIONS_H_
#define SHMD_BENCH_OBJECTS_STORE_READ_OPERATIONS_H_

#include <memory>
#include <vector>

#include "bench/objects/peers/operations.h"
#include "bench/segments/passer.h"
#include "client/cpp/objects.h"

namespace shmd::bench {

// Gets and look-ups. A second reader runs on `other_cpu`.
void AddReads(Operations& operations, ObjectStore& store, int other_cpu);

using Passers = std::vector<std::unique_ptr<Passer>>;

// The first get from an arena, and what passes a descriptor and no more: one of
// `passers` that opens it anew each time, and one that does not.
void AddFirstGets(Operations& operations, const ConnectOptions& connect,
                  const Passers& passers);

}  // namespace shmd::bench

#endif  // SHMD_BENCH_OBJECTS_STORE_READ_OPERATIONS_H_
