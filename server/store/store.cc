#include "server/store/store.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/store/journal_format.h"
#include "server/store/journal_replay.h"

namespace shmd {
namespace {

// After a failure of the database, whose reason will not go away at once.
constexpr absl::Duration kRetryPause = absl::Seconds(1);

absl::StatusOr<UniqueFd> LockFolder(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/lock");
  UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd.valid()) return ErrnoStatus(errno, absl::StrCat("open of ", path));
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return Error(absl::StatusCode::kAlreadyExists, reason::kObjectExists,
                 absl::StrCat("another daemon uses ", folder));
  }
  return fd;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& folder,
                                                   const Options& options) {
  std::unique_ptr<Store> store(new Store(folder, options));
  ASSIGN_OR_RETURN(store->lock_, LockFolder(folder));
  RETURN_IF_ERROR(SHMD_FAILPOINT_STATUS("store.take_over"));
  RETURN_IF_ERROR(store->TakeOver());
  store->writer_ = std::thread(&Store::WriteBehindUntilStopped, store.get());
  return store;
}

absl::Status Store::TakeOver() {
  absl::MutexLock writing(&writing_);
  RETURN_IF_ERROR(database_.Open(absl::StrCat(folder_, "/segments.db")));
  ASSIGN_OR_RETURN(applied_, database_.ReadAppliedSequence());
  ASSIGN_OR_RETURN(const std::vector<uint64_t> numbers, ListJournals(folder_));
  std::vector<std::string> files;
  for (const uint64_t number : numbers) {
    ASSIGN_OR_RETURN(std::string bytes, ReadJournal(folder_, number));
    files.push_back(std::move(bytes));
  }
  ASSIGN_OR_RETURN(
      const Replay replay,
      ReplayJournals(std::vector<absl::string_view>(files.begin(), files.end()),
                     applied_, ReadBootId()));
  SHMD_FAILPOINT("store.replayed");
  applied_ = replay.last_sequence;
  RETURN_IF_ERROR(database_.Apply(replay.changes, applied_, /*sync=*/true));
  ASSIGN_OR_RETURN(identity_, database_.TakeIdentity());
  absl::MutexLock lock(&mutex_);
  last_sequence_ = applied_;
  synced_sequence_ = applied_;
  ASSIGN_OR_RETURN(
      journal_,
      JournalFile::Create(folder_, numbers.empty() ? 1 : numbers.back() + 1,
                          options_.prepared_bytes, options_.calls));
  SHMD_FAILPOINT("store.taken_over");
  for (const uint64_t number : numbers) RemoveJournal(folder_, number);
  return absl::OkStatus();
}

Store::~Store() {
  if (!writer_.joinable()) return;  // it was never open
  {
    absl::MutexLock lock(&mutex_);
    is_stopping_ = true;
  }
  work_.SignalAll();
  writer_.join();
  absl::MutexLock writing(&writing_);
  // A failure was logged; the next start reads the journal.
  if (!ApplyQueue(/*sync=*/true).ok()) return;
  Retire().IgnoreError();
  absl::MutexLock lock(&mutex_);
  RemoveJournal(folder_, journal_->number());
}

absl::Status Store::FailFromNowOn(absl::Status why) {
  failure_ = StoreFailed(
      "go on", absl::StrCat("until a restart, since its journal is in doubt (",
                            why.message(), ")"));
  return why;
}

absl::Status Store::Commit(absl::Span<const Change> changes,
                           Durability durability) {
  if (changes.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(SHMD_FAILPOINT_STATUS("store.commit"));
  uint32_t payload_crc = 0;
  std::string group = EncodeGroup(changes, &payload_crc);
  if (group.size() > kMaxJournalPayloadBytes) {
    return StoreFailed("take a change", "it is too large");
  }
  if (is_behind_.exchange(false)) {
    const absl::Status status = WriteBehind();
    if (!status.ok()) {
      is_behind_ = true;
      return status;
    }
  }
  uint64_t sequence = 0;
  bool wake = false;
  {
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(failure_);
    sequence = last_sequence_ + 1;
    SealGroup(sequence, synced_sequence_, payload_crc, journal_->salt(),
              &group);
    absl::Status status = journal_->Append(group);
    if (!status.ok()) {
      return journal_->is_torn() ? FailFromNowOn(std::move(status)) : status;
    }
    last_sequence_ = sequence;
    queue_.push_back(std::move(group));
    if (journal_->size_bytes() > options_.max_journal_bytes) is_behind_ = true;
    // A thread that is at work, or about to be, comes round by itself.
    wake = std::exchange(is_idle_, false);
  }
  if (wake) work_.Signal();
  SHMD_FAILPOINT("store.appended");
  return durability == Durability::kPowerLoss ? Sync(sequence)
                                              : absl::OkStatus();
}

absl::Status Store::Sync() {
  uint64_t last = 0;
  {
    absl::MutexLock lock(&mutex_);
    last = last_sequence_;
  }
  return Sync(last);
}

absl::Status Store::Sync(uint64_t sequence) {
  absl::MutexLock sync(&sync_);
  if (synced_sequence_ >= sequence) return absl::OkStatus();
  std::shared_ptr<JournalFile> journal;
  uint64_t last = 0;
  {
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(failure_);
    journal = journal_;
    last = last_sequence_;
  }
  absl::Status status = journal->Sync();
  if (!status.ok()) {
    // The kernel tells of lost pages once: a second sync would succeed.
    absl::MutexLock lock(&mutex_);
    return FailFromNowOn(std::move(status));
  }
  synced_sequence_ = last;
  SHMD_FAILPOINT("store.synced");
  return absl::OkStatus();
}

absl::StatusOr<std::vector<Record>> Store::Load(RecordKind kind) {
  absl::MutexLock writing(&writing_);
  RETURN_IF_ERROR(ApplyQueue(/*sync=*/false));
  return database_.Load(kind);
}

absl::Status Store::ApplyQueue(bool sync) {
  std::vector<std::string> groups;
  uint64_t last = 0;
  {
    absl::MutexLock lock(&mutex_);
    groups.swap(queue_);
    last = last_sequence_;
  }
  std::vector<Change> changes;
  for (const std::string& group : groups) {
    changes.clear();
    ParseChanges(absl::string_view(group).substr(kGroupHeaderBytes), &changes);
    for (Change& change : changes) {
      unapplied_[{change.kind, std::move(change.key)}] =
          std::move(change.value);
    }
  }
  if (last == applied_ && !sync) return absl::OkStatus();
  RETURN_IF_ERROR(SHMD_FAILPOINT_STATUS("store.apply"));
  RETURN_IF_ERROR(database_.Apply(unapplied_, last, sync));
  SHMD_FAILPOINT("store.applied");
  unapplied_.clear();
  applied_ = last;
  return absl::OkStatus();
}

absl::Status Store::Retire() {
  if (retiring_ == nullptr) return absl::OkStatus();
  RETURN_IF_ERROR(ApplyQueue(/*sync=*/true));
  SHMD_FAILPOINT("store.retire");
  RemoveJournal(folder_, retiring_->number());
  SHMD_FAILPOINT("store.retired");
  retiring_.reset();
  return absl::OkStatus();
}

absl::Status Store::Switch() {
  uint64_t number = 0;
  {
    absl::MutexLock lock(&mutex_);
    if (journal_->size_bytes() <= options_.journal_bytes) {
      return absl::OkStatus();
    }
    number = journal_->number();
  }
  RETURN_IF_ERROR(SHMD_FAILPOINT_STATUS("store.switch"));
  ASSIGN_OR_RETURN(
      std::shared_ptr<JournalFile> next,
      JournalFile::Create(folder_, number + 1, options_.prepared_bytes,
                          options_.calls));
  absl::MutexLock sync(&sync_);
  uint64_t last = 0;
  {
    absl::MutexLock lock(&mutex_);
    // A journal with a torn end stays the last one.
    RETURN_IF_ERROR(failure_);
    retiring_ = std::exchange(journal_, std::move(next));
    last = last_sequence_;
  }
  SHMD_FAILPOINT("store.switched");
  absl::Status status = retiring_->Sync();
  if (!status.ok()) {
    absl::MutexLock lock(&mutex_);
    return FailFromNowOn(std::move(status));
  }
  synced_sequence_ = last;
  return absl::OkStatus();
}

absl::Status Store::WriteBehind() {
  absl::MutexLock writing(&writing_);
  RETURN_IF_ERROR(Retire());
  RETURN_IF_ERROR(ApplyQueue(/*sync=*/false));
  RETURN_IF_ERROR(Switch());
  return Retire();
}

void Store::AwaitWork() {
  absl::MutexLock lock(&mutex_);
  while (queue_.empty() && !is_stopping_) {
    is_idle_ = true;
    work_.Wait(&mutex_);
  }
  is_idle_ = false;
}

bool Store::Pause(absl::Duration duration) {
  const absl::Time end = absl::Now() + duration;
  absl::MutexLock lock(&mutex_);
  while (!is_stopping_) {
    if (work_.WaitWithDeadline(&mutex_, end)) return true;
  }
  return false;
}

void Store::WriteBehindUntilStopped() {
  bool has_failed = false;
  for (;;) {
    if (!has_failed) AwaitWork();
    if (!Pause(has_failed ? kRetryPause : options_.write_behind)) return;
    const absl::Status status = WriteBehind();
    if (!status.ok() && !has_failed) {
      Log(LogLevel::kError,
          absl::StrCat("nothing is lost, but the journal grows: ",
                       status.message()));
    }
    has_failed = !status.ok();
  }
}

}  // namespace shmd
