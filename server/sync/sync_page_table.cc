#include "server/sync/sync_page_table.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/types/span.h"
#include "base/status_macros.h"
#include "shm/layout/memory_word.h"

namespace shmd {
namespace {

constexpr char kPagePrefix[] = "shmd.locks.";

MapOptions WholePage() {
  MapOptions options;
  options.size_bytes = sizeof(layout::SyncPage);
  return options;
}

void MakeReady(uint32_t locker, layout::SyncPage* page) {
  using layout::HostMemory;
  HostMemory::Store(&page->header.magic, layout::kSyncPageMagic,
                    std::memory_order_relaxed);
  HostMemory::Store(&page->header.locker, locker, std::memory_order_relaxed);
  HostMemory::Store(&page->header.version, layout::kSyncPageVersion,
                    std::memory_order_release);
}

bool IsUsed(const layout::SyncSlot& slot) {
  return slot.state != 0 && slot.state <= layout::kLastSyncState &&
         slot.kind != 0 && slot.kind <= layout::kLastSyncKind;
}

}  // namespace

absl::StatusOr<SyncPagePtr> SyncPageFile::Open(const SegmentRegistry& segments,
                                               uint32_t locker,
                                               const SegmentView& view,
                                               bool is_new) {
  if (is_new) {
    ASSIGN_OR_RETURN(const ObjectRef writable,
                     segments.OpenObject(view, Access::kReadWrite));
    ASSIGN_OR_RETURN(const WritableMapping first,
                     WritableMapping::Map(writable, WholePage()));
    MakeReady(locker, static_cast<layout::SyncPage*>(first.data()));
  }
  ASSIGN_OR_RETURN(const ObjectRef object,
                   segments.OpenObject(view, Access::kRead));
  ASSIGN_OR_RETURN(ReadOnlyMapping mapping,
                   ReadOnlyMapping::Map(object, WholePage()));
  return std::make_shared<const SyncPageFile>(locker, view, std::move(mapping));
}

std::vector<SyncPageFile::Use> SyncPageFile::Read() const {
  std::vector<layout::SyncSlot> slots(layout::kSyncSlots);
  const absl::Status read =
      mapping_.Read(offsetof(layout::SyncPage, slots),
                    absl::MakeSpan(reinterpret_cast<char*>(slots.data()),
                                   slots.size() * sizeof(layout::SyncSlot)));
  std::vector<Use> uses;
  if (!read.ok()) return uses;
  for (uint32_t i = 0; i < layout::kSyncSlots; ++i) {
    if (IsUsed(slots[i])) uses.push_back({i, slots[i]});
  }
  return uses;
}

std::string SyncPageId(uint32_t locker, const SessionId& session) {
  return absl::StrCat(kPagePrefix, locker, ".", UidToHex(session));
}

std::optional<uint32_t> LockerOfPage(absl::string_view segment_id) {
  uint32_t locker = 0;
  if (!absl::ConsumePrefix(&segment_id, kPagePrefix) ||
      !absl::SimpleAtoi(segment_id.substr(0, segment_id.find('.')), &locker) ||
      locker == 0 || locker > layout::kLockerMask) {
    return std::nullopt;
  }
  return locker;
}

void SyncPageTable::Put(const SessionId& session, SyncPagePtr page) {
  absl::MutexLock lock(&mutex_);
  pages_[session] = std::move(page);
}

SyncPagePtr SyncPageTable::Find(const SessionId& session) const {
  absl::MutexLock lock(&mutex_);
  const auto found = pages_.find(session);
  return found == pages_.end() ? nullptr : found->second;
}

SyncPagePtr SyncPageTable::Take(const SessionId& session) {
  absl::MutexLock lock(&mutex_);
  const auto found = pages_.find(session);
  if (found == pages_.end()) return nullptr;
  SyncPagePtr page = std::move(found->second);
  pages_.erase(found);
  return page;
}

std::vector<std::pair<SessionId, SyncPagePtr>> SyncPageTable::List() const {
  absl::MutexLock lock(&mutex_);
  return {pages_.begin(), pages_.end()};
}

}  // namespace shmd
