// What the next run of the daemon finds; and the objects of other programs.

#include <fcntl.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "server/registry/registry_fixture.h"

namespace shmd {
namespace {

class RegistryRestartTest : public RegistryTest {
 protected:
  // A file of `size_bytes` as another program would make it.
  void MakeFile(const std::string& path, off_t size_bytes) {
    const std::string whole = absl::StrCat(folder(), "/", path);
    const UniqueFd fd(
        open(whole.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640));
    ASSERT_TRUE(fd.valid());
    ASSERT_EQ(fchmod(fd.get(), 0640), 0);
    ASSERT_EQ(ftruncate(fd.get(), size_bytes), 0);
  }
  absl::StatusOr<SegmentView> AdoptFile(const std::string& id,
                                        const std::string& path,
                                        const Caller& caller = Root()) {
    AdoptCommand command;
    command.name_space = "default";
    command.id = id;
    command.options.backend = BackendKind::kMappedFile;
    command.options.file_path = path;
    return registry().Adopt(caller, command);
  }
  SegmentPtr Get(const std::string& id) {
    const auto view = registry().Get(Root(), Name(id));
    EXPECT_TRUE(view.ok()) << view.status();
    return view.ok() ? view->segment : std::make_shared<Segment>();
  }
};

TEST_F(RegistryRestartTest, SegmentsWithANameAreTheSameAfterwards) {
  std::vector<CreateCommand> commands = OneOfEach();
  for (CreateCommand& command : commands) {
    command.labels = {{"of", command.id}};
    command.options.mode = 0640;
  }
  const auto before = registry().Create(Root(), commands);
  ASSERT_TRUE(before.ok()) << before.status();
  Restart();
  EXPECT_EQ(Ids(), (std::vector<std::string>{"file", "posix", "sysv"}));
  EXPECT_EQ(taken_up_.taken_up, 3u);
  EXPECT_EQ(taken_up_.gone, 0u);
  for (const SegmentView& view : *before) {
    if (view.segment->name.id == "memfd") continue;
    const SegmentPtr after = Get(view.segment->name.id);
    EXPECT_EQ(after->uid, view.segment->uid);
    EXPECT_EQ(after->generation, view.segment->generation);
    EXPECT_EQ(after->labels, view.segment->labels);
    EXPECT_EQ(after->options.mode, 0640u);
    EXPECT_EQ(after->create_time, view.segment->create_time);
  }
  const Budget::Use used = registry().budget().used();
  EXPECT_EQ(used.segments, 3u);
  EXPECT_EQ(used.bytes, 3 * BasePageSizeBytes());
  EXPECT_EQ(used.memory_bytes, 2 * BasePageSizeBytes());
  EXPECT_EQ(used.descriptors, 0u);
}

TEST_F(RegistryRestartTest, ChangesAreThereAfterwards) {
  CreateCommand command = File("a");
  command.options.resizable = true;
  Made(command);
  ASSERT_TRUE(Update("a", [](UpdateCommand& update) {
                update.mode = 0644;
                update.labels = Labels{{"k", "v"}};
              }).ok());
  ASSERT_TRUE(registry().Resize(Root(), Name("a"), "", 12288).ok());
  Restart();
  EXPECT_EQ(Get("a")->options.mode, 0644u);
  EXPECT_EQ(Get("a")->labels, (Labels{{"k", "v"}}));
  EXPECT_EQ(Get("a")->options.size_bytes, 12288u);
  EXPECT_EQ(registry().budget().used().bytes, 12288u);
}

TEST_F(RegistryRestartTest, GenerationsAndEtagsAreNeverUsedTwice) {
  std::set<uint64_t> generations;
  std::set<std::string> etags;
  Made(Posix("kept"));
  for (int run = 0; run < 3; ++run) {
    for (int i = 0; i < 3; ++i) {
      const SegmentView view = Made(Memfd(""));
      EXPECT_TRUE(generations.insert(view.segment->generation).second);
      EXPECT_TRUE(etags.insert(EtagOf(*view.segment)).second);
    }
    EXPECT_TRUE(etags.insert(EtagOf(*Get("kept"))).second);
    Restart();
  }
}

TEST_F(RegistryRestartTest, GoneObjectsAreForgotten) {
  Made(File("removed"));
  Made(File("replaced"));
  Made(File("kept"));
  const SegmentView sysv = Made(Sysv("sysv"));
  ASSERT_EQ(unlink(absl::StrCat(folder(), "/removed.dat").c_str()), 0);
  // The new file exists before the old one goes: it has another inode.
  MakeFile("new", 4096);
  ASSERT_EQ(rename(absl::StrCat(folder(), "/new").c_str(),
                   absl::StrCat(folder(), "/replaced.dat").c_str()),
            0);
  ASSERT_EQ(shmctl(sysv.entry->object.name.sysv_id, IPC_RMID, nullptr), 0);
  Restart();
  EXPECT_EQ(Ids(), std::vector<std::string>{"kept"});
  EXPECT_EQ(taken_up_.gone, 3u);
  Restart();
  EXPECT_EQ(taken_up_.gone, 0u);
  struct stat found {};
  EXPECT_EQ(stat(absl::StrCat(folder(), "/replaced.dat").c_str(), &found), 0);
}

TEST_F(RegistryRestartTest, WhatIsOutOfReachKeepsItsNameAndComesBack) {
  SegmentView view = Made(File("a"));
  const Uid uid = view.segment->uid;
  const ObjectName object = view.entry->object.name;
  view = SegmentView();
  RestartWithRoots({});
  EXPECT_EQ(taken_up_.out_of_reach, 1u);
  EXPECT_TRUE(Ids().empty());
  // Else the record would be lost, and the file nobody's.
  EXPECT_EQ(ReasonOf(Create(Memfd("a"))), "SEGMENT_EXISTS");
  EXPECT_EQ(ReasonOf(Create(Posix("a"))), "SEGMENT_EXISTS");
  // Nor is the file a leak that somebody might remove.
  EXPECT_TRUE(registry().IsSegment(object));
  RestartWithRoots({folder()});
  EXPECT_EQ(Get("a")->uid, uid);
}

TEST_F(RegistryRestartTest, WhatWasLockedIsLockedAgain) {
  for (CreateCommand command : {Posix("posix"), File("file")}) {
    command.options.lock_in_memory = true;
    command.options.populate = true;
    Made(command);
  }
  Made(Posix("free"));
  Restart();
  const auto locked_bytes = [this](const std::string& id) {
    const absl::StatusOr<SegmentView> view = registry().Get(Root(), Name(id));
    EXPECT_TRUE(view.ok()) << view.status();
    return registry().Status(*view, /*with_nodes=*/false)->locked_bytes;
  };
  EXPECT_EQ(locked_bytes("posix"), Get("posix")->options.size_bytes);
  EXPECT_EQ(locked_bytes("file"), Get("file")->options.size_bytes);
  EXPECT_EQ(locked_bytes("free"), 0u);
}

TEST_F(RegistryRestartTest, EndThatCameMeanwhileIsKept) {
  CreateCommand command = Posix("a");
  command.expiration.time = clock_.WallTime() + absl::Seconds(10);
  Made(command);
  command = Posix("b");
  command.expiration.time = clock_.WallTime() + absl::Seconds(30);
  Made(command);
  clock_.Advance(absl::Seconds(20));
  Restart();
  registry().RemoveExpired();
  EXPECT_EQ(Ids(), std::vector<std::string>{"b"});
  clock_.Advance(absl::Seconds(10));
  registry().RemoveExpired();
  EXPECT_TRUE(Ids().empty());
}

TEST_F(RegistryRestartTest, LeaseIsWholeAgain) {
  CreateCommand command = Posix("a");
  command.expiration.ttl = absl::Seconds(10);
  Made(command);
  clock_.Advance(absl::Seconds(60));
  Restart();
  registry().RemoveExpired();
  EXPECT_EQ(Get("a")->lease_ttl, absl::Seconds(10));
  EXPECT_EQ(Get("a")->expire_time, clock_.WallTime() + absl::Seconds(10));
  clock_.Advance(absl::Seconds(10));
  registry().RemoveExpired();
  EXPECT_TRUE(Ids().empty());
}

TEST_F(RegistryRestartTest, SessionsOwnAgainOrTheirSegmentsEnd) {
  const SessionIdentity back = sessions().Begin(Root(), Process(), "default");
  const SessionIdentity gone = sessions().Begin(Root(), Process(), "default");
  for (const SessionIdentity& session : {back, gone}) {
    sessions().SetRecorded(session.id);
    ASSERT_TRUE(registry().RecordSession(session).ok());
    CreateCommand command = Posix(session.id == back.id ? "back" : "gone");
    command.lifetime = Lifetime::kSession;
    command.owner_session = session.id;
    Made(command);
  }
  Restart();
  EXPECT_EQ(sessions().Awaited().size(), 2u);
  EXPECT_EQ(Ids().size(), 2u);
  const SessionIdentity fresh = sessions().Begin(Root(), Process(), "default");
  ASSERT_TRUE(sessions().Resume(fresh.id, back.id, back.token));
  sessions().EndAwaited();
  registry().CleanUpSessions();
  registry().RemoveExpired();
  EXPECT_EQ(Ids(), std::vector<std::string>{"back"});
  Restart();
  EXPECT_EQ(sessions().Awaited().size(), 1u);
  sessions().EndAwaited();
  registry().CleanUpSessions();
  registry().RemoveExpired();
}

TEST_F(RegistryRestartTest, SegmentOfASessionThatWasNeverRecordedEnds) {
  const SessionIdentity session =
      sessions().Begin(Root(), Process(), "default");
  CreateCommand command = Posix("a");
  command.lifetime = Lifetime::kSession;
  command.owner_session = session.id;
  Made(command);
  Restart();
  registry().RemoveExpired();
  EXPECT_TRUE(Ids().empty());
}

TEST_F(RegistryRestartTest, GrantsAndTheirUsesAreTheSameAfterwards) {
  Made(Posix("a"));
  GrantCommand command;
  command.name = Name("a");
  command.max_uses = 2;
  const auto grant = registry().CreateGrant(Root(), command);
  ASSERT_TRUE(grant.ok()) << grant.status();
  const auto revoked = registry().CreateGrant(Root(), command);
  ASSERT_TRUE(
      registry().DeleteGrant(Root(), Name("a"), revoked->grant.id).ok());
  const auto attach = [&](const Handle& handle) {
    const auto attached = registry().Attach(Alice(), handle, Access::kRead);
    if (attached.ok()) registry().Release(attached->view.entry);
    return ReasonOf(attached);
  };
  EXPECT_EQ(attach(grant->handle), "");
  Restart();
  EXPECT_EQ(registry().ListGrants(Root(), Name("a"))->size(), 1u);
  EXPECT_EQ(attach(revoked->handle), "GRANT_INVALID");
  EXPECT_EQ(attach(grant->handle), "");
  EXPECT_EQ(attach(grant->handle), "GRANT_INVALID");
  ASSERT_TRUE(Delete("a").ok());
  Made(Posix("a"));
  Restart();
  EXPECT_TRUE(registry().ListGrants(Root(), Name("a"))->empty());
}

TEST_F(RegistryRestartTest, RequestIdMakesOneSegmentAlsoAcrossARestart) {
  const CreateCommand command = WithRequestId(Posix("a"), "once");
  const Uid uid = Made(command).segment->uid;
  Restart();
  EXPECT_EQ(Made(command).segment->uid, uid);
  EXPECT_EQ(ReasonOf(Create(WithRequestId(Posix("b"), "once"))),
            "REQUEST_ID_REUSED");
}

TEST_F(RegistryRestartTest, UnfinishedObjectsAreRemovedAndOthersAreNot) {
  // As a run leaves it that ended between making and recording.
  const CreateCommand unfinished = Posix("a");
  CreateCommand finished = Posix("b");
  for (const CreateCommand* command : {&unfinished, &std::as_const(finished)}) {
    const Backend& backend = backends().Get(BackendKind::kPosix);
    const auto object = backend.Make(command->options);
    ASSERT_TRUE(object.ok()) << object.status();
    if (command == &finished) {
      ASSERT_TRUE(backend.Finish(*object, command->options).ok());
    }
    IntendOnly(command->options);
  }
  Restart();
  const auto exists = [](const CreateCommand& command) {
    const std::string path = "/dev/shm" + command.options.posix_name;
    return access(path.c_str(), F_OK) == 0;
  };
  EXPECT_FALSE(exists(unfinished));
  EXPECT_TRUE(exists(finished));
  unlink(("/dev/shm" + finished.options.posix_name).c_str());
}

TEST_F(RegistryRestartTest, AdoptedSegmentIsAsTheKernelHasIt) {
  MakeFile("theirs", 5000);
  const auto view = AdoptFile("a", "theirs");
  ASSERT_TRUE(view.ok()) << view.status();
  const SegmentOptions& options = view->segment->options;
  EXPECT_TRUE(view->segment->adopted);
  EXPECT_EQ(options.size_bytes, 5000u);
  EXPECT_EQ(options.mode, 0640u);
  EXPECT_EQ(options.owner, geteuid());
  EXPECT_FALSE(options.resizable);
  EXPECT_EQ(registry().budget().used().bytes, 8192u);
  EXPECT_EQ(registry().budget().used().memory_bytes, 0u);
  Restart();
  EXPECT_TRUE(Get("a")->adopted);
  EXPECT_EQ(ReasonOf(AdoptFile("b", "theirs")), "OBJECT_MANAGED");
}

TEST_F(RegistryRestartTest, ObjectIsManagedOnce) {
  Made(File("own"));
  EXPECT_EQ(ReasonOf(AdoptFile("b", "own.dat")), "OBJECT_MANAGED");
  MakeFile("theirs", 1);
  ASSERT_TRUE(AdoptFile("a", "theirs").ok());
  EXPECT_EQ(ReasonOf(AdoptFile("b", "theirs")), "OBJECT_MANAGED");
  const SegmentView sysv = Made(Sysv("sysv"));
  AdoptCommand command;
  command.name_space = "default";
  command.options.backend = BackendKind::kSysv;
  command.options.sysv_id = sysv.entry->object.name.sysv_id;
  EXPECT_EQ(ReasonOf(registry().Adopt(Root(), command)), "OBJECT_MANAGED");
  ASSERT_TRUE(Delete("a", Root(), /*force=*/true).ok());
  MakeFile("theirs", 1);
  EXPECT_TRUE(AdoptFile("b", "theirs").ok());
}

TEST_F(RegistryRestartTest, AdoptionThatFailsCanBeTriedAgain) {
  MakeFile("theirs", 1);
  Made(Memfd("taken"));
  EXPECT_EQ(ReasonOf(AdoptFile("taken", "theirs")), "SEGMENT_EXISTS");
  BreakStore();
  EXPECT_EQ(ReasonOf(AdoptFile("a", "theirs")), "STORE_FAILED");
  MendStore();
  EXPECT_EQ(registry().budget().used().segments, 1u);
  struct stat found {};
  EXPECT_EQ(stat(absl::StrCat(folder(), "/theirs").c_str(), &found), 0);
  EXPECT_TRUE(AdoptFile("a", "theirs").ok());
}

TEST_F(RegistryRestartTest, AdoptionIsForTheOwnerAndWithinTheQuota) {
  MakeFile("theirs", 1);
  EXPECT_EQ(ReasonOf(AdoptFile("a", "theirs", Alice())), "CALLER_NOT_ALLOWED");
  EXPECT_EQ(ReasonOf(AdoptFile("a", "absent")), "OBJECT_NOT_FOUND");
  MakeFile("large", static_cast<off_t>(default_namespace_.quota.bytes) + 1);
  EXPECT_EQ(ReasonOf(AdoptFile("a", "large")), "QUOTA_EXCEEDED");
  MakeFile("empty", 0);
  EXPECT_EQ(ReasonOf(AdoptFile("a", "empty")), "OBJECT_UNSUITABLE");
  EXPECT_EQ(registry().budget().used().segments, 0u);
}

}  // namespace
}  // namespace shmd
