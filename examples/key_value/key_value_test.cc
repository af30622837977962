#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/program.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

using ::testing::HasSubstr;

constexpr absl::Duration kDeadline = absl::Seconds(60);
constexpr int kClients = 3;

TEST(KeyValueExample, CallersOfAKilledServerFailAtOnceAndFindTheNext) {
  auto daemon = ScopedServer::Start();
  ASSERT_TRUE(daemon.ok()) << daemon.status();
  const std::map<std::string, std::string> environment = {
      {"SHMD_SOCKET_DIR", (*daemon)->socket_dir()}};
  const std::string server_path = Runfile("examples/key_value/server");
  RunningProgram server({server_path}, environment);
  ASSERT_EQ(server.ReadLine(kDeadline), "serves");
  std::vector<RunningProgram> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back(
        std::vector<std::string>{Runfile("examples/key_value/client")},
        environment);
  }
  // Each asks for what another one has set.
  for (int i = 0; i < kClients; ++i) {
    clients[i].Write(absl::StrCat("set key-", i, " value ", i, "\n"));
    EXPECT_EQ(clients[i].ReadLine(kDeadline), "= ");
  }
  for (int i = 0; i < kClients; ++i) {
    const int other = (i + 1) % kClients;
    clients[i].Write(absl::StrCat("get key-", other, "\n"));
    EXPECT_EQ(clients[i].ReadLine(kDeadline), absl::StrCat("= value ", other));
  }
  clients[0].Write("get nothing\n");
  EXPECT_THAT(clients[0].ReadLine(kDeadline), HasSubstr("NOT_FOUND"));
  clients[0].Write("await late\n");
  EXPECT_EQ(clients[0].ReadLine(kDeadline), "calling");
  clients[1].Write("set late at last\n");
  EXPECT_EQ(clients[1].ReadLine(kDeadline), "= ");
  EXPECT_EQ(clients[0].ReadLine(kDeadline), "= at last");

  for (RunningProgram& client : clients) {
    client.Write("await never\n");
    EXPECT_EQ(client.ReadLine(kDeadline), "calling");
  }
  const absl::Time killed = absl::Now();
  server.Kill();
  for (RunningProgram& client : clients) {
    EXPECT_THAT(client.ReadLine(kDeadline), HasSubstr("UNAVAILABLE"));
  }
  printf("all callers knew after %s\n",
         absl::FormatDuration(absl::Now() - killed).c_str());

  RunningProgram next({server_path}, environment);
  ASSERT_EQ(next.ReadLine(kDeadline), "serves");
  clients[0].Write("set key anew\n");
  EXPECT_EQ(clients[0].ReadLine(kDeadline), "= ");
  clients[1].Write("get key\n");
  EXPECT_EQ(clients[1].ReadLine(kDeadline), "= anew");
}

}  // namespace
}  // namespace shmd::testing
