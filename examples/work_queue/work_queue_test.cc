#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/testing/program.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(60);

// Files of Debian's python-matplotlib-data, which scripts/setup installs.
constexpr char kFiles[] = "/usr/share/matplotlib/mpl-data";

// Lines of sha256sum(1), sorted, each once.
std::map<std::string, int> ExpectedLines() {
  const ProgramEnd end = RunProgram(
      {"/bin/sh", "-c",
       absl::StrCat("find -L ", kFiles, " -type f -exec sha256sum {} +")},
      {});
  std::map<std::string, int> lines;
  for (size_t from = 0; from < end.out.size();) {
    const size_t to = end.out.find('\n', from);
    lines[end.out.substr(from, to - from)] = 0;
    from = to + 1;
  }
  return lines;
}

TEST(WorkQueueExample, EveryFileIsHashedAlthoughAWorkerIsKilled) {
  auto server = ScopedServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  const std::map<std::string, std::string> environment = {
      {"SHMD_SOCKET_DIR", (*server)->socket_dir()}};
  const std::string folder = "examples/work_queue/";
  const std::string worker = Runfile(folder + "worker");
  std::map<std::string, int> lines = ExpectedLines();
  ASSERT_GT(lines.size(), 50u);
  RunningProgram collector({Runfile(folder + "collector")}, environment);
  RunningProgram producer({Runfile(folder + "producer"), kFiles}, environment);
  // Alone at first: others may leave nothing for one that comes late.
  RunningProgram victim({worker}, environment);
  ASSERT_EQ(victim.ReadLine(kDeadline), "hashes files");
  RunningProgram first({worker}, environment);
  RunningProgram second({worker}, environment);
  victim.Kill();
  int queued = 0;
  ASSERT_EQ(sscanf(producer.ReadLine(kDeadline).c_str(),
                   "queued %d files, all of them are hashed", &queued),
            1);
  EXPECT_EQ(static_cast<size_t>(queued), lines.size());
  int results = 0;
  for (std::string line = collector.ReadLine(kDeadline); !line.empty();
       line = collector.ReadLine(kDeadline)) {
    const auto found = lines.find(line);
    ASSERT_NE(found, lines.end()) << line;
    ++found->second;
    ++results;
  }
  for (const auto& [line, count] : lines) EXPECT_GE(count, 1) << line;
  // What the victim had told the collector and not acknowledged.
  EXPECT_LE(results, queued + 1);
}

}  // namespace
}  // namespace shmd::testing
