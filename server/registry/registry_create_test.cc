// Creation: all or none, idempotence, and what a failure leaves behind.

#include <sys/stat.h>

#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "server/registry/registry_fixture.h"

namespace shmd {
namespace {

class RegistryCreateTest : public RegistryTest {
 protected:
  // Whether the kernel has a POSIX object of that name.
  static bool HasPosix(const std::string& name) {
    struct stat found {};
    return stat(absl::StrCat("/dev/shm", name).c_str(), &found) == 0;
  }
  bool HasFile(const std::string& path) const {
    struct stat found {};
    return stat(absl::StrCat(folder(), "/", path).c_str(), &found) == 0;
  }
  static std::string MetadataOf(const absl::Status& status,
                                const std::string& key) {
    const auto metadata = GetErrorDetail(status).metadata;
    const auto found = metadata.find(key);
    return found == metadata.end() ? "" : found->second;
  }
};

TEST_F(RegistryCreateTest, EveryBackendGivesWhatWasAsked) {
  const auto views = registry().Create(Root(), OneOfEach());
  ASSERT_TRUE(views.ok()) << views.status();
  std::set<uint64_t> generations;
  for (const SegmentView& view : *views) {
    const Segment& segment = *view.segment;
    SCOPED_TRACE(segment.name.id);
    EXPECT_EQ(segment.state, SegmentState::kActive);
    EXPECT_FALSE(segment.adopted);
    EXPECT_EQ(segment.create_time, clock_.WallTime());
    EXPECT_FALSE(segment.expire_time.has_value());
    generations.insert(segment.generation);
    const auto status = registry().Status(view, false);
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_GE(status->size_bytes, BasePageSizeBytes());
  }
  EXPECT_EQ(generations.size(), 4u);
  const Budget::Use used = registry().budget().used();
  EXPECT_EQ(used.segments, 4u);
  EXPECT_EQ(used.bytes, 4 * BasePageSizeBytes());
  EXPECT_EQ(used.memory_bytes, 3 * BasePageSizeBytes());
  EXPECT_EQ(used.descriptors, 1u);
}

TEST_F(RegistryCreateTest, WithoutAnIdTheUidIsTheName) {
  const SegmentView view = Made(Memfd(""));
  EXPECT_EQ(view.segment->name.id, UidToHex(view.segment->uid));
}

TEST_F(RegistryCreateTest, TakenNameIsRefused) {
  Made(Memfd("a"));
  EXPECT_EQ(ReasonOf(Create(Memfd("a"))), "SEGMENT_EXISTS");
  EXPECT_EQ(registry().budget().used().segments, 1u);
}

TEST_F(RegistryCreateTest, UnknownNamespaceIsRefused) {
  CreateCommand command = Memfd("a");
  command.name_space = "other";
  EXPECT_EQ(ReasonOf(Create(command)), "NAMESPACE_NOT_FOUND");
}

TEST_F(RegistryCreateTest, OnlyAdministratorsMakeSegmentsOfOthers) {
  EXPECT_EQ(ReasonOf(Create(Memfd("a", Bob()), Alice())), "CALLER_NOT_ALLOWED");
  CreateCommand command = Memfd("a", Alice());
  command.options.group = Bob().gid;
  EXPECT_EQ(ReasonOf(Create(command, Alice())), "CALLER_NOT_ALLOWED");
  Made(Memfd("a", Alice()), Alice());
  Made(Memfd("b", Bob()), Root());
  command = Memfd("c", Bob());
  command.options.group = Alice().gid;  // a group that Bob is in
  Made(command, Bob());
}

TEST_F(RegistryCreateTest, FailedBatchLeavesNothingBehind) {
  Made(Memfd("taken"));
  const Budget::Use before = registry().budget().used();
  const CreateCommand posix = Posix("posix");
  CreateCommand bad = Posix("bad");
  bad.options.posix_name = posix.options.posix_name;  // fails in the kernel
  const struct {
    CreateCommand last;
    const char* reason;
  } kCases[] = {{Memfd("taken"), "SEGMENT_EXISTS"}, {bad, "OBJECT_EXISTS"}};
  for (const auto& one : kCases) {
    const auto views = registry().Create(
        Root(), {File("file"), posix, Sysv("sysv"), one.last});
    EXPECT_EQ(ReasonOf(views), one.reason);
    EXPECT_EQ(MetadataOf(views.status(), "index"), "3");
    EXPECT_FALSE(HasPosix(posix.options.posix_name));
    EXPECT_FALSE(HasFile("file.dat"));
    EXPECT_EQ(Ids(), std::vector<std::string>{"taken"});
    EXPECT_EQ(registry().budget().used().bytes, before.bytes);
    EXPECT_EQ(registry().budget().used().segments, before.segments);
    EXPECT_EQ(registry().budget().used().descriptors, before.descriptors);
  }
  EXPECT_TRUE(
      registry().Create(Root(), {File("file"), posix, Sysv("sysv")}).ok());
}

TEST_F(RegistryCreateTest, BatchWithOneNameTwiceIsRefused) {
  const auto views = registry().Create(Root(), {Memfd("a"), Memfd("a")});
  EXPECT_EQ(ReasonOf(views), "SEGMENT_EXISTS");
  EXPECT_TRUE(Ids().empty());
}

TEST_F(RegistryCreateTest, FailingStoreLeavesNothingBehind) {
  const CreateCommand posix = Posix("posix");
  BreakStore();
  EXPECT_EQ(ReasonOf(registry().Create(Root(), {posix, File("file")})),
            "STORE_FAILED");
  EXPECT_FALSE(HasPosix(posix.options.posix_name));
  EXPECT_FALSE(HasFile("file.dat"));
  EXPECT_TRUE(Ids().empty());
  EXPECT_EQ(registry().budget().used().bytes, 0u);
  Made(Memfd("memfd"));  // has no record
  MendStore();
  EXPECT_TRUE(registry().Create(Root(), {posix, File("file")}).ok());
}

TEST_F(RegistryCreateTest, BudgetIsRefusedInWordsAndNotTaken) {
  CreateCommand large = Memfd("large");
  large.options.size_bytes = limits_.memory_bytes + 1;
  const auto view = Create(large);
  EXPECT_EQ(ReasonOf(view), "BUDGET_EXCEEDED");
  EXPECT_EQ(MetadataOf(view.status(), "available"),
            absl::StrCat(limits_.memory_bytes));
  large.options.size_bytes = limits_.memory_bytes;  // lazy: costs nothing
  Made(large);
  EXPECT_EQ(ReasonOf(Create(Memfd("one-more"))), "BUDGET_EXCEEDED");
}

TEST_F(RegistryCreateTest, SizeIsChargedInWholePages) {
  CreateCommand command = Memfd("a");
  command.options.size_bytes = BasePageSizeBytes() + 1;
  Made(command);
  EXPECT_EQ(registry().budget().used().bytes, 2 * BasePageSizeBytes());
}

TEST_F(RegistryCreateTest, ExpirationThatHasPassedIsRefused) {
  CreateCommand command = Posix("a");
  command.expiration.time = clock_.WallTime();
  EXPECT_EQ(ReasonOf(Create(command)), "FIELD_INVALID");
  EXPECT_FALSE(HasPosix(command.options.posix_name));
  command.expiration.time = clock_.WallTime() + absl::Milliseconds(1);
  EXPECT_EQ(Made(command).segment->expire_time, command.expiration.time);
}

TEST_F(RegistryCreateTest, RepeatedRequestGivesTheFirstSegment) {
  const CreateCommand command = WithRequestId(Memfd(""), "r");
  const Uid uid = Made(command).segment->uid;
  EXPECT_EQ(Made(command).segment->uid, uid);
  EXPECT_EQ(Ids().size(), 1u);
  // Another caller's ids are his own.
  CreateCommand other = command;
  other.options.owner = Alice().uid;
  other.options.group = Alice().gid;
  EXPECT_NE(Made(other, Alice()).segment->uid, uid);
}

TEST_F(RegistryCreateTest, OtherRequestUnderTheSameIdIsRefused) {
  CreateCommand command = WithRequestId(Memfd("a"), "r");
  Made(command);
  command.fingerprint = "other";
  EXPECT_EQ(ReasonOf(Create(command)), "REQUEST_ID_REUSED");
}

TEST_F(RegistryCreateTest, RepeatedRequestForADeletedSegmentIsToldSo) {
  const CreateCommand command = WithRequestId(Memfd("a"), "r");
  Made(command);
  ASSERT_TRUE(Delete("a").ok());
  EXPECT_EQ(ReasonOf(Create(command)), "SEGMENT_NOT_FOUND");
}

TEST_F(RegistryCreateTest, FailedRequestCanBeRetried) {
  Made(Memfd("a"));
  const CreateCommand command = WithRequestId(Posix("a"), "r");
  EXPECT_EQ(ReasonOf(Create(command)), "SEGMENT_EXISTS");
  ASSERT_TRUE(Delete("a").ok());
  BreakStore();
  EXPECT_EQ(ReasonOf(Create(command)), "STORE_FAILED");
  MendStore();
  const Uid uid = Made(command).segment->uid;
  EXPECT_EQ(Made(command).segment->uid, uid);
}

TEST_F(RegistryCreateTest, RepeatedBatchGivesItsSegmentsInOrder) {
  const std::vector<CreateCommand> commands = {WithRequestId(Memfd("b"), "r1"),
                                               WithRequestId(Memfd("a"), "r2")};
  const auto first = registry().Create(Root(), commands);
  ASSERT_TRUE(first.ok());
  const auto second = registry().Create(Root(), commands);
  ASSERT_TRUE(second.ok()) << second.status();
  ASSERT_EQ(second->size(), 2u);
  EXPECT_EQ((*second)[0].segment, (*first)[0].segment);
  EXPECT_EQ((*second)[1].segment, (*first)[1].segment);
  // A part of it is another request.
  EXPECT_EQ(ReasonOf(registry().Create(
                Root(), {commands[0], WithRequestId(Memfd("c"), "r3")})),
            "REQUEST_ID_REUSED");
}

TEST_F(RegistryCreateTest, BatchWithOneRequestIdTwiceIsRefused) {
  const auto views =
      registry().Create(Root(), {WithRequestId(Memfd(""), "r"), Memfd("x"),
                                 WithRequestId(Memfd(""), "r")});
  EXPECT_EQ(ReasonOf(views), "REQUEST_ID_REUSED");
  EXPECT_EQ(MetadataOf(views.status(), "index"), "2");
  EXPECT_TRUE(Ids().empty());
}

TEST_F(RegistryCreateTest, RequestInManyThreadsMakesOneSegment) {
  for (int round = 0; round < 50; ++round) {
    const CreateCommand command =
        WithRequestId(Posix(""), absl::StrCat("r", round));
    std::vector<Uid> uids(4);
    std::vector<std::thread> threads;
    for (Uid& uid : uids) {
      threads.emplace_back([&] { uid = Made(command).segment->uid; });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(std::set<Uid>(uids.begin(), uids.end()).size(), 1u);
    EXPECT_EQ(Ids().size(), static_cast<size_t>(round) + 1);
  }
}

TEST_F(RegistryCreateTest, SecondCallWaitsForTheFirstThatIsAtWork) {
  CreateCommand command = WithRequestId(Memfd("slow"), "r");
  command.options.size_bytes = 64 << 20;
  command.options.allocation = Allocation::kReserved;
  command.options.populate = true;
  Uid first = {};
  std::thread creator([&] { first = Made(command).segment->uid; });
  while (registry().budget().used().segments == 0) std::this_thread::yield();
  const Uid second = Made(command).segment->uid;
  creator.join();
  EXPECT_EQ(first, second);
}

TEST_F(RegistryCreateTest, RequestsThatFailInManyThreadsFailForTheirOwnReason) {
  // All want one name in the kernel that is taken: whoever has waited for
  // another finds the id free again and tries for himself.
  const SegmentView taken = Made(Posix("taken"));
  CreateCommand command = WithRequestId(Posix("a"), "r");
  command.options.posix_name = taken.segment->options.posix_name;
  for (int round = 0; round < 50; ++round) {
    std::vector<std::string> reasons(6);
    std::vector<std::thread> threads;
    for (std::string& reason : reasons) {
      threads.emplace_back([&] { reason = ReasonOf(Create(command)); });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(reasons, std::vector<std::string>(6, "OBJECT_EXISTS"));
  }
  EXPECT_EQ(Ids(), std::vector<std::string>{"taken"});
}

TEST_F(RegistryCreateTest, BatchesThatShareIdsInManyThreadsMakeEachOnce) {
  for (int round = 0; round < 50; ++round) {
    const auto a = WithRequestId(Posix(""), absl::StrCat("a", round));
    const auto b = WithRequestId(Posix(""), absl::StrCat("b", round));
    std::vector<std::thread> threads;
    threads.emplace_back([&] { Made(b); });
    threads.emplace_back([&] {
      registry().Create(Root(), {a, b}).status().IgnoreError();
    });
    threads.emplace_back([&] { Made(a); });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(Ids().size(), 2u * (static_cast<size_t>(round) + 1));
  }
}

}  // namespace
}  // namespace shmd
