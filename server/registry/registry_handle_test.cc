// Handles: who may redeem which, and what becomes of them.

#include "server/registry/registry_fixture.h"

namespace shmd {
namespace {

class RegistryHandleTest : public RegistryTest {
 protected:
  Handle HandleOf(const SegmentView& view, const Caller& caller = Root()) {
    return registry().WholeHandle(caller, *view.segment);
  }
  absl::StatusOr<Handle> MakeHandle(const HandleCommand& command,
                                    const Caller& caller = Root()) {
    return registry().MakeHandle(caller, command);
  }
  static HandleCommand Command(const std::string& id) {
    HandleCommand command;
    command.name = Name(id);
    return command;
  }
  // The reason why it cannot be redeemed; empty when it can.
  std::string Redeem(const Handle& handle, Access access = Access::kRead,
                     const Caller& caller = Root()) {
    const auto grant = registry().Attach(caller, handle, access);
    if (grant.ok()) registry().Release(grant->view.entry);
    return ReasonOf(grant);
  }
  uint64_t Attachments(const std::string& id) {
    return registry().Get(Root(), Name(id))->attachments;
  }
};

TEST_F(RegistryHandleTest, AttachmentsAreCountedUntilReleased) {
  const SegmentView view = Made(Memfd("a"));
  const auto first =
      registry().Attach(Root(), HandleOf(view), Access::kReadWrite);
  const auto second = registry().Attach(Root(), HandleOf(view), Access::kRead);
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->length_bytes, BasePageSizeBytes());
  EXPECT_EQ(first->access, Access::kReadWrite);
  EXPECT_EQ(Attachments("a"), 2u);
  registry().Release(first->view.entry);
  registry().Release(second->view.entry);
  EXPECT_EQ(Attachments("a"), 0u);
}

TEST_F(RegistryHandleTest, ForgedHandlesAreInvalid) {
  const Handle good = HandleOf(Made(Memfd("a")));
  ASSERT_EQ(Redeem(good), "");
  const std::function<void(Handle&)> kForgeries[] = {
      [](Handle& h) { ++h.node; },
      [](Handle& h) { h.name_space = "other"; },
      [](Handle& h) { h.uid[0] ^= 1; },
      [](Handle& h) { ++h.generation; },
      [](Handle& h) { h.offset_bytes = 1; },
      [](Handle& h) { h.length_bytes = 1; },
      [](Handle& h) { h.access = Access::kRead; },
      [](Handle& h) { h.expire_unix_ms = INT64_MAX; },
      [](Handle& h) { h.signature[15] ^= 1; },
      [](Handle& h) { h.signature = {}; },
  };
  for (const auto& forge : kForgeries) {
    Handle handle = good;
    forge(handle);
    EXPECT_EQ(Redeem(handle), "HANDLE_INVALID");
  }
  EXPECT_EQ(Redeem(Handle()), "HANDLE_INVALID");
  EXPECT_EQ(Attachments("a"), 0u);
}

TEST_F(RegistryHandleTest, HandleOfAnEarlierSegmentOfTheNameIsStale) {
  const Handle handle = HandleOf(Made(Posix("a")));
  ASSERT_TRUE(Delete("a").ok());
  EXPECT_EQ(Redeem(handle), "HANDLE_STALE");
  Made(Posix("a"));
  EXPECT_EQ(Redeem(handle), "HANDLE_STALE");
  Restart();
  EXPECT_EQ(Redeem(handle), "HANDLE_STALE");
}

TEST_F(RegistryHandleTest, HandleIsGoodForItsTimeOnly) {
  Made(Memfd("a"));
  HandleCommand command = Command("a");
  command.ttl = absl::Milliseconds(5);
  const Handle handle = MakeHandle(command).value();
  clock_.Advance(absl::Milliseconds(4));
  EXPECT_EQ(Redeem(handle), "");
  clock_.Advance(absl::Milliseconds(1));
  EXPECT_EQ(Redeem(handle), "HANDLE_EXPIRED");
}

TEST_F(RegistryHandleTest, HandleGivesNoMoreThanItSays) {
  Made(Memfd("a"));
  const Handle reader = MakeHandle(Command("a")).value();
  EXPECT_EQ(Redeem(reader, Access::kRead), "");
  EXPECT_EQ(Redeem(reader, Access::kReadWrite), "CALLER_NOT_ALLOWED");
}

TEST_F(RegistryHandleTest, RangeIsResolvedAndLiesWithin) {
  Made(Memfd("a"));
  HandleCommand command = Command("a");
  command.offset_bytes = 96;
  const Handle rest = MakeHandle(command).value();
  EXPECT_EQ(rest.length_bytes, 4000u);
  const auto grant = registry().Attach(Root(), rest, Access::kRead);
  ASSERT_TRUE(grant.ok());
  EXPECT_EQ(grant->offset_bytes, 96u);
  EXPECT_EQ(grant->length_bytes, 4000u);
  registry().Release(grant->view.entry);
  const struct {
    uint64_t offset, length;
  } kOutside[] = {{4096, 0}, {4097, 0}, {0, 4097}, {UINT64_MAX, 2}, {1, 4096}};
  for (const auto& one : kOutside) {
    command.offset_bytes = one.offset;
    command.length_bytes = one.length;
    EXPECT_EQ(ReasonOf(MakeHandle(command)), "RANGE_OUTSIDE_SEGMENT");
  }
}

TEST_F(RegistryHandleTest, RangeThatWasCutOffIsToldAndNotCounted) {
  CreateCommand command = Posix("a");
  command.options.resizable = true;
  command.options.size_bytes = 2 * BasePageSizeBytes();
  Made(command);
  HandleCommand range = Command("a");
  range.offset_bytes = BasePageSizeBytes() + 1;
  const Handle handle = MakeHandle(range).value();
  ASSERT_TRUE(
      registry().Resize(Root(), Name("a"), "", BasePageSizeBytes()).ok());
  EXPECT_EQ(Redeem(handle), "RANGE_OUTSIDE_SEGMENT");
  EXPECT_EQ(Attachments("a"), 0u);
}

TEST_F(RegistryHandleTest, ModeDecidesWhoMayRedeem) {
  CreateCommand command = Memfd("a", Alice());
  command.options.mode = 0640;
  const SegmentView view = Made(command, Alice());
  const Handle whole = HandleOf(view, Alice());
  EXPECT_EQ(whole.access, Access::kReadWrite);
  EXPECT_EQ(HandleOf(view, Bob()).access, Access::kRead);
  EXPECT_EQ(Redeem(whole, Access::kReadWrite, Alice()), "");
  EXPECT_EQ(Redeem(whole, Access::kRead, Bob()), "");
  EXPECT_EQ(Redeem(whole, Access::kReadWrite, Bob()), "CALLER_NOT_ALLOWED");
  HandleCommand writer = Command("a");
  writer.access = Access::kReadWrite;
  EXPECT_EQ(ReasonOf(MakeHandle(writer, Bob())), "CALLER_NOT_ALLOWED");
  ASSERT_TRUE(
      Update("a", [](UpdateCommand& update) { update.mode = 0600; }).ok());
  EXPECT_EQ(Redeem(whole, Access::kRead, Bob()), "CALLER_NOT_ALLOWED");
}

TEST_F(RegistryHandleTest, SealedSegmentIsForReadersOnly) {
  for (const SealExtent extent :
       {SealExtent::kAllWrites, SealExtent::kNewWriters}) {
    const SegmentView view = Made(Memfd(""));
    const Handle writer = HandleOf(view);
    const auto sealed = registry().Seal(Root(), view.segment->name, "", extent);
    ASSERT_TRUE(sealed.ok()) << sealed.status();
    EXPECT_EQ(Redeem(writer, Access::kReadWrite), "SEGMENT_SEALED");
    EXPECT_EQ(Redeem(writer, Access::kRead), "");
    EXPECT_EQ(HandleOf(*sealed).access, Access::kRead);
  }
}

TEST_F(RegistryHandleTest, ReplacedObjectIsNeverServed) {
  const SegmentView view = Made(Posix("a"));
  const std::string path = "/dev/shm" + view.segment->options.posix_name;
  ASSERT_EQ(unlink(path.c_str()), 0);
  EXPECT_EQ(Redeem(HandleOf(view)), "OBJECT_REPLACED");
  EXPECT_EQ(Attachments("a"), 0u);
}

TEST_F(RegistryHandleTest, HandleOutlivesTheDaemonAsItsSegmentDoes) {
  const Handle posix = HandleOf(Made(Posix("posix")));
  const Handle memfd = HandleOf(Made(Memfd("memfd")));
  Restart();
  EXPECT_EQ(Redeem(posix, Access::kReadWrite), "");
  EXPECT_EQ(Redeem(memfd), "HANDLE_STALE");
}

}  // namespace
}  // namespace shmd
