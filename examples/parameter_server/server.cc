// Trains "weights" of a model, here by counting, and publishes each step in the
// place of the one before. Workers that still use that keep it.
//
//   server STEPS
#include <cstdio>
#include <vector>

#include "absl/strings/numbers.h"
#include "client/cpp/objects.h"

int main(int argc, char** argv) {
  int steps = 0;
  if (argc != 2 || !absl::SimpleAtoi(argv[1], &steps)) {
    fprintf(stderr, "usage: server STEPS\n");
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
  shmd::ObjectOptions options;
  options.replace_existing = true;
  options.metadata.emplace();
  options.metadata->dtype = "float32";
  options.metadata->shape = {256, 1024};
  std::vector<float> weights(256 * 1024);
  for (int step = 1; step <= steps; ++step) {
    for (float& weight : weights) weight = static_cast<float>(step);
    const absl::Span<const char> bytes(
        reinterpret_cast<const char*>(weights.data()),
        weights.size() * sizeof(float));
    const absl::StatusOr<uint64_t> put = store->Put("weights", bytes, options);
    if (!put.ok()) {
      fprintf(stderr, "%s\n", put.status().ToString().c_str());
      return 1;
    }
  }
  printf("published %d steps of %zu MiB\n", steps,
         weights.size() * sizeof(float) >> 20);
  return 0;
}
