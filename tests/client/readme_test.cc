#include <cstring>
#include <fstream>
#include <sstream>

#include "client/cpp/client.h"
#include "gtest/gtest.h"
#include "tests/testing/scoped_server.h"

namespace {

// The example of client/cpp/README.md, word for word.
absl::Status Example() {
  // begin of the example
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) return client.status();

  shmd::SegmentSpec spec;
  spec.id = "frame";
  spec.size_bytes = 1 << 20;
  absl::StatusOr<shmd::Segment> segment = client->Create(spec);
  if (!segment.ok()) return segment.status();

  absl::StatusOr<shmd::WritableAttached> out =
      client->MapWritable(segment->handle);
  if (!out.ok()) return out.status();
  snprintf(out->bytes().data(), spec.size_bytes, "no bytes through gRPC");

  // In another process, which got segment->handle in a message of yours:
  absl::StatusOr<shmd::ReadOnlyAttached> in =
      client->MapReadOnly(segment->handle);
  if (!in.ok()) return in.status();
  printf("%s\n", in->bytes().data());
  // end of the example
  return absl::OkStatus();
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(shmd::testing::Runfile(path));
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// What stands between two marks, each line without its first `indent` blanks.
std::string Between(const std::string& text, const std::string& begin,
                    const std::string& end, size_t indent) {
  const size_t from = text.find(begin) + begin.size();
  std::istringstream lines(text.substr(from, text.find(end, from) - from));
  std::string out;
  std::string line;
  while (std::getline(lines, line)) {
    out += (line.size() >= indent ? line.substr(indent) : "") + "\n";
  }
  return out;
}

TEST(ReadmeTest, TheExampleIsTheOneThatIsCompiled) {
  const std::string compiled =
      Between(ReadAll("tests/client/readme_test.cc"),
              "// begin of the example\n", "  // end of the example\n", 2);
  const std::string printed =
      Between(ReadAll("client/cpp/README.md"), "```cpp\n", "```\n", 0);
  EXPECT_GT(printed.size(), 500u);
  EXPECT_EQ(printed, compiled);
}

TEST(ReadmeTest, TheExampleRuns) {
  auto server = shmd::testing::ScopedServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  setenv("SHMD_SOCKET_DIR", (*server)->socket_dir().c_str(), 1);
  EXPECT_TRUE(Example().ok());
}

}  // namespace
