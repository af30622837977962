// Updates, seals and sizes.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "server/registry/registry_fixture.h"

namespace shmd {
namespace {

class RegistryChangeTest : public RegistryTest {
 protected:
  absl::StatusOr<SegmentView> Resize(const std::string& id, uint64_t pages) {
    return registry().Resize(Root(), Name(id), "", pages * BasePageSizeBytes());
  }
  absl::StatusOr<SegmentView> Seal(const std::string& id, SealExtent extent) {
    return registry().Seal(Root(), Name(id), "", extent);
  }
  static CreateCommand Resizable(CreateCommand command, uint64_t pages) {
    command.options.resizable = true;
    command.options.size_bytes = pages * BasePageSizeBytes();
    return command;
  }
  uint64_t UsedPages() {
    return registry().budget().used().bytes / BasePageSizeBytes();
  }
  uint64_t UsedMemoryPages() {
    return registry().budget().used().memory_bytes / BasePageSizeBytes();
  }
  uint64_t KernelPages(const std::string& id) {
    const auto view = registry().Get(Root(), Name(id));
    return registry().Status(*view, false)->size_bytes / BasePageSizeBytes();
  }
  uint64_t Pages(const std::string& id) {
    return registry().Get(Root(), Name(id))->segment->options.size_bytes /
           BasePageSizeBytes();
  }
  SegmentRegistry::Attached Attach(const SegmentView& view) {
    auto grant = registry().Attach(
        Root(), registry().WholeHandle(Root(), *view.segment), Access::kRead);
    EXPECT_TRUE(grant.ok()) << grant.status();
    return *std::move(grant);
  }
};

TEST_F(RegistryChangeTest, LabelsAreReplacedOrChangedOneByOne) {
  CreateCommand command = Memfd("a");
  command.labels = {{"x", "1"}, {"y", "2"}};
  Made(command);
  auto view = Update("a", [](UpdateCommand& update) {
    update.label_changes.emplace();
    (*update.label_changes)["x"] = "new";
    (*update.label_changes)["y"] = std::nullopt;
    (*update.label_changes)["z"] = "3";
    (*update.label_changes)["absent"] = std::nullopt;
  });
  ASSERT_TRUE(view.ok()) << view.status();
  EXPECT_EQ(view->segment->labels, (Labels{{"x", "new"}, {"z", "3"}}));
  view = Update("a", [](UpdateCommand& update) {
    update.labels = Labels{{"only", ""}};
  });
  EXPECT_EQ(view->segment->labels, (Labels{{"only", ""}}));
  EXPECT_EQ(ReasonOf(Update("a",
                            [](UpdateCommand& update) {
                              update.labels = Labels{{"Bad", ""}};
                            })),
            "LABEL_INVALID");
}

TEST_F(RegistryChangeTest, EtagOfBeforeTheChangeIsRefused) {
  const std::string before = EtagOf(*Made(Memfd("a")).segment);
  const auto set_mode = [](const std::string& etag) {
    return [etag](UpdateCommand& update) {
      update.mode = 0644;
      update.etag = etag;
    };
  };
  const auto view = Update("a", set_mode(before));
  ASSERT_TRUE(view.ok()) << view.status();
  const std::string after = EtagOf(*view->segment);
  EXPECT_NE(before, after);
  EXPECT_EQ(ReasonOf(Update("a", set_mode(before))), "ETAG_MISMATCH");
  EXPECT_EQ(ReasonOf(registry().Resize(Root(), Name("a"), before, 4096)),
            "ETAG_MISMATCH");
  EXPECT_EQ(ReasonOf(registry().Seal(Root(), Name("a"), before,
                                     SealExtent::kAllWrites)),
            "ETAG_MISMATCH");
  RemoveCommand remove;
  remove.names = {Name("a")};
  remove.etag = before;
  EXPECT_EQ(ReasonOf(registry().Delete(Root(), remove)), "ETAG_MISMATCH");
  remove.etag = after;
  EXPECT_TRUE(registry().Delete(Root(), remove).ok());
}

TEST_F(RegistryChangeTest, OnlyTheOwnerMayChange) {
  CreateCommand command = Memfd("a", Alice());
  command.options.mode = 0666;
  Made(command, Alice());
  const auto set_mode = [](UpdateCommand& update) { update.mode = 0600; };
  EXPECT_EQ(ReasonOf(Update("a", set_mode, Bob())), "CALLER_NOT_ALLOWED");
  EXPECT_EQ(
      ReasonOf(registry().Seal(Bob(), Name("a"), "", SealExtent::kAllWrites)),
      "CALLER_NOT_ALLOWED");
  EXPECT_EQ(ReasonOf(registry().Resize(Bob(), Name("a"), "", 8192)),
            "CALLER_NOT_ALLOWED");
  EXPECT_EQ(ReasonOf(Delete("a", Bob())), "CALLER_NOT_ALLOWED");
  EXPECT_EQ(
      ReasonOf(Update(
          "a", [](UpdateCommand& update) { update.owner = 1002; }, Alice())),
      "CALLER_NOT_ALLOWED");
  EXPECT_TRUE(Update("a", set_mode, Alice()).ok());
  EXPECT_TRUE(
      Update(
          "a", [](UpdateCommand& update) { update.owner = 1002; }, Root())
          .ok());
  EXPECT_EQ(ReasonOf(Update("a", set_mode, Alice())), "CALLER_NOT_ALLOWED");
  EXPECT_TRUE(Update("a", set_mode, Bob()).ok());
}

TEST_F(RegistryChangeTest, ModeReachesTheKernelAndComesBackWhenTheStoreFails) {
  Made(File("a"));
  const std::string path = absl::StrCat(folder(), "/a.dat");
  const auto mode_of_file = [&] {
    struct stat found {};
    EXPECT_EQ(stat(path.c_str(), &found), 0);
    return found.st_mode & 0777;
  };
  const auto set = [](mode_t mode) {
    return [mode](UpdateCommand& update) { update.mode = mode; };
  };
  ASSERT_TRUE(Update("a", set(0640)).ok());
  EXPECT_EQ(mode_of_file(), 0640u);
  BreakStore();
  EXPECT_EQ(ReasonOf(Update("a", set(0666))), "STORE_FAILED");
  EXPECT_EQ(mode_of_file(), 0640u);
  EXPECT_EQ(registry().Get(Root(), Name("a"))->segment->options.mode, 0640u);
}

class RegistrySyncTest : public RegistryChangeTest {
 protected:
  ~RegistrySyncTest() override { ArmFailpoints("").IgnoreError(); }

  // The next sync of a file fails as that of a broken disk does, after what was
  // to be synced has been done.
  static void BreakNextSync() {
    ASSERT_TRUE(ArmFailpoints("file.sync=fail:EIO@1").ok());
  }
};

TEST_F(RegistrySyncTest, CreateIsUndone) {
  BreakNextSync();
  const absl::Status refused = registry().Create(Root(), {File("a")}).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(ReasonOf(refused), "STORAGE_FAILED");
  EXPECT_NE(access(absl::StrCat(folder(), "/a.dat").c_str(), F_OK), 0);
  EXPECT_EQ(UsedPages(), 0u);
  Made(File("a"));
}

TEST_F(RegistrySyncTest, ModeComesBack) {
  Made(File("a"));
  BreakNextSync();
  const auto open_up = [](UpdateCommand& update) { update.mode = 0666; };
  EXPECT_EQ(ReasonOf(Update("a", open_up)), "STORAGE_FAILED");
  struct stat found {};
  ASSERT_EQ(stat(absl::StrCat(folder(), "/a.dat").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777,
            registry().Get(Root(), Name("a"))->segment->options.mode);
}

TEST_F(RegistrySyncTest, NoMoreIsPromisedThanTheFileHas) {
  Made(Resizable(File("a"), 4));
  BreakNextSync();
  EXPECT_EQ(ReasonOf(Resize("a", 6)), "STORAGE_FAILED");
  EXPECT_EQ(Pages("a"), 4u);
  EXPECT_EQ(KernelPages("a"), 4u);
  EXPECT_EQ(UsedPages(), 4u);
  BreakNextSync();
  EXPECT_EQ(ReasonOf(Resize("a", 2)), "STORAGE_FAILED");
  EXPECT_EQ(Pages("a"), 2u);
  EXPECT_EQ(KernelPages("a"), 2u);
  EXPECT_EQ(UsedPages(), 2u);
}

TEST_F(RegistryChangeTest, UpdateOfAReplacedObjectIsToldSo) {
  Made(File("a"));
  ASSERT_EQ(unlink(absl::StrCat(folder(), "/a.dat").c_str()), 0);
  EXPECT_EQ(
      ReasonOf(Update("a", [](UpdateCommand& update) { update.mode = 0644; })),
      "OBJECT_REPLACED");
}

TEST_F(RegistryChangeTest, SealsAreThoseOfTheKernel) {
  const SegmentView view = Made(Memfd("a"));
  const auto check = [&](int wanted) {
    const SegmentRegistry::Attached grant = Attach(view);
    EXPECT_EQ(grant.seals & wanted, wanted);
    // All that is promised is there.
    EXPECT_EQ(registry().Status(view, false)->seals & grant.seals, grant.seals);
    registry().Release(grant.view.entry);
  };
  check(F_SEAL_SHRINK | F_SEAL_GROW);
  ASSERT_TRUE(Seal("a", SealExtent::kNewWriters).ok());
  check(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE);
  const auto sealed = Seal("a", SealExtent::kAllWrites);
  ASSERT_TRUE(sealed.ok());
  EXPECT_EQ(sealed->segment->state, SegmentState::kSealed);
  check(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
  // Already so, also by the weaker wish.
  EXPECT_EQ(Seal("a", SealExtent::kAllWrites)->segment, sealed->segment);
  EXPECT_EQ(Seal("a", SealExtent::kNewWriters)->segment, sealed->segment);
  EXPECT_EQ(ReasonOf(registry().Write(Root(), Name("a"), 0, "x")),
            "SEGMENT_SEALED");
}

TEST_F(RegistryChangeTest, OnlySealableMemfdsCanBeSealed) {
  ASSERT_TRUE(registry().Create(Root(), OneOfEach()).ok());
  for (const char* id : {"posix", "sysv", "file"}) {
    EXPECT_EQ(ReasonOf(Seal(id, SealExtent::kAllWrites)),
              "BACKEND_UNSUPPORTED");
  }
  CreateCommand never = Memfd("never");
  never.options.seal_policy = SealPolicy::kNeverSealed;
  Made(never);
  EXPECT_EQ(ReasonOf(Seal("never", SealExtent::kAllWrites)), "SEAL_REFUSED");
  EXPECT_EQ(registry().Get(Root(), Name("never"))->segment->state,
            SegmentState::kActive);
}

TEST_F(RegistryChangeTest, SealedSegmentKeepsItsSize) {
  Made(Resizable(Memfd("sealed"), 1));
  ASSERT_TRUE(Seal("sealed", SealExtent::kAllWrites).ok());
  EXPECT_EQ(ReasonOf(Resize("sealed", 2)), "SEGMENT_SEALED");
  Made(Resizable(Memfd("closed"), 1));
  ASSERT_TRUE(Seal("closed", SealExtent::kNewWriters).ok());
  EXPECT_EQ(ReasonOf(Resize("closed", 2)), "SEGMENT_SEALED");
  EXPECT_EQ(UsedPages(), 2u);
}

TEST_F(RegistryChangeTest, ResizeMovesTheBudgetWithTheSize) {
  Made(Resizable(Memfd("memfd"), 1));
  Made(Resizable(Posix("posix"), 4));
  Made(Resizable(File("file"), 4));
  ASSERT_TRUE(Resize("memfd", 8).ok());
  ASSERT_TRUE(Resize("posix", 2).ok());
  ASSERT_TRUE(Resize("file", 16).ok());
  EXPECT_EQ(UsedPages(), 8u + 2 + 16);
  EXPECT_EQ(UsedMemoryPages(), 8u + 2);
  ASSERT_TRUE(Resize("file", 1).ok());
  ASSERT_TRUE(Resize("file", 1).ok());
  EXPECT_EQ(UsedPages(), 8u + 2 + 1);
  for (const char* id : {"memfd", "posix", "file"}) {
    EXPECT_EQ(KernelPages(id), Pages(id)) << id;
  }
  EXPECT_EQ(ReasonOf(Resize("memfd", 7)), "NOT_RESIZABLE");
  Made(Memfd("fixed"));
  EXPECT_EQ(ReasonOf(Resize("fixed", 2)), "NOT_RESIZABLE");
}

TEST_F(RegistryChangeTest, SegmentGrowsIntoTheLastOfTheBudget) {
  const uint64_t all = limits_.memory_bytes / BasePageSizeBytes();
  Made(Resizable(Memfd("a"), all - 1));
  EXPECT_TRUE(Resize("a", all).ok());
  EXPECT_EQ(ReasonOf(Resize("a", all + 1)), "BUDGET_EXCEEDED");
  EXPECT_EQ(UsedPages(), all);
}

TEST_F(RegistryChangeTest, NothingShrinksUnderThoseWhoAreAttached) {
  const SegmentView view = Made(Resizable(Posix("a"), 4));
  const SegmentRegistry::Attached grant = Attach(view);
  const absl::Status refused = Resize("a", 2).status();
  EXPECT_EQ(ReasonOf(refused), "SEGMENT_IN_USE");
  EXPECT_EQ(GetErrorDetail(refused).metadata.at("attachments"), "1");
  EXPECT_EQ(KernelPages("a"), 4u);
  EXPECT_TRUE(Resize("a", 5).ok());
  registry().Release(grant.view.entry);
  EXPECT_TRUE(Resize("a", 2).ok());
}

TEST_F(RegistryChangeTest, FailingStoreLeavesSizeAndBudgetAsTheyWere) {
  Made(Resizable(Posix("posix"), 4));
  Made(Resizable(File("file"), 4));
  BreakStore();
  for (const char* id : {"posix", "file"}) {
    for (const uint64_t pages : {2u, 8u}) {
      EXPECT_EQ(ReasonOf(Resize(id, pages)), "STORE_FAILED");
      EXPECT_EQ(Pages(id), 4u);
      EXPECT_EQ(KernelPages(id), 4u);
      EXPECT_EQ(UsedPages(), 8u);
      EXPECT_EQ(UsedMemoryPages(), 4u);
    }
  }
}

TEST_F(RegistryChangeTest, FailingKernelLeavesSizeAndBudgetAsTheyWere) {
  Made(Resizable(File("a"), 4));
  const std::string path = absl::StrCat(folder(), "/a.dat");
  ASSERT_EQ(rename(path.c_str(), (path + ".away").c_str()), 0);
  for (const uint64_t pages : {2u, 8u}) {
    EXPECT_EQ(ReasonOf(Resize("a", pages)), "OBJECT_REPLACED");
    EXPECT_EQ(Pages("a"), 4u);
    EXPECT_EQ(UsedPages(), 4u);
  }
  ASSERT_EQ(rename((path + ".away").c_str(), path.c_str()), 0);
  Restart();
  EXPECT_EQ(Pages("a"), 4u);  // the record as well
}

TEST_F(RegistryChangeTest, ResizeAgainstDeleteLeavesTheBudgetAtItsStart) {
  for (int round = 0; round < 100; ++round) {
    Made(Resizable(Posix("a"), 4));
    std::thread resizer([&] {
      for (uint64_t pages = 1; Resize("a", pages % 9 + 1).ok(); pages += 5) {
      }
    });
    if (round % 2 != 0) std::this_thread::yield();
    EXPECT_TRUE(Delete("a").ok());
    resizer.join();
    ASSERT_EQ(registry().budget().used().bytes, 0u);
    ASSERT_EQ(registry().budget().used().memory_bytes, 0u);
  }
}

TEST_F(RegistryChangeTest, ResizeAgainstAttachGrantsNoMoreThanThereIs) {
  const SegmentView view = Made(Resizable(Posix("a"), 8));
  std::thread resizer([&] {
    for (int i = 0; i < 300; ++i) {
      Resize("a", i % 2 == 0 ? 1 : 8).status().IgnoreError();
    }
  });
  for (int i = 0; i < 300; ++i) {
    const SegmentRegistry::Attached grant = Attach(view);
    struct stat found {};
    ASSERT_EQ(fstat(std::get<UniqueFd>(grant.object).get(), &found), 0);
    EXPECT_LE(grant.view.segment->options.size_bytes,
              static_cast<uint64_t>(found.st_size));
    registry().Release(grant.view.entry);
  }
  resizer.join();
}

TEST_F(RegistryChangeTest, ChangesInManyThreadsAreAllKept) {
  Made(Posix("a"));
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([this, thread] {
      for (int i = 0; i < 10; ++i) {
        const auto view = Update("a", [&](UpdateCommand& update) {
          update.label_changes.emplace();
          (*update.label_changes)[absl::StrCat("k", thread, "-", i)] = "";
        });
        EXPECT_TRUE(view.ok()) << view.status();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(registry().Get(Root(), Name("a"))->segment->labels.size(), 40u);
  Restart();
  EXPECT_EQ(registry().Get(Root(), Name("a"))->segment->labels.size(), 40u);
}

}  // namespace
}  // namespace shmd
