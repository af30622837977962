#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "gtest/gtest.h"
#include "tests/testing/program.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

// The pictures of Debian's python-matplotlib-data, which scripts/setup
// installs.
constexpr char kImages[] = "/usr/share/matplotlib/mpl-data";

TEST(ImagePipelineExample, WhatComesOutIsWhatTheImagesAre) {
  auto server = ScopedServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  const std::map<std::string, std::string> environment = {
      {"SHMD_SOCKET_DIR", (*server)->socket_dir()}};
  const std::string folder = "examples/image_pipeline/";
  // One that is there before anything else, and one that comes late.
  RunningProgram early({Runfile(folder + "worker"), "0", "2"}, environment);
  RunningProgram collector({Runfile(folder + "collector")}, environment);
  const ProgramEnd loader =
      RunProgram({Runfile(folder + "loader"), kImages}, environment);
  ASSERT_EQ(loader.exit_code, 0) << loader.err;
  int images = 0;
  ASSERT_EQ(sscanf(loader.out.c_str(), "loaded %d images", &images), 1);
  EXPECT_GT(images, 10);
  const ProgramEnd late =
      RunProgram({Runfile(folder + "worker"), "1", "2"}, environment);
  EXPECT_EQ(late.exit_code, 0) << late.err;
  int early_images = 0, late_images = 0, checked = 0;
  ASSERT_EQ(sscanf(early.ReadLine(absl::Seconds(60)).c_str(),
                   "worked on %d images", &early_images),
            1);
  ASSERT_EQ(sscanf(late.out.c_str(), "worked on %d images", &late_images), 1);
  EXPECT_EQ(early_images + late_images, images);
  ASSERT_EQ(sscanf(collector.ReadLine(absl::Seconds(60)).c_str(),
                   "checked %d images", &checked),
            1);
  EXPECT_EQ(checked, images);
}

}  // namespace
}  // namespace shmd::testing
