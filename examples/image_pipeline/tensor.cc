#include "examples/image_pipeline/tensor.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"

namespace image_pipeline {

absl::StatusOr<Image> ImageOf(const shmd::PinnedObject& object) {
  const absl::StatusOr<shmd::ObjectMetadata> metadata = object.metadata();
  if (!metadata.ok()) return metadata.status();
  Image image;
  if (metadata->dtype == "uint8" && metadata->shape.size() == 3 &&
      metadata->shape[2] == kChannels && metadata->shape[0] < 1 << 20 &&
      metadata->shape[1] < 1 << 20) {
    // SAFETY: bytes have any alignment.
    image.pixels = reinterpret_cast<const uint8_t*>(object.data());
    image.height = metadata->shape[0];
    image.width = metadata->shape[1];
  }
  // The metadata is its writer's word; how large the object is, the daemon's.
  if (image.size_bytes() == 0 || image.size_bytes() != object.size_bytes()) {
    return absl::InvalidArgumentError("the object is no image");
  }
  return image;
}

shmd::ObjectMetadata ImageMetadata(uint64_t height, uint64_t width) {
  shmd::ObjectMetadata metadata;
  metadata.dtype = "uint8";
  metadata.shape = {height, width, kChannels};
  return metadata;
}

uint64_t ThumbnailSide(uint64_t side) { return std::min(side, kThumbnailSide); }

void MakeThumbnail(const Image& image, uint8_t* out) {
  const uint64_t height = ThumbnailSide(image.height);
  const uint64_t width = ThumbnailSide(image.width);
  for (uint64_t y = 0; y < height; ++y) {
    for (uint64_t x = 0; x < width; ++x) {
      uint64_t sums[kChannels] = {};
      uint64_t pixels = 0;
      for (uint64_t v = y * image.height / height;
           v < (y + 1) * image.height / height; ++v) {
        for (uint64_t u = x * image.width / width;
             u < (x + 1) * image.width / width; ++u, ++pixels) {
          const uint8_t* const pixel =
              image.pixels + (v * image.width + u) * kChannels;
          for (uint64_t c = 0; c < kChannels; ++c) sums[c] += pixel[c];
        }
      }
      for (const uint64_t sum : sums)
        *out++ = static_cast<uint8_t>(sum / pixels);
    }
  }
}

void MakeHistogram(const Image& image, uint64_t* out) {
  std::fill(out, out + kChannels * kLevels, uint64_t{0});
  for (uint64_t i = 0; i < image.size_bytes(); ++i) {
    ++out[i % kChannels * kLevels + image.pixels[i]];
  }
}

int NumberOf(const std::string& id, const std::string& prefix) {
  int number = -1;
  if (!absl::StartsWith(id, prefix) ||
      !absl::SimpleAtoi(absl::string_view(id).substr(prefix.size()), &number)) {
    return -1;
  }
  return number;
}

}  // namespace image_pipeline
