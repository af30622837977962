#include "server/flags.h"

#include <cstdlib>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

Flags Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "shmd");
  return ParseFlags(static_cast<int>(arguments.size()), arguments.data());
}

class FlagsTest : public ::testing::Test {
 protected:
  FlagsTest() {
    unsetenv("SHMD_SOCKET_DIR");
    unsetenv("SHMD_STATE_DIR");
    unsetenv("XDG_RUNTIME_DIR");
  }
};

TEST_F(FlagsTest, SocketDirComesFromTheFirstThatIsSet) {
  EXPECT_EQ(Parse({}).socket_dir, "/run/shmd");
  setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
  EXPECT_EQ(Parse({}).socket_dir, "/run/user/7/shmd");
  setenv("SHMD_SOCKET_DIR", "/a", 1);
  EXPECT_EQ(Parse({}).socket_dir, "/a");
  EXPECT_EQ(Parse({"--socket_dir=/b"}).socket_dir, "/b");
  EXPECT_EQ(Parse({"--socket_dir=/b"}).state_dir, "/b/state");
}

TEST_F(FlagsTest, RepeatableFlagsAddUp) {
  const Flags flags = Parse(
      {"--file_root=/x", "--file_root=/y", "--admin_uid=5", "--admin_uid=6"});
  EXPECT_EQ(flags.exit_code, 0);
  EXPECT_THAT(flags.file_roots, ElementsAre("/x", "/y"));
  EXPECT_THAT(flags.admin_uids, ElementsAre(5u, 6u));
}

TEST_F(FlagsTest, ModeIsOctal) {
  EXPECT_EQ(Parse({"--socket_mode=0660"}).socket_mode, 0660u);
  EXPECT_EQ(Parse({"--socket_mode=0999"}).exit_code, 2);
  EXPECT_EQ(Parse({"--socket_mode=x"}).exit_code, 2);
}

TEST_F(FlagsTest, UnknownFlagOrValueIsTold) {
  const Flags flags = Parse({"--nonsense"});
  EXPECT_EQ(flags.exit_code, 2);
  EXPECT_THAT(flags.text, HasSubstr("--nonsense"));
  for (const char* const flag : {"--nonsense", "--socket_mode=x"}) {
    EXPECT_THAT(Parse({flag}).text, StartsWith("shmd: ")) << flag;
    EXPECT_THAT(Parse({flag}).text, HasSubstr("\nRun `shmd --help` ")) << flag;
  }
  EXPECT_EQ(Parse({"--budget_bytes=-1"}).exit_code, 2);
  EXPECT_EQ(Parse({"--log_level=loud"}).exit_code, 2);
}

TEST_F(FlagsTest, KeeperIsASwitch) {
  EXPECT_FALSE(Parse({}).keeper);
  const Flags flags = Parse({"--keeper", "--descriptor_store_max=16384"});
  EXPECT_TRUE(flags.keeper);
  EXPECT_EQ(flags.descriptor_store_max, 16384u);
  EXPECT_EQ(Parse({"--descriptor_store_max=-1"}).exit_code, 2);
}

TEST_F(FlagsTest, TcpNeedsTls) {
  const std::vector<const char*> whole = {"--tcp_address=[::1]:443",
                                          "--tls_certificate=a", "--tls_key=b",
                                          "--tls_client_ca=c"};
  EXPECT_EQ(Parse(whole).exit_code, 0);
  for (size_t i = 0; i < whole.size(); ++i) {
    std::vector<const char*> some = whole;
    some.erase(some.begin() + static_cast<ptrdiff_t>(i));
    EXPECT_EQ(Parse(some).exit_code, 2) << whole[i];
    EXPECT_THAT(Parse(some).text, HasSubstr("--tcp_address")) << whole[i];
  }
  EXPECT_EQ(Parse({"--admin_certificate=x"}).exit_code, 2);
}

TEST_F(FlagsTest, TcpAddressIsHostAndPort) {
  for (const char* address :
       {"--tcp_address=host", "--tcp_address=:1", "--tcp_address=h:65536",
        "--tcp_address=unix:1", "--tcp_address=a/b:1", "--tcp_address=h:-1"}) {
    const Flags flags = Parse(
        {address, "--tls_certificate=a", "--tls_key=b", "--tls_client_ca=c"});
    EXPECT_EQ(flags.exit_code, 2) << address;
    EXPECT_THAT(flags.text, HasSubstr("HOST:PORT")) << address;
  }
}

TEST_F(FlagsTest, VersionIsPrinted) {
  const Flags flags = Parse({"--version"});
  EXPECT_EQ(flags.exit_code, 0);
  EXPECT_THAT(flags.text, HasSubstr("shmd 0."));
}

}  // namespace
}  // namespace shmd
