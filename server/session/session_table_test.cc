#include "server/session/session_table.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

Caller User(uid_t uid, pid_t pid = 0) {
  Caller caller;
  caller.uid = uid;
  caller.gid = uid;
  caller.pid = pid;
  return caller;
}

class SessionTableTest : public ::testing::Test {
 protected:
  SessionTableTest() : namespaces_(Namespace()), table_(&clock_, &namespaces_) {
    table_.NotifyEnded([this] { ++notices_; });
  }

  SessionIdentity Begin(uid_t uid = 1001, pid_t pid = 0) {
    Process process;
    process.pid = pid;
    return table_.Begin(User(uid, pid), process, "default");
  }
  // A session of an earlier run.
  SessionIdentity Awaited(uid_t uid = 1001) {
    SessionIdentity identity;
    identity.id = RandomUid();
    identity.uid = uid;
    identity.token.fill(7);
    table_.Await(identity);
    return identity;
  }
  static SegmentPtr SegmentOf(uint64_t size_bytes, const Uid& uid = {}) {
    auto segment = std::make_shared<Segment>();
    segment->uid = uid;
    segment->options.size_bytes = size_bytes;
    return segment;
  }
  std::optional<uint64_t> Hold(const SessionId& id, SegmentPtr segment) {
    Holding holding;
    holding.entry = std::make_shared<SegmentEntry>(KernelObject());
    holding.segment = std::move(segment);
    return table_.Hold(id, std::move(holding));
  }
  std::vector<SessionSnapshot> List(const Caller& caller, size_t limit = 100) {
    SessionTable::ListQuery query;
    query.limit = limit;
    return table_.List(caller, query);
  }

  FakeClock clock_;
  NamespaceTable namespaces_;
  SessionTable table_;
  int notices_ = 0;
};

TEST_F(SessionTableTest, EndGivesWhatWasHeldOnceAndTells) {
  const SessionIdentity session = Begin();
  ASSERT_TRUE(Hold(session.id, SegmentOf(100)).has_value());
  ASSERT_TRUE(table_.Own(User(1001), session.id, Uid{1}).ok());
  table_.End(session.id);
  EXPECT_EQ(notices_, 1);
  table_.End(session.id);
  const auto ended = table_.TakeEnded();
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].identity.id, session.id);
  EXPECT_EQ(ended[0].holdings.size(), 1u);
  EXPECT_EQ(ended[0].owned, std::vector<Uid>{Uid{1}});
  EXPECT_TRUE(table_.TakeEnded().empty());
  EXPECT_FALSE(Hold(session.id, SegmentOf(1)).has_value());
  EXPECT_FALSE(table_.Exists(session.id));
}

TEST_F(SessionTableTest, HoldingsAreCountedAndLetGoOnce) {
  const SessionIdentity session = Begin();
  const uint64_t first = *Hold(session.id, SegmentOf(100));
  const uint64_t second = *Hold(session.id, SegmentOf(20));
  EXPECT_EQ(table_.Get(User(1001), session.id)->held_bytes, 120u);
  EXPECT_NE(table_.LetGo(session.id, first), nullptr);
  EXPECT_EQ(table_.LetGo(session.id, first), nullptr);
  const auto snapshot = table_.Get(User(1001), session.id);
  EXPECT_EQ(snapshot->held_bytes, 20u);
  ASSERT_EQ(snapshot->holdings.size(), 1u);
  EXPECT_EQ(snapshot->holdings[0].attachment_id, second);
  EXPECT_EQ(snapshot->holdings[0].attach_time, clock_.WallTime());
}

TEST_F(SessionTableTest, OthersSeeNothing) {
  const SessionIdentity mine = Begin(1001), theirs = Begin(1002);
  EXPECT_EQ(List(User(1001)).size(), 1u);
  EXPECT_EQ(GetErrorReason(table_.Get(User(1001), theirs.id).status()),
            "SESSION_NOT_FOUND");
  Caller administrator = User(0);
  administrator.is_administrator = true;
  EXPECT_EQ(List(administrator).size(), 2u);
  EXPECT_TRUE(table_.Get(administrator, mine.id).ok());
}

TEST_F(SessionTableTest, ListGoesOnAfterTheLastOne) {
  for (int i = 0; i < 5; ++i) Begin();
  std::vector<SessionId> seen;
  SessionTable::ListQuery query;
  query.limit = 2;
  for (;;) {
    const auto page = table_.List(User(1001), query);
    if (page.empty()) break;
    for (const auto& session : page) seen.push_back(session.identity.id);
    query.after = seen.back();
  }
  EXPECT_EQ(seen.size(), 5u);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST_F(SessionTableTest, ListOfOneSegmentHasItsHoldersOnly) {
  const SessionIdentity holder = Begin(1001), stranger = Begin(1002);
  Hold(holder.id, SegmentOf(10, Uid{1}));
  Hold(holder.id, SegmentOf(10, Uid{2}));
  Hold(stranger.id, SegmentOf(10, Uid{2}));
  SessionTable::ListQuery query;
  query.limit = 10;
  query.holding = Uid{1};
  const auto sessions = table_.List(User(1001), query);
  ASSERT_EQ(sessions.size(), 1u);
  EXPECT_EQ(sessions[0].identity.id, holder.id);
  EXPECT_EQ(sessions[0].holdings.size(), 1u);
}

TEST_F(SessionTableTest, AwaitedSessionIsResumedByItsTokenAndUserOnly) {
  const SessionIdentity awaited = Awaited();
  const SessionIdentity fresh = Begin();
  ResumeToken wrong = awaited.token;
  wrong[15] ^= 1;
  EXPECT_FALSE(table_.Resume(fresh.id, awaited.id, wrong));
  EXPECT_FALSE(table_.Resume(Begin(1002).id, awaited.id, awaited.token));
  EXPECT_FALSE(table_.Resume(fresh.id, fresh.id, fresh.token));
  EXPECT_TRUE(table_.Resume(fresh.id, awaited.id, awaited.token));
  EXPECT_FALSE(table_.Exists(fresh.id));
  EXPECT_FALSE(table_.Get(User(1001), awaited.id)->awaited);
  // Once: a second connection is a session of its own.
  EXPECT_FALSE(table_.Resume(Begin().id, awaited.id, awaited.token));
  EXPECT_TRUE(table_.Awaited().empty());
}

TEST_F(SessionTableTest, WhoWasNotResumedInTimeEnds) {
  const SessionIdentity back = Awaited(), gone = Awaited();
  ASSERT_TRUE(table_.OwnAgain(gone.id, Uid{1}));
  ASSERT_TRUE(table_.Resume(Begin().id, back.id, back.token));
  table_.EndIfAwaited(back.id);
  table_.EndAwaited();
  const auto ended = table_.TakeEnded();
  ASSERT_EQ(ended.size(), 1u);
  EXPECT_EQ(ended[0].identity.id, gone.id);
  EXPECT_EQ(ended[0].owned.size(), 1u);
  EXPECT_FALSE(table_.OwnAgain(gone.id, Uid{2}));
}

TEST_F(SessionTableTest, NamesReadBackAndNothingElseDoes) {
  const SessionId id = RandomUid();
  EXPECT_EQ(*ParseSessionName("name", SessionName(id)), id);
  for (const std::string& wrong :
       {std::string(), std::string("sessions/"), UidToHex(id),
        SessionName(id) + "0", "sessions/" + std::string(32, 'g'),
        "sessions/" + std::string(32, 'A'), "Sessions/" + UidToHex(id)}) {
    EXPECT_EQ(GetErrorReason(ParseSessionName("name", wrong).status()),
              "NAME_INVALID")
        << wrong;
  }
}

// A child that sleeps until it is killed.
pid_t Sleeper() {
  const pid_t pid = fork();
  if (pid == 0) {
    for (;;) pause();
  }
  return pid;
}

TEST(ProcessTest, ProcessIsToldFromAnotherOfItsNumber) {
  const pid_t pid = Sleeper();
  const Process process = LookAtProcess(pid);
  EXPECT_NE(process.start_ticks, 0u);
  EXPECT_FALSE(process.command.empty());
  const UniqueFd pidfd = OpenProcess(process);
  ASSERT_TRUE(pidfd.valid());
  EXPECT_FALSE(HasEnded(pidfd.get()));
  Process another = process;
  ++another.start_ticks;
  EXPECT_FALSE(OpenProcess(another).valid());
  kill(pid, SIGKILL);
  // Without being waited for it has ended, but its number is taken.
  siginfo_t ignored;
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(pid), &ignored, WEXITED | WNOWAIT),
            0);
  EXPECT_TRUE(HasEnded(pidfd.get()));
  EXPECT_FALSE(OpenProcess(process).valid());
  waitpid(pid, nullptr, 0);
  EXPECT_FALSE(OpenProcess(process).valid());
}

TEST(ProcessTest, NoNumberIsNoProcess) {
  EXPECT_EQ(LookAtProcess(0).start_ticks, 0u);
  EXPECT_FALSE(OpenProcess(Process()).valid());
}

}  // namespace
}  // namespace shmd
