#include "base/log.h"

#include "gtest/gtest.h"

namespace shmd {
namespace {

TEST(LogTest, ForgedLineIsEscaped) {
  EXPECT_EQ(EscapeForLog("a\n2026 error b\x1b[0m"), "a\\n2026 error b\\033[0m");
}

TEST(LogTest, LongLineIsCut) {
  EXPECT_EQ(EscapeForLog(std::string(5000, '\n')).size(), 1024u);
}

}  // namespace
}  // namespace shmd
