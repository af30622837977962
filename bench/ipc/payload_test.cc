#include "bench/ipc/payload.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"

namespace shmd::bench {
namespace {

TEST(PayloadTest, TheSumTellsEveryByteAndEveryRound) {
  Payload payload(40000);
  ASSERT_EQ(payload.size_bytes(), 40000u);
  payload.SetRound(7);
  std::vector<char> copy(payload.size_bytes());
  memcpy(copy.data(), payload.data(), copy.size());
  EXPECT_EQ(SumWords(copy.data(), copy.size()), payload.ExpectedSum());
  copy.back() ^= 1;
  EXPECT_NE(SumWords(copy.data(), copy.size()), payload.ExpectedSum());
  copy.back() ^= 1;
  payload.SetRound(8);
  EXPECT_NE(SumWords(copy.data(), copy.size()), payload.ExpectedSum());
}

TEST(PayloadTest, TheLengthStandsBeforeThePayload) {
  const Payload payload(64);
  uint64_t length;
  memcpy(&length, payload.framed(), sizeof length);
  EXPECT_EQ(length, 64u);
  EXPECT_EQ(payload.framed_bytes(), 72u);
  EXPECT_EQ(static_cast<const char*>(payload.framed()) + 8, payload.data());
}

}  // namespace
}  // namespace shmd::bench
