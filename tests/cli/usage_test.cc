#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/cli/served_shm.h"

namespace shmd::testing {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

ProgramEnd Unserved(const std::vector<std::string>& arguments) {
  return RunShm(arguments, "/nowhere");
}

class UsageTest : public ServedShm {
 protected:
  // Makes a segment of 4 KiB; returns its handle.
  std::string Make(const std::string& id) {
    const ProgramEnd end = Shm({"create", id, "--size", "4k", "--quiet"});
    EXPECT_EQ(end.exit_code, 0) << end.err;
    return end.out.substr(0, end.out.find('\n'));
  }
};

TEST(CommandLineTest, AnErrorNamesTheProgramAndTheHelpOfTheVerb) {
  EXPECT_EQ(Unserved({"create", "x"}).err,
            "shm: --size is required\n"
            "Run `shm create --help` for more information.\n");
  EXPECT_THAT(Unserved({"namespace", "create"}).err,
              EndsWith("\nRun `shm namespace create --help` for more "
                       "information.\n"));
  EXPECT_THAT(Unserved({"frobnicate"}).err,
              EndsWith("\nRun `shm --help` for more information.\n"));
}

TEST(CommandLineTest, WithoutAVerbThereIsAListOfThem) {
  const ProgramEnd end = Unserved({});
  EXPECT_EQ(end.exit_code, 2);
  EXPECT_THAT(end.err, StartsWith("shm: a verb is required\n"));
  EXPECT_THAT(end.err, HasSubstr("\n  create  "));
  const ProgramEnd channel = Unserved({"channel"});
  EXPECT_EQ(channel.exit_code, 2);
  EXPECT_THAT(channel.err, HasSubstr("\n  grants  "));
}

TEST(CommandLineTest, HelpIsAVerbToo) {
  EXPECT_EQ(Unserved({"help"}).out, Unserved({"--help"}).out);
  EXPECT_THAT(Unserved({"help"}).out, HasSubstr("`shm help VERB`"));
  const ProgramEnd create = Unserved({"help", "create"});
  EXPECT_EQ(create.exit_code, 0) << create.err;
  EXPECT_EQ(create.out, Unserved({"create", "--help"}).out);
  EXPECT_THAT(create.out, Not(HasSubstr("`shm help VERB`")));
  EXPECT_EQ(Unserved({"help", "channel", "grant"}).out,
            Unserved({"channel", "grant", "--help"}).out);
  const ProgramEnd unknown = Unserved({"help", "frobnicate"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("no verb or option frobnicate\n"));
}

TEST(CommandLineTest, WhatIsUnknownIsToldBeforeWhatIsMissing) {
  EXPECT_THAT(Unserved({"create", "x", "--sice=4k"}).err,
              StartsWith("shm: `shm create` has no option --sice\n"));
  EXPECT_THAT(Unserved({"creat", "create", "x"}).err,
              StartsWith("shm: not expected here: creat\n"));
  EXPECT_THAT(Unserved({"create", "x", "y", "--size", "4k"}).err,
              StartsWith("shm: not expected here: y\n"));
  EXPECT_THAT(Unserved({"--size", "4k", "create", "x"}).err,
              StartsWith("shm: not expected here: --size\n"));
}

TEST(CommandLineTest, ADashIsNoFile) {
  const ProgramEnd get = Unserved({"get", "it", "-"});
  EXPECT_EQ(get.exit_code, 2);
  EXPECT_THAT(get.err, HasSubstr("`shm cat` writes to standard output"));
  const ProgramEnd put = Unserved({"put", "-", "it"});
  EXPECT_EQ(put.exit_code, 2);
  EXPECT_THAT(put.err, HasSubstr("no standard input"));
  // It fails later, for want of a daemon.
  EXPECT_EQ(Unserved({"put", "./-", "it"}).exit_code, 9);
}

TEST(CommandLineTest, SyncedIsExplained) {
  EXPECT_THAT(Unserved({"watch", "--help"}).out, HasSubstr("SYNCED says"));
}

TEST_F(UsageTest, AHandleWhereANameMustBeIsTold) {
  const std::string handle = Make("it");
  for (const char* const verb : {"stat", "rm", "seal"}) {
    const ProgramEnd end = Shm({verb, handle});
    EXPECT_EQ(end.exit_code, 3) << verb;
    EXPECT_THAT(end.err, HasSubstr("\nhint: this verb takes a name; get, cat "
                                   "and sum take handles\n"))
        << verb;
  }
  EXPECT_THAT(Shm({"stat", "absent"}).err, HasSubstr("`shm ls` lists"));
  EXPECT_THAT(Shm({"stat", "absent"}).err, HasSubstr("--object"));
}

TEST_F(UsageTest, ABatchThatFailsSaysThatNothingWasDeleted) {
  Make("it");
  const ProgramEnd end = Shm({"rm", "it", "absent"});
  EXPECT_EQ(end.exit_code, 3);
  EXPECT_THAT(end.err, HasSubstr("segments/absent; nothing was deleted "
                                 "(SEGMENT_NOT_FOUND)\n"));
  EXPECT_EQ(Shm({"ls", "--quiet"}).out, "it\n");
  EXPECT_THAT(Shm({"rm", "absent"}).err, Not(HasSubstr("nothing")));
}

TEST_F(UsageTest, HintsFitTheirCause) {
  EXPECT_THAT(Shm({"create", "f", "-s", "4k", "--file_path", "no/f"}).err,
              HasSubstr("\nhint: make the folder first\n"));
  EXPECT_THAT(Shm({"create", "f", "-s", "4k", "--file_path", "/no"}).err,
              HasSubstr("must lie below a --file_root"));
  ASSERT_EQ(Shm({"channel", "create", "news"}).exit_code, 0);
  const ProgramEnd reserved = Shm({"rm", "shmd.channel.news"});
  EXPECT_EQ(reserved.exit_code, 6);
  EXPECT_THAT(reserved.err, HasSubstr("hint: `shm channel rm`"));
}

TEST_F(UsageTest, AListThatWasCutShortSaysSo) {
  Make("a");
  EXPECT_THAT(Shm({"ls", "--limit", "1"}).out,
              EndsWith("\n1 segment, 4 KiB\n"));
  Make("b");
  EXPECT_THAT(Shm({"ls", "--limit", "1"}).out,
              EndsWith("\n1 segment, 4 KiB; there are more than --limit\n"));
  EXPECT_EQ(Shm({"ls", "--limit", "1", "--quiet"}).out, "a\n");
  EXPECT_THAT(Shm({"ls", "--limit", "2"}).out,
              EndsWith("\n2 segments, 8 KiB\n"));
}

}  // namespace
}  // namespace shmd::testing
