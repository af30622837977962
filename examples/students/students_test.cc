#include "gtest/gtest.h"
#include "tests/testing/program.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

TEST(StudentsExample, RecordsAreStillThereAfterTheDaemonWasRestarted) {
  auto server = ScopedServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  const std::map<std::string, std::string> environment = {
      {"SHMD_SOCKET_DIR", (*server)->socket_dir()}};
  const std::string folder = Runfile("examples/students/");
  const ProgramEnd enroll = RunProgram({folder + "enroll"}, environment);
  ASSERT_EQ(enroll.exit_code, 0) << enroll.err;
  const ProgramEnd grade =
      RunProgram({folder + "grade", "42", "1"}, environment);
  ASSERT_EQ(grade.exit_code, 0) << grade.err;

  ASSERT_TRUE((*server)->Stop().ok()) << (*server)->Log();
  ASSERT_TRUE((*server)->Restart().ok()) << (*server)->Log();

  const ProgramEnd second =
      RunProgram({folder + "grade", "7", "3"}, environment);
  ASSERT_EQ(second.exit_code, 0) << second.err;
  const ProgramEnd show = RunProgram({folder + "grade"}, environment);
  EXPECT_EQ(show.exit_code, 0) << show.err;
  EXPECT_EQ(show.out, "7 Student 7: 3\n42 Student 42: 1\n");
  const ProgramEnd absent =
      RunProgram({folder + "grade", "101", "1"}, environment);
  EXPECT_EQ(absent.exit_code, 1);
}

}  // namespace
}  // namespace shmd::testing
