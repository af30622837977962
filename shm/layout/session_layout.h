#ifndef SHMD_SHM_LAYOUT_SESSION_LAYOUT_H_
#define SHMD_SHM_LAYOUT_SESSION_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "shm/layout/directory_layout.h"

namespace shmd::layout {

// What a session and the daemon tell each other without a call: two memfds,
// each with one writer. docs/memory_layout.md draws them.
//
//   the session's page, written by the program alone
//     0       4096                 36864                   167936
//     ┌────────┬────────────────────┬───────────────────────┐
//     │ header │ 256 submissions    │ 16,384 pins           │
//     └────────┴────────────────────┴───────────────────────┘
//   the answers, written by the daemon alone
//     0       4096            36864
//     ┌────────┬───────────────┐
//     │ header │ 1024 answers  │
//     └────────┴───────────────┘
//
// Neither can change its size. Memory is taken for what is touched only. The
// daemon trusts nothing in the session's page: it reads each word once, checks
// what it read, and never waits for it.

inline constexpr uint64_t kSessionMagic = 0x53534553444D4853;  // "SHMDSESS"
inline constexpr uint64_t kAnswersMagic = 0x57534E41444D4853;  // "SHMDANSW"
inline constexpr uint32_t kSessionVersion = 1;

inline constexpr uint64_t kSubmissions = 256;
inline constexpr uint64_t kAnswers = 1024;
inline constexpr uint64_t kMaxPins = 16384;
inline constexpr uint64_t kRecentUses = 256;

struct SessionHeader {
  uint64_t magic;
  uint32_t version;
  // Not 0 while the program sleeps on AnswersHeader::produced, or is about to.
  uint32_t waiting;
  // How many pins from the first the daemon has to look at; never shrinks.
  uint64_t pins_used;
  uint64_t unused[5];
  // Submissions that were made, counted from 0; the ring's head.
  uint64_t submitted;
  uint64_t unused_line[7];
  // Answers that were read, counted from 0.
  uint64_t answers_read;
  uint64_t answers_line[7];
  // Positions of entries that were pinned of late, for the daemon's order of
  // eviction; `recent_count` of them were written, the next one goes to
  // recent[recent_count % kRecentUses].
  uint64_t recent_count;
  uint64_t recent_line[7];
  uint32_t recent[kRecentUses];
  uint8_t reserved[2816];
};
static_assert(sizeof(SessionHeader) == 4096);
static_assert(alignof(SessionHeader) == 8);
static_assert(std::is_trivially_copyable_v<SessionHeader>);
static_assert(offsetof(SessionHeader, magic) == 0);
static_assert(offsetof(SessionHeader, version) == 8);
static_assert(offsetof(SessionHeader, waiting) == 12);
static_assert(offsetof(SessionHeader, pins_used) == 16);
static_assert(offsetof(SessionHeader, unused) == 24);
static_assert(offsetof(SessionHeader, submitted) == 64);
static_assert(offsetof(SessionHeader, unused_line) == 72);
static_assert(offsetof(SessionHeader, answers_read) == 128);
static_assert(offsetof(SessionHeader, answers_line) == 136);
static_assert(offsetof(SessionHeader, recent_count) == 192);
static_assert(offsetof(SessionHeader, recent_line) == 200);
static_assert(offsetof(SessionHeader, recent) == 256);
static_assert(offsetof(SessionHeader, reserved) == 1280);

enum class SubmissionKind : uint32_t {
  kNone = 0,
  kPublish = 1,  // an object in an arena of the session's
  kDelete = 2,
  kAwait = 3,  // answered when there is an object of the name
  // Evicts or spills, for `size_bytes` more; waits for `ttl_ns` until something
  // can go, 0: not at all. The answer's value is how many bytes went.
  kMakeRoom = 4,
};

// What a session asks for. The same checks and the same results as the RPC.
struct Submission {
  uint32_t kind;  // SubmissionKind
  uint32_t flags;
  uint64_t cookie;  // comes back in the answer
  uint32_t arena;
  uint32_t metadata_bytes;
  uint64_t offset_bytes;
  uint64_t size_bytes;
  uint64_t ttl_ns;  // of the object, or of the wait; 0: for ever
  uint32_t name_length;
  uint32_t priority;  // 0 to 255; the lowest are evicted first
  uint64_t name[kNameWords];
  uint64_t reserved;
};
static_assert(sizeof(Submission) == 128);
static_assert(alignof(Submission) == 8);
static_assert(std::is_trivially_copyable_v<Submission>);
static_assert(offsetof(Submission, kind) == 0);
static_assert(offsetof(Submission, flags) == 4);
static_assert(offsetof(Submission, cookie) == 8);
static_assert(offsetof(Submission, arena) == 16);
static_assert(offsetof(Submission, metadata_bytes) == 20);
static_assert(offsetof(Submission, offset_bytes) == 24);
static_assert(offsetof(Submission, size_bytes) == 32);
static_assert(offsetof(Submission, ttl_ns) == 40);
static_assert(offsetof(Submission, name_length) == 48);
static_assert(offsetof(Submission, priority) == 52);
static_assert(offsetof(Submission, name) == 56);
static_assert(offsetof(Submission, reserved) == 120);

// Flags of a submission.
inline constexpr uint32_t kReplaceExisting = 1;
// The arena holds nothing else, is not mapped writable, and is to be sealed.
inline constexpr uint32_t kStrict = 2;

// A pin is one word: bits 0-31 the position of an entry, bits 32-63 the first
// 32 of the entry's control word; 0 pins nothing.
struct SessionPage {
  SessionHeader header;
  Submission submissions[kSubmissions];
  uint64_t pins[kMaxPins];
};
static_assert(sizeof(SessionPage) == 167936);
static_assert(alignof(SessionPage) == 8);
static_assert(std::is_trivially_copyable_v<SessionPage>);
static_assert(offsetof(SessionPage, header) == 0);
static_assert(offsetof(SessionPage, submissions) == 4096);
static_assert(offsetof(SessionPage, pins) == 36864);

enum class AnswerKind : uint32_t {
  kNone = 0,
  kDone = 1,  // to the submission of the cookie
  // The object of generation `cookie` is gone from `value` in `arena`: use it
  // again. Told at most once, but by a daemon that is killed perhaps not.
  kFreed = 2,
  kArenaGone = 3,  // nothing is in `arena` any more, nor will be: unmap it
};

struct Answer {
  uint32_t kind;    // AnswerKind
  uint32_t result;  // of kDone: a google.rpc.Code
  uint64_t cookie;  // of kDone; of kFreed: the object's generation
  uint64_t value;   // of kDone: the generation; of kFreed: offset in bytes
  uint32_t arena;   // of kFreed and kArenaGone
  uint32_t reason;  // of kDone with an error: the number of a reason
};
static_assert(sizeof(Answer) == 32);
static_assert(alignof(Answer) == 8);
static_assert(std::is_trivially_copyable_v<Answer>);
static_assert(offsetof(Answer, kind) == 0);
static_assert(offsetof(Answer, result) == 4);
static_assert(offsetof(Answer, cookie) == 8);
static_assert(offsetof(Answer, value) == 16);
static_assert(offsetof(Answer, arena) == 24);
static_assert(offsetof(Answer, reason) == 28);

struct AnswersHeader {
  uint64_t magic;
  uint32_t version;
  // Not 0 while the daemon does not look at this session's ring until it is
  // told to (AttachRequest.wake).
  uint32_t asleep;
  uint64_t session_bytes;  // sizeof(SessionPage)
  // `taken` when this run of the daemon began: what was taken before and has
  // no answer will have none.
  uint64_t lost_before;
  uint64_t unused[4];
  // Answers that were made, counted from 0. Its first four bytes are the futex
  // that a program sleeps on.
  uint64_t produced;
  uint64_t unused_line[7];
  // Submissions that were taken, counted from 0.
  uint64_t taken;
  uint8_t reserved[3960];
};
static_assert(sizeof(AnswersHeader) == 4096);
static_assert(alignof(AnswersHeader) == 8);
static_assert(std::is_trivially_copyable_v<AnswersHeader>);
static_assert(offsetof(AnswersHeader, magic) == 0);
static_assert(offsetof(AnswersHeader, version) == 8);
static_assert(offsetof(AnswersHeader, asleep) == 12);
static_assert(offsetof(AnswersHeader, session_bytes) == 16);
static_assert(offsetof(AnswersHeader, lost_before) == 24);
static_assert(offsetof(AnswersHeader, unused) == 32);
static_assert(offsetof(AnswersHeader, produced) == 64);
static_assert(offsetof(AnswersHeader, unused_line) == 72);
static_assert(offsetof(AnswersHeader, taken) == 128);
static_assert(offsetof(AnswersHeader, reserved) == 136);

struct AnswersPage {
  AnswersHeader header;
  Answer answers[kAnswers];
};
static_assert(sizeof(AnswersPage) == 36864);
static_assert(alignof(AnswersPage) == 8);
static_assert(std::is_trivially_copyable_v<AnswersPage>);
static_assert(offsetof(AnswersPage, header) == 0);
static_assert(offsetof(AnswersPage, answers) == 4096);

}  // namespace shmd::layout

#endif  // SHMD_SHM_LAYOUT_SESSION_LAYOUT_H_
