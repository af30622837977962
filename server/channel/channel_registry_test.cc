#include "server/channel/channel_registry.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error_reason.h"
#include "server/channel/channel_fixture.h"
#include "shm/channel/claim_words.h"
#include "shm/layout/channel_layout.h"
#include "shm/mapping.h"

namespace shmd {
namespace {

using layout::ChannelKind;
using layout::MemberRole;
using layout::SlowPolicy;

TEST_F(ChannelRegistryTest, ANamespaceHasSoManyChannelsAndNoMore) {
  for (size_t i = 0; i < kMaxChannels; ++i) {
    const auto made = channels().Create(Root(), Command(absl::StrCat("c", i)));
    ASSERT_TRUE(made.ok()) << made.status();
  }
  EXPECT_EQ(ReasonOf(channels().Create(Root(), Command("more"))),
            reason::kQuotaExceeded);
  ASSERT_TRUE(channels().Delete(Root(), {"default", "c7"}, false).ok());
  EXPECT_TRUE(channels().Create(Root(), Command("more")).ok());
}

TEST_F(ChannelRegistryTest, SegmentsGoWithWhoOwnsThem) {
  MakeChannel("q", ChannelKind::kQueue);
  const SessionId one = Begin(), other = Begin();
  const auto publisher = Join("q", one);
  ASSERT_TRUE(publisher.ok()) << publisher.status();
  ASSERT_TRUE(Join("q", other, MemberKind::kSubscriber).ok());
  EXPECT_EQ(registry().ListReserved().size(), 4u);
  for (const SegmentView& view : registry().ListReserved()) {
    const SegmentOptions& options = view.segment->options;
    EXPECT_EQ(options.seal_policy, SealPolicy::kNeverSealed);
    EXPECT_FALSE(options.resizable);
    EXPECT_EQ(options.mode,
              view.segment->role == SegmentRole::kChannel ? 0400u : 0600u);
  }
  End(one);
  EXPECT_EQ(registry().ListReserved().size(), 2u);
  EXPECT_EQ(Get("q").publishers, 0u);
  EXPECT_EQ(Get("q").subscribers, 1u);
  ASSERT_TRUE(channels().Delete(Root(), {"default", "q"}, true).ok());
  EXPECT_TRUE(registry().ListReserved().empty());
}

TEST_F(ChannelRegistryTest, AnEndThatCrossesAJoinLeavesNothing) {
  MakeChannel("c");
  const SessionId session = Begin();
  sessions().End(session);
  // Its end is not cleaned up yet.
  EXPECT_EQ(ReasonOf(Join("c", session)), reason::kSessionNotFound);
  registry().CleanUpSessions();
  EXPECT_EQ(Get("c").publishers, 0u);
  EXPECT_EQ(registry().ListReserved().size(), 1u);
}

TEST_F(ChannelRegistryTest, AJoinAtTheEndOfItsSessionLeavesNothing) {
  MakeChannel("c");
  for (int turn = 0; turn < 300; ++turn) {
    const SessionId session = Begin();
    std::thread joining([&] {
      const auto joined = Join("c", session);
      EXPECT_TRUE(joined.ok() || ReasonOf(joined) == reason::kSessionNotFound)
          << joined.status();
    });
    std::thread ending([&] {
      for (int i = 0; i < turn % 30; ++i) std::this_thread::yield();
      sessions().End(session);
      registry().CleanUpSessions();
    });
    joining.join();
    ending.join();
    ASSERT_EQ(Get("c").publishers, 0u) << turn;
    registry().RemoveExpired();
    ASSERT_EQ(registry().ListReserved().size(), 1u) << turn;
  }
}

TEST_F(ChannelRegistryTest, TheNextRunReadsThePage) {
  MakeChannel("q", ChannelKind::kQueue);
  const SessionId session = Begin();
  const auto publisher = Join("q", session);
  const auto subscriber = Join("q", session, MemberKind::kSubscriber);
  ASSERT_TRUE(publisher.ok() && subscriber.ok());
  const ChannelSnapshot before = Get("q");
  StartChannels();
  const ChannelSnapshot after = Get("q");
  EXPECT_TRUE(AreAlike(before.fields, after.fields));
  EXPECT_EQ(before.fields.generation, after.fields.generation);
  EXPECT_EQ(after.publishers, 1u);
  EXPECT_EQ(after.subscribers, 1u);
  const auto part = channels().OpenPart(
      Root(), session, {"default", "q"},
      {PartKind::kClaims, 0, publisher->member.generation}, Access::kReadWrite);
  ASSERT_TRUE(part.ok()) << part.status();
  EXPECT_EQ(part->segment->segment->uid, publisher->parts.claims->segment->uid);
  // A session that has taken part before leaves as one that has not.
  End(session);
  EXPECT_EQ(Get("q").publishers + Get("q").subscribers, 0u);
  EXPECT_EQ(registry().ListReserved().size(), 1u);
}

TEST_F(ChannelRegistryTest, TheNextRunRemovesWhatIsHalfDone) {
  MakeChannel("kept", ChannelKind::kQueue);
  MakeChannel("closed");
  MakeChannel("unfinished");
  const SessionId session = Begin();
  const auto claimed = Join("kept", session);
  const auto left = Join("kept", session, MemberKind::kSubscriber);
  const auto lacking = Join("kept", session);
  ASSERT_TRUE(claimed.ok() && left.ok() && lacking.ok());
  ASSERT_TRUE(Join("closed", session).ok());
  for (const SegmentView& view : registry().ListReserved()) {
    if (view.segment->name.id == "shmd.channel.closed") {
      Map(view).As<layout::ChannelPage>()[0].header.closed = 1;
    } else if (view.segment->name.id == "shmd.channel.unfinished") {
      Map(view).As<layout::ChannelPage>()[0].header.version = 0;
    } else if (view.segment->name.id == "shmd.channel.kept") {
      // It was off the page, and its segment not removed yet.
      Map(view).As<layout::ChannelPage>()[0].subscribers[0].generation = 0;
    }
  }
  ASSERT_TRUE(registry().RemoveReserved(lacking->parts.claims->entry).ok());
  StartChannels();
  EXPECT_EQ(Get("kept").publishers, 1u);
  EXPECT_EQ(Get("kept").subscribers, 0u);
  EXPECT_EQ(ReasonOf(channels().Get(Root(), {"default", "closed"})),
            reason::kChannelNotFound);
  EXPECT_EQ(ReasonOf(channels().Get(Root(), {"default", "unfinished"})),
            reason::kChannelNotFound);
  // The channel's page, the ring and the claims on it.
  EXPECT_EQ(registry().ListReserved().size(), 3u);
}

TEST_F(ChannelRegistryTest, AMembersSegmentIsOfItsSession) {
  // A session that ended while no daemon ran has no segments, and its place in
  // the page is nobody's; nor does another session's segment make it one.
  MakeChannel("c");
  const SessionId one = Begin(), other = Begin();
  ASSERT_TRUE(Join("c", one).ok());
  for (const SegmentView& view : registry().ListReserved()) {
    if (view.segment->role != SegmentRole::kChannel) continue;
    static_assert(sizeof(layout::ChannelMember::session) == sizeof(other));
    std::memcpy(Map(view).As<layout::ChannelPage>()[0].publishers[0].session,
                other.data(), sizeof(other));
  }
  StartChannels();
  EXPECT_EQ(Get("c").publishers, 0u);
  EXPECT_EQ(registry().ListReserved().size(), 1u);
}

TEST_F(ChannelRegistryTest, WhatIsRefusedLeavesNothing) {
  MakeChannel("q", ChannelKind::kQueue);
  const SessionId session = Begin();
  // Room for the ring and not for the claims on it.
  Namespace changed = default_namespace_;
  changed.name = "default";
  changed.quota.segments = 2;
  namespaces().Replace(changed);
  EXPECT_EQ(ReasonOf(Join("q", session)), reason::kQuotaExceeded);
  EXPECT_EQ(Get("q").publishers, 0u);
  EXPECT_EQ(registry().ListReserved().size(), 1u);
  const auto subscriber = Join("q", session, MemberKind::kSubscriber);
  EXPECT_TRUE(subscriber.ok()) << subscriber.status();
}

TEST_F(ChannelRegistryTest, ManyJoinAndLeaveAtOnce) {
  MakeChannel("c");
  constexpr int kThreads = 4, kTurns = 40;
  std::vector<std::thread> threads;
  std::vector<std::vector<uint64_t>> seen(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i, session = Begin()] {
      for (int turn = 0; turn < kTurns; ++turn) {
        const auto joined = Join("c", session);
        ASSERT_TRUE(joined.ok()) << joined.status();
        seen[static_cast<size_t>(i)].push_back(joined->member.generation);
        const absl::Status left =
            channels().Leave(Root(), NameOf("c", joined->member));
        ASSERT_TRUE(left.ok()) << left;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<uint64_t> all;
  for (const auto& some : seen) all.insert(all.end(), some.begin(), some.end());
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::unique(all.begin(), all.end()), all.end());
  EXPECT_EQ(Get("c").publishers, 0u);
  EXPECT_EQ(registry().ListReserved().size(), 1u);
}

// Publishers that end before who was there first has opened their rings.
class DepartedTest : public ChannelRegistryTest {
 protected:
  void MakeReader(ChannelKind kind) {
    MakeChannel("c", kind);
    reader_ = MustJoin(Begin(), MemberKind::kSubscriber);
  }
  MemberView MustJoin(const SessionId& session,
                      MemberKind kind = MemberKind::kPublisher) {
    const auto joined = Join("c", session, kind);
    EXPECT_TRUE(joined.ok()) << joined.status();
    if (!joined.ok()) return MemberView();
    if (kind == MemberKind::kPublisher) {
      Map(joined->parts.part).As<layout::RingHeader>()[0].published = 1;
    }
    return joined->member;
  }
  // One that has published, and was killed.
  MemberView Depart() {
    const SessionId session = Begin();
    const MemberView publisher = MustJoin(session);
    End(session);
    return publisher;
  }
  // The reason of the refusal; empty when it is handed over.
  std::string Open(PartKind kind, const MemberView& publisher,
                   const MemberView& subscriber) {
    const auto part = channels().OpenPart(
        Root(), subscriber.session, {"default", "c"},
        {kind, publisher.index, publisher.generation},
        kind == PartKind::kClaims ? Access::kReadWrite : Access::kRead);
    if (!part.ok()) return ReasonOf(part);
    const auto attached =
        registry().AttachReserved(part->segment->entry, Access::kRead);
    if (!attached.ok()) return ReasonOf(attached);
    registry().Release(attached->view.entry);
    return "";
  }
  SegmentView PartOf(SegmentRole role, const MemberView& member) {
    for (const SegmentView& view : registry().ListReserved()) {
      const auto place = PartPlaceOf(role, view.segment->name.id);
      if (view.segment->role == role && place.has_value() &&
          place->generation == member.generation) {
        return view;
      }
    }
    ADD_FAILURE() << "no such part";
    return {};
  }
  // As one that has mapped the ring says.
  void Say(const MemberView& subscriber, const MemberView& publisher) {
    Map(PartOf(SegmentRole::kReaderPage, subscriber))
        .As<layout::ReaderPage>()[0]
        .cursors[publisher.index]
        .generation = publisher.generation;
  }
  size_t OnPage() {
    const auto stats = channels().Stats(Root(), {"default", "c"});
    EXPECT_TRUE(stats.ok()) << stats.status();
    return stats->publishers.size();
  }
  // As the reaper does when it is time.
  size_t OnPageLater() {
    clock_.Advance(absl::Seconds(1));
    channels().LookAfterDeparted();
    return OnPage();
  }
  Budget::Use Used() { return registry().budget().used(); }

  MemberView reader_;
};

TEST_F(DepartedTest, TheirRingsStayUntilTheyAreOpened) {
  MakeReader(ChannelKind::kPublish);
  const Budget::Use before = Used();
  const MemberView publisher = Depart();
  EXPECT_EQ(Get("c").publishers, 0u);
  ASSERT_EQ(OnPageLater(), 1u);
  const auto stats = channels().Stats(Root(), {"default", "c"});
  EXPECT_TRUE(stats->publishers[0].publisher.has_left);
  EXPECT_EQ(Used().descriptors, before.descriptors + 1);
  // What comes over is not there yet, and may have to be asked for again.
  EXPECT_EQ(Open(PartKind::kRing, publisher, reader_), "");
  EXPECT_EQ(OnPageLater(), 1u);
  EXPECT_EQ(Open(PartKind::kRing, publisher, reader_), "");
  Say(reader_, publisher);
  EXPECT_EQ(OnPageLater(), 0u);
  EXPECT_EQ(Used().descriptors, before.descriptors);
  EXPECT_EQ(Used().bytes, before.bytes);
  EXPECT_EQ(Open(PartKind::kRing, publisher, reader_), "MEMBER_NOT_FOUND");
}

TEST_F(DepartedTest, WhatIsEmptyIsNotKept) {
  MakeReader(ChannelKind::kPublish);
  const SessionId session = Begin();
  ASSERT_TRUE(Join("c", session).ok());
  End(session);
  EXPECT_EQ(OnPage(), 0u);
}

TEST_F(DepartedTest, WorkIsKeptUntilItIsDone) {
  MakeReader(ChannelKind::kQueue);
  const SessionId session = Begin();
  const MemberView publisher = MustJoin(session);
  const WritableMapping claims = Map(PartOf(SegmentRole::kClaims, publisher));
  uint64_t* const words = reinterpret_cast<uint64_t*>(
      claims.As<char>().data() + sizeof(layout::ClaimsHeader));
  End(session);
  // Whoever has the ring may die with what it has claimed.
  Say(reader_, publisher);
  words[0] = Claim::Word(0, layout::ClaimState::kClaimed, IdOf(reader_));
  EXPECT_EQ(OnPageLater(), 1u);
  const MemberView late = MustJoin(Begin(), MemberKind::kSubscriber);
  EXPECT_EQ(Open(PartKind::kRing, publisher, late), "");
  EXPECT_EQ(Open(PartKind::kClaims, publisher, late), "");
  End(reader_.session);
  EXPECT_EQ(OnPageLater(), 1u);
  words[0] = Claim::Word(0, layout::ClaimState::kDone, IdOf(late));
  EXPECT_EQ(OnPageLater(), 0u);
}

TEST_F(DepartedTest, WorkThatNobodyIsThereForWaits) {
  MakeReader(ChannelKind::kQueue);
  const SessionId session = Begin();
  const MemberView publisher = MustJoin(session);
  const WritableMapping claims = Map(PartOf(SegmentRole::kClaims, publisher));
  End(session);
  EXPECT_EQ(OnPageLater(), 1u);
  End(reader_.session);
  EXPECT_EQ(OnPageLater(), 1u);
  EXPECT_EQ(ReasonOf(channels().Delete(Root(), {"default", "c"}, false)),
            reason::kChannelInUse);
  const MemberView late = MustJoin(Begin(), MemberKind::kSubscriber);
  EXPECT_EQ(Open(PartKind::kRing, publisher, late), "");
  EXPECT_EQ(Open(PartKind::kClaims, publisher, late), "");
  reinterpret_cast<uint64_t*>(claims.As<char>().data() +
                              sizeof(layout::ClaimsHeader))[0] =
      Claim::Word(0, layout::ClaimState::kDone, IdOf(late));
  EXPECT_EQ(OnPageLater(), 0u);
}

TEST_F(DepartedTest, WorkIsKeptWithinTheSameBounds) {
  MakeChannel("c", ChannelKind::kQueue);
  std::vector<MemberView> departed;
  for (int i = 0; i < 20; ++i) departed.push_back(Depart());
  EXPECT_EQ(OnPageLater(), 16u);
  const MemberView late = MustJoin(Begin(), MemberKind::kSubscriber);
  EXPECT_EQ(Open(PartKind::kRing, departed[3], late), "MEMBER_NOT_FOUND");
  EXPECT_EQ(Open(PartKind::kRing, departed[4], late), "");
  const SessionId session = Begin();
  for (size_t i = 0; i < layout::kMaxPublishers; ++i) MustJoin(session);
  EXPECT_EQ(Open(PartKind::kRing, departed[19], late), "MEMBER_NOT_FOUND");
}

TEST_F(DepartedTest, WhoIsSentAwayIsToldSo) {
  MakeReader(ChannelKind::kPublish);
  const MemberView publisher = MustJoin(Begin());
  ASSERT_TRUE(channels().Leave(Root(), NameOf("c", publisher)).ok());
  // A second time changes nothing.
  EXPECT_EQ(ReasonOf(channels().Leave(Root(), NameOf("c", publisher))),
            "MEMBER_NOT_FOUND");
  EXPECT_EQ(OnPage(), 1u);
  for (const SegmentView& view : registry().ListReserved()) {
    if (view.segment->role != SegmentRole::kChannel) continue;
    const WritableMapping page = Map(view);
    EXPECT_FALSE(ChannelView(page.As<layout::ChannelPage>().data())
                     .HasPublisher(IdOf(publisher)));
  }
}

TEST_F(DepartedTest, EachSubscriberThatWasFirstIsWaitedFor) {
  MakeReader(ChannelKind::kPublish);
  const MemberView twin = MustJoin(reader_.session, MemberKind::kSubscriber);
  const SessionId other = Begin();
  MustJoin(other, MemberKind::kSubscriber);
  const MemberView publisher = Depart();
  // Who comes later has nothing to do with it.
  const MemberView late = MustJoin(Begin(), MemberKind::kSubscriber);
  EXPECT_EQ(Open(PartKind::kRing, publisher, late), "CALLER_NOT_ALLOWED");
  Say(reader_, publisher);
  EXPECT_EQ(OnPageLater(), 1u);
  End(other);
  EXPECT_EQ(OnPageLater(), 1u);
  EXPECT_EQ(Open(PartKind::kRing, publisher, twin), "");
  Say(twin, publisher);
  EXPECT_EQ(OnPageLater(), 0u);
}

TEST_F(DepartedTest, NobodyIsKeptWhomAllHaveOpened) {
  MakeReader(ChannelKind::kPublish);
  const SessionId session = Begin();
  Say(reader_, MustJoin(session));
  End(session);
  EXPECT_EQ(OnPage(), 0u);
  Depart();
  ASSERT_EQ(OnPage(), 1u);
  End(reader_.session);
  EXPECT_EQ(OnPage(), 0u);
  // Nor of one's own.
  const SessionId both = Begin();
  MustJoin(both, MemberKind::kSubscriber);
  MustJoin(both);
  End(both);
  EXPECT_EQ(OnPage(), 0u);
  EXPECT_EQ(registry().ListReserved().size(), 1u);
}

TEST_F(DepartedTest, TheOldestGoWhenOneUserHasMany) {
  MakeReader(ChannelKind::kPublish);
  std::vector<MemberView> departed;
  for (int i = 0; i < 20; ++i) departed.push_back(Depart());
  EXPECT_EQ(OnPage(), 16u);
  EXPECT_EQ(Open(PartKind::kRing, departed[3], reader_), "MEMBER_NOT_FOUND");
  EXPECT_EQ(Open(PartKind::kRing, departed[4], reader_), "");
}

TEST_F(DepartedTest, TheLastMessageNeedNotBeCounted) {
  MakeReader(ChannelKind::kPublish);
  const SessionId session = Begin();
  const auto joined = Join("c", session);
  ASSERT_TRUE(joined.ok());
  // It was killed between the message's number and the count.
  const WritableMapping ring = Map(joined->parts.part);
  reinterpret_cast<layout::RingSlot*>(ring.As<char>().data() +
                                      sizeof(layout::RingHeader))
      ->sequence = 1;
  End(session);
  EXPECT_EQ(OnPage(), 1u);
}

TEST_F(DepartedTest, NoneOfManyNeedBeCounted) {
  MakeReader(ChannelKind::kQueue);
  const SessionId session = Begin();
  const auto joined = Join("c", session);
  ASSERT_TRUE(joined.ok());
  // It was killed when it had shown a batch, of which one is done.
  const WritableMapping ring = Map(joined->parts.part);
  auto* const slots = reinterpret_cast<layout::RingSlot*>(
      ring.As<char>().data() + sizeof(layout::RingHeader));
  for (uint64_t i = 0; i < 3; ++i) slots[i].sequence = i + 1;
  const WritableMapping claims = Map(*joined->parts.claims);
  uint64_t* const words = reinterpret_cast<uint64_t*>(
      claims.As<char>().data() + sizeof(layout::ClaimsHeader));
  words[0] = Claim::Word(0, layout::ClaimState::kDone, IdOf(reader_));
  End(session);
  EXPECT_EQ(OnPageLater(), 1u);
  words[1] = Claim::Word(1, layout::ClaimState::kDone, IdOf(reader_));
  EXPECT_EQ(OnPageLater(), 1u);
  words[2] = Claim::Word(2, layout::ClaimState::kDone, IdOf(reader_));
  EXPECT_EQ(OnPageLater(), 0u);
}

TEST_F(DepartedTest, WhatIsCountedIsBounded) {
  MakeReader(ChannelKind::kQueue);
  const SessionId session = Begin();
  const auto joined = Join("c", session);
  ASSERT_TRUE(joined.ok());
  // All slots are shown, of numbers near the last one that there is.
  const WritableMapping ring = Map(joined->parts.part);
  auto* const header =
      reinterpret_cast<layout::RingHeader*>(ring.As<char>().data());
  auto* const slots = reinterpret_cast<layout::RingSlot*>(header + 1);
  constexpr uint64_t kSlots = 16;
  header->published = ~uint64_t{0} - 3;
  header->oldest = 5;
  for (uint64_t i = 0, n = header->published; i < kSlots; ++i, ++n) {
    slots[n % kSlots].sequence = n + 1;
  }
  End(session);
  EXPECT_EQ(OnPageLater(), 1u);
  ASSERT_TRUE(channels().Delete(Root(), {"default", "c"}, true).ok());
}

TEST_F(DepartedTest, WhoAsksAgainAndAgainPutsNothingOff) {
  MakeReader(ChannelKind::kPublish);
  const MemberView publisher = Depart();
  Say(reader_, publisher);
  for (int i = 0; i < 20; ++i) {
    clock_.Advance(absl::Milliseconds(1));
    Open(PartKind::kRing, publisher, reader_);
    channels().LookAfterDeparted();
  }
  EXPECT_EQ(OnPage(), 0u);
}

TEST_F(DepartedTest, TheLivingHaveTheirPlaces) {
  MakeReader(ChannelKind::kPublish);
  const MemberView first = Depart(), second = Depart();
  const SessionId session = Begin();
  for (size_t i = 2; i < layout::kMaxPublishers; ++i) MustJoin(session);
  EXPECT_EQ(Open(PartKind::kRing, first, reader_), "");
  MustJoin(session);
  EXPECT_EQ(Open(PartKind::kRing, first, reader_), "MEMBER_NOT_FOUND");
  EXPECT_EQ(Open(PartKind::kRing, second, reader_), "");
  MustJoin(session);
  EXPECT_EQ(ReasonOf(Join("c", session)), reason::kChannelFull);
}

TEST_F(DepartedTest, SubscribersNeedNoPublishersPlace) {
  MakeReader(ChannelKind::kPublish);
  Depart();
  const SessionId session = Begin();
  for (size_t i = 1; i < layout::kMaxSubscribers; ++i) {
    MustJoin(session, MemberKind::kSubscriber);
  }
  EXPECT_EQ(ReasonOf(Join("c", session, MemberKind::kSubscriber)),
            reason::kChannelFull);
  EXPECT_EQ(OnPage(), 1u);
}

TEST_F(DepartedTest, TheLivingHaveTheirOwnMemory) {
  MakeReader(ChannelKind::kPublish);
  const MemberView departed = Depart();
  Namespace changed = default_namespace_;
  changed.name = "default";
  changed.quota.bytes = Used().bytes;
  namespaces().Replace(changed);
  MustJoin(Begin());
  EXPECT_EQ(Open(PartKind::kRing, departed, reader_), "MEMBER_NOT_FOUND");
}

TEST_F(DepartedTest, TheNextRunSeesWhoHasYetToOpen) {
  MakeReader(ChannelKind::kPublish);
  const SessionId session = Begin();
  const MemberView unopened = MustJoin(session), opened = MustJoin(session);
  Say(reader_, opened);
  StartChannels();
  End(session);
  EXPECT_EQ(OnPage(), 1u);
  EXPECT_EQ(Open(PartKind::kRing, unopened, reader_), "");
}

TEST_F(DepartedTest, TheNextRunForgetsThem) {
  MakeReader(ChannelKind::kQueue);
  const MemberView publisher = MustJoin(Begin());
  const Budget::Use before = Used();
  ASSERT_TRUE(channels().Leave(Root(), NameOf("c", publisher)).ok());
  ASSERT_EQ(OnPage(), 1u);
  StartChannels();
  EXPECT_EQ(OnPage(), 0u);
  EXPECT_EQ(registry().ListReserved().size(), 2u);
  EXPECT_EQ(Used().segments + 2, before.segments);
}

TEST_F(DepartedTest, TheyGoWithTheirChannel) {
  MakeReader(ChannelKind::kQueue);
  Depart();
  EXPECT_EQ(ReasonOf(channels().Delete(Root(), {"default", "c"}, false)),
            reason::kChannelInUse);
  ASSERT_TRUE(channels().Delete(Root(), {"default", "c"}, true).ok());
  EXPECT_TRUE(registry().ListReserved().empty());
  EXPECT_EQ(Used().bytes, 0u);
}

// A grant of Root's channel.
class ChannelGrantTest : public ChannelRegistryTest {
 protected:
  Handle Grant(const std::string& id, std::vector<GrantRole> roles,
               uint64_t max_uses = 0) {
    GrantCommand command;
    for (const GrantRole role : roles) {
      command.roles |= static_cast<uint32_t>(role);
    }
    command.max_uses = max_uses;
    const auto made = channels().CreateGrant(Root(), {"default", id}, command);
    EXPECT_TRUE(made.ok()) << made.status();
    return made.ok() ? made->handle : Handle();
  }
  // The reason of the refusal; empty when Alice takes part.
  std::string JoinBy(const Handle& grant, const std::string& id,
                     const SessionId& session, MemberKind kind,
                     MemberRole role = MemberRole::kPeer) {
    JoinCommand command;
    command.channel = {"default", id};
    command.session = session;
    command.kind = kind;
    command.role = role;
    command.policy = SlowPolicy::kBlock;
    command.grant = grant;
    return ReasonOf(channels().Join(Alice(), command));
  }
  uint64_t Uses(const std::string& id) {
    return channels().ListGrants(Root(), {"default", id})->at(0).uses;
  }
};

TEST_F(ChannelGrantTest, LetsInAsTheRoleAndAsNoOther) {
  MakeChannel("it");
  const SessionId session = Begin(Alice());
  const Handle grant = Grant("it", {GrantRole::kSubscriber});
  EXPECT_EQ(JoinBy(grant, "it", session, MemberKind::kPublisher),
            "GRANT_INVALID");
  EXPECT_EQ(Uses("it"), 0u);
  EXPECT_EQ(JoinBy(grant, "it", session, MemberKind::kSubscriber), "");
  EXPECT_EQ(Uses("it"), 1u);
  // Another's session is none.
  EXPECT_EQ(JoinBy(grant, "it", Begin(), MemberKind::kSubscriber),
            "SESSION_NOT_FOUND");
  // Its secret attaches nothing.
  EXPECT_EQ(ReasonOf(registry().Attach(Alice(), grant, Access::kRead)),
            "GRANT_INVALID");
}

TEST_F(ChannelGrantTest, BothEndsOfAClientAreOneUse) {
  MakeChannel("it", ChannelKind::kCall);
  const SessionId session = Begin(Alice());
  const SessionId other = Begin(Alice());
  const Handle once = Grant("it", {GrantRole::kClient}, 1);
  const auto join = [&](const SessionId& as, MemberKind kind) {
    return JoinBy(once, "it", as, kind, MemberRole::kClient);
  };
  EXPECT_EQ(join(session, MemberKind::kPublisher), "");
  EXPECT_EQ(join(session, MemberKind::kPublisher), "GRANT_INVALID");
  EXPECT_EQ(join(other, MemberKind::kSubscriber), "GRANT_INVALID");
  EXPECT_EQ(join(session, MemberKind::kSubscriber), "");
  EXPECT_EQ(join(session, MemberKind::kSubscriber), "GRANT_INVALID");
  EXPECT_EQ(Uses("it"), 1u);
}

TEST_F(ChannelGrantTest, AJoinThatFailsIsNoUse) {
  MakeChannel("it");
  const SessionId session = Begin();
  for (size_t i = 0; i < layout::kMaxPublishers; ++i) {
    ASSERT_TRUE(Join("it", session).ok());
  }
  const Handle once = Grant("it", {GrantRole::kPublisher}, 1);
  const SessionId guest = Begin(Alice());
  EXPECT_EQ(JoinBy(once, "it", guest, MemberKind::kPublisher), "CHANNEL_FULL");
  EXPECT_EQ(Uses("it"), 0u);
  End(session);
  EXPECT_EQ(JoinBy(once, "it", guest, MemberKind::kPublisher), "");
  EXPECT_EQ(JoinBy(once, "it", guest, MemberKind::kPublisher), "GRANT_INVALID");
}

TEST_F(ChannelGrantTest, OnlyThePageOfWhoTakesPartIsFound) {
  MakeChannel("it");
  MakeChannel("other");
  const SessionId session = Begin(Alice());
  const Handle grant = Grant("it", {GrantRole::kSubscriber});
  const Handle other = Grant("other", {GrantRole::kSubscriber});
  EXPECT_EQ(channels().FindOwnPage(session, grant), nullptr);
  EXPECT_EQ(JoinBy(grant, "it", session, MemberKind::kSubscriber), "");
  EXPECT_NE(channels().FindOwnPage(session, grant), nullptr);
  EXPECT_EQ(channels().FindOwnPage(session, other), nullptr);
  EXPECT_EQ(channels().FindOwnPage(Begin(Alice()), grant), nullptr);
  End(session);
  EXPECT_EQ(channels().FindOwnPage(session, grant), nullptr);
}

TEST_F(ChannelGrantTest, EndsWithItsChannel) {
  MakeChannel("it");
  const SessionId session = Begin(Alice());
  const Handle grant = Grant("it", {GrantRole::kPublisher});
  ASSERT_TRUE(channels().Delete(Root(), {"default", "it"}, false).ok());
  EXPECT_EQ(JoinBy(grant, "it", session, MemberKind::kPublisher),
            "HANDLE_STALE");
  MakeChannel("it");
  EXPECT_EQ(JoinBy(grant, "it", session, MemberKind::kPublisher),
            "HANDLE_STALE");
  EXPECT_TRUE(channels().ListGrants(Root(), {"default", "it"})->empty());
}

}  // namespace
}  // namespace shmd
