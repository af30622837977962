#include <sched.h>

#include "gtest/gtest.h"
#include "tests/testing/program.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

TEST(HelloSysvExample, APlainProgramReadsWhatOursWrote) {
  // The key is a fixed one: in an IPC namespace of its own it is free.
  ASSERT_EQ(unshare(CLONE_NEWIPC), 0);
  auto server = ScopedServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string folder = Runfile("examples/hello_sysv/");
  const ProgramEnd writer =
      RunProgram({folder + "writer", "0x44"},
                 {{"SHMD_SOCKET_DIR", (*server)->socket_dir()}});
  ASSERT_EQ(writer.exit_code, 0) << writer.err;
  // Without a daemon in reach.
  const ProgramEnd reader =
      RunProgram({folder + "reader", "0x44"}, {{"SHMD_SOCKET_DIR", "/none"}});
  EXPECT_EQ(reader.exit_code, 0) << reader.err;
  EXPECT_EQ(reader.out, "hello through sysv\n");
}

}  // namespace
}  // namespace shmd::testing
