#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/testing/program.h"
#include "tests/testing/scoped_server.h"

// `shm doctor`, `gc`, `top`, `who` and `sessions`, in namespaces of their own:
// what they find and remove belongs to nobody else.

namespace shmd::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class LeakTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_EQ(unshare(CLONE_NEWNS | CLONE_NEWIPC), 0) << "runs as root";
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    ASSERT_EQ(mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=64m,mode=1777"), 0);
  }

  void SetUp() override {
    ScopedServer::Options options;
    options.flags = {"--orphan_age_seconds=0"};
    auto server = ScopedServer::Start(options);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  ProgramEnd Shm(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), Runfile("cli/shm"));
    return RunProgram(arguments, {{"SHMD_SOCKET_DIR", server_->socket_dir()}});
  }

  // `shm ARGUMENTS` on a terminal, where `typed` is typed.
  ProgramEnd ShmOnTerminal(const std::string& arguments,
                           const std::string& typed) {
    return RunProgram({"/bin/bash", "-c",
                       absl::StrCat("printf '", typed, "' | script -qec \"$0 ",
                                    arguments, "\" /dev/null"),
                       Runfile("cli/shm")},
                      {{"SHMD_SOCKET_DIR", server_->socket_dir()}});
  }

  nlohmann::json ShmJson(std::vector<std::string> arguments) {
    arguments.push_back("--json");
    const ProgramEnd end = Shm(arguments);
    EXPECT_EQ(end.exit_code, 0) << end.err;
    return nlohmann::json::parse(end.out, nullptr, /*allow_exceptions=*/false);
  }

  // Leaves an object in /dev/shm behind.
  std::string Leak(const std::string& what) {
    const std::string name = absl::StrCat("/", server_->token(), "-", what);
    const int fd = shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    EXPECT_EQ(posix_fallocate(fd, 0, 8192), 0);
    close(fd);
    return name;
  }

  // The shmid of a segment whose creator has gone; negative when that fails.
  static int LeakSysv() {
    int ends[2];
    if (pipe(ends) != 0) return -1;
    const pid_t creator = fork();
    if (creator == 0) {
      const int made = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
      _exit(write(ends[1], &made, sizeof(made)) == sizeof(made) ? 0 : 1);
    }
    int shmid = -1;
    EXPECT_EQ(waitpid(creator, nullptr, 0), creator);
    EXPECT_EQ(read(ends[0], &shmid, sizeof(shmid)),
              static_cast<ssize_t>(sizeof(shmid)));
    close(ends[0]);
    close(ends[1]);
    EXPECT_GE(shmid, 0);
    return shmid;
  }

  static bool Exists(const std::string& name) {
    return access(absl::StrCat("/dev/shm", name).c_str(), F_OK) == 0;
  }

  std::unique_ptr<ScopedServer> server_;
};

TEST_F(LeakTest, DoctorListsOrphansWithEvidence) {
  const std::string name = Leak("left");
  const ProgramEnd end = Shm({"doctor"});
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_THAT(end.out, HasSubstr("OK    daemon: shmd "));
  EXPECT_THAT(end.out, HasSubstr("LOOK  orphans: 1, 8 KiB of memory\n"));
  EXPECT_THAT(end.out, HasSubstr(absl::StrCat("POSIX  ", name, "  8 KiB")));
  EXPECT_THAT(end.out, HasSubstr("  - no process has it mapped or open ("));
  EXPECT_THAT(end.out, HasSubstr("grpc.sock: mode 0666: every user"));
  EXPECT_THAT(end.out, HasSubstr("RLIMIT_NOFILE of shmd: "));

  const auto json = ShmJson({"doctor"});
  EXPECT_EQ(json["orphan_bytes"], 8192);
  ASSERT_EQ(json["orphans"].size(), 1u);
  EXPECT_EQ(json["orphans"][0]["location"], name);
  EXPECT_EQ(json["orphans"][0]["mode"], "0600");
  shm_unlink(name.c_str());
  EXPECT_EQ(ShmJson({"doctor"})["orphans"].size(), 0u);
}

TEST_F(LeakTest, DoctorWithoutADaemonLooksAtTheHost) {
  ASSERT_TRUE(server_->Stop().ok());
  const ProgramEnd end = Shm({"doctor"});
  EXPECT_EQ(end.exit_code, 9);
  EXPECT_THAT(end.out, HasSubstr("LOOK  daemon: "));
  EXPECT_THAT(end.out, HasSubstr("/dev/shm: "));
  EXPECT_THAT(end.err, HasSubstr("(SERVER_UNREACHABLE)"));
}

TEST_F(LeakTest, GcAsksForEach) {
  const std::string first = Leak("a");
  const std::string second = Leak("b");
  const std::string third = Leak("c");
  const ProgramEnd refused = Shm({"gc"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--yes"));
  EXPECT_EQ(Shm({"gc", "--json"}).exit_code, 2);
  EXPECT_EQ(Shm({"gc", "--yes", "--dry_run"}).exit_code, 2);

  const ProgramEnd dry = Shm({"gc", "--dry-run"});
  EXPECT_EQ(dry.exit_code, 0) << dry.err;
  EXPECT_THAT(dry.out, HasSubstr("3 orphans, 24 KiB of memory; nothing"));

  // No, nothing said, yes: whichever comes third in the list goes.
  const ProgramEnd asked = ShmOnTerminal("gc", "n\\n\\ny\\n");
  EXPECT_EQ(asked.exit_code, 0) << asked.out;
  EXPECT_THAT(asked.out, HasSubstr("1 removed, 8 KiB of memory; 2 kept, 0"));
  EXPECT_EQ(Exists(first) + Exists(second) + Exists(third), 2);
  const ProgramEnd quit = ShmOnTerminal("gc", "q\\n");
  EXPECT_THAT(quit.out, HasSubstr("0 removed, 0 B of memory; 2 kept, 0"));
  const ProgramEnd all = ShmOnTerminal("gc", "a\\n");
  EXPECT_THAT(all.out, HasSubstr("2 removed, 16 KiB of memory; 0 kept, 0"));
  EXPECT_FALSE(Exists(first) || Exists(second) || Exists(third));
}

TEST_F(LeakTest, GcRemovesWhatNobodyUsesAndNothingElse) {
  const std::string left = Leak("left");
  const std::string used = Leak("used");
  const int fd = shm_open(used.c_str(), O_RDWR, 0);
  ASSERT_EQ(Shm({"create", "segment", "-s", "4k", "--posix_name",
                 "/" + server_->token()})
                .exit_code,
            0);
  const int shmid = LeakSysv();
  const auto json = ShmJson({"gc", "--yes"});
  close(fd);
  EXPECT_EQ(json["removed"].size(), 2u) << json;
  EXPECT_EQ(json["failed"].size(), 0u);
  EXPECT_FALSE(Exists(left));
  EXPECT_TRUE(Exists(used));
  EXPECT_TRUE(Exists("/" + server_->token()));
  shmid_ds found = {};
  EXPECT_EQ(shmctl(shmid, IPC_STAT, &found), -1);
  shm_unlink(used.c_str());
}

TEST_F(LeakTest, GcPassesOverWhatHasALivingCreatorUnlessTold) {
  const int own = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
  const std::string left = Leak("left");
  const ProgramEnd dry = Shm({"gc", "--dry_run"});
  EXPECT_THAT(dry.out, HasSubstr("  kept: its creator lives"));
  EXPECT_THAT(dry.out, HasSubstr("1 orphans, 8 KiB of memory; nothing"));
  EXPECT_THAT(dry.out, HasSubstr("\n1 more have a creator that lives"));
  const auto json = ShmJson({"gc", "--yes"});
  EXPECT_EQ(json["removed"].size(), 1u) << json;
  EXPECT_EQ(json["failed"].size(), 0u);
  ASSERT_EQ(json["skipped"].size(), 1u);
  EXPECT_EQ(json["skipped"][0]["creator_pid"], getpid());
  EXPECT_FALSE(Exists(left));
  shmid_ds found = {};
  EXPECT_EQ(shmctl(own, IPC_STAT, &found), 0);

  const ProgramEnd told = Shm({"gc", "--yes", "--allow_living_creator"});
  EXPECT_EQ(told.exit_code, 0) << told.err;
  EXPECT_THAT(told.out, HasSubstr("1 removed, "));
  EXPECT_EQ(shmctl(own, IPC_STAT, &found), -1);
}

TEST_F(LeakTest, GcTellsWhatItCouldNotRemove) {
  ScopedServer::Options options;  // with the usual minute
  auto careful = ScopedServer::Start(options);
  ASSERT_TRUE(careful.ok()) << careful.status();
  server_ = *std::move(careful);
  const std::string young = Leak("young");
  const ProgramEnd end = Shm({"gc", "--yes"});
  EXPECT_EQ(end.exit_code, 6);
  EXPECT_THAT(end.out, HasSubstr("not removed: it was used less than"));
  EXPECT_THAT(end.out, HasSubstr("0 removed"));
  EXPECT_THAT(end.err, HasSubstr("(ORPHAN_IN_USE)"));
  EXPECT_TRUE(Exists(young));
  shm_unlink(young.c_str());
}

TEST_F(LeakTest, TopShowsTheLargestFirst) {
  ASSERT_EQ(Shm({"create", "small", "-s", "4k"}).exit_code, 0);
  ASSERT_EQ(Shm({"create", "large", "-s", "1M"}).exit_code, 0);
  const ProgramEnd end = Shm({"top", "--once"});
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_THAT(end.out, HasSubstr("segments 2, "));
  EXPECT_LT(end.out.find("large"), end.out.find("small"));
  EXPECT_THAT(end.out, Not(HasSubstr("\033")));
  const auto json = ShmJson({"top", "--once", "--limit", "1"});
  ASSERT_EQ(json["segments"].size(), 1u);
  EXPECT_EQ(json["segments"][0]["size_bytes"], 1 << 20);
  EXPECT_EQ(json["node"]["segment_count"], 2);
  EXPECT_EQ(Shm({"top", "--interval", "0"}).exit_code, 2);
}

TEST_F(LeakTest, TopShowsAllNamespacesOrTheOneNamed) {
  ASSERT_EQ(Shm({"namespace", "create", "blue"}).exit_code, 0);
  ASSERT_EQ(Shm({"create", "here", "-s", "4k"}).exit_code, 0);
  ASSERT_EQ(
      Shm({"--namespace", "blue", "create", "there", "-s", "8k"}).exit_code, 0);
  const ProgramEnd all = Shm({"top", "--once"});
  EXPECT_EQ(all.exit_code, 0) << all.err;
  EXPECT_THAT(all.out, HasSubstr("namespace blue  1 segments to see, "));
  EXPECT_THAT(all.out, HasSubstr("namespace default  1 segments to see, "));
  EXPECT_THAT(all.out, HasSubstr("default    here"));
  EXPECT_THAT(all.out, HasSubstr("blue       there"));
  const auto json = ShmJson({"top", "--once"});
  EXPECT_EQ(json["namespaces"].size(), 2u);
  EXPECT_EQ(json["segments"][0]["name"], "namespaces/blue/segments/there");
  EXPECT_EQ(json["segments"][1]["name"], "namespaces/default/segments/here");

  for (const char* name : {"blue", "default"}) {
    const auto one = ShmJson({"top", "--once", "--namespace", name});
    ASSERT_EQ(one["segments"].size(), 1u) << one;
    EXPECT_EQ(one["segments"][0]["size_bytes"],
              std::string(name) == "blue" ? 8192 : 4096);
    EXPECT_EQ(one["namespaces"][0]["name"], absl::StrCat("namespaces/", name));
    for (const auto& session : one["sessions"]) {
      EXPECT_EQ(session["namespace"], absl::StrCat("namespaces/", name));
    }
    EXPECT_GE(one["sessions"].size(), 1u);  // its own
  }
  EXPECT_EQ(Shm({"top", "--once", "--namespace", "green"}).exit_code, 3);
}

TEST_F(LeakTest, TopGoesOnUntilNobodyReads) {
  const ProgramEnd end =
      RunProgram({"/bin/bash", "-c",
                  "\"$0\" top --interval 0.1 --json | head -n 3 | wc -l",
                  Runfile("cli/shm")},
                 {{"SHMD_SOCKET_DIR", server_->socket_dir()}});
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_EQ(end.out, "3\n");
}

TEST(LeakUsageTest, UsageErrorsNeedNoDaemon) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{"who"}, {"gc"}, {"gc", "x"}}) {
    std::vector<std::string> command = arguments;
    command.insert(command.begin(), Runfile("cli/shm"));
    const ProgramEnd end =
        RunProgram(command, {{"SHMD_SOCKET_DIR", "/nowhere"}});
    EXPECT_EQ(end.exit_code, 2) << ::testing::PrintToString(arguments);
    EXPECT_NE(end.err, "");
  }
}

}  // namespace
}  // namespace shmd::testing
