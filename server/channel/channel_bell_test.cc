// Whom the daemon rings for, and who may ring.

#include <poll.h>

#include <utility>

#include "base/error_reason.h"
#include "server/channel/channel_fixture.h"
#include "shm/sys/bell_pipe.h"

namespace shmd {
namespace {

class BellTest : public ChannelRegistryTest {
 protected:
  absl::StatusOr<UniqueFd> Open(const SessionId& session,
                                const MemberView& subscriber, Access access) {
    auto part = channels().OpenPart(
        Root(), session, {"default", "c"},
        {PartKind::kBell, subscriber.index, subscriber.generation}, access);
    if (!part.ok()) return part.status();
    return std::move(part->bell);
  }
  // Whether it rings, and then no more.
  static bool Rings(const UniqueFd& bell) {
    pollfd wanted = {bell.get(), POLLIN, 0};
    const bool rings = poll(&wanted, 1, 0) == 1;
    sys::DrainBellPipe(bell.get());
    return rings;
  }
};

TEST_F(BellTest, EachChangeOfWhoTakesPartRings) {
  MakeChannel("c", layout::ChannelKind::kQueue);
  const SessionId session = Begin(), other = Begin(), third = Begin();
  const auto subscriber = Join("c", session, MemberKind::kSubscriber);
  ASSERT_TRUE(subscriber.ok());
  const auto bell = Open(session, subscriber->member, Access::kRead);
  ASSERT_TRUE(bell.ok()) << bell.status();
  EXPECT_FALSE(Rings(*bell));
  const auto publisher = Join("c", other);
  ASSERT_TRUE(publisher.ok());
  EXPECT_TRUE(Rings(*bell));
  Map(publisher->parts.part).As<layout::RingHeader>()[0].published = 1;
  ASSERT_TRUE(Join("c", third, MemberKind::kSubscriber).ok());
  EXPECT_TRUE(Rings(*bell));
  // Somebody rings who is there for longer than the subscriber.
  const auto rung_by = Open(third, subscriber->member, Access::kReadWrite);
  ASSERT_TRUE(rung_by.ok()) << rung_by.status();
  End(third);
  EXPECT_TRUE(Rings(*bell));
  ASSERT_TRUE(channels().Leave(Root(), NameOf("c", publisher->member)).ok());
  EXPECT_TRUE(Rings(*bell));
  ASSERT_TRUE(channels().Delete(Root(), {"default", "c"}, true).ok());
  EXPECT_TRUE(Rings(*bell));
}

TEST_F(BellTest, TheNextRunRingsForWhatTheLastOneHadNot) {
  MakeChannel("c");
  const SessionId session = Begin(), other = Begin();
  const auto subscriber = Join("c", session, MemberKind::kSubscriber);
  ASSERT_TRUE(subscriber.ok() && Join("c", other).ok());
  ASSERT_TRUE(Open(session, subscriber->member, Access::kRead).ok());
  StartChannels();
  // Whoever asks first.
  ASSERT_TRUE(Open(other, subscriber->member, Access::kReadWrite).ok());
  const auto bell = Open(session, subscriber->member, Access::kRead);
  ASSERT_TRUE(bell.ok()) << bell.status();
  EXPECT_TRUE(Rings(*bell));
}

TEST_F(BellTest, IsForThoseWhoHaveSomethingForItsOwner) {
  MakeChannel("c");
  const SessionId session = Begin(), other = Begin();
  const auto subscriber = Join("c", session, MemberKind::kSubscriber);
  ASSERT_TRUE(subscriber.ok());
  // Not so where each gets all messages.
  ASSERT_TRUE(Join("c", other, MemberKind::kSubscriber).ok());
  for (const Access access : {Access::kRead, Access::kReadWrite}) {
    EXPECT_EQ(ReasonOf(Open(other, subscriber->member, access)),
              reason::kCallerNotAllowed);
  }
  EXPECT_EQ(ReasonOf(Open(session, subscriber->member, Access::kReadWrite)),
            reason::kCallerNotAllowed);
}

TEST_F(BellTest, ABellTellsItsDescriptorsToTheBudget) {
  MakeChannel("c");
  const SessionId session = Begin();
  ASSERT_TRUE(Join("c", session).ok());
  const auto subscriber = Join("c", session, MemberKind::kSubscriber);
  ASSERT_TRUE(subscriber.ok());
  const PartRequest request = {PartKind::kBell, subscriber->member.index,
                               subscriber->member.generation};
  const uint64_t before = registry().budget().used().descriptors;
  for (const Access access : {Access::kRead, Access::kReadWrite}) {
    const auto part =
        channels().OpenPart(Root(), session, {"default", "c"}, request, access);
    ASSERT_TRUE(part.ok()) << part.status();
    EXPECT_FALSE(part->segment.has_value());
    EXPECT_EQ(registry().budget().used().descriptors, before + 2);
  }
  End(session);
  // With ring and page.
  EXPECT_EQ(registry().budget().used().descriptors, before - 2);
}

}  // namespace
}  // namespace shmd
