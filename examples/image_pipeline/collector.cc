// Waits for what the workers make of each image, and checks it by making it
// once more.
//
//   collector
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "examples/image_pipeline/tensor.h"

namespace image_pipeline {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(1);

absl::Status Compare(const shmd::PinnedObject& made, const void* expected,
                     size_t size_bytes, const std::string& id) {
  if (made.size_bytes() == size_bytes &&
      std::memcmp(made.data(), expected, size_bytes) == 0) {
    return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat(id, " is not what it should be"));
}

// The size of the image in bytes.
absl::StatusOr<uint64_t> Check(shmd::ObjectStore& store, int number) {
  const absl::StatusOr<shmd::PinnedObject> object =
      store.Get(absl::StrCat(kImagePrefix, number));
  if (!object.ok()) return object.status();
  const absl::StatusOr<Image> image = ImageOf(*object);
  if (!image.ok()) return image.status();
  const std::string thumbnail_id = absl::StrCat(kThumbnailPrefix, number);
  const auto thumbnail = store.Get(thumbnail_id, kPatience);
  if (!thumbnail.ok()) return thumbnail.status();
  std::vector<uint8_t> pixels(ThumbnailSide(image->height) *
                              ThumbnailSide(image->width) * kChannels);
  MakeThumbnail(*image, pixels.data());
  absl::Status status =
      Compare(*thumbnail, pixels.data(), pixels.size(), thumbnail_id);
  const std::string histogram_id = absl::StrCat(kHistogramPrefix, number);
  const auto histogram = store.Get(histogram_id, kPatience);
  if (!histogram.ok()) return histogram.status();
  std::vector<uint64_t> counts(kChannels * kLevels);
  MakeHistogram(*image, counts.data());
  status.Update(Compare(*histogram, counts.data(),
                        counts.size() * sizeof(uint64_t), histogram_id));
  if (!status.ok()) return status;
  return image->size_bytes();
}

absl::Status Run() {
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) return client.status();
  absl::StatusOr<shmd::ObjectStore> store = shmd::ObjectStore::Open(*client);
  if (!store.ok()) return store.status();
  const auto count = store->Get(kCount, kPatience);
  if (!count.ok()) return count.status();
  int images = 0;
  if (!absl::SimpleAtoi(absl::string_view(count->data(), count->size_bytes()),
                        &images)) {
    return absl::DataLossError("the count is no number");
  }
  const absl::Time start = absl::Now();
  uint64_t bytes = 0;
  for (int i = 0; i < images; ++i) {
    const absl::StatusOr<uint64_t> checked = Check(*store, i);
    if (!checked.ok()) return checked.status();
    bytes += *checked;
  }
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  printf("checked %d images, %.1f MB, %.0f a second, %.0f MB/s\n", images,
         static_cast<double>(bytes) / 1e6, images / seconds,
         static_cast<double>(bytes) / 1e6 / seconds);
  return absl::OkStatus();
}

}  // namespace
}  // namespace image_pipeline

int main() {
  const absl::Status status = image_pipeline::Run();
  if (status.ok()) return 0;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
