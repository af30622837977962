#include "server/census/process_scan.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "server/census/segment_users.h"
#include "shm/sys/memfd.h"

namespace shmd {
namespace {

// A child that does `work`, says so, and waits for its end, which is that of
// this object.
class Child {
 public:
  explicit Child(const std::function<bool()>& work, uid_t uid = 0) {
    int pipe_ends[2];
    if (pipe(pipe_ends) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      prctl(PR_SET_NAME, "census child");
      if (uid != 0 && setresuid(uid, uid, uid) != 0) _exit(1);
      const char done = work() ? 'y' : 'n';
      if (write(pipe_ends[1], &done, 1) != 1) _exit(1);
      for (;;) pause();
    }
    close(pipe_ends[1]);
    char done = 'n';
    ready_ = read(pipe_ends[0], &done, 1) == 1 && done == 'y';
    close(pipe_ends[0]);
  }

  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  ~Child() { End(); }

  void End() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

  // Dead, and not yet waited for.
  void MakeZombie() const {
    kill(pid_, SIGKILL);
    siginfo_t end = {};
    waitid(P_PID, static_cast<id_t>(pid_), &end, WEXITED | WNOWAIT);
  }

  pid_t pid() const { return pid_; }
  bool ready() const { return ready_; }

 private:
  pid_t pid_ = -1;
  bool ready_ = false;
};

class ProcessScanTest : public ::testing::Test {
 protected:
  ProcessScanTest()
      : name_(absl::StrCat("/census-", getpid())),
        fd_(shm_open(name_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC,
                     0666)) {
    EXPECT_EQ(ftruncate(fd_.get(), 3 * 4096), 0);
    struct stat found = {};
    EXPECT_EQ(fstat(fd_.get(), &found), 0);
    id_ = {ObjectId::Kind::kInode, found.st_dev, found.st_ino};
  }

  ~ProcessScanTest() override { shm_unlink(name_.c_str()); }

  // How `pid` uses the object.
  std::optional<ObjectUse> UseBy(pid_t pid, bool with_descriptors = true) {
    WantedObjects wanted;
    wanted.devices = {id_.device};
    wanted.sysv = true;
    const auto scan = ScanProcesses(wanted, with_descriptors);
    EXPECT_TRUE(scan.ok()) << scan.status();
    for (const ProcessUse& use : scan->uses) {
      const auto object = use.objects.find(id_);
      if (use.pid == pid && object != use.objects.end()) return object->second;
    }
    return std::nullopt;
  }

  const std::string name_;
  UniqueFd fd_;
  ObjectId id_;
};

TEST_F(ProcessScanTest, FindsWhoHasItMapped) {
  const Child child([this] {
    void* const two =
        mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    void* const one =
        mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd_.get(), 8192);
    fd_.Reset();
    return two != MAP_FAILED && one != MAP_FAILED;
  });
  ASSERT_TRUE(child.ready());
  const auto use = UseBy(child.pid(), /*with_descriptors=*/false);
  ASSERT_TRUE(use.has_value());
  EXPECT_EQ(use->mapped_bytes, 3 * 4096u);
  EXPECT_TRUE(use->writable);
}

TEST_F(ProcessScanTest, FindsWhoHasItMerelyOpen) {
  Child child([] { return true; });
  ASSERT_TRUE(child.ready());
  EXPECT_FALSE(UseBy(child.pid(), /*with_descriptors=*/false).has_value());
  const auto use = UseBy(child.pid());
  ASSERT_TRUE(use.has_value());
  EXPECT_EQ(use->mapped_bytes, 0u);
  EXPECT_FALSE(use->writable);
  const pid_t pid = child.pid();
  child.End();
  EXPECT_FALSE(UseBy(pid).has_value());
}

TEST_F(ProcessScanTest, AZombieUsesNothingAndIsNotHidden) {
  const Child child([] { return true; });
  ASSERT_TRUE(child.ready());
  child.MakeZombie();
  EXPECT_FALSE(UseBy(child.pid()).has_value());
  EXPECT_EQ(IsAlive(child.pid()).value(), false);
  EXPECT_EQ(IsAlive(getpid()).value(), true);
}

TEST_F(ProcessScanTest, UsersAreToldWithTheirFacts) {
  const Child child(
      [this] {
        return mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd_.get(), 0) !=
               MAP_FAILED;
      },
      4001);
  ASSERT_TRUE(child.ready());
  const auto users = FindUsers(id_);
  ASSERT_TRUE(users.ok()) << users.status();
  ASSERT_EQ(users->users.size(), 1u) << "this test has it open, not mapped";
  const ObjectUser& user = users->users[0];
  EXPECT_EQ(user.pid, child.pid());
  EXPECT_EQ(user.uid, 4001u);
  EXPECT_EQ(user.command, "census child");
  EXPECT_EQ(user.mapped_bytes, 4096u);
  EXPECT_FALSE(user.writable);
}

TEST_F(ProcessScanTest, FindsUsersOfMemfdsAndSystemV) {
  const auto memfd = sys::MemfdCreate(4096);
  ASSERT_TRUE(memfd.ok()) << memfd.status();
  ASSERT_EQ(ftruncate(memfd->get(), 4096), 0);
  const int shmid = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
  ASSERT_GE(shmid, 0);
  void* const mapped =
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, memfd->get(), 0);
  void* const attached = shmat(shmid, nullptr, SHM_RDONLY);
  shmctl(shmid, IPC_RMID, nullptr);  // goes with its last mapping
  ASSERT_NE(mapped, MAP_FAILED);
  ASSERT_NE(attached, MAP_FAILED);

  const auto memfd_id = IdOf(ObjectRef(UniqueFd(dup(memfd->get()))));
  ASSERT_TRUE(memfd_id.ok());
  const auto of_memfd = FindUsers(*memfd_id);
  const auto sysv_id = IdOf(ObjectRef(SysvId{shmid}));
  ASSERT_TRUE(sysv_id.ok());
  const auto of_sysv = FindUsers(*sysv_id);
  munmap(mapped, 4096);
  shmdt(attached);

  ASSERT_TRUE(of_memfd.ok() && of_sysv.ok());
  ASSERT_EQ(of_memfd->users.size(), 1u);
  EXPECT_EQ(of_memfd->users[0].pid, getpid());
  EXPECT_TRUE(of_memfd->users[0].writable);
  ASSERT_EQ(of_sysv->users.size(), 1u);
  EXPECT_EQ(of_sysv->users[0].pid, getpid());
  EXPECT_FALSE(of_sysv->users[0].writable);
  EXPECT_EQ(of_sysv->users[0].mapped_bytes, 4096u);
}

// A user without privilege cannot look into this process, and is told so.
TEST_F(ProcessScanTest, HiddenProcessesAreCounted) {
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    uint64_t hidden = 0;
    if (setresuid(4001, 4001, 4001) == 0) {
      const auto scan = ScanProcesses({{id_.device}, true}, true);
      if (scan.ok()) hidden = scan->hidden;
    }
    _exit(write(pipe_ends[1], &hidden, sizeof(hidden)) < 0 ? 1 : 0);
  }
  close(pipe_ends[1]);
  uint64_t hidden = 0;
  ASSERT_EQ(read(pipe_ends[0], &hidden, sizeof(hidden)), ssize_t{8});
  close(pipe_ends[0]);
  waitpid(pid, nullptr, 0);
  EXPECT_GE(hidden, 1u);
  const auto scan = ScanProcesses({{id_.device}, true}, true);
  ASSERT_TRUE(scan.ok());
  EXPECT_LT(scan->hidden, hidden) << "root may look into this one";
  EXPECT_GE(scan->looked_at, 2u);
}

}  // namespace
}  // namespace shmd
