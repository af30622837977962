// Segments that end with a session, and leases.

#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/registry/segment_registry.h"
#include "server/store/session_record.h"

namespace shmd {

bool EndsWithSession(const Segment& segment) {
  switch (segment.lifetime) {
    case Lifetime::kUntilDeleted:
      return false;
    case Lifetime::kSession:
      return true;
    case Lifetime::kSessionUntilSealed:
      return segment.state != SegmentState::kSealed;
  }
  return false;
}

absl::Status SegmentRegistry::OwnAll(
    const Caller& caller, absl::Span<const std::shared_ptr<Segment>> segments) {
  for (const auto& segment : segments) {
    if (segment->lifetime == Lifetime::kUntilDeleted) continue;
    const absl::Status status =
        parts_.sessions->Own(caller, segment->owner_session, segment->uid);
    if (!status.ok()) {
      DisownAll(segments);
      return status;
    }
  }
  return absl::OkStatus();
}

void SegmentRegistry::DisownAll(
    absl::Span<const std::shared_ptr<Segment>> segments) {
  for (const auto& segment : segments) {
    if (segment->lifetime == Lifetime::kUntilDeleted) continue;
    parts_.sessions->Disown(segment->owner_session, segment->uid);
  }
}

void SegmentRegistry::Doom(const EntryPtr& entry) {
  entry->doomed = true;
  expiries_.Set(entry->segment->uid, absl::ZeroDuration());
}

void SegmentRegistry::DoomUnlessOwned(const EntryPtr& entry) {
  const Segment& segment = *entry->segment;
  // The session may have ended before the segment could be found here.
  if (EndsWithSession(segment) &&
      !parts_.sessions->Exists(segment.owner_session)) {
    Doom(entry);
  }
}

void SegmentRegistry::CleanUpSessions() {
  on_clean_up_();
  std::vector<Change> changes;
  for (SessionTable::Ended& ended : parts_.sessions->TakeEnded()) {
    on_session_closing_(ended);
    for (const Holding& holding : ended.holdings) Release(holding.entry);
    // Frees what only this session still held of removed segments.
    ended.holdings.clear();
    SHMD_FAILPOINT("session.released");
    on_session_end_(ended.identity.id);
    if (ended.recorded) {
      changes.push_back(RemovalOfSession(ended.identity.id));
    }
    absl::MutexLock lock(&mutex_);
    for (const Uid& uid : ended.owned) {
      const auto found = by_uid_.find(uid);
      if (found == by_uid_.end() || found->second->claimed) continue;
      if (EndsWithSession(*found->second->segment)) Doom(found->second);
    }
  }
  if (changes.empty()) return;
  SHMD_FAILPOINT("session.forget");
  const absl::Status status =
      parts_.store->Commit(changes, Durability::kDaemonDeath);
  SHMD_FAILPOINT("session.forgotten");
  // The next run awaits it in vain, and tries again.
  if (!status.ok()) Log(LogLevel::kError, status.message());
}

absl::StatusOr<SegmentView> SegmentRegistry::RenewLease(
    const Caller& caller, const SegmentName& name,
    std::optional<absl::Duration> ttl) {
  UpdateCommand command;
  command.name = name;
  command.expiration.emplace();
  command.expiration->ttl = ttl;
  if (!ttl.has_value()) {
    ASSIGN_OR_RETURN(const SegmentView view, Managed(caller, name, ""));
    command.expiration->ttl = view.segment->lease_ttl;
    if (!view.segment->lease_ttl.has_value()) {
      return Error(absl::StatusCode::kFailedPrecondition, reason::kLeaseMissing,
                   "the segment has no lease to renew")
          .With("name", name.ToString());
    }
  }
  return Update(caller, command);
}

}  // namespace shmd
