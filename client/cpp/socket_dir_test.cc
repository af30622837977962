#include "client/cpp/socket_dir.h"

#include <cstdlib>

#include "gtest/gtest.h"

namespace shmd {
namespace {

class SocketDirTest : public testing::Test {
 protected:
  void SetUp() override {
    unsetenv("SHMD_SOCKET_DIR");
    unsetenv("XDG_RUNTIME_DIR");
  }
};

TEST_F(SocketDirTest, ChosenFolderComesBeforeTheEnvironment) {
  setenv("SHMD_SOCKET_DIR", "/from/environment", 1);
  EXPECT_EQ(ResolveSocketDir("/chosen"), "/chosen");
}

TEST_F(SocketDirTest, OwnVariableComesBeforeTheRuntimeFolder) {
  setenv("SHMD_SOCKET_DIR", "/from/environment", 1);
  setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
  EXPECT_EQ(ResolveSocketDir(""), "/from/environment");
}

TEST_F(SocketDirTest, RuntimeFolderComesBeforeTheSystems) {
  setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
  EXPECT_EQ(ResolveSocketDir(""), "/run/user/7/shmd");
}

TEST_F(SocketDirTest, EmptyVariablesCountAsAbsent) {
  setenv("SHMD_SOCKET_DIR", "", 1);
  setenv("XDG_RUNTIME_DIR", "", 1);
  EXPECT_EQ(ResolveSocketDir(""), "/run/shmd");
}

}  // namespace
}  // namespace shmd
