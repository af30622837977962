#ifndef SHMD_SERVER_STORE_DATABASE_H_
#define SHMD_SERVER_STORE_DATABASE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "server/store/record.h"
#include "server/store/statement.h"
#include "shm/handle.h"

namespace shmd {

// What makes this daemon the same across restarts.
struct StoreIdentity {
  uint64_t node = 0;
  HandleSigner::Key key = {};
  // No earlier run has dealt this generation or a later one.
  uint64_t first_generation = 1;
};

// The SQLite file in which records come to rest. Every change is a transaction:
// all or none, also when the daemon is killed. Errors are STORE_FAILED
// (INTERNAL). Not thread-safe.
class Database {
 public:
  Database() = default;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  // Opens or makes the file; brings one of an earlier version up to date, and
  // refuses one of a later version. The only user of the file.
  absl::Status Open(const std::string& path);

  // The last group of the journal that was applied.
  absl::StatusOr<uint64_t> ReadAppliedSequence();

  // The identity, new in a new file, with generations that are set aside for
  // this run. On the disk, with all applied before, when it returns.
  absl::StatusOr<StoreIdentity> TakeIdentity();

  // With `sync`, this and all applied before is on the disk on return.
  absl::Status Apply(const LastChanges& changes, uint64_t sequence, bool sync);

  // Ordered by key.
  absl::StatusOr<std::vector<Record>> Load(RecordKind kind);

 private:
  absl::Status Run(const char* sql);
  absl::Status RunPrepared(Statement& statement);
  absl::Status Begin(bool sync);
  absl::Status End(absl::Status result);
  absl::Status MakeTables();
  absl::Status MoveVersion1();
  absl::Status Put(RecordKind kind, const std::string& key,
                   const std::string& value);
  absl::Status Remove(RecordKind kind, const std::string& key);
  absl::Status PutIdentity(const StoreIdentity& identity);

  sqlite3* database_ = nullptr;
  Statement begin_;
  Statement commit_;
  Statement put_;
  Statement remove_;
  Statement set_applied_;
  bool synchronous_full_ = false;
};

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_DATABASE_H_
