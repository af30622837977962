#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "gtest/gtest.h"
#include "shm/backend.h"
#include "shm/descriptor_object.h"
#include "shm/object_names.h"

namespace shmd {
namespace {

SegmentOptions OptionsOf(BackendKind kind) {
  SegmentOptions options;
  options.backend = kind;
  options.size_bytes = 8192;
  options.page_size_bytes = 4096;
  options.owner = geteuid();
  options.group = getegid();
  return options;
}

TEST(PosixNameTest, OnlySlashAndPlainCharacters) {
  for (const char* good : {"/a", "/hello", "/A.b_c-9", "/...", "/-"}) {
    EXPECT_TRUE(CheckPosixName(good).ok()) << good;
  }
  EXPECT_TRUE(CheckPosixName("/" + std::string(200, 'n')).ok());
  for (const std::string& bad :
       {std::string(), std::string("/"), std::string("a"), std::string("/."),
        std::string("/.."), std::string("//a"), std::string("/a/b"),
        std::string("/a\0b", 4), std::string("/\xff"), std::string("/a b"),
        "/" + std::string(201, 'n')}) {
    EXPECT_EQ(GetErrorReason(CheckPosixName(bad)), reason::kPosixNameInvalid);
  }
}

TEST(PosixBackendTest, FreshStatusIsThatOfTheKernel) {
  const BackendSet backends{BackendSettings()};
  const Backend& posix = backends.Get(BackendKind::kPosix);
  for (const Allocation allocation :
       {Allocation::kLazy, Allocation::kReserved}) {
    SegmentOptions options = OptionsOf(BackendKind::kPosix);
    options.allocation = allocation;
    const absl::StatusOr<KernelObject> object = posix.Create(options);
    ASSERT_TRUE(object.ok()) << object.status();
    const auto fresh = posix.FreshStatus(*object, options);
    const auto told = posix.Status(*object, /*with_nodes=*/false);
    EXPECT_TRUE(posix.Remove(*object).ok());
    ASSERT_TRUE(fresh.has_value());
    ASSERT_TRUE(told.ok()) << told.status();
    EXPECT_EQ(fresh->size_bytes, told->size_bytes);
    EXPECT_EQ(fresh->page_size_bytes, told->page_size_bytes);
    EXPECT_EQ(fresh->resident_bytes, told->resident_bytes);
    EXPECT_EQ(fresh->locked_bytes, told->locked_bytes);
  }
}

TEST(LocateFileTest, PathsStayBelowARoot) {
  const std::vector<std::string> roots = {"/r/one", "/r/two", "/r/two/deep"};
  const auto relative = LocateFile(roots, "a/b/c");
  ASSERT_TRUE(relative.ok());
  EXPECT_EQ(relative->root, "/r/one");
  EXPECT_EQ(relative->folder, "a/b");
  EXPECT_EQ(relative->name, "c");
  EXPECT_EQ(relative->path(), "a/b/c");
  const auto absolute = LocateFile(roots, "/r/two/deep/f");
  ASSERT_TRUE(absolute.ok());
  EXPECT_EQ(absolute->root, "/r/two/deep");
  EXPECT_EQ(absolute->folder, ".");
  EXPECT_EQ(absolute->path(), "f");
  for (const std::string& bad :
       {std::string(), std::string("."), std::string(".."), std::string("/"),
        std::string("../x"), std::string("a/../b"), std::string("a//b"),
        std::string("a/"), std::string("./a"), std::string("/r/one"),
        std::string("/r/oneself/x"), std::string("/etc/passwd"),
        std::string("/r/one/../x"), std::string("a\0b", 3),
        std::string(300, 'n'), std::string(5000, 'n')}) {
    EXPECT_EQ(GetErrorReason(LocateFile(roots, bad).status()),
              reason::kFilePathInvalid)
        << bad;
  }
  EXPECT_EQ(GetErrorReason(LocateFile({}, "a").status()),
            reason::kFileRootMissing);
}

TEST(PosixBackendTest, HasNoHugePages) {
  const BackendSet backends{BackendSettings()};
  SegmentOptions options = OptionsOf(BackendKind::kPosix);
  options.page_size_bytes = 2 << 20;
  EXPECT_EQ(GetErrorReason(
                backends.Get(BackendKind::kPosix).Create(options).status()),
            reason::kBackendUnsupported);
}

TEST(PosixBackendTest, RandomNamesDiffer) {
  const BackendSet backends{BackendSettings()};
  const Backend& backend = backends.Get(BackendKind::kPosix);
  const auto one = backend.Create(OptionsOf(BackendKind::kPosix));
  const auto two = backend.Create(OptionsOf(BackendKind::kPosix));
  ASSERT_TRUE(one.ok() && two.ok());
  EXPECT_NE(one->name.posix_name, two->name.posix_name);
  EXPECT_EQ(one->name.posix_name.size(), std::string("/shmd-").size() + 32);
  EXPECT_TRUE(backend.Remove(*one).ok());
  EXPECT_TRUE(backend.Remove(*two).ok());
  EXPECT_LT(shm_open(one->name.posix_name.c_str(), O_RDONLY, 0), 0);
}

// A folder of files that others made, below a root.
class OddFilesTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = absl::StrCat(testing::TempDir(), "/odd-XXXXXX");
    ASSERT_NE(mkdtemp(root_.data()), nullptr);
    settings_.file_roots = {root_ + "/"};
  }
  void TearDown() override {
    for (const char* name : {"file", "link", "hard", "pipe", "empty", "out"}) {
      unlink(Path(name).c_str());
    }
    rmdir(Path("folder").c_str());
    EXPECT_EQ(rmdir(root_.c_str()), 0) << "something is left";
  }

  std::string Path(const std::string& name) { return root_ + "/" + name; }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(Path(name)) << text;
  }

  std::string AdoptReason(const std::string& path) {
    const BackendSet backends(settings_);
    AdoptOptions options;
    options.backend = BackendKind::kMappedFile;
    options.file_path = path;
    return GetErrorReason(
        backends.Get(BackendKind::kMappedFile).Adopt(options).status());
  }

  std::string CreateReason(const std::string& path) {
    const BackendSet backends(settings_);
    SegmentOptions options = OptionsOf(BackendKind::kMappedFile);
    options.file_path = path;
    const auto made = backends.Get(BackendKind::kMappedFile).Create(options);
    if (made.ok()) unlink(Path(path).c_str());
    return GetErrorReason(made.status());
  }

  std::string root_;
  BackendSettings settings_;
};

TEST_F(OddFilesTest, OnlyPlainFilesAreAdopted) {
  Write("file", "content");
  EXPECT_EQ(AdoptReason("file"), "");
  EXPECT_EQ(AdoptReason(Path("file")), "");
  EXPECT_EQ(AdoptReason("absent"), reason::kObjectNotFound);
  Write("empty", "");
  EXPECT_EQ(AdoptReason("empty"), reason::kObjectUnsuitable);
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(AdoptReason("pipe"), reason::kObjectUnsuitable);
  ASSERT_EQ(mkdir(Path("folder").c_str(), 0700), 0);
  EXPECT_EQ(AdoptReason("folder"), reason::kObjectUnsuitable);
  ASSERT_EQ(link(Path("file").c_str(), Path("hard").c_str()), 0);
  EXPECT_EQ(AdoptReason("file"), reason::kObjectUnsuitable);
}

TEST_F(OddFilesTest, NoLinkIsFollowed) {
  Write("file", "content");
  ASSERT_EQ(symlink("file", Path("link").c_str()), 0);
  EXPECT_EQ(AdoptReason("link"), reason::kFilePathInvalid);
  EXPECT_EQ(CreateReason("link"), reason::kObjectExists);
  ASSERT_EQ(symlink("/tmp", Path("out").c_str()), 0);
  EXPECT_EQ(AdoptReason("out/x"), reason::kFilePathInvalid);
  EXPECT_EQ(CreateReason("out/x"), reason::kFilePathInvalid);
}

TEST_F(OddFilesTest, FoldersAreNotMade) {
  EXPECT_EQ(CreateReason("absent/file"), reason::kFilePathInvalid);
  Write("file", "content");
  EXPECT_EQ(CreateReason("file/x"), reason::kFilePathInvalid);
}

TEST_F(OddFilesTest, RootsThatAreNoneAreTold) {
  settings_.file_roots = {Path("absent")};
  EXPECT_EQ(CreateReason("file"), reason::kFileRootMissing);
  settings_.file_roots.clear();
  EXPECT_EQ(CreateReason("file"), reason::kFileRootMissing);
}

TEST_F(OddFilesTest, HugePagesWantAHugeFileSystem) {
  const BackendSet backends(settings_);
  SegmentOptions options = OptionsOf(BackendKind::kMappedFile);
  options.page_size_bytes = options.size_bytes = 2 << 20;
  options.file_path = "file";
  EXPECT_EQ(
      GetErrorReason(
          backends.Get(BackendKind::kMappedFile).Create(options).status()),
      reason::kPageSizeMismatch);
}

TEST_F(OddFilesTest, ARootThatWasTakenAwayIsNotReopened) {
  const BackendSet backends(settings_);
  SegmentOptions options = OptionsOf(BackendKind::kMappedFile);
  options.file_path = "file";
  const Backend& files = backends.Get(BackendKind::kMappedFile);
  const auto made = files.Create(options);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->name.file_root, root_);
  EXPECT_TRUE(files.Reopen(made->name, 4096).ok());
  const BackendSet others{BackendSettings()};
  EXPECT_EQ(GetErrorReason(others.Get(BackendKind::kMappedFile)
                               .Reopen(made->name, 4096)
                               .status()),
            reason::kFileRootMissing);
}

TEST(FileBackendTest, NamesAreFlushedWhereTheFileSystemDoesNotDoIt) {
  // A tmpfs promises nothing.
  std::string root = "/dev/shm/shmdtest-XXXXXX";
  ASSERT_NE(mkdtemp(root.data()), nullptr);
  BackendSettings settings;
  settings.file_roots = {root};
  const BackendSet backends(settings);
  SegmentOptions options = OptionsOf(BackendKind::kMappedFile);
  options.file_path = "file";
  const Backend& files = backends.Get(BackendKind::kMappedFile);
  const auto made = files.Create(options);
  EXPECT_TRUE(made.ok()) << made.status();
  if (made.ok()) {
    EXPECT_TRUE(made->needs_name_flush);
    EXPECT_EQ(made->name.file_system, 0u);
    EXPECT_TRUE(files.FlushName(*made).ok());
    EXPECT_TRUE(files.Remove(*made).ok());
  }
  EXPECT_EQ(rmdir(root.c_str()), 0);
}

TEST(FileBackendTest, ARecordedFileIsToldByItsFileSystemAndBirth) {
  sys::FileStat found = {};
  found.st_dev = 1;
  found.st_ino = 5;
  found.birth_ns = 1000;
  ObjectName name;
  SetIdentity(found, name);
  name.file_system = 9;
  EXPECT_TRUE(IsSameRecordedFile(name, found, 0));
  found.st_dev = 2;
  EXPECT_TRUE(IsSameRecordedFile(name, found, 9));
  EXPECT_FALSE(IsSameRecordedFile(name, found, 8)) << "a snapshot of it";
  EXPECT_FALSE(IsSameRecordedFile(name, found, 0)) << "it may say anything";
  name.file_system = 0;
  EXPECT_FALSE(IsSameRecordedFile(name, found, 9)) << "an older record";
  found.birth_ns = 0;
  SetIdentity(found, name);
  name.device = 1;
  name.file_system = 9;
  EXPECT_FALSE(IsSameRecordedFile(name, found, 9)) << "inodes are used anew";
  found.st_ino = 6;
  found.st_dev = 1;
  EXPECT_FALSE(IsSameRecordedFile(name, found, 9));
}

TEST(SysvBackendTest, ARemovedKeyThatIsUsedAgainIsAnotherSegment) {
  const BackendSet backends{BackendSettings()};
  const Backend& backend = backends.Get(BackendKind::kSysv);
  AdoptOptions none;
  none.backend = BackendKind::kSysv;
  EXPECT_EQ(GetErrorReason(backend.Adopt(none).status()),
            reason::kFieldInvalid);
  none.sysv_id = 0x7ffffff0;
  EXPECT_EQ(GetErrorReason(backend.Adopt(none).status()),
            reason::kObjectNotFound);
  const auto made = backend.Create(OptionsOf(BackendKind::kSysv));
  ASSERT_TRUE(made.ok()) << made.status();
  // As after a reboot: the same id, another boot.
  ObjectName before = made->name;
  before.inode ^= 1;
  EXPECT_EQ(GetErrorReason(backend.Reopen(before, 4096).status()),
            reason::kObjectReplaced);
  EXPECT_TRUE(backend.Reopen(made->name, 4096).ok());
  EXPECT_TRUE(backend.Remove(*made).ok());
}

}  // namespace
}  // namespace shmd
