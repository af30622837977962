#include "gtest/gtest.h"
#include "tests/testing/program.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

TEST(HelloMemfdExample, TheHandleLeadsAnotherProcessToTheMemory) {
  auto server = ScopedServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  const std::map<std::string, std::string> environment = {
      {"SHMD_SOCKET_DIR", (*server)->socket_dir()}};
  const std::string folder = Runfile("examples/hello_memfd/");
  const ProgramEnd writer = RunProgram({folder + "writer"}, environment);
  ASSERT_EQ(writer.exit_code, 0) << writer.err;
  const std::string handle = writer.out.substr(0, writer.out.find('\n'));
  const ProgramEnd reader =
      RunProgram({folder + "reader", handle}, environment);
  EXPECT_EQ(reader.exit_code, 0) << reader.err;
  EXPECT_EQ(reader.out.substr(0, 19), "hello through memfd");
}

}  // namespace
}  // namespace shmd::testing
