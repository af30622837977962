#include "gtest/gtest.h"
#include "tests/testing/program.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

TEST(HelloPosixExample, APlainProgramReadsWhatOursWrote) {
  auto server = ScopedServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string folder = Runfile("examples/hello_posix/");
  const std::string name = "/" + (*server)->token();
  const ProgramEnd writer =
      RunProgram({folder + "writer", name},
                 {{"SHMD_SOCKET_DIR", (*server)->socket_dir()}});
  ASSERT_EQ(writer.exit_code, 0) << writer.err;
  // Without a daemon in reach.
  const ProgramEnd reader =
      RunProgram({folder + "reader", name}, {{"SHMD_SOCKET_DIR", "/none"}});
  EXPECT_EQ(reader.exit_code, 0) << reader.err;
  EXPECT_EQ(reader.out, "hello through posix\n");
}

}  // namespace
}  // namespace shmd::testing
