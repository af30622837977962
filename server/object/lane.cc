#include "server/object/lane.h"

#include <utility>

#include "base/status_macros.h"
#include "shm/directory/pins.h"
#include "shm/lane/answer_reason.h"

namespace shmd {

absl::StatusOr<std::unique_ptr<Lane>> Lane::Open(int page_fd, int answers_fd,
                                                 const SessionId& session,
                                                 const Caller& caller) {
  ASSIGN_OR_RETURN(SessionPages pages, SessionPages::Open(page_fd, answers_fd));
  return std::unique_ptr<Lane>(new Lane(std::move(pages), session, caller));
}

// The mappings stay where they are when their owner is moved.
Lane::Lane(SessionPages pages, const SessionId& session, const Caller& caller)
    : SessionLane(pages.session(), pages.answers()),
      pages_(std::move(pages)),
      session_(session),
      uid_(caller.uid),
      is_administrator_(caller.is_administrator) {}

namespace {

layout::Answer AnswerOf(uint64_t cookie, const absl::Status& status,
                        uint64_t value) {
  layout::Answer answer = {};
  answer.kind = static_cast<uint32_t>(layout::AnswerKind::kDone);
  answer.result = static_cast<uint32_t>(status.code());
  answer.cookie = cookie;
  answer.value = value;
  answer.reason = static_cast<uint32_t>(AnswerReasonOf(status));
  return answer;
}

}  // namespace

void Lane::Answer(uint64_t cookie, const absl::Status& status, uint64_t value) {
  Done(AnswerOf(cookie, status, value));
}

void Lane::AnswerInTurn(uint64_t cookie, const absl::Status& status,
                        uint64_t value) {
  DoneInTurn(AnswerOf(cookie, status, value));
}

void Lane::TellFreed(uint32_t arena, uint64_t offset_bytes,
                     uint64_t generation) {
  layout::Answer answer = {};
  answer.kind = static_cast<uint32_t>(layout::AnswerKind::kFreed);
  answer.cookie = generation;
  answer.value = offset_bytes;
  answer.arena = arena;
  Freed(answer);
}

void Lane::TellArenaGone(uint32_t arena) {
  // A program that does not listen keeps some address space, and no more of
  // the daemon's memory than this.
  if (is_deaf()) return;
  layout::Answer answer = {};
  answer.kind = static_cast<uint32_t>(layout::AnswerKind::kArenaGone);
  answer.arena = arena;
  Freed(answer);
}

uint64_t Lane::ForEachPin(absl::FunctionRef<void(uint32_t)> visit) const {
  return shmd::ForEachPin(pages_.session(), visit);
}

void Lane::Flush() {
  if (Publish()) pages_.WakeProgram();
}

}  // namespace shmd
