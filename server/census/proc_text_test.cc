#include "server/census/proc_text.h"

#include <sys/sysmacros.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<MapsLine> Parse(absl::string_view maps) {
  std::vector<MapsLine> out;
  ParseMaps(maps, [&out](const MapsLine& line) { out.push_back(line); });
  return out;
}

// As Linux 6.18 has printed them.
constexpr char kMaps[] =
    "55d0c0a00000-55d0c0a02000 r--p 00000000 fe:00 1048577                   "
    "   /usr/bin/cat\n"
    "7f1200000000-7f1200004000 rw-s 00000000 00:1a 77                         "
    "  /dev/shm/a b (deleted)\n"
    "7f1200004000-7f1200005000 r--s 00001000 00:1a 77                         "
    "  /dev/shm/a b (deleted)\n"
    "7f1200010000-7f1200011000 rw-p 00000000 00:1a 78                         "
    "  /dev/shm/private\n"
    "7f1200020000-7f1200021000 rw-s 00000000 00:01 0                          "
    "  /SYSV00000000 (deleted)\n"
    "7f1200030000-7f1200031000 r--s 00000000 00:01 65541                      "
    "  /SYSV0000002a (deleted)\n"
    "7f1200040000-7f1200041000 rw-s 00000000 00:01 3075                       "
    "  /memfd:shmd (deleted)\n"
    "7f1200050000-7f1200051000 rw-p 00000000 00:00 0 \n"
    "7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          "
    "[stack]\n";

TEST(ProcTextTest, MapsTellObjectsTheirBytesAndWriters) {
  const std::vector<MapsLine> lines = Parse(kMaps);
  ASSERT_EQ(lines.size(), 7u);
  EXPECT_EQ(lines[0].object,
            (ObjectId{ObjectId::Kind::kInode, makedev(0xfe, 0), 1048577}));
  const ObjectId posix{ObjectId::Kind::kInode, makedev(0, 0x1a), 77};
  EXPECT_EQ(lines[1].object, posix);
  EXPECT_EQ(lines[1].bytes, 0x4000u);
  EXPECT_TRUE(lines[1].writable);
  EXPECT_EQ(lines[2].object, posix);
  EXPECT_FALSE(lines[2].writable);
  EXPECT_FALSE(lines[3].writable) << "what is private, nobody else sees";
  EXPECT_EQ(lines[4].object, (ObjectId{ObjectId::Kind::kSysv, 0, 0}));
  EXPECT_EQ(lines[5].object, (ObjectId{ObjectId::Kind::kSysv, 0, 65541}));
  EXPECT_EQ(lines[6].object,
            (ObjectId{ObjectId::Kind::kInode, makedev(0, 1), 3075}));
}

TEST(ProcTextTest, AFileCannotPassForSystemV) {
  const std::vector<MapsLine> lines = Parse(
      "7f0000000000-7f0000001000 rw-s 00000000 fe:00 9 /SYSV00000001 "
      "(deleted)\n"
      "7f0000000000-7f0000001000 rw-s 00000000 00:05 9 /SYSV0000000g "
      "(deleted)\n");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].object.kind, ObjectId::Kind::kInode);
  EXPECT_EQ(lines[1].object.kind, ObjectId::Kind::kInode);
}

TEST(ProcTextTest, CutAndStrangeTextsArePassedOver) {
  const absl::string_view whole = kMaps;
  // Every length: nothing is read beyond the end (ASan sees it).
  for (size_t length = 0; length <= whole.size(); ++length) {
    const std::string copy(whole.substr(0, length));
    Parse(copy);
    ParseStat(copy);
    ParseCgroup(copy);
    ParseStatusUid(copy);
    ParseSysvTable(copy);
    ParseHugetlbfsMounts(copy);
  }
  EXPECT_THAT(Parse("\n\nnonsense\n1-0 rw-s 0 0:0 1 x\n"), IsEmpty());
  EXPECT_THAT(Parse(std::string("\0\0 \xff", 4)), IsEmpty());
  EXPECT_THAT(Parse("10000000000000000-2 rw-s 0 0:1 1 x\n"), IsEmpty());
}

TEST(ProcTextTest, StatTellsThreadsOfTheKernelAndTheDead) {
  const auto kernel = ParseStat(
      "2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1\n");
  ASSERT_TRUE(kernel.has_value());
  EXPECT_TRUE(kernel->is_kernel_thread);
  const auto odd = ParseStat("9 (a) S 1 (b) Z 4 9 9 0 -1 4194560 1 2\n");
  ASSERT_TRUE(odd.has_value());
  EXPECT_EQ(odd->command, "a) S 1 (b");
  EXPECT_EQ(odd->parent, 4);
  EXPECT_TRUE(odd->is_dead);
  EXPECT_FALSE(odd->is_kernel_thread);
  EXPECT_FALSE(ParseStat("9 (a").has_value());
  EXPECT_FALSE(ParseStat("9 (a) S 1").has_value());
}

TEST(ProcTextTest, StatusTellsTheRealUid) {
  EXPECT_EQ(ParseStatusUid("Name:\tx\nUid:\t1000\t0\t0\t0\nGid:\t5\n"), 1000u);
  EXPECT_FALSE(ParseStatusUid("Name:\tUid:\t1\n").has_value());
}

TEST(ProcTextTest, CgroupTellsTheLastPart) {
  EXPECT_EQ(ParseCgroup("0::/system.slice/shmd.service\n"), "shmd.service");
  EXPECT_EQ(ParseCgroup("0::/\n"), "");
  EXPECT_EQ(ParseCgroup("4:memory:/docker/abc\n1:name=systemd:/docker/xyz\n"),
            "abc");
  EXPECT_EQ(ParseCgroup("4:memory:/old\n0::/pod:1/new\n"), "new");
}

TEST(ProcTextTest, MountinfoTellsHugetlbfs) {
  EXPECT_THAT(
      ParseHugetlbfsMounts(
          "36 25 0:31 / /dev/hugepages rw,relatime shared:15 - hugetlbfs "
          "hugetlbfs rw,pagesize=2M\n"
          "37 25 0:32 / /dev/shm rw - tmpfs tmpfs rw\n"
          "38 25 0:33 / /mnt/with\\040blank rw - hugetlbfs none rw\n"
          "39 25 0:34 / /mnt/hugetlbfs rw - tmpfs hugetlbfs rw\n"),
      ElementsAre("/dev/hugepages", "/mnt/with blank"));
}

TEST(ProcTextTest, SysvTableTellsEachSegment) {
  const std::vector<SysvRow> rows = ParseSysvTable(
      "       key      shmid perms                  size  cpid  lpid nattch   "
      "uid   gid  cuid  cgid      atime      dtime      ctime                "
      "   rss                  swap\n"
      "        68          3  1644                  8192   411   412      1  "
      "1000   100     0     0 1700000001 1700000002 1700000000               "
      "  4096                     0\n"
      "-559038737      32771   600                     1     7     0      0  "
      "   0     0     0     0          0          0 1700000000               "
      "     0                  4096\n");
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].key, 68u);
  EXPECT_EQ(rows[0].id, 3);
  EXPECT_EQ(rows[0].mode, 0644u) << "without the mark of a removed one";
  EXPECT_EQ(rows[0].size_bytes, 8192u);
  EXPECT_EQ(rows[0].creator, 411);
  EXPECT_EQ(rows[0].last_user, 412);
  EXPECT_EQ(rows[0].attach_count, 1u);
  EXPECT_EQ(rows[0].owner, 1000u);
  EXPECT_EQ(rows[0].attach_time, 1700000001);
  EXPECT_EQ(rows[0].detach_time, 1700000002);
  EXPECT_EQ(rows[0].change_time, 1700000000);
  EXPECT_EQ(rows[0].resident_bytes, 4096u);
  EXPECT_EQ(rows[1].key, 0xdeadbeefu);
  EXPECT_EQ(rows[1].swapped_bytes, 4096u);
}

TEST(ProcTextTest, NamesBecomePrintable) {
  EXPECT_EQ(EscapedName("/a b"), "/a b");
  EXPECT_EQ(EscapedName("/a\n\xff"), "/a\\n\\xff");
}

}  // namespace
}  // namespace shmd
