#include "server/registry/budget.h"

#include "absl/strings/string_view.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"

namespace shmd {
namespace {

// Written so that no sum can wrap.
absl::Status Check(uint64_t used, uint64_t more, uint64_t limit,
                   const char* reason, absl::string_view what,
                   absl::string_view unit) {
  const uint64_t left = limit > used ? limit - used : 0;
  if (more <= left) return absl::OkStatus();
  return Exhausted(reason, what, more, left, unit).With("limit_value", limit);
}

}  // namespace

void Budget::Use::Add(const Use& more) {
  memory_bytes += more.memory_bytes;
  bytes += more.bytes;
  segments += more.segments;
  descriptors += more.descriptors;
  huge_page_bytes += more.huge_page_bytes;
  spilled_bytes += more.spilled_bytes;
}

absl::Status Budget::Take(const Use& more) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(Check(used_.memory_bytes, more.memory_bytes,
                        limits_.memory_bytes, reason::kBudgetExceeded,
                        "the daemon's budget (--budget_bytes)", "bytes"));
  RETURN_IF_ERROR(
      Check(used_.descriptors, more.descriptors, limits_.memory_descriptors,
            reason::kDescriptorsExhausted,
            "the daemon's descriptors (RLIMIT_NOFILE)", "descriptors"));
  used_.Add(more);
  return absl::OkStatus();
}

void Budget::TakeAnyway(const Use& more) {
  absl::MutexLock lock(&mutex_);
  used_.Add(more);
}

void Budget::GiveBack(const Use& less) {
  absl::MutexLock lock(&mutex_);
  used_.memory_bytes -= less.memory_bytes;
  used_.bytes -= less.bytes;
  used_.segments -= less.segments;
  used_.descriptors -= less.descriptors;
  used_.huge_page_bytes -= less.huge_page_bytes;
  used_.spilled_bytes -= less.spilled_bytes;
}

Budget::Use Budget::used() const {
  absl::MutexLock lock(&mutex_);
  return used_;
}

}  // namespace shmd
