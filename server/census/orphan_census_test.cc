#include "server/census/orphan_census.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/census/other_daemons.h"
#include "shm/sys/socket.h"

namespace shmd {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr uid_t kOwner = 4001;

Caller CallerOf(uid_t uid) {
  Caller caller;
  caller.uid = uid;
  caller.is_administrator = uid == 0;
  return caller;
}

// Runs `work` to its end in a process that is gone then.
pid_t RunDead(const std::function<void()>& work) {
  const pid_t pid = fork();
  if (pid == 0) {
    work();
    _exit(0);
  }
  int status = -1;
  waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
  return pid;
}

bool MakePosix(const char* name, size_t size_bytes) {
  const UniqueFd fd(shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
  return fd.valid() && posix_fallocate(fd.get(), 0, size_bytes) == 0;
}

std::string Words(const Orphan& orphan) {
  return absl::StrJoin(orphan.evidence, "; ");
}

// In namespaces of its own: /dev/shm and System V belong to nobody else.
class OrphanCensusTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    ASSERT_EQ(unshare(CLONE_NEWNS | CLONE_NEWIPC), 0) << "runs as root";
    ASSERT_EQ(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  }

  void SetUp() override {
    ASSERT_EQ(mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=64m,mode=1777"), 0);
    clock_.JumpWallTime(absl::Now() - clock_.WallTime());
    JumpDays(3);
  }

  void TearDown() override { umount2("/dev/shm", MNT_DETACH); }

  void JumpDays(int days) {
    // An hour more, so that three days are over.
    clock_.JumpWallTime(absl::Hours(24 * days + 1));
  }

  std::vector<Orphan> List(uid_t uid = 0) {
    absl::StatusOr<std::vector<Orphan>> found = census_.List(CallerOf(uid));
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? *std::move(found) : std::vector<Orphan>();
  }

  std::vector<std::string> Locations(uid_t uid = 0) {
    std::vector<std::string> out;
    for (const Orphan& orphan : List(uid)) {
      out.push_back(orphan.object.location);
    }
    return out;
  }

  std::string RemoveReason(const Orphan& orphan, uid_t uid = 0,
                           bool allow_living_creator = false) {
    const absl::Status status =
        census_.Remove(CallerOf(uid), orphan.object.id, orphan.object.etag,
                       allow_living_creator);
    return status.ok() ? "OK" : GetErrorReason(status);
  }

  FakeClock clock_;
  std::function<bool(const ObjectName&)> is_segment_ = [](const ObjectName&) {
    return false;
  };
  OrphanCensus census_{
      [this](const ObjectName& name) { return is_segment_(name); }, &clock_,
      OrphanCensus::Settings()};
};

TEST_F(OrphanCensusTest, WhatADeadProcessLeftIsListedAndRemoved) {
  int key = 0x44;
  const pid_t maker = RunDead([key] {
    if (!MakePosix("/leaked", 8192) ||
        shmget(key, 10000, IPC_CREAT | 0640) < 0) {
      _exit(1);
    }
  });
  const std::vector<Orphan> found = List();
  ASSERT_EQ(found.size(), 2u);
  const Orphan& posix = found[0];
  EXPECT_EQ(posix.object.location, "/leaked");
  EXPECT_EQ(posix.object.size_bytes, 8192u);
  EXPECT_EQ(posix.object.resident_bytes, 8192u);
  EXPECT_EQ(posix.hidden_processes, 0u);
  EXPECT_THAT(Words(posix), HasSubstr("no process has it mapped or open ("));
  EXPECT_THAT(Words(posix), HasSubstr("the kernel counts no descriptor"));
  EXPECT_THAT(Words(posix), HasSubstr("3 days ago"));
  EXPECT_THAT(Words(posix), Not(HasSubstr("against it")));
  const Orphan& sysv = found[1];
  EXPECT_EQ(sysv.object.location, "0x00000044");
  EXPECT_EQ(sysv.object.size_bytes, 10000u);
  EXPECT_EQ(sysv.object.mode, 0640u);
  EXPECT_EQ(sysv.object.creator, maker);
  EXPECT_FALSE(sysv.creator_alive);
  EXPECT_THAT(Words(sysv), HasSubstr("the kernel counts no attachment"));
  EXPECT_THAT(Words(sysv),
              HasSubstr(absl::StrCat("process ", maker, ", is gone")));
  EXPECT_THAT(Words(sysv), HasSubstr("nobody has ever attached it"));

  EXPECT_EQ(RemoveReason(posix), "OK");
  EXPECT_EQ(RemoveReason(sysv), "OK");
  EXPECT_THAT(List(), IsEmpty());
  EXPECT_EQ(access("/dev/shm/leaked", F_OK), -1);
  EXPECT_EQ(shmget(key, 0, 0), -1);
  EXPECT_EQ(RemoveReason(posix), reason::kOrphanNotFound);
  EXPECT_EQ(RemoveReason(sysv), reason::kOrphanNotFound);
}

TEST_F(OrphanCensusTest, WhatIsMappedOrMerelyOpenIsNone) {
  RunDead([] {
    if (!MakePosix("/mapped", 4096) || !MakePosix("/open", 4096)) _exit(1);
  });
  const int shmid = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
  void* const attached = shmat(shmid, nullptr, 0);
  const std::vector<Orphan> before = List();
  ASSERT_EQ(before.size(), 2u);

  UniqueFd mapped_fd(shm_open("/mapped", O_RDWR, 0));
  void* const mapped =
      mmap(nullptr, 4096, PROT_READ, MAP_SHARED, mapped_fd.get(), 0);
  mapped_fd.Reset();
  UniqueFd open_fd(shm_open("/open", O_RDONLY, 0));
  EXPECT_THAT(List(), IsEmpty());
  for (const Orphan& orphan : before) {
    EXPECT_EQ(RemoveReason(orphan), reason::kOrphanInUse);
  }
  munmap(mapped, 4096);
  open_fd.Reset();
  shmdt(attached);
  EXPECT_EQ(List().size(), 3u);
  shmctl(shmid, IPC_RMID, nullptr);
}

TEST_F(OrphanCensusTest, ADescriptorOnItsWayThroughASocketIsAUse) {
  RunDead([] {
    if (!MakePosix("/sent", 4096)) _exit(1);
  });
  // Neither in /proc/PID/fd nor in /proc/PID/maps of anybody: a lease is what
  // tells. Here a file that nobody has open is held by a process that this one
  // takes no notice of.
  UniqueFd fd(shm_open("/sent", O_RDONLY, 0));
  ASSERT_TRUE(fd.valid());
  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets), 0);
  const UniqueFd receiver(sockets[0]);
  const UniqueFd sender(sockets[1]);
  ASSERT_TRUE(sys::SendDatagram(sender.get(), "x", fd.get()).ok());
  fd.Reset();
  EXPECT_THAT(List(), IsEmpty());
}

TEST_F(OrphanCensusTest, WhatWasUsedAMinuteAgoIsListedAndStays) {
  ASSERT_TRUE(MakePosix("/young", 4096));
  clock_.JumpWallTime(absl::Now() + absl::Seconds(30) - clock_.WallTime());
  const std::vector<Orphan> found = List();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(Words(found[0]),
              HasSubstr("against it: that is less than 1 minute"));
  EXPECT_EQ(RemoveReason(found[0]), reason::kOrphanInUse);
  clock_.JumpWallTime(absl::Seconds(40));
  EXPECT_EQ(RemoveReason(found[0]), "OK");
}

TEST_F(OrphanCensusTest, ASegmentIsNone) {
  ASSERT_TRUE(MakePosix("/segment", 4096));
  const std::vector<Orphan> found = List();
  ASSERT_EQ(found.size(), 1u);
  is_segment_ = [&](const ObjectName& name) {
    return name.device == found[0].object.name.device &&
           name.inode == found[0].object.name.inode;
  };
  EXPECT_THAT(List(), IsEmpty());
  EXPECT_EQ(RemoveReason(found[0]), reason::kOrphanInUse);
}

TEST_F(OrphanCensusTest, ADaemonThatHasEndedOwnsNothing) {
  ASSERT_TRUE(MakePosix("/left", 4096));
  const std::vector<Orphan> found = List();
  ASSERT_EQ(found.size(), 1u);
  OtherDaemon daemon;
  daemon.pid = getpid();
  EXPECT_TRUE(PossibleOwner({daemon}, found[0].object).has_value());
  daemon.pid = RunDead([] {});
  EXPECT_FALSE(PossibleOwner({daemon}, found[0].object).has_value());
}

// Descriptors from now on: those that are open, and `count` more.
class FewDescriptors {
 public:
  explicit FewDescriptors(int count) {
    getrlimit(RLIMIT_NOFILE, &before_);
    const UniqueFd next(open("/dev/null", O_RDONLY | O_CLOEXEC));
    const rlimit few = {static_cast<rlim_t>(next.get() + count),
                        before_.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few);
  }
  ~FewDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_ = {};
};

TEST_F(OrphanCensusTest, WhatCannotBeLookedAtIsAnErrorAndNoShorterList) {
  RunDead([] {
    if (!MakePosix("/leaked", 4096) || shmget(0x44, 4096, IPC_CREAT) < 0) {
      _exit(1);
    }
  });
  constexpr int kEnough = 6;
  for (int count = 0; count <= kEnough; ++count) {
    const FewDescriptors few(count);
    const absl::StatusOr<std::vector<Orphan>> found = census_.List(CallerOf(0));
    if (count == 0 || !found.ok()) {
      EXPECT_EQ(GetErrorReason(found.status()), reason::kDescriptorsExhausted)
          << count << " free: " << found.status();
      EXPECT_LT(count, kEnough);
    } else {
      EXPECT_EQ(found->size(), 2u) << count << " free";
    }
  }
  for (const Orphan& orphan : List()) EXPECT_EQ(RemoveReason(orphan), "OK");
}

TEST_F(OrphanCensusTest, NothingIsRemovedAfterALookThatSawTooLittle) {
  RunDead([] {
    if (!MakePosix("/leaked", 4096)) _exit(1);
  });
  const std::vector<Orphan> found = List();
  ASSERT_EQ(found.size(), 1u);
  {
    const FewDescriptors few(0);
    EXPECT_EQ(RemoveReason(found[0]), reason::kDescriptorsExhausted);
  }
  EXPECT_EQ(RemoveReason(found[0]), "OK");
}

TEST_F(OrphanCensusTest, OwnersSeeTheirOwn) {
  ASSERT_TRUE(MakePosix("/roots", 4096));
  RunDead([] {
    if (setresuid(kOwner, kOwner, kOwner) != 0 || !MakePosix("/owned", 4096)) {
      _exit(1);
    }
  });
  EXPECT_THAT(Locations(kOwner), ElementsAre("/owned"));
  EXPECT_THAT(Locations(kOwner + 1), IsEmpty());
  const std::vector<Orphan> all = List();
  ASSERT_EQ(all.size(), 2u);
  for (const Orphan& orphan : all) {
    EXPECT_EQ(RemoveReason(orphan, kOwner + 1), reason::kCallerNotAllowed);
  }
  EXPECT_EQ(RemoveReason(List(kOwner)[0], kOwner), "OK");
}

TEST_F(OrphanCensusTest, WhatWasWrittenOrReplacedSinceStays) {
  ASSERT_TRUE(MakePosix("/changed", 4096));
  Orphan listed = List()[0];
  {
    const UniqueFd fd(shm_open("/changed", O_RDWR, 0));
    ASSERT_EQ(ftruncate(fd.get(), 8192), 0);
  }
  EXPECT_EQ(RemoveReason(listed), reason::kEtagMismatch);
  listed = List()[0];
  EXPECT_EQ(RemoveReason(listed), "OK");

  const int shmid = shmget(0x45, 4096, IPC_CREAT | 0600);
  const Orphan segment = List()[0];
  shmdt(shmat(shmid, nullptr, 0));
  EXPECT_EQ(RemoveReason(segment), reason::kEtagMismatch);
  shmctl(shmid, IPC_RMID, nullptr);
}

TEST_F(OrphanCensusTest, ALivingCreatorSpeaksAgainstIt) {
  const int shmid = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
  const std::vector<Orphan> found = List();
  EXPECT_EQ(found.size(), 1u);
  if (found.size() == 1) {
    EXPECT_TRUE(found[0].creator_alive);
    EXPECT_EQ(found[0].object.creator, getpid());
    EXPECT_THAT(Words(found[0]), HasSubstr("and lives"));
    EXPECT_EQ(RemoveReason(found[0]), reason::kOrphanInUse);
    shmid_ds stat = {};
    EXPECT_EQ(shmctl(shmid, IPC_STAT, &stat), 0);
    EXPECT_EQ(RemoveReason(found[0], 0, /*allow_living_creator=*/true), "OK");
  }
  EXPECT_EQ(shmctl(shmid, IPC_RMID, nullptr), -1);
}

TEST_F(OrphanCensusTest, NamesTellSemaphoresAndWhatIsNotFinished) {
  ASSERT_TRUE(MakePosix("/sem.left", 32));
  ASSERT_TRUE(MakePosix("/.shmd-half", 4096));
  ASSERT_EQ(mkdir("/dev/shm/folder", 0700), 0);
  ASSERT_EQ(symlink("/etc/passwd", "/dev/shm/link"), 0);
  ASSERT_EQ(mkfifo("/dev/shm/fifo", 0600), 0);
  const std::vector<Orphan> found = List();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].object.location, "/sem.left");
  EXPECT_THAT(Words(found[0]), HasSubstr("semaphore"));
}

TEST_F(OrphanCensusTest, WhatMayBeAnotherDaemonsStays) {
  ASSERT_TRUE(MakePosix("/whose", 4096));
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t other = fork();
  if (other == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "shmd");
    if (write(pipe_ends[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  char ready = 0;
  ASSERT_EQ(read(pipe_ends[0], &ready, 1), 1);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
  const std::vector<Orphan> found = List();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_THAT(Words(found[0]),
              HasSubstr(absl::StrCat("another daemon, process ", other)));
  EXPECT_EQ(RemoveReason(found[0]), reason::kOrphanInUse);
  kill(other, SIGKILL);
  waitpid(other, nullptr, 0);
  EXPECT_EQ(RemoveReason(found[0]), "OK");
}

TEST_F(OrphanCensusTest, FilesOnHugetlbfsAreJudgedToo) {
  const std::string folder =
      absl::StrCat(getenv("TEST_TMPDIR"), "/huge-", getpid());
  ASSERT_EQ(mkdir(folder.c_str(), 0700), 0);
  ASSERT_EQ(mount("none", folder.c_str(), "hugetlbfs", 0, "pagesize=2M"), 0);
  ASSERT_EQ(mkdir((folder + "/rte").c_str(), 0700), 0);
  const std::string path = folder + "/rte/map_0";
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT, 0600));
  EXPECT_EQ(ftruncate(fd.get(), 2 << 20), 0);
  EXPECT_THAT(List(), IsEmpty());
  fd.Reset();
  const std::vector<Orphan> found = List();
  EXPECT_EQ(found.size(), 1u);
  if (found.size() == 1) {
    EXPECT_EQ(found[0].object.location, path);
    EXPECT_EQ(found[0].object.page_size_bytes, 2u << 20);
    EXPECT_EQ(RemoveReason(found[0]), "OK");
  }
  EXPECT_EQ(access(path.c_str(), F_OK), -1);
  umount2(folder.c_str(), MNT_DETACH);
  rmdir(folder.c_str());
}

TEST(OrphanNameTest, OnlyNamesThatListsGiveAreNames) {
  for (const char* good : {"orphans/posix-7", "orphans/sysv-0",
                           "orphans/hugetlbfs-40-18446744073709551615"}) {
    EXPECT_TRUE(ParseOrphanName("name", good).ok()) << good;
  }
  for (const char* bad :
       {"", "orphans/", "posix-7", "orphans/posix-", "orphans/posix-7/x",
        "orphans/posix--7", "orphans/posix-07", "orphans/sysv-x",
        "orphans/hugetlbfs-7", "orphans/hugetlbfs-7-8-9", "orphans/memfd-7",
        "orphans/posix-18446744073709551616"}) {
    const absl::Status status = ParseOrphanName("name", bad).status();
    EXPECT_EQ(GetErrorReason(status), reason::kNameInvalid) << bad;
    EXPECT_EQ(GetErrorDetail(status).field, "name");
  }
}

}  // namespace
}  // namespace shmd
