#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/testing/program.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

TEST(ParameterServerExample, WorkersUseWholeStepsOnly) {
  auto server = ScopedServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  const std::map<std::string, std::string> environment = {
      {"SHMD_SOCKET_DIR", (*server)->socket_dir()}};
  const std::string folder = "examples/parameter_server/";
  std::vector<RunningProgram> workers;
  for (int i = 0; i < 3; ++i) {
    workers.emplace_back(
        std::vector<std::string>{Runfile(folder + "worker"), "200"},
        environment);
  }
  const ProgramEnd trainer =
      RunProgram({Runfile(folder + "server"), "200"}, environment);
  EXPECT_EQ(trainer.exit_code, 0) << trainer.err;
  for (RunningProgram& worker : workers) {
    const std::string line = worker.ReadLine(absl::Seconds(60));
    EXPECT_TRUE(absl::StartsWith(line, "saw ")) << line;
  }
}

}  // namespace
}  // namespace shmd::testing
