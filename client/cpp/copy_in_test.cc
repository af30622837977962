#include "client/cpp/copy_in.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

namespace shmd {
namespace {

constexpr size_t kPageSizeBytes = 4096;
constexpr size_t kLargestBytes = (16 << 20) + 2 * kPageSizeBytes;

struct Free {
  void operator()(char* memory) const { std::free(memory); }
};
using Pages = std::unique_ptr<char[], Free>;

Pages NewPages() {
  return Pages(static_cast<char*>(
      std::aligned_alloc(kPageSizeBytes, kLargestBytes + 2 * kPageSizeBytes)));
}

// Copies between those places of a page, and expects the bytes there and
// nothing beside them.
void ExpectCopied(char* to_pages, const char* from_pages, size_t to_offset,
                  size_t from_offset, size_t size_bytes,
                  CacheState state = CacheState::kWritten) {
  char* const to = to_pages + kPageSizeBytes + to_offset;
  const char* const from = from_pages + from_offset;
  std::memset(to - 64, 0x7e, size_bytes + 128);
  CopyIn(to, from, size_bytes, state);
  const std::string beside(64, 0x7e);
  EXPECT_EQ(std::memcmp(to, from, size_bytes), 0)
      << size_bytes << " from " << from_offset << " to " << to_offset;
  EXPECT_EQ(std::memcmp(to - 64, beside.data(), 64), 0) << size_bytes;
  EXPECT_EQ(std::memcmp(to + size_bytes, beside.data(), 64), 0) << size_bytes;
}

TEST(CopyInTest, CopiesEveryByteAndNoOther) {
  const Pages to = NewPages();
  const Pages from = NewPages();
  for (size_t i = 0; i < kLargestBytes; ++i) {
    from[i] = static_cast<char>(i * 31 + i / 251);
  }
  for (const size_t to_offset : {0, 64, 1, 4080}) {
    // Before, behind and far from the same place of a page.
    for (const size_t from_offset : {0, 1, 16, 4064, 4080, 4095, 2048}) {
      for (const size_t size : {0, 1, 63, 64, 2047, 2048, 2049, 4096, 65599}) {
        ExpectCopied(to.get(), from.get(), to_offset, from_offset, size);
      }
    }
  }
  // At places that are aligned for the widest stores, for others, and for none.
  for (const size_t to_offset : {0, 16, 8}) {
    for (const size_t size : {65535, 65536, 65536 + 100, 65536 + 63}) {
      ExpectCopied(to.get(), from.get(), to_offset, 3, size, CacheState::kCold);
    }
  }
  for (const size_t to_offset : {0, 16, 8}) {
    for (const size_t size : {(16 << 20) - 1, 16 << 20, (16 << 20) + 100}) {
      ExpectCopied(to.get(), from.get(), to_offset, 3, size);
    }
  }
}

}  // namespace
}  // namespace shmd
