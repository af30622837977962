#ifndef SHMD_EXAMPLES_IMAGE_PIPELINE_TENSOR_H_
#define SHMD_EXAMPLES_IMAGE_PIPELINE_TENSOR_H_

#include <cstdint>
#include <string>
#include <vector>

#include "client/cpp/objects.h"

namespace image_pipeline {

// What the programs call their objects.
inline constexpr char kImagePrefix[] = "image-";
inline constexpr char kThumbnailPrefix[] = "thumbnail-";
inline constexpr char kHistogramPrefix[] = "histogram-";
// How many images there are, as text: put when all of them are.
inline constexpr char kCount[] = "count";

inline constexpr uint64_t kChannels = 3;
inline constexpr uint64_t kThumbnailSide = 16;
inline constexpr uint64_t kLevels = 256;

// Pixels of an image, row by row, three bytes each.
struct Image {
  const uint8_t* pixels = nullptr;
  uint64_t height = 0;
  uint64_t width = 0;

  uint64_t size_bytes() const { return height * width * kChannels; }
};

// The image that an object holds, by its metadata; FIELD_INVALID when that is
// of something else. Lives as long as the object is pinned.
absl::StatusOr<Image> ImageOf(const shmd::PinnedObject& object);

shmd::ObjectMetadata ImageMetadata(uint64_t height, uint64_t width);

// Of a thumbnail, as large as the image where that is smaller.
uint64_t ThumbnailSide(uint64_t side);

// The means of the image's boxes; `out` has room for both sides.
void MakeThumbnail(const Image& image, uint8_t* out);

// How often each level occurs in each channel: 3 * 256 counts.
void MakeHistogram(const Image& image, uint64_t* out);

// The number behind a prefix; -1 when it is none.
int NumberOf(const std::string& id, const std::string& prefix);

}  // namespace image_pipeline

#endif  // SHMD_EXAMPLES_IMAGE_PIPELINE_TENSOR_H_
