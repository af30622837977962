#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/cli/served_shm.h"

namespace shmd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr absl::Duration kDeadline = absl::Seconds(60);

class ShmTest : public ServedShm {
 protected:
  RunningProgram Running(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), Runfile("cli/shm"));
    return RunningProgram(arguments,
                          {{"SHMD_SOCKET_DIR", server_->socket_dir()}});
  }

  // As Shm; with --json, and the verb must succeed.
  nlohmann::json ShmJson(std::vector<std::string> arguments) {
    arguments.push_back("--json");
    const ProgramEnd end = Shm(arguments);
    EXPECT_EQ(end.exit_code, 0) << end.err;
    return nlohmann::json::parse(end.out, nullptr, /*allow_exceptions=*/false);
  }

  std::string MakeFile(const std::string& content) {
    const std::string path =
        absl::StrCat(getenv("TEST_TMPDIR"), "/", server_->token());
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
};

TEST_F(ShmTest, CreatesListsShowsAndRemoves) {
  const ProgramEnd made =
      Shm({"create", "hello", "--size", "4k", "--label", "team=blue"});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.out, StartsWith("namespaces/default/segments/hello\n"));
  EXPECT_THAT(made.out, HasSubstr("handle shm1."));

  const ProgramEnd table = Shm({"ls"});
  EXPECT_THAT(table.out, StartsWith("ID"));
  EXPECT_THAT(table.out, HasSubstr("hello  4 KiB"));
  EXPECT_THAT(table.out, HasSubstr("team=blue\n1 segment, 4 KiB\n"));
  EXPECT_EQ(Shm({"ls", "--quiet"}).out, "hello\n");
  EXPECT_EQ(Shm({"ls", "-q", "--filter", "labels.team = \"red\""}).out, "");

  const auto listed = ShmJson({"ls"});
  ASSERT_EQ(listed["segments"].size(), 1u);
  EXPECT_EQ(listed["segments"][0]["size_bytes"], 4096);
  EXPECT_EQ(listed["segments"][0]["labels"]["team"], "blue");

  const ProgramEnd shown = Shm({"stat", "hello"});
  EXPECT_THAT(shown.out, HasSubstr("size         4 KiB (4096 bytes)\n"));
  EXPECT_EQ(ShmJson({"stat", "namespaces/default/segments/hello"})["mode"],
            "0600");

  EXPECT_EQ(Shm({"rm", "hello"}).exit_code, 0);
  EXPECT_EQ(ShmJson({"ls"})["segments"].size(), 0u);
}

TEST_F(ShmTest, StatShowsTheOptionsThatAreNotAsUsual) {
  ASSERT_EQ(Shm({"create", "plain", "--size", "4k"}).exit_code, 0);
  const std::string plain = Shm({"stat", "plain"}).out;
  EXPECT_THAT(plain, HasSubstr("\netag         "));
  for (const char* key : {"populate", "lock", "numa", "advice", "seal policy",
                          "lease", "lifetime"}) {
    EXPECT_EQ(plain.find(absl::StrCat("\n", key, " ")), std::string::npos)
        << plain;
  }
  ASSERT_EQ(Shm({"create", "odd", "--size", "4k", "--populate", "--numa",
                 "bind:0", "--no_thp", "--never_sealed", "--ttl", "10m"})
                .exit_code,
            0);
  const std::string odd = Shm({"stat", "odd"}).out;
  for (const char* line : {"populate     yes", "numa         BIND 0",
                           "advice       HUGE_PAGES_UNWANTED",
                           "seal policy  NEVER_SEALED", "lease        10m"}) {
    EXPECT_THAT(odd, HasSubstr(absl::StrCat("\n", line, "\n")));
  }
  const auto json = ShmJson({"stat", "odd"});
  EXPECT_EQ(json["numa_policy"]["mode"], "BIND");
  EXPECT_EQ(json["huge_page_advice"], "HUGE_PAGES_UNWANTED");
  EXPECT_EQ(json["seal_policy"], "NEVER_SEALED");
}

TEST_F(ShmTest, LeasesAreRenewed) {
  const auto made =
      ShmJson({"create", "leased", "--size", "4k", "--ttl", "10m"});
  EXPECT_EQ(made["lease_ttl"], "10m");
  EXPECT_EQ(made["lifetime"], "UNTIL_DELETED");
  const auto renewed = ShmJson({"renew", "leased", "--ttl", "2h"});
  EXPECT_EQ(renewed["lease_ttl"], "2h");
  EXPECT_GT(renewed["expire_time"].get<std::string>(),
            made["expire_time"].get<std::string>());
  const ProgramEnd text = Shm({"renew", "leased"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_THAT(text.out,
              StartsWith("namespaces/default/segments/leased\n  ends 2"));
  ASSERT_EQ(Shm({"create", "endless", "--size", "4k"}).exit_code, 0);
  const ProgramEnd refused = Shm({"renew", "endless"});
  EXPECT_EQ(refused.exit_code, 6);
  EXPECT_THAT(refused.err, HasSubstr("(LEASE_MISSING)"));
}

TEST_F(ShmTest, GrantsAreMadeListedAndRevoked) {
  const std::string path = MakeFile("granted");
  ASSERT_EQ(Shm({"put", path, "it"}).exit_code, 0);
  const ProgramEnd printed = Shm({"grant", "it", "--uses", "1"});
  EXPECT_EQ(printed.exit_code, 0) << printed.err;
  EXPECT_THAT(printed.out, StartsWith("shm1."));
  const std::string handle = printed.out.substr(0, printed.out.find('\n'));
  EXPECT_EQ(Shm({"cat", handle}).out, "granted");

  const auto made =
      ShmJson({"grant", "it", "--write", "--ttl", "1h", "--uid", "12345"});
  EXPECT_EQ(made["access"], "READ_WRITE");
  EXPECT_EQ(made["uid"], 12345);
  const std::string name = made["name"];
  EXPECT_EQ(ShmJson({"grants", "it"})["grants"].size(), 2u);
  const ProgramEnd table = Shm({"grants", "it"});
  EXPECT_THAT(table.out, HasSubstr("0/1"));
  EXPECT_THAT(table.out, HasSubstr(name));
  EXPECT_THAT(table.out, HasSubstr("2 grants\n"));
  EXPECT_EQ(Shm({"revoke", name}).exit_code, 0);
  EXPECT_EQ(Shm({"revoke", name}).exit_code, 3);
  EXPECT_EQ(ShmJson({"grants", "it"})["grants"].size(), 1u);
  EXPECT_THAT(Shm({"completion", "bash"}).out, HasSubstr("'grant') options="));
}

TEST_F(ShmTest, BackendsFollowFromTheirNames) {
  const std::string posix_name = "/" + server_->token();
  EXPECT_EQ(ShmJson({"create", "p", "-s", "4k", "--posix_name",
                     posix_name})["backend"],
            "POSIX");
  EXPECT_EQ(ShmJson({"create", "f", "-s", "4k", "--file_path", "f"})["backend"],
            "MAPPED_FILE");
  EXPECT_EQ(
      ShmJson({"create", "s", "-s", "4k", "--backend", "sysv"})["backend"],
      "SYSV");
  EXPECT_EQ(Shm({"flush", "f"}).exit_code, 0);
  EXPECT_EQ(Shm({"disown", "p"}).exit_code, 0);
  EXPECT_EQ(ShmJson({"adopt", "q", "--posix_name", posix_name})["adopted"],
            true);
  const ProgramEnd refused = Shm({"rm", "q"});
  EXPECT_EQ(refused.exit_code, 6);
  EXPECT_THAT(refused.err, HasSubstr("(SEGMENT_ADOPTED)\nhint: "));
  EXPECT_EQ(Shm({"rm", "--force", "q", "f", "s"}).exit_code, 0);
}

TEST_F(ShmTest, ObjectsArePutListedGotAndRemoved) {
  const std::string content(300000, 'o');
  const std::string path = MakeFile(content);
  const ProgramEnd put = Shm({"put", path, "blob", "--object"});
  ASSERT_EQ(put.exit_code, 0) << put.err;
  EXPECT_EQ(Shm({"put", path, "blob", "--object"}).exit_code, 4);
  EXPECT_EQ(Shm({"put", path, "blob", "--object", "--replace"}).exit_code, 0);
  EXPECT_EQ(Shm({"ls", "--objects", "--quiet"}).out, "blob\n");
  EXPECT_THAT(Shm({"ls", "--objects"}).out, HasSubstr("SPILLED"));
  const auto listed = ShmJson({"ls", "--objects"})["objects"];
  ASSERT_EQ(listed.size(), 1u);
  EXPECT_EQ(listed[0]["id"], "blob");
  EXPECT_EQ(listed[0]["size_bytes"], "300000");
  const std::string copy = path + ".copy";
  const ProgramEnd get = Shm({"get", "blob", copy, "--object"});
  EXPECT_EQ(get.exit_code, 0) << get.err;
  std::stringstream copied;
  copied << std::ifstream(copy, std::ios::binary).rdbuf();
  EXPECT_TRUE(copied.str() == content);
  remove(copy.c_str());
  const ProgramEnd watch =
      Shm({"watch", "--objects", "--prefix", "bl", "-n", "2", "--json"});
  EXPECT_EQ(watch.exit_code, 0) << watch.err;
  EXPECT_NE(watch.out.find("\"id\":\"blob\""), std::string::npos) << watch.out;
  EXPECT_EQ(Shm({"put", path, "sealed", "--object", "--strict"}).exit_code, 0);
  EXPECT_NE(Shm({"put", path, "x", "--strict"}).exit_code, 0);
  EXPECT_EQ(Shm({"rm", "sealed", "--objects"}).exit_code, 0);
  EXPECT_EQ(Shm({"rm", "blob", "--objects"}).exit_code, 0);
  EXPECT_NE(Shm({"get", "blob", copy, "--object"}).exit_code, 0);
}

TEST_F(ShmTest, WhatIsSaidOfAnObjectIsShown) {
  const std::string path = MakeFile("abc");
  const ProgramEnd put =
      Shm({"put", path, "image", "--object", "--media-type", "image/png",
           "--schema", "my.Picture", "--dtype", "uint8", "--shape", "3,1",
           "--label", "camera=2", "--priority", "7", "--ttl", "1h"});
  ASSERT_EQ(put.exit_code, 0) << put.err;
  const auto shown = ShmJson({"stat", "image", "--object"});
  EXPECT_EQ(shown["size_bytes"], "3");
  EXPECT_EQ(shown["priority"], 7);
  EXPECT_TRUE(shown.contains("expire_time"));
  EXPECT_EQ(shown["metadata"]["media_type"], "image/png");
  EXPECT_EQ(shown["metadata"]["schema"], "my.Picture");
  EXPECT_EQ(shown["metadata"]["shape"], nlohmann::json({3, 1}));
  EXPECT_EQ(shown["metadata"]["labels"]["camera"], "2");
  EXPECT_THAT(Shm({"stat", "image", "--object"}).out, HasSubstr("camera=2"));
  EXPECT_NE(Shm({"stat", "absent", "--object"}).exit_code, 0);
  EXPECT_NE(Shm({"put", path, "x", "--media-type", "a/b"}).exit_code, 0);
  EXPECT_NE(Shm({"put", path, "x", "--object", "--priority", "256"}).exit_code,
            0);
}

TEST_F(ShmTest, WhatIsPublishedIsPrinted) {
  const std::string path = MakeFile("one\ntwo\n\nlast");
  RunningProgram text = Running({"sub", "news", "--count", "4"});
  RunningProgram json = Running({"sub", "news", "--count", "1", "--json"});
  const ProgramEnd published =
      Shm({"pub", "news", path, "--lines", "--subscribers", "2"});
  EXPECT_EQ(published.exit_code, 0) << published.err;
  EXPECT_EQ(text.ReadLine(kDeadline), "one");
  EXPECT_EQ(text.ReadLine(kDeadline), "two");
  EXPECT_EQ(text.ReadLine(kDeadline), "");
  EXPECT_EQ(text.ReadLine(kDeadline), "last");
  const auto message =
      nlohmann::json::parse(json.ReadLine(kDeadline), nullptr, false);
  EXPECT_EQ(message["payload"], "one");
  EXPECT_EQ(message["payload_base64"], "b25l");
  EXPECT_EQ(message["number"], "0");
  EXPECT_EQ(message["size_bytes"], "3");
}

TEST_F(ShmTest, WorkIsTakenFromAQueueOnce) {
  ASSERT_EQ(Shm({"channel", "create", "jobs", "--kind", "queue"}).exit_code, 0);
  std::string path = MakeFile("first");
  const ProgramEnd alone = Shm({"pub", "jobs", path, "--timeout", "1ms"});
  EXPECT_EQ(alone.exit_code, 9);
  EXPECT_THAT(alone.err, HasSubstr("(CHANNEL_BLOCKED)\nhint: "));
  // Its work stays for who comes.
  RunningProgram consumer = Running({"sub", "jobs", "--count", "4"});
  EXPECT_EQ(consumer.ReadLine(kDeadline), "first");
  path = MakeFile("a\nb\nc\n");
  const ProgramEnd done = Shm({"pub", "jobs", path, "--lines"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  for (const char* const job : {"a", "b", "c"}) {
    EXPECT_EQ(consumer.ReadLine(kDeadline), job);
  }
}

TEST_F(ShmTest, CallsAreAnsweredByCommands) {
  EXPECT_EQ(Shm({"call", "upper", "hello"}).exit_code, 3);
  ASSERT_EQ(Shm({"channel", "create", "upper", "--kind", "call"}).exit_code, 0);
  const ProgramEnd nobody = Shm({"call", "upper", "hello"});
  EXPECT_EQ(nobody.exit_code, 9);
  EXPECT_THAT(nobody.err, HasSubstr("(SERVER_GONE)"));
  const auto await_server = [&](const std::string& channel) {
    const absl::Time give_up = absl::Now() + kDeadline;
    while (absl::Now() < give_up &&
           Shm({"channel", "stat", channel, "--json"}).out.find("SERVER") ==
               std::string::npos) {
    }
  };
  RunningProgram server = Running({"serve", "upper", "--", "tr", "a-z", "A-Z"});
  await_server("upper");
  const ProgramEnd answered = Shm({"call", "upper", "hello"});
  EXPECT_EQ(answered.exit_code, 0) << answered.err;
  EXPECT_EQ(answered.out, "HELLO\n");
  EXPECT_EQ(ShmJson({"call", "upper", "x"})["payload"], "X");
  RunningProgram failing = Running({"serve", "failing", "--", "false"});
  await_server("failing");
  const ProgramEnd failed = Shm({"call", "failing", "hello"});
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_THAT(failed.err, HasSubstr("false ended with 1"));
  RunningProgram echo = Running({"serve", "echo", "--count", "1"});
  await_server("echo");
  EXPECT_EQ(Shm({"call", "echo", "hello"}).out, "hello\n");
}

TEST_F(ShmTest, ChannelsAreSharedByGrants) {
  ASSERT_EQ(Shm({"channel", "create", "it"}).exit_code, 0);
  const ProgramEnd printed =
      Shm({"channel", "grant", "it", "--as", "publisher"});
  EXPECT_EQ(printed.exit_code, 0) << printed.err;
  EXPECT_THAT(printed.out, StartsWith("shm1."));
  const std::string handle = printed.out.substr(0, printed.out.find('\n'));
  const auto made =
      ShmJson({"channel", "grant", "it", "--as", "publisher", "--as",
               "subscriber", "--uses", "3", "--ttl", "1h", "--uid", "12345"});
  EXPECT_EQ(made["roles"], nlohmann::json({"PUBLISHER", "SUBSCRIBER"}));
  EXPECT_EQ(made["uid"], 12345);
  const std::string name = made["name"];
  const ProgramEnd table = Shm({"channel", "grants", "it"});
  EXPECT_THAT(table.out, HasSubstr("PUBLISHER,SUBSCRIBER"));
  EXPECT_THAT(table.out, HasSubstr("0/3"));
  EXPECT_THAT(table.out, HasSubstr("2 grants\n"));
  EXPECT_EQ(Shm({"revoke", name}).exit_code, 0);
  EXPECT_EQ(ShmJson({"channel", "grants", "it"})["grants"].size(), 1u);
  const ProgramEnd unfit = Shm({"channel", "grant", "it", "--as", "server"});
  EXPECT_THAT(unfit.err, HasSubstr("(FIELD_INVALID)"));
  EXPECT_EQ(Shm({"channel", "grant", "it", "--as", "boss"}).exit_code, 2);
  // Whom the mode lets in needs none, but nothing is made by one.
  EXPECT_EQ(Shm({"pub", "it", MakeFile("x"), "--grant", handle}).exit_code, 0);
  for (const char* const verb : {"pub", "sub", "call", "serve"}) {
    const ProgramEnd missing = Shm({verb, "none", "--grant", handle});
    EXPECT_THAT(missing.err, HasSubstr("(HANDLE_STALE)")) << verb;
    const ProgramEnd garbage = Shm({verb, "it", "--grant", "garbage"});
    EXPECT_THAT(garbage.err, HasSubstr("(HANDLE_INVALID)")) << verb;
  }
  EXPECT_THAT(Shm({"completion", "bash"}).out,
              HasSubstr("'channel grant') options="));
}

TEST_F(ShmTest, ChannelsAreShownAndRemoved) {
  const auto made = ShmJson({"channel", "create", "it", "--slots", "16",
                             "--payload", "1MiB", "--history", "3"});
  EXPECT_EQ(made["kind"], "PUBLISH");
  EXPECT_EQ(made["slots"], 16);
  EXPECT_EQ(made["payload_bytes"], "1048576");
  EXPECT_EQ(made["mode"], "0600");
  EXPECT_EQ(Shm({"channel", "create", "it"}).exit_code, 4);
  RunningProgram subscriber = Running({"sub", "it", "--count", "1", "--raw"});
  const absl::Time give_up = absl::Now() + kDeadline;
  nlohmann::json seen;
  do {
    seen = ShmJson({"channel", "stat", "it"});
  } while (seen["subscribers"].empty() && absl::Now() < give_up);
  ASSERT_EQ(seen["subscribers"].size(), 1u);
  EXPECT_EQ(seen["subscribers"][0]["slow_policy"], "BLOCK");
  EXPECT_THAT(Shm({"channel", "stat", "it"}).out, HasSubstr("SUBSCRIBER"));
  const ProgramEnd table = Shm({"channels", "--once"});
  EXPECT_THAT(table.out, StartsWith("CHANNEL"));
  EXPECT_THAT(table.out, HasSubstr("1 channels\n"));
  EXPECT_EQ(ShmJson({"channels", "--once"})["channels"][0]["lag"], "0");
  EXPECT_EQ(Shm({"channels", "--quiet"}).out, "it\n");
  const ProgramEnd refused = Shm({"channel", "rm", "it"});
  EXPECT_EQ(refused.exit_code, 6);
  EXPECT_THAT(refused.err, HasSubstr("(CHANNEL_IN_USE)\nhint: "));
  EXPECT_EQ(Shm({"channel", "rm", "it", "--force"}).exit_code, 0);
  EXPECT_EQ(Shm({"channel", "stat", "it"}).exit_code, 3);
}

TEST_F(ShmTest, RatesAndLagAreShownAgainAndAgain) {
  ASSERT_EQ(Shm({"channel", "create", "it", "--slots", "4096"}).exit_code, 0);
  // Nobody reads what it writes, so it stops when the pipe is full.
  const RunningProgram slow = Running({"sub", "it"});
  RunningProgram shown = Running({"channels", "--json", "-i", "0.1"});
  RunningProgram publisher =
      Running({"pub", "it", "--lines", "--subscribers", "1"});
  const std::string line = std::string(99, 'x') + "\n";
  for (int i = 0; i < 2000; ++i) publisher.Write(line);
  double rate = 0;
  int64_t lag = 0;
  const absl::Time give_up = absl::Now() + kDeadline;
  while ((rate <= 0 || lag <= 0) && absl::Now() < give_up) {
    publisher.Write(line);
    const auto now = nlohmann::json::parse(shown.ReadLine(kDeadline));
    ASSERT_EQ(now["channels"].size(), 1u);
    const auto& channel = now["channels"][0];
    if (channel.contains("messages_per_second")) {
      rate = std::max(rate, channel["messages_per_second"].get<double>());
    }
    lag = std::stoll(channel["lag"].get<std::string>());
  }
  EXPECT_GT(rate, 0);
  EXPECT_LE(rate, 30000);  // all at once, between two looks
  EXPECT_GT(lag, 0);
  EXPECT_LT(lag, 3000);
}

TEST_F(ShmTest, FilesComeBackAsTheyWent) {
  std::string content(3000000, '\0');
  for (size_t i = 0; i < content.size(); ++i) {
    content[i] = static_cast<char>(i * 7 >> 3);
  }
  const std::string path = MakeFile(content);
  const ProgramEnd put = Shm({"put", path, "blob", "--seal", "--quiet"});
  ASSERT_EQ(put.exit_code, 0) << put.err;
  EXPECT_EQ(put.err, "");  // no bar where there is no terminal
  const std::string handle = put.out.substr(0, put.out.find('\n'));
  EXPECT_THAT(handle, StartsWith("shm1."));

  EXPECT_EQ(Shm({"cat", "blob"}).out, content);
  const std::string copy = path + ".copy";
  EXPECT_EQ(Shm({"get", handle, copy}).exit_code, 0);
  std::stringstream copied;
  copied << std::ifstream(copy, std::ios::binary).rdbuf();
  EXPECT_TRUE(copied.str() == content);
  remove(copy.c_str());

  const ProgramEnd expected = RunProgram({"/usr/bin/sha256sum", path}, {});
  const ProgramEnd sum = Shm({"sum", handle});
  EXPECT_EQ(sum.out.substr(0, 64), expected.out.substr(0, 64));
  EXPECT_EQ(ShmJson({"sum", "blob"})["size_bytes"], 3000000);
  EXPECT_EQ(Shm({"put", path, "blob"}).exit_code, 4);
}

TEST_F(ShmTest, CatStopsQuietlyWhenItsReaderHasEnough) {
  ASSERT_EQ(Shm({"create", "big", "-s", "16M"}).exit_code, 0);
  const ProgramEnd end = RunProgram(
      {"/bin/bash", "-c", "set -o pipefail; \"$0\" cat big | head -c 3 | wc -c",
       Runfile("cli/shm")},
      {{"SHMD_SOCKET_DIR", server_->socket_dir()}});
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_EQ(end.err, "");
  EXPECT_EQ(end.out, "3\n");
}

TEST_F(ShmTest, ChangesShow) {
  ASSERT_EQ(
      Shm({"create", "it", "-s", "4k", "--resizable", "--ttl", "1h"}).exit_code,
      0);
  const auto changed =
      ShmJson({"set", "it", "--label", "a=b", "--mode", "644", "--no_ttl"});
  EXPECT_EQ(changed["labels"]["a"], "b");
  EXPECT_EQ(changed["mode"], "0644");
  EXPECT_FALSE(changed.contains("expire_time"));
  EXPECT_EQ(ShmJson({"set", "it", "--unset_label", "a"})["labels"].size(), 0u);
  EXPECT_EQ(ShmJson({"resize", "it", "64k"})["size_bytes"], 65536);
  EXPECT_EQ(ShmJson({"seal", "it"})["state"], "SEALED");
  const ProgramEnd handle =
      Shm({"handle", "it", "--offset", "4k", "--length", "16"});
  ASSERT_EQ(handle.exit_code, 0) << handle.err;
  EXPECT_EQ(Shm({"cat", handle.out.substr(0, handle.out.find('\n'))}).out,
            std::string(16, '\0'));
}

TEST_F(ShmTest, WatchPrintsAnEventALine) {
  ASSERT_EQ(Shm({"create", "it", "-s", "4k"}).exit_code, 0);
  const ProgramEnd end = Shm({"watch", "--count", "2", "--json"});
  ASSERT_EQ(end.exit_code, 0) << end.err;
  std::istringstream lines(end.out);
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(nlohmann::json::parse(line)["type"], "EXISTING");
  std::getline(lines, line);
  EXPECT_EQ(nlohmann::json::parse(line)["type"], "SYNCED");
  EXPECT_EQ(Shm({"watch", "-n", "0"}).exit_code, 2);
}

TEST_F(ShmTest, NamespacesAreMadeFilledAndRemoved) {
  const auto made = ShmJson({"namespace", "create", "team", "--uid", "12345",
                             "--segments", "1", "--uid_bytes", "1M"});
  EXPECT_EQ(made["name"], "namespaces/team");
  EXPECT_EQ(made["entrants"]["uids"], nlohmann::json({12345}));
  EXPECT_EQ(made["uid_quota"]["bytes"], 1 << 20);
  // The fair share stays where nothing was said.
  EXPECT_EQ(made["uid_quota"]["watches"], 256);
  EXPECT_EQ(Shm({"namespace", "create", "team"}).exit_code, 4);
  const ProgramEnd created =
      Shm({"--namespace", "team", "create", "it", "--size", "4k"});
  EXPECT_THAT(created.out, StartsWith("namespaces/team/segments/it\n"));
  EXPECT_EQ(
      Shm({"--namespace", "team", "create", "more", "--size", "1"}).exit_code,
      7);
  const auto changed =
      ShmJson({"namespace", "set", "team", "--everybody", "--bytes", "1G"});
  EXPECT_TRUE(changed["entrants"]["uids"].empty());
  EXPECT_EQ(changed["quota"]["bytes"], 1 << 30);
  EXPECT_EQ(changed["quota"]["segments"], 1);
  EXPECT_EQ(changed["usage"]["bytes"], 4096);
  EXPECT_THAT(Shm({"namespace", "show", "team"}).out,
              HasSubstr("open to everybody"));
  EXPECT_EQ(changed["when_full"], "refuse");
  const auto spilling = ShmJson({"namespace", "set", "team", "--when_full",
                                 "spill", "--spilled_bytes", "1M"});
  EXPECT_EQ(spilling["when_full"], "spill");
  EXPECT_EQ(spilling["quota"]["spilled_bytes"], 1 << 20);
  EXPECT_EQ(spilling["quota"]["bytes"], 1 << 30);
  EXPECT_THAT(Shm({"namespace", "show", "team"}).out,
              HasSubstr("when full: spill"));
  EXPECT_EQ(Shm({"namespace", "set", "team", "--when_full", "never"}).exit_code,
            2);
  EXPECT_THAT(Shm({"namespaces"}).out, HasSubstr("2 namespaces\n"));
  EXPECT_EQ(Shm({"namespace", "rm", "team"}).exit_code, 6);
  EXPECT_EQ(Shm({"--namespace", "team", "rm", "it"}).exit_code, 0);
  EXPECT_EQ(Shm({"namespace", "rm", "team"}).exit_code, 0);
  EXPECT_EQ(Shm({"namespace", "show", "team"}).exit_code, 3);
}

TEST_F(ShmTest, LocksStandAloneAndAreBroken) {
  const ProgramEnd made =
      Shm({"sync", "create", "door", "--kind", "semaphore", "--count", "2"});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.out, StartsWith("namespaces/default/syncPrimitives/door\n"
                                   "shm1."));
  EXPECT_EQ(Shm({"sync", "create", "door"}).exit_code, 4);
  EXPECT_EQ(Shm({"sync", "create", "gate", "--kind", "gate"}).exit_code, 8);
  EXPECT_THAT(Shm({"sync", "ls"}).out, HasSubstr("door  SEMAPHORE  0600"));
  const auto listed = ShmJson({"sync", "ls"});
  ASSERT_EQ(listed["sync_primitives"].size(), 1u);
  EXPECT_EQ(listed["sync_primitives"][0]["initial_count"], 2);
  const std::string name = "namespaces/default/syncPrimitives/door";
  EXPECT_EQ(ShmJson({"locks", name})["locks"].size(), 0u);
  EXPECT_THAT(Shm({"locks", name, "--break", "0"}).err,
              HasSubstr("SYNC_PRIMITIVE_INVALID"));
  EXPECT_EQ(Shm({"sync", "rm", "door"}).exit_code, 0);
  EXPECT_EQ(Shm({"sync", "rm", "door"}).exit_code, 3);
  ASSERT_EQ(Shm({"create", "hello", "--size", "4k"}).exit_code, 0);
  EXPECT_THAT(Shm({"locks", "hello"}).out, HasSubstr("0 at locks\n"));
}

TEST_F(ShmTest, NodeTellsWhatIsLeft) {
  EXPECT_EQ(ShmJson({"node"})["segment_count"], 0);
  EXPECT_THAT(Shm({"node"}).out, HasSubstr("memory available"));
}

TEST_F(ShmTest, HealthIsAProbe) {
  const ProgramEnd serving = Shm({"health"});
  EXPECT_EQ(serving.exit_code, 0) << serving.err;
  EXPECT_EQ(serving.out, "SERVING\n");
  EXPECT_EQ(ShmJson({"health"})["status"], "SERVING");
  EXPECT_EQ(Shm({"health", "--timeout=0"}).exit_code, 2);
}

TEST_F(ShmTest, ExitCodesFollowTheStatus) {
  EXPECT_EQ(Shm({"stat", "absent"}).exit_code, 3);
  EXPECT_THAT(Shm({"stat", "absent"}).err,
              HasSubstr("segments/absent (SEGMENT_NOT_FOUND)"));
  ASSERT_EQ(Shm({"create", "it", "-s", "4k"}).exit_code, 0);
  EXPECT_EQ(Shm({"create", "it", "-s", "4k"}).exit_code, 4);
  EXPECT_EQ(Shm({"resize", "it", "8k"}).exit_code, 6);
  EXPECT_EQ(Shm({"create", "big", "-s", "32T"}).exit_code, 7);
  EXPECT_EQ(Shm({"create", "a/b", "-s", "4k"}).exit_code, 8);
  const auto error =
      nlohmann::json::parse(Shm({"create", "big", "-s", "32T", "--json"}).err);
  EXPECT_EQ(error["error"]["code"], "RESOURCE_EXHAUSTED");
  EXPECT_EQ(error["error"]["metadata"]["requested"], "35184372088832");
}

TEST_F(ShmTest, AHandleThatWasNotCopiedWholeIsToldAsOne) {
  const std::string handle = ShmJson({"create", "it", "-s", "4k"})["handle"];
  for (const std::string& text :
       {handle.substr(0, handle.size() - 1), handle + "A", handle + "\"",
        handle + std::string(100, 'A'), handle.substr(0, 10)}) {
    const ProgramEnd end = Shm({"cat", text});
    EXPECT_EQ(end.exit_code, 8) << text;
    EXPECT_THAT(end.err, HasSubstr("(HANDLE_INVALID)\nhint: ")) << text;
  }
  EXPECT_EQ(Shm({"cat", "shm2.else"}).exit_code, 3);
  // Segments may be called so.
  ASSERT_EQ(Shm({"create", "shm1.it", "-s", "4k"}).exit_code, 0);
  EXPECT_EQ(Shm({"cat", "shm1.it"}).out, std::string(4096, '\0'));
}

TEST_F(ShmTest, WhatIsRevocableCanBeTakenAway) {
  ASSERT_EQ(Shm({"create", "a", "-s", "8k", "--revocable"}).exit_code, 0);
  ASSERT_EQ(Shm({"create", "b", "-s", "8k"}).exit_code, 0);
  EXPECT_THAT(Shm({"stat", "a"}).out, HasSubstr("revocable"));
  EXPECT_EQ(Shm({"cat", "a"}).out, std::string(8192, '\0'));
  EXPECT_EQ(Shm({"rm", "--revoke_memory", "a", "b"}).exit_code, 2);
  EXPECT_THAT(Shm({"rm", "--revoke_memory", "b"}).err,
              HasSubstr("hint: create it with --revocable"));
  EXPECT_EQ(Shm({"rm", "--revoke_memory", "a"}).exit_code, 0);
}

TEST_F(ShmTest, AHintIsNotWhatWasDoneAlready) {
  ASSERT_EQ(Shm({"create", "fixed", "-s", "8k"}).exit_code, 0);
  EXPECT_THAT(Shm({"resize", "fixed", "16k"}).err, HasSubstr("--resizable"));
  ASSERT_EQ(Shm({"create", "it", "-s", "8k", "--resizable"}).exit_code, 0);
  const ProgramEnd end = Shm({"resize", "it", "4k"});
  EXPECT_EQ(end.exit_code, 6);
  EXPECT_THAT(end.err, HasSubstr("can only grow (NOT_RESIZABLE)\nhint: make"));
}

TEST_F(ShmTest, OutputThatIsLostIsAnError) {
  for (const char* verb : {"node", "cat"}) {
    ASSERT_EQ(Shm({"create", verb, "-s", "4k"}).exit_code, 0);
    const ProgramEnd end =
        RunProgram({"/bin/bash", "-c", "\"$0\" $1 ${1/node/} > /dev/full",
                    Runfile("cli/shm"), verb},
                   {{"SHMD_SOCKET_DIR", server_->socket_dir()}});
    EXPECT_NE(end.exit_code, 0) << verb;
    EXPECT_NE(end.err, "") << verb;
  }
}

TEST_F(ShmTest, AnotherUidMayNotAttach) {
  const ProgramEnd put = Shm({"create", "private", "-s", "4k", "--quiet"});
  ASSERT_EQ(put.exit_code, 0) << put.err;
  // The binary may lie where only root can reach it.
  const std::string binary = absl::StrCat("/tmp/shm-", server_->token());
  ASSERT_EQ(RunProgram({"/bin/cp", Runfile("cli/shm"), binary}, {}).exit_code,
            0);
  const ProgramEnd end = RunProgram(
      {"/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
       binary, "cat", put.out.substr(0, put.out.find('\n'))},
      {{"SHMD_SOCKET_DIR", server_->socket_dir()}});
  remove(binary.c_str());
  EXPECT_EQ(end.exit_code, 5) << end.err;
  EXPECT_THAT(end.err, HasSubstr("(CALLER_NOT_ALLOWED)\nhint: ask its owner"));
}

TEST(ShmUsageTest, UsageErrorsNeedNoDaemon) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{
           {},
           {"frobnicate"},
           {"create", "x"},
           {"create", "x", "--size", "4x"},
           {"create", "x", "--size", "4k", "--mode", "9"},
           {"create", "x", "--size", "4k", "--sysv_key", "44"},
           {"create", "x", "--size", "4k", "--lazy", "--reserved"},
           {"adopt", "x"},
           {"adopt", "x", "--posix_name", "/x", "--sysv_key", "0x1"},
           {"set", "x"},
           {"completion", "tcsh"}}) {
    const ProgramEnd end = RunShm(arguments, "/nowhere");
    EXPECT_EQ(end.exit_code, 2) << ::testing::PrintToString(arguments);
    EXPECT_NE(end.err, "");
    EXPECT_EQ(end.out, "");
  }
}

TEST(ShmUsageTest, UsageErrorsAreJsonWhereThatIsAskedFor) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{
           {"--json"},
           {"frobnicate", "--json"},
           {"--json", "create", "x"},
           {"create", "x", "--size", "bogus", "--json"}}) {
    const ProgramEnd end = RunShm(arguments, "/nowhere");
    EXPECT_EQ(end.exit_code, 2) << ::testing::PrintToString(arguments);
    EXPECT_EQ(end.out, "");
    const auto error = nlohmann::json::parse(end.err, nullptr, false);
    ASSERT_TRUE(error.is_object()) << end.err;
    EXPECT_EQ(error["error"]["code"], "INVALID_ARGUMENT");
    EXPECT_NE(error["error"]["message"], "");
  }
  // What is behind -- is not for shm.
  const ProgramEnd plain =
      RunShm({"create", "x", "--size", "bogus", "--", "--json"}, "/nowhere");
  EXPECT_THAT(plain.err, StartsWith("shm: --size"));
  EXPECT_EQ(RunShm({"ls", "--json", "--help"}, "/nowhere").exit_code, 0);
}

TEST(ShmUsageTest, AVerbThatThereIsNotIsNamed) {
  EXPECT_THAT(RunShm({"frobnicate"}, "/nowhere").err,
              StartsWith("shm: there is no verb or option frobnicate\n"));
  EXPECT_THAT(RunShm({"namespace", "frobnicate", "x"}, "/nowhere").err,
              HasSubstr("verb or option frobnicate\n"));
  EXPECT_THAT(RunShm({"frobnicate", "--json"}, "/nowhere").err,
              HasSubstr("verb or option frobnicate\""));
}

TEST(ShmUsageTest, HelpSaysWhatBecomesOfAnAdoptedSegment) {
  const std::string help = RunShm({"adopt", "--help"}, "/nowhere").out;
  EXPECT_THAT(help, HasSubstr("disowned"));
  EXPECT_EQ(help.find("removed"), std::string::npos) << help;
  EXPECT_THAT(RunShm({"create", "--help"}, "/nowhere").out,
              HasSubstr("removed by itself after this long"));
}

TEST(ShmUsageTest, WithoutADaemonItSaysHowToStartOne) {
  const ProgramEnd end = RunShm({"ls"}, "/nowhere/at/all");
  EXPECT_EQ(end.exit_code, 9);
  EXPECT_THAT(end.err, HasSubstr("shmd --socket_dir=/nowhere/at/all"));
  EXPECT_THAT(end.err, HasSubstr("(SERVER_UNREACHABLE)"));
  EXPECT_THAT(RunShm({"--version"}, "/nowhere").out, StartsWith("shm "));
}

TEST(ShmUsageTest, HealthFailsWithoutADaemon) {
  const ProgramEnd end = RunShm({"health"}, "/nowhere/at/all");
  EXPECT_EQ(end.exit_code, 9);
  EXPECT_EQ(end.out, "");
  EXPECT_THAT(end.err, HasSubstr("SERVER_UNREACHABLE"));
}

// What bash makes of a line whose last word is to be completed.
std::string Completed(const std::string& script, const std::string& line) {
  return RunProgram({"/bin/bash", "-c",
                     absl::StrCat(script, "COMP_WORDS=(", line,
                                  "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); "
                                  "_shm; echo ${COMPREPLY[@]}")},
                    {})
      .out;
}

TEST(ShmUsageTest, CompletionKnowsTheVerbsOfNamespace) {
  const std::string bash = RunShm({"completion", "bash"}, "/nowhere").out;
  EXPECT_EQ(Completed(bash, "shm namespace ''"), "create set show rm\n");
  EXPECT_EQ(Completed(bash, "shm namespace cr"), "create\n");
  EXPECT_EQ(Completed(bash, "shm namespace create blue --everyb"),
            "--everybody\n");
  EXPECT_EQ(Completed(bash, "shm namespace rm --everyb"), "\n");
  // The verb `create` has other options.
  EXPECT_EQ(Completed(bash, "shm namespace create blue --posix"), "\n");
  EXPECT_EQ(Completed(bash, "shm create blue --everyb"), "\n");
  EXPECT_EQ(Completed(bash, "shm channel ''"), "create stat rm grant grants\n");
  EXPECT_EQ(Completed(bash, "shm sub news --pol"), "--policy\n");
  EXPECT_EQ(Completed(bash, "shm sync ''"), "create ls rm\n");
  EXPECT_EQ(Completed(bash, "shm sync create door --part"), "--parties\n");
  const std::string zsh = RunShm({"completion", "zsh"}, "/nowhere").out;
  EXPECT_THAT(zsh, HasSubstr("'namespace') verbs=(\n    'create:"));
  EXPECT_THAT(zsh, HasSubstr("'namespace rm') compadd -- "));
  const std::string fish = RunShm({"completion", "fish"}, "/nowhere").out;
  EXPECT_THAT(fish, HasSubstr("from create set show rm' -a create -d '"));
  EXPECT_THAT(fish, HasSubstr("'__fish_seen_subcommand_from namespace; and "
                              "__fish_seen_subcommand_from create' -l uid\n"));
  EXPECT_THAT(
      fish,
      HasSubstr("'__fish_seen_subcommand_from create; and not "
                "__fish_seen_subcommand_from namespace channel sync' -l "));
}

TEST(ShmUsageTest, CompletionKnowsTheValuesOfOptions) {
  const std::string bash = RunShm({"completion", "bash"}, "/nowhere").out;
  EXPECT_EQ(Completed(bash, "shm create --backend ''"),
            "memfd posix sysv mapped_file\n");
  EXPECT_EQ(Completed(bash, "shm create --backend p"), "posix\n");
  EXPECT_EQ(Completed(bash, "shm sub news --policy dr"), "drop_oldest\n");
  EXPECT_EQ(Completed(bash, "shm channel grant news --as s"),
            "subscriber server\n");
  EXPECT_EQ(Completed(bash, "shm sync create door --kind m"), "mutex\n");
  EXPECT_EQ(Completed(bash, "shm completion ''"), "bash zsh fish\n");
  EXPECT_EQ(Completed(bash, "shm create x --size 4 --help"), "--help\n");
  const std::string zsh = RunShm({"completion", "zsh"}, "/nowhere").out;
  EXPECT_THAT(zsh, HasSubstr("== --policy ]] && { compadd -- block "));
  const std::string fish = RunShm({"completion", "fish"}, "/nowhere").out;
  EXPECT_THAT(fish, HasSubstr(" -l backend -x -a 'memfd posix sysv "));
}

TEST(ShmUsageTest, CompletionAsksTheDaemonAndNamespaceOfTheLine) {
  const std::string bash = RunShm({"completion", "bash"}, "/nowhere").out +
                           "shm() { echo \"$@\"; };";
  EXPECT_EQ(Completed(bash, "shm stat ''"), "ls --quiet\n");
  EXPECT_EQ(Completed(bash, "shm --namespace prod stat ''"),
            "--namespace=prod ls --quiet\n");
  EXPECT_EQ(Completed(bash, "shm --namespace=prod stat ''"),
            "--namespace=prod ls --quiet\n");
  // As bash itself splits it; a value may be called as a verb is.
  EXPECT_EQ(Completed(bash, "shm stat --socket_dir = get --namespace rm ''"),
            "--socket_dir=get --namespace=rm ls --quiet\n");
  EXPECT_EQ(Completed(bash, "shm --namespace prod channel stat ''"),
            "--namespace=prod channels --quiet\n");
  EXPECT_EQ(Completed(bash, "shm --namespace stat"), "\n");
}

TEST(ShmUsageTest, CompletionScriptsAreValidAndKnowTheVerbs) {
  const ProgramEnd bash = RunShm({"completion", "bash"}, "/nowhere");
  ASSERT_EQ(bash.exit_code, 0) << bash.err;
  EXPECT_EQ(RunProgram({"/bin/bash", "-n", "-c", bash.out}, {}).exit_code, 0);
  EXPECT_EQ(Completed(bash.out, "shm resi"), "resize\n");
  EXPECT_EQ(Completed(bash.out, "shm create --pos"), "--posix_name\n");
  EXPECT_THAT(RunShm({"completion", "zsh"}, "/nowhere").out,
              StartsWith("#compdef shm\n"));
  EXPECT_THAT(RunShm({"completion", "fish"}, "/nowhere").out,
              HasSubstr("-a create"));
}

}  // namespace
}  // namespace shmd::testing
