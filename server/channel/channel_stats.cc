#include "server/channel/channel_stats.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "server/channel/member_memory.h"

namespace shmd {
namespace {

uint64_t AddWithinWord(uint64_t a, uint64_t b) {
  return a > std::numeric_limits<uint64_t>::max() - b
             ? std::numeric_limits<uint64_t>::max()
             : a + b;
}

// A publisher as subscribers are compared with it.
struct Source {
  PublisherStats stats;
  MemberHead<layout::RingHeader> ring;
};

Source ReadPublisher(const MemberView& view, const MemberParts& parts) {
  Source source{{view}, MemberHead<layout::RingHeader>(parts.part)};
  const layout::RingHeader* const ring = source.ring.get();
  if (ring == nullptr) return source;
  source.stats.published = ReadWord(ring->published);
  source.stats.oldest = ReadWord(ring->oldest);
  source.stats.is_waiting = !view.has_left && ReadWord(ring->waiting) != 0;
  return source;
}

// How many of a publisher's messages the subscriber has still to release, and
// no more than a ring holds.
uint64_t LagBehind(const PublisherStats& publisher, const ChannelFields& fields,
                   const MemberView& subscriber,
                   const layout::ReaderCursor& cursor) {
  const uint64_t generation = publisher.publisher.generation;
  uint64_t next = ReadWord(cursor.released);
  if (ReadWord(cursor.generation) != generation) {
    // It has not seen the publisher yet: of one that has come after it, it gets
    // all; of one that was there, what is kept for who comes late.
    const uint64_t kept = generation > subscriber.generation
                              ? publisher.published
                              : fields.history;
    next = publisher.published - std::min(publisher.published, kept);
  }
  return publisher.published > next
             ? std::min<uint64_t>(publisher.published - next, fields.slots)
             : 0;
}

SubscriberStats ReadSubscriber(const ChannelFields& fields,
                               const MemberView& view, const MemberParts& parts,
                               const std::vector<Source>& sources) {
  SubscriberStats stats{view};
  const MemberHead<layout::ReaderPage> head(parts.part);
  const layout::ReaderPage* const page = head.get();
  if (page == nullptr) return stats;
  stats.is_asleep = ReadWord(page->header.asleep) != 0;
  for (const Source& source : sources) {
    const MemberView& publisher = source.stats.publisher;
    if (!ReadsFrom(view.role, publisher.role)) continue;
    const layout::ReaderCursor& cursor = page->cursors[publisher.index];
    stats.lag =
        AddWithinWord(stats.lag, LagBehind(source.stats, fields, view, cursor));
    if (ReadWord(cursor.generation) == publisher.generation) {
      stats.lost = AddWithinWord(stats.lost, ReadWord(cursor.lost));
    }
    const layout::RingHeader* const ring = source.ring.get();
    stats.is_cut_off = stats.is_cut_off ||
                       (ring != nullptr &&
                        ReadWord(ring->cut_off[view.index]) == view.generation);
  }
  return stats;
}

}  // namespace

ChannelStats ReadStats(const LiveChannel& channel) {
  std::vector<std::pair<MemberView, MemberParts>> members;
  channel.Visit([&](const MemberView& view, const MemberParts& parts) {
    members.emplace_back(view, parts);
  });
  std::vector<Source> sources;
  for (const auto& [view, parts] : members) {
    if (view.kind != MemberKind::kPublisher) continue;
    sources.push_back(ReadPublisher(view, parts));
  }
  ChannelStats stats;
  for (const auto& [view, parts] : members) {
    if (view.kind != MemberKind::kSubscriber) continue;
    stats.subscribers.push_back(
        ReadSubscriber(channel.fields(), view, parts, sources));
  }
  for (const Source& source : sources) {
    stats.publishers.push_back(source.stats);
  }
  return stats;
}

}  // namespace shmd
