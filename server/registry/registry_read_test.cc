// What callers see: get, list, peeks.

#include "absl/strings/str_cat.h"
#include "server/registry/registry_fixture.h"

namespace shmd {
namespace {

class RegistryReadTest : public RegistryTest {
 protected:
  absl::StatusOr<std::string> Read(const std::string& id, uint64_t offset,
                                   uint64_t length,
                                   const Caller& caller = Root()) {
    return registry().Read(caller, Name(id), offset, length);
  }
  absl::Status Write(const std::string& id, uint64_t offset,
                     const std::string& data, const Caller& caller = Root()) {
    return registry().Write(caller, Name(id), offset, data);
  }
};

TEST_F(RegistryReadTest, ModeDecidesWhoMayGet) {
  CreateCommand command = Memfd("a", Alice());
  command.options.mode = 0640;
  Made(command, Alice());
  EXPECT_TRUE(registry().Get(Alice(), Name("a")).ok());
  EXPECT_TRUE(registry().Get(Bob(), Name("a")).ok());  // in her group
  Caller stranger = Bob();
  stranger.groups.clear();
  EXPECT_EQ(ReasonOf(registry().Get(stranger, Name("a"))),
            "CALLER_NOT_ALLOWED");
  EXPECT_EQ(ReasonOf(registry().Get(Root(), Name("b"))), "SEGMENT_NOT_FOUND");
  EXPECT_EQ(ReasonOf(registry().Get(Root(), {"other", "a"})),
            "NAMESPACE_NOT_FOUND");
}

TEST_F(RegistryReadTest, ListGoesOnBehindAnIdAndSkipsWhatIsNotForTheCaller) {
  for (const char* id : {"c", "a", "e"}) Made(Memfd(id, Alice()), Alice());
  for (const char* id : {"b", "d"}) Made(Memfd(id, Bob()), Bob());
  EXPECT_EQ(Ids(), (std::vector<std::string>{"a", "b", "c", "d", "e"}));
  EXPECT_EQ(Ids(Alice()), (std::vector<std::string>{"a", "c", "e"}));
  ListCommand command;
  command.name_space = "default";
  command.limit = 2;
  auto views = registry().List(Alice(), command);
  ASSERT_TRUE(views.ok());
  ASSERT_EQ(views->size(), 2u);
  EXPECT_EQ((*views)[1].segment->name.id, "c");
  command.after_id = "c";
  // The place need not exist any more.
  ASSERT_TRUE(Delete("c").ok());
  views = registry().List(Alice(), command);
  ASSERT_TRUE(views.ok());
  ASSERT_EQ(views->size(), 1u);
  EXPECT_EQ((*views)[0].segment->name.id, "e");
  command.after_id = "e";
  EXPECT_TRUE(registry().List(Alice(), command)->empty());
  command.name_space = "defaul";
  EXPECT_EQ(ReasonOf(registry().List(Alice(), command)), "NAMESPACE_NOT_FOUND");
}

TEST_F(RegistryReadTest, ListObeysTheFilter) {
  Made(Memfd("a"));
  Made(Posix("b"));
  ListCommand command;
  command.name_space = "default";
  command.limit = 10;
  command.filter = SegmentFilter::Parse("backend = POSIX").value();
  const auto views = registry().List(Root(), command);
  ASSERT_TRUE(views.ok());
  ASSERT_EQ(views->size(), 1u);
  EXPECT_EQ((*views)[0].segment->name.id, "b");
}

TEST_F(RegistryReadTest, PeeksMoveBytesInEveryBackend) {
  ASSERT_TRUE(registry().Create(Root(), OneOfEach()).ok());
  for (const char* id : {"memfd", "posix", "sysv", "file"}) {
    SCOPED_TRACE(id);
    ASSERT_TRUE(Write(id, 4091, "abcde").ok());
    EXPECT_EQ(Read(id, 4091, 0).value(), "abcde");
    EXPECT_EQ(Read(id, 4090, 3).value(), std::string("\0ab", 3));
    EXPECT_EQ(Read(id, 0, 0)->size(), 4096u);
  }
}

TEST_F(RegistryReadTest, RangesOutsideAreRefused) {
  Made(Memfd("a"));
  EXPECT_EQ(Read("a", 4096, 0).value(), "");
  EXPECT_EQ(ReasonOf(Read("a", 4096, 1)), "RANGE_OUTSIDE_SEGMENT");
  EXPECT_EQ(ReasonOf(Read("a", 4097, 0)), "RANGE_OUTSIDE_SEGMENT");
  EXPECT_EQ(ReasonOf(Read("a", UINT64_MAX, 2)), "RANGE_OUTSIDE_SEGMENT");
  EXPECT_EQ(ReasonOf(Write("a", 4095, "ab")), "RANGE_OUTSIDE_SEGMENT");
  EXPECT_TRUE(Write("a", 4096, "").ok());
}

TEST_F(RegistryReadTest, PeeksAreBoundedAndNameTheirField) {
  CreateCommand command = Memfd("a");
  command.options.size_bytes = 1 << 20;
  Made(command);
  EXPECT_EQ(Read("a", 0, 0)->size(), 65536u);
  EXPECT_EQ(Read("a", 0, 65536)->size(), 65536u);
  const absl::Status read = Read("a", 0, 65537).status();
  EXPECT_EQ(ReasonOf(read), "PEEK_TOO_LARGE");
  EXPECT_EQ(GetErrorDetail(read).field, "length_bytes");
  EXPECT_TRUE(Write("a", 0, std::string(65536, 'x')).ok());
  const absl::Status write = Write("a", 0, std::string(65537, 'x'));
  EXPECT_EQ(ReasonOf(write), "PEEK_TOO_LARGE");
  EXPECT_EQ(GetErrorDetail(write).field, "data");
}

TEST_F(RegistryReadTest, ModeDecidesWhoMayPeek) {
  CreateCommand command = Memfd("a", Alice());
  command.options.mode = 0640;
  Made(command, Alice());
  EXPECT_TRUE(Write("a", 0, "x", Alice()).ok());
  EXPECT_TRUE(Read("a", 0, 1, Bob()).ok());
  EXPECT_EQ(ReasonOf(Write("a", 0, "x", Bob())), "CALLER_NOT_ALLOWED");
}

TEST_F(RegistryReadTest, TruncatedFileIsToldNotACrash) {
  CreateCommand command = File("a");
  command.options.size_bytes = 4 * BasePageSizeBytes();
  Made(command);
  const std::string path = absl::StrCat(folder(), "/a.dat");
  ASSERT_EQ(truncate(path.c_str(), 1), 0);
  EXPECT_EQ(ReasonOf(Read("a", 2 * BasePageSizeBytes(), 1)),
            "SEGMENT_TRUNCATED");
  EXPECT_EQ(ReasonOf(Write("a", 2 * BasePageSizeBytes(), "x")),
            "SEGMENT_TRUNCATED");
}

TEST_F(RegistryReadTest, RemovedObjectIsToldAsReplaced) {
  Made(File("a"));
  ASSERT_EQ(unlink(absl::StrCat(folder(), "/a.dat").c_str()), 0);
  EXPECT_EQ(ReasonOf(Read("a", 0, 1)), "OBJECT_REPLACED");
  EXPECT_EQ(ReasonOf(registry().Flush(Root(), Name("a"),
                                      FlushMode::kSynchronous, 0, 0)),
            "OBJECT_REPLACED");
  const auto view = registry().Get(Root(), Name("a"));
  ASSERT_TRUE(view.ok());
  EXPECT_EQ(ReasonOf(registry().Status(*view, false)), "OBJECT_REPLACED");
}

TEST_F(RegistryReadTest, FlushIsForWritersAndWithinTheSegment) {
  ASSERT_TRUE(registry().Create(Root(), OneOfEach()).ok());
  for (const char* id : {"memfd", "posix", "sysv", "file"}) {
    SCOPED_TRACE(id);
    for (const FlushMode mode :
         {FlushMode::kSynchronous, FlushMode::kAsynchronous,
          FlushMode::kInvalidate}) {
      const absl::Status status =
          registry().Flush(Root(), Name(id), mode, 5, 0);
      EXPECT_TRUE(status.ok()) << status;
    }
    EXPECT_EQ(ReasonOf(registry().Flush(Root(), Name(id),
                                        FlushMode::kSynchronous, 4096, 1)),
              "RANGE_OUTSIDE_SEGMENT");
    EXPECT_EQ(ReasonOf(registry().Flush(Alice(), Name(id),
                                        FlushMode::kSynchronous, 0, 0)),
              "CALLER_NOT_ALLOWED");
  }
}

TEST(ResolveLengthTest, NothingWraps) {
  EXPECT_EQ(ResolveLength(10, 0, 0).value(), 10u);
  EXPECT_EQ(ResolveLength(10, 4, 0).value(), 6u);
  EXPECT_EQ(ResolveLength(10, 4, 6).value(), 6u);
  EXPECT_EQ(ResolveLength(10, 10, 0).value(), 0u);
  EXPECT_FALSE(ResolveLength(10, 4, 7).ok());
  EXPECT_FALSE(ResolveLength(10, 11, 0).ok());
  EXPECT_FALSE(ResolveLength(10, 1, UINT64_MAX).ok());
  EXPECT_FALSE(ResolveLength(10, UINT64_MAX, 1).ok());
  EXPECT_EQ(ResolveLength(UINT64_MAX, 1, UINT64_MAX - 1).value(),
            UINT64_MAX - 1);
}

}  // namespace
}  // namespace shmd
