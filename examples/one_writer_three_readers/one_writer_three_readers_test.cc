#include <thread>

#include "gtest/gtest.h"
#include "tests/testing/program.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

TEST(OneWriterThreeReadersExample, ThreeAtOnceVerifyOneGibibyte) {
  auto server = ScopedServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  const std::map<std::string, std::string> environment = {
      {"SHMD_SOCKET_DIR", (*server)->socket_dir()}};
  const std::string folder = Runfile("examples/one_writer_three_readers/");
  const ProgramEnd writer =
      RunProgram({folder + "writer", "1073741824"}, environment);
  ASSERT_EQ(writer.exit_code, 0) << writer.err;
  const std::string handle = writer.out.substr(0, writer.out.find('\n'));
  ProgramEnd ends[3];
  std::vector<std::thread> threads;
  for (ProgramEnd& end : ends) {
    threads.emplace_back([&] {
      end = RunProgram({folder + "reader", handle}, environment);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const ProgramEnd& end : ends) {
    EXPECT_EQ(end.exit_code, 0) << end.err;
    EXPECT_EQ(end.out, "verified 134217728 numbers\n");
  }
}

}  // namespace
}  // namespace shmd::testing
