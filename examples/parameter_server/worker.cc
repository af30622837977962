// Uses the newest "weights" again and again until step STEPS has come: each get
// is a look into memory, and what it got cannot change while it is used.
//
//   worker STEPS
#include <cstdio>

#include "absl/strings/numbers.h"
#include "client/cpp/objects.h"

int main(int argc, char** argv) {
  int steps = 0;
  if (argc != 2 || !absl::SimpleAtoi(argv[1], &steps)) {
    fprintf(stderr, "usage: worker STEPS\n");
    return 2;
  }
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) {
    fprintf(stderr, "%s\n", client.status().ToString().c_str());
    return 1;
  }
  absl::StatusOr<shmd::ObjectStore> store = shmd::ObjectStore::Open(*client);
  if (!store.ok()) {
    fprintf(stderr, "%s\n", store.status().ToString().c_str());
    return 1;
  }
  const auto last = static_cast<float>(steps);
  size_t gets = 0;
  size_t steps_seen = 0;
  float newest = 0;
  while (newest < last) {
    // Waits for the first; from then on there always is one.
    absl::StatusOr<shmd::PinnedObject> weights =
        store->Get("weights", absl::Minutes(1));
    if (!weights.ok()) {
      fprintf(stderr, "%s\n", weights.status().ToString().c_str());
      return 1;
    }
    const float* const values = reinterpret_cast<const float*>(weights->data());
    const size_t count = weights->size_bytes() / sizeof(float);
    const float step = values[0];
    for (size_t i = 0; i < count; ++i) {
      if (values[i] != step) {
        fprintf(stderr, "weights of steps %g and %g in one object\n", step,
                values[i]);
        return 1;
      }
    }
    ++gets;
    if (step > newest) ++steps_seen;
    newest = step;
  }
  printf("saw %zu steps in %zu gets\n", steps_seen, gets);
  return 0;
}
