#include <map>
#include <string>

#include "gtest/gtest.h"
#include "tests/testing/program.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(60);
constexpr char kFrames[] = "150";

TEST(VideoFramesExample, NeitherASlowViewerNorADeadOneHoldsTheOthersUp) {
  auto server = ScopedServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  const std::map<std::string, std::string> environment = {
      {"SHMD_SOCKET_DIR", (*server)->socket_dir()}};
  const std::string folder = "examples/video_frames/";
  const std::string viewer = Runfile(folder + "viewer");
  RunningProgram quick({viewer, "block", "0"}, environment);
  RunningProgram slow({viewer, "drop", "100"}, environment);
  RunningProgram victim({viewer, "block", "0"}, environment);
  RunningProgram camera({Runfile(folder + "camera"), kFrames, "3"},
                        environment);
  ASSERT_EQ(victim.ReadLine(kDeadline), "sees frames");
  victim.Kill();
  EXPECT_EQ(quick.ReadLine(kDeadline), "sees frames");
  EXPECT_EQ(slow.ReadLine(kDeadline), "sees frames");

  int frames = 0;
  double longest_ms = 0;
  ASSERT_EQ(sscanf(camera.ReadLine(kDeadline).c_str(),
                   "published %d frames, the longest took %lf ms", &frames,
                   &longest_ms),
            2);
  EXPECT_EQ(frames, 150);
  printf("the longest frame took %.1f ms\n", longest_ms);
  EXPECT_EQ(quick.ReadLine(kDeadline), "saw 150 frames, lost 0");
  int seen = 0, lost = 0;
  ASSERT_EQ(sscanf(slow.ReadLine(kDeadline).c_str(), "saw %d frames, lost %d",
                   &seen, &lost),
            2);
  EXPECT_GT(lost, 0);
  EXPECT_EQ(seen + lost, 150);
}

}  // namespace
}  // namespace shmd::testing
