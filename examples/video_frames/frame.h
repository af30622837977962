#ifndef SHMD_EXAMPLES_VIDEO_FRAMES_FRAME_H_
#define SHMD_EXAMPLES_VIDEO_FRAMES_FRAME_H_

#include <cstdint>
#include <cstring>

#include "absl/types/span.h"
#include "client/cpp/channel.h"

namespace video_frames {

inline constexpr char kChannel[] = "camera";
inline constexpr uint32_t kWidth = 640;
inline constexpr uint32_t kHeight = 360;
inline constexpr uint32_t kRowBytes = kWidth * 3;
inline constexpr uint32_t kPixelBytes = kRowBytes * kHeight;
inline constexpr double kFramesPerSecond = 60;

// What goes with the pixels, as metadata of the message.
struct FrameHeader {
  uint32_t number = 0;  // from 0 on
  uint32_t total = 0;   // how many there will be
};

// Eight frames: who is further behind loses some, or holds the camera up.
inline shmd::ChannelSpec FrameChannel() {
  shmd::ChannelSpec spec;
  spec.slots = 8;
  spec.payload_bytes = uint64_t{16} << 20;
  return spec;
}

// A picture that moves.
inline uint8_t RowColor(uint32_t number, uint32_t row) {
  return static_cast<uint8_t>(number * 3 + row);
}

inline void DrawFrame(uint32_t number, char* pixels) {
  for (uint32_t row = 0; row < kHeight; ++row) {
    std::memset(pixels + row * kRowBytes, RowColor(number, row), kRowBytes);
  }
}

inline bool IsFrame(uint32_t number, absl::Span<const char> pixels) {
  if (pixels.size() != kPixelBytes) return false;
  char row_of_it[kRowBytes];
  for (uint32_t row = 0; row < kHeight; ++row) {
    std::memset(row_of_it, RowColor(number, row), kRowBytes);
    if (std::memcmp(pixels.data() + row * kRowBytes, row_of_it, kRowBytes) !=
        0) {
      return false;
    }
  }
  return true;
}

}  // namespace video_frames

#endif  // SHMD_EXAMPLES_VIDEO_FRAMES_FRAME_H_
