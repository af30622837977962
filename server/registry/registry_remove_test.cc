// The end of segments: deleted, disowned, expired.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "server/registry/reaper.h"
#include "server/registry/registry_fixture.h"

namespace shmd {
namespace {

class RegistryRemoveTest : public RegistryTest {
 protected:
  bool HasFile(const std::string& path) const {
    struct stat found {};
    return stat(absl::StrCat(folder(), "/", path).c_str(), &found) == 0;
  }
  bool Has(const std::string& id) {
    return registry().Get(Root(), Name(id)).ok();
  }
  absl::Status Disown(const std::string& id) {
    RemoveCommand command;
    command.names = {Name(id)};
    return registry().Disown(Root(), command);
  }
  absl::StatusOr<SegmentView> AdoptFile(const std::string& id,
                                        const std::string& path,
                                        Expiration expiration = {}) {
    AdoptCommand command;
    command.name_space = "default";
    command.id = id;
    command.options.backend = BackendKind::kMappedFile;
    command.options.file_path = path;
    command.expiration = expiration;
    return registry().Adopt(Root(), command);
  }
  SegmentRegistry::Attached Attach(const SegmentView& view) {
    auto grant = registry().Attach(
        Root(), registry().WholeHandle(Root(), *view.segment), Access::kRead);
    EXPECT_TRUE(grant.ok()) << grant.status();
    return *std::move(grant);
  }
  static Expiration In(absl::Duration ttl) {
    Expiration expiration;
    expiration.ttl = ttl;
    return expiration;
  }
  // Puts a file in the place of the root, so that nothing below it is reached.
  void HideRoot() {
    ASSERT_EQ(rename(folder().c_str(), (folder() + ".away").c_str()), 0);
    ASSERT_EQ(mknod(folder().c_str(), S_IFREG | 0600, 0), 0);
  }
  void ShowRoot() {
    ASSERT_EQ(unlink(folder().c_str()), 0);
    ASSERT_EQ(rename((folder() + ".away").c_str(), folder().c_str()), 0);
  }
};

TEST_F(RegistryRemoveTest, DeleteRemovesTheObjectOfEveryBackend) {
  const auto views = registry().Create(Root(), OneOfEach());
  ASSERT_TRUE(views.ok()) << views.status();
  for (const SegmentView& view : *views) {
    const std::string& id = view.segment->name.id;
    SCOPED_TRACE(id);
    EXPECT_TRUE(Delete(id).ok());
    EXPECT_EQ(ReasonOf(Delete(id)), "SEGMENT_NOT_FOUND");
    if (id != "memfd") {
      EXPECT_EQ(ReasonOf(registry().Status(view, false)), "OBJECT_REPLACED");
    }
  }
  EXPECT_EQ(registry().budget().used().segments, 0u);
}

TEST_F(RegistryRemoveTest, BatchIsDeletedWholeOrNotAtAll) {
  const auto views = registry().Create(Root(), OneOfEach());
  ASSERT_TRUE(views.ok());
  const SegmentRegistry::Attached grant = Attach(views->at(2));
  RemoveCommand command;
  command.names = {Name("posix"), Name("file"), Name("sysv")};
  EXPECT_EQ(ReasonOf(registry().Delete(Root(), command)), "SEGMENT_IN_USE");
  EXPECT_EQ(Ids().size(), 4u);
  command.names[2] = Name("absent");
  EXPECT_EQ(ReasonOf(registry().Delete(Root(), command)), "SEGMENT_NOT_FOUND");
  command.names[2] = Name("posix");
  EXPECT_EQ(ReasonOf(registry().Delete(Root(), command)), "SEGMENT_NOT_FOUND");
  EXPECT_EQ(Ids().size(), 4u);
  registry().Release(grant.view.entry);
  command.names[2] = Name("sysv");
  EXPECT_TRUE(registry().Delete(Root(), command).ok());
  EXPECT_EQ(Ids(), std::vector<std::string>{"memfd"});
}

TEST_F(RegistryRemoveTest, AttachedSegmentYieldsToForceOnly) {
  const SegmentView view = Made(Memfd("a"));
  const SegmentRegistry::Attached grant = Attach(view);
  const absl::Status refused = Delete("a");
  EXPECT_EQ(ReasonOf(refused), "SEGMENT_IN_USE");
  EXPECT_EQ(GetErrorDetail(refused).metadata.at("attachments"), "1");
  EXPECT_TRUE(Delete("a", Root(), /*force=*/true).ok());
  registry().Release(grant.view.entry);
}

TEST_F(RegistryRemoveTest, RevokedMemoryIsGoneForThoseWhoHaveIt) {
  for (CreateCommand command : {Memfd("a"), Posix("a"), File("a")}) {
    command.options.revocable = true;
    command.options.seal_policy = SealPolicy::kNeverSealed;
    const SegmentView view = Made(command);
    const SegmentRegistry::Attached attached = Attach(view);
    EXPECT_EQ(attached.seals & F_SEAL_SHRINK, 0);
    RemoveCommand remove;
    remove.names = {Name("a")};
    remove.revoke_memory = true;
    ASSERT_TRUE(registry().Delete(Root(), remove).ok());
    struct stat found = {};
    ASSERT_EQ(fstat(std::get<UniqueFd>(attached.object).get(), &found), 0);
    EXPECT_EQ(found.st_size, 0);
    registry().Release(attached.view.entry);
    EXPECT_TRUE(Ids().empty());
  }
}

TEST_F(RegistryRemoveTest, OnlyRevocableMemoryIsRevoked) {
  Made(Memfd("a"));
  RemoveCommand remove;
  remove.names = {Name("a")};
  remove.revoke_memory = true;
  EXPECT_EQ(ReasonOf(registry().Delete(Root(), remove)), "NOT_REVOCABLE");
  EXPECT_EQ(Ids().size(), 1u);
}

TEST_F(RegistryRemoveTest, MemoryIsCountedUntilTheLastOneDetaches) {
  // Else attaching and removing in turn would use up all memory and all
  // descriptors.
  const SegmentView view = Made(Memfd("a"));
  const SegmentRegistry::Attached first = Attach(view), second = Attach(view);
  ASSERT_TRUE(Delete("a", Root(), /*force=*/true).ok());
  EXPECT_EQ(registry().budget().used().segments, 0u);
  EXPECT_EQ(registry().budget().used().descriptors, 1u);
  registry().Release(first.view.entry);
  EXPECT_EQ(registry().budget().used().descriptors, 1u);
  EXPECT_EQ(registry().budget().used().bytes, BasePageSizeBytes());
  registry().Release(second.view.entry);
  EXPECT_EQ(registry().budget().used().descriptors, 0u);
}

TEST_F(RegistryRemoveTest, NameIsFreeAtOnceAndNeverTheSameSegment) {
  const SegmentView first = Made(Posix("a"));
  ASSERT_TRUE(Delete("a").ok());
  const SegmentView second = Made(Posix("a"));
  EXPECT_NE(first.segment->uid, second.segment->uid);
  EXPECT_LT(first.segment->generation, second.segment->generation);
}

TEST_F(RegistryRemoveTest, DeleteThatTheKernelRefusesChangesNothing) {
  CreateCommand command = File("a");
  command.expiration.ttl = absl::Seconds(10);
  Made(command);
  HideRoot();
  EXPECT_FALSE(Delete("a").ok());
  // Nor does an end that comes meanwhile; it is tried again.
  clock_.Advance(absl::Seconds(10));
  registry().RemoveExpired();
  ShowRoot();
  EXPECT_TRUE(Has("a"));
  EXPECT_EQ(registry().budget().used().segments, 1u);
  clock_.Advance(absl::Seconds(1));
  registry().RemoveExpired();
  EXPECT_FALSE(Has("a"));
  EXPECT_FALSE(HasFile("a.dat"));
}

TEST_F(RegistryRemoveTest, DeleteOfAGoneObjectSucceeds) {
  Made(File("a"));
  ASSERT_EQ(unlink(absl::StrCat(folder(), "/a.dat").c_str()), 0);
  EXPECT_TRUE(Delete("a").ok());
}

TEST_F(RegistryRemoveTest, DeletedObjectIsGoneAlthoughTheStoreFails) {
  Made(File("a"));
  BreakStore();
  EXPECT_TRUE(Delete("a").ok());
  EXPECT_FALSE(Has("a"));
  EXPECT_FALSE(HasFile("a.dat"));
  EXPECT_EQ(registry().budget().used().segments, 0u);
  MendStore();
  Restart();
  EXPECT_EQ(taken_up_.gone, 1u);
  EXPECT_FALSE(Has("a"));
}

TEST_F(RegistryRemoveTest, DisownLeavesTheObjectAndForgetsTheSegment) {
  Made(File("a"));
  ASSERT_TRUE(registry().Write(Root(), Name("a"), 0, "kept").ok());
  ASSERT_TRUE(Disown("a").ok());
  EXPECT_FALSE(Has("a"));
  EXPECT_TRUE(HasFile("a.dat"));
  Restart();
  EXPECT_FALSE(Has("a"));
  ASSERT_TRUE(AdoptFile("b", "a.dat").ok());
  EXPECT_EQ(registry().Read(Root(), Name("b"), 0, 4).value(), "kept");
  EXPECT_TRUE(Disown("b").ok());
  Made(Memfd("memfd"));
  EXPECT_EQ(ReasonOf(Disown("memfd")), "BACKEND_UNSUPPORTED");
  EXPECT_TRUE(Has("memfd"));
}

TEST_F(RegistryRemoveTest, DisownThatTheStoreRefusesChangesNothing) {
  Made(File("a"));
  BreakStore();
  EXPECT_EQ(ReasonOf(Disown("a")), "STORE_FAILED");
  EXPECT_TRUE(Has("a"));
  EXPECT_EQ(ReasonOf(AdoptFile("b", "a.dat")), "OBJECT_MANAGED");
  MendStore();
  EXPECT_TRUE(Disown("a").ok());
  EXPECT_FALSE(Has("a"));
}

TEST_F(RegistryRemoveTest, AdoptedSegmentIsDeletedByForceOnly) {
  Made(File("a"));
  ASSERT_TRUE(Disown("a").ok());
  ASSERT_TRUE(AdoptFile("b", "a.dat").ok());
  EXPECT_EQ(ReasonOf(Delete("b")), "SEGMENT_ADOPTED");
  EXPECT_TRUE(HasFile("a.dat"));
  EXPECT_TRUE(Delete("b", Root(), /*force=*/true).ok());
  EXPECT_FALSE(HasFile("a.dat"));
}

TEST_F(RegistryRemoveTest, ExpiryRemovesOwnSegmentsAndGivesBackAdopted) {
  Made(File("other"));
  ASSERT_TRUE(Disown("other").ok());
  ASSERT_TRUE(AdoptFile("adopted", "other.dat", In(absl::Seconds(5))).ok());
  CreateCommand own = File("own");
  own.expiration = In(absl::Seconds(10));
  const SegmentView view = Made(own);
  EXPECT_EQ(view.segment->expire_time, clock_.WallTime() + absl::Seconds(10));
  const SegmentRegistry::Attached grant = Attach(view);
  clock_.Advance(absl::Seconds(5) - absl::Nanoseconds(1));
  clock_.JumpWallTime(absl::Hours(24));
  registry().RemoveExpired();
  EXPECT_TRUE(Has("adopted"));
  clock_.Advance(absl::Nanoseconds(1));
  registry().RemoveExpired();
  EXPECT_FALSE(Has("adopted"));
  EXPECT_TRUE(HasFile("other.dat"));
  EXPECT_TRUE(Has("own"));
  clock_.Advance(absl::Seconds(5));
  registry().RemoveExpired();  // attached or not
  EXPECT_FALSE(Has("own"));
  EXPECT_FALSE(HasFile("own.dat"));
  EXPECT_EQ(registry().budget().used().segments, 0u);
  registry().Release(grant.view.entry);
}

TEST_F(RegistryRemoveTest, EndCanBeMovedAndCleared) {
  CreateCommand command = Memfd("a");
  command.expiration = In(absl::Seconds(10));
  Made(command);
  ASSERT_TRUE(Update("a", [](UpdateCommand& update) {
                update.expiration = In(absl::Seconds(20));
              }).ok());
  clock_.Advance(absl::Seconds(15));
  registry().RemoveExpired();
  EXPECT_TRUE(Has("a"));
  const auto view = Update(
      "a", [](UpdateCommand& update) { update.expiration = Expiration(); });
  ASSERT_TRUE(view.ok());
  EXPECT_FALSE(view->segment->expire_time.has_value());
  clock_.Advance(absl::Hours(10000));
  registry().RemoveExpired();
  EXPECT_TRUE(Has("a"));
  const Expiration past = {clock_.WallTime(), std::nullopt};
  EXPECT_EQ(ReasonOf(Update(
                "a", [&](UpdateCommand& update) { update.expiration = past; })),
            "FIELD_INVALID");
}

TEST_F(RegistryRemoveTest, RenewalThatWasAcknowledgedHolds) {
  for (int round = 0; round < 200; ++round) {
    CreateCommand command = Memfd("a");
    command.expiration = In(absl::Seconds(1));
    Made(command);
    clock_.Advance(absl::Seconds(1));
    bool renewed = false;
    std::thread renewer([&] {
      renewed = Update("a", [](UpdateCommand& update) {
                  update.expiration = In(absl::Hours(1));
                }).ok();
    });
    registry().RemoveExpired();
    renewer.join();
    ASSERT_EQ(Has("a"), renewed);
    EXPECT_EQ(Delete("a").ok(), renewed);
  }
}

TEST_F(RegistryRemoveTest, ReaperRemovesWithoutBeingAsked) {
  Made(Memfd("a"));
  const Reaper reaper(&registry());
  CreateCommand command = Memfd("b");
  command.expiration = In(absl::Seconds(1));
  Made(command);
  clock_.Advance(absl::Seconds(2));
  registry().expiries().Wake();
  while (Has("b")) std::this_thread::yield();
  EXPECT_TRUE(Has("a"));
}

TEST_F(RegistryRemoveTest, IsThereUntilItsNameIsFree) {
  ASSERT_TRUE(ArmFailpoints("delete.claimed=sleep:100").ok());
  const std::function<bool()> looks[] = {[&] { return Has("a"); },
                                         [&] { return !Ids().empty(); }};
  for (const std::function<bool()>& is_there : looks) {
    Made(File("a"));
    std::thread remover([&] { EXPECT_TRUE(Delete("a").ok()); });
    while (is_there()) std::this_thread::yield();
    EXPECT_FALSE(Has("a"));
    EXPECT_TRUE(Ids().empty());
    EXPECT_TRUE(Create(File("a")).ok());
    remover.join();
    EXPECT_TRUE(Delete("a").ok());
  }
  ASSERT_TRUE(ArmFailpoints("").ok());
}

TEST_F(RegistryRemoveTest, DeletesOfOneSegmentInManyThreadsSucceedOnce) {
  for (int round = 0; round < 50; ++round) {
    Made(Posix("a"));
    std::vector<std::string> reasons(4);
    std::vector<std::thread> threads;
    for (std::string& reason : reasons) {
      threads.emplace_back([&] { reason = ReasonOf(Delete("a")); });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(std::count(reasons.begin(), reasons.end(), ""), 1);
    EXPECT_EQ(std::count(reasons.begin(), reasons.end(), "SEGMENT_NOT_FOUND"),
              3);
  }
}

}  // namespace
}  // namespace shmd
