// Strict objects: one arena each, which is not mapped writable any more when
// the daemon seals it.

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/time/clock.h"
#include "client/cpp/object_access.h"
#include "shm/types.h"

namespace shmd {
inline namespace client {
namespace {

// As often as it pays to ask again for memory.
constexpr absl::Duration kRoomAskedFor = absl::Milliseconds(20);

}  // namespace

absl::StatusOr<ObjectArena*> ObjectAccess::AllocateStrict(uint64_t size_bytes,
                                                          absl::Time deadline) {
  if (ObjectArena* const arena = TakeBack(size_bytes)) return arena;
  for (;;) {
    absl::StatusOr<ObjectArena*> arena = NewArena(size_bytes, true);
    if (!absl::IsResourceExhausted(arena.status()) || absl::Now() >= deadline) {
      return arena;
    }
    lane_.Listen(std::min(deadline, absl::Now() + kRoomAskedFor));
  }
}

ObjectArena* ObjectAccess::TakeBack(uint64_t size_bytes) {
  const uint64_t whole_pages = RoundUpToPages(size_bytes, PageBytes());
  absl::MutexLock lock(&arenas_mutex_);
  for (const auto& arena : arenas_) {
    if (!arena->TakeBack(whole_pages)) continue;
    // What will be sealed is read by another mapping.
    views_.Take(arena->number());
    return arena.get();
  }
  return nullptr;
}

void ObjectAccess::Close(ObjectDraft& draft) {
  if (!draft.options_.strict) return;
  draft.arena_->Unmap();
  draft.data_ = nullptr;
}

void ObjectAccess::Closed(ObjectDraft& draft, bool is_sealed) {
  if (!draft.options_.strict) return;
  if (is_sealed) {
    Forget(draft.arena_);
  } else if (draft.arena_->MapAgain().ok()) {
    draft.data_ = draft.arena_->data();
  }
}

void ObjectAccess::AbandonStrict(const ObjectDraft& draft) {
  ObjectArena* const arena = draft.arena_;
  // It could not be mapped again, so nothing can be written to it.
  if (arena->data() == nullptr) return Forget(arena);
  auto view = std::make_unique<ArenaView>();
  view->data = arena->data();
  view->size_bytes = arena->size_bytes();
  absl::MutexLock lock(&arenas_mutex_);
  views_.Add(arena->number(), std::move(view));
  arena->Share();
}

void ObjectAccess::Forget(const ObjectArena* arena) {
  std::shared_ptr<ObjectArena> gone;  // detached without the lock
  absl::MutexLock lock(&arenas_mutex_);
  const auto found =
      std::find_if(arenas_.begin(), arenas_.end(),
                   [arena](const auto& one) { return one.get() == arena; });
  if (found == arenas_.end()) return;
  gone = std::move(*found);
  arenas_.erase(found);
}

}  // namespace client
}  // namespace shmd
