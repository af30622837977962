#ifndef SHMD_SERVER_STORE_STORE_H_
#define SHMD_SERVER_STORE_STORE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/unique_fd.h"
#include "server/store/database.h"
#include "server/store/journal_file.h"
#include "server/store/record.h"

namespace shmd {

// What must outlive the daemon: records of several kinds, and its identity. A
// commit is one write to a journal; a thread carries it over into a database
// soon after, and lets the journal begin anew. Holds a lock on its folder: a
// second daemon is refused. Thread-safe. docs/adr/0006-journal.md says why.
class Store {
 public:
  struct Options {
    // A journal larger than this begins anew.
    uint64_t journal_bytes = uint64_t{4} << 20;
    // How much of a journal is written ahead with zeroes.
    uint64_t prepared_bytes = uint64_t{4} << 20;
    // A journal that the database has not followed grows to this, and then
    // commits wait for it.
    uint64_t max_journal_bytes = uint64_t{256} << 20;
    // How long changes gather before the database gets them: those of the same
    // record become one.
    absl::Duration write_behind = absl::Milliseconds(50);
    JournalCalls calls;
  };

  // Opens or makes the store in `folder`, which exists, and takes over what an
  // earlier run left in its journals. ALREADY_EXISTS when another has it;
  // STORE_FAILED (INTERNAL) also for damage that no crash explains.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& folder,
                                                     const Options& options);
  static absl::StatusOr<std::unique_ptr<Store>> Open(
      const std::string& folder) {
    return Open(folder, Options());
  }

  // Leaves everything in the database, and no journal.
  ~Store();

  const StoreIdentity& identity() const { return identity_; }

  // Makes all changes or none, in the order of the commits, durable when it
  // returns. STORE_FAILED (INTERNAL) when it could not: nothing was changed
  // then, except that after a failed sync the next start may find the changes.
  // After a failure that leaves the journal in doubt every later commit fails.
  absl::Status Commit(absl::Span<const Change> changes, Durability durability);

  // Makes all commits durable that have returned: what a commit for a power
  // loss does by itself, for who has other things to flush meanwhile. Errors
  // are those of Commit.
  absl::Status Sync() ABSL_LOCKS_EXCLUDED(sync_, mutex_);

  // All records of a kind, ordered by key, with every commit that has returned.
  absl::StatusOr<std::vector<Record>> Load(RecordKind kind);

 private:
  explicit Store(std::string folder, const Options& options)
      : folder_(std::move(folder)), options_(options) {}

  absl::Status TakeOver() ABSL_LOCKS_EXCLUDED(writing_, mutex_);
  absl::Status Sync(uint64_t sequence) ABSL_LOCKS_EXCLUDED(sync_, mutex_);
  absl::Status WriteBehind() ABSL_LOCKS_EXCLUDED(writing_, mutex_);
  absl::Status ApplyQueue(bool sync) ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_);
  // Ends the journal that was switched from, once all of it is applied.
  absl::Status Retire() ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_);
  absl::Status Switch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(writing_);
  void AwaitWork() ABSL_LOCKS_EXCLUDED(mutex_);
  // False when the store is to end.
  bool Pause(absl::Duration duration) ABSL_LOCKS_EXCLUDED(mutex_);
  void WriteBehindUntilStopped();
  absl::Status FailFromNowOn(absl::Status why)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string folder_;
  const Options options_;
  UniqueFd lock_;
  StoreIdentity identity_;
  std::thread writer_;

  // Whoever carries changes over. Taken before the other two.
  absl::Mutex writing_;
  Database database_ ABSL_GUARDED_BY(writing_);
  // What the database could not take yet.
  LastChanges unapplied_ ABSL_GUARDED_BY(writing_);
  uint64_t applied_ ABSL_GUARDED_BY(writing_) = 0;
  std::shared_ptr<JournalFile> retiring_ ABSL_GUARDED_BY(writing_);

  // Whoever syncs a journal, or puts another in its place: all of the former
  // one is synced before anything of the next is called so.
  absl::Mutex sync_ ABSL_ACQUIRED_AFTER(writing_);
  std::atomic<uint64_t> synced_sequence_{0};
  std::atomic<bool> is_behind_{false};  // beyond max_journal_bytes

  absl::Mutex mutex_ ABSL_ACQUIRED_AFTER(sync_);
  std::shared_ptr<JournalFile> journal_ ABSL_GUARDED_BY(mutex_);
  uint64_t last_sequence_ ABSL_GUARDED_BY(mutex_) = 0;
  // Groups that the database has not seen, as they are in the journal.
  std::vector<std::string> queue_ ABSL_GUARDED_BY(mutex_);
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  bool is_idle_ ABSL_GUARDED_BY(mutex_) = false;
  bool is_stopping_ ABSL_GUARDED_BY(mutex_) = false;
  absl::CondVar work_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_STORE_H_
