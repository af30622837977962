#include "server/store/database.h"

#include <sodium.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "server/store/journal_file.h"
#include "server/store/segment_record.h"
#include "server/store/segments_v1.h"

namespace shmd {
namespace {

// Generations are dealt in blocks: the store knows the first of the next one,
// so that no create has to record its own.
constexpr uint64_t kGenerationBlock = uint64_t{1} << 32;

// Raised with every change of the tables.
constexpr int kSchemaVersion = 2;

constexpr char kCreateTables[] = R"(
CREATE TABLE IF NOT EXISTS identity(
  one INTEGER PRIMARY KEY CHECK(one = 1),
  node INTEGER NOT NULL,
  key BLOB NOT NULL,
  next_generation INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS journal(
  one INTEGER PRIMARY KEY CHECK(one = 1),
  applied_sequence INTEGER NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS records(
  kind INTEGER NOT NULL,
  key BLOB NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY(kind, key)) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO journal VALUES(1, 0);
)";

}  // namespace

Database::~Database() {
  begin_.Finalize();
  commit_.Finalize();
  put_.Finalize();
  remove_.Finalize();
  set_applied_.Finalize();
  sqlite3_close(database_);
}

absl::Status Database::Open(const std::string& path) {
  if (sqlite3_open_v2(
          path.c_str(), &database_,
          SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
          nullptr) != SQLITE_OK) {
    return StoreFailed("open its file", sqlite3_errmsg(database_));
  }
  if (chmod(path.c_str(), 0600) != 0) return StoreFailed("chmod", errno);
  // There is nobody to share the file with. Before WAL, which then keeps its
  // index in our memory.
  RETURN_IF_ERROR(Run("PRAGMA locking_mode=EXCLUSIVE"));
  RETURN_IF_ERROR(Run("PRAGMA journal_mode=WAL"));
  RETURN_IF_ERROR(Run("PRAGMA synchronous=NORMAL"));
  RETURN_IF_ERROR(begin_.Prepare(database_, "BEGIN IMMEDIATE"));
  RETURN_IF_ERROR(commit_.Prepare(database_, "COMMIT"));
  RETURN_IF_ERROR(MakeTables());
  return set_applied_.Prepare(database_,
                              "UPDATE journal SET applied_sequence=?");
}

absl::Status Database::MakeTables() {
  Statement version;
  RETURN_IF_ERROR(version.Prepare(database_, "PRAGMA user_version"));
  ASSIGN_OR_RETURN(const bool has_row, version.Step());
  const int64_t found = has_row ? version.Integer(0) : 0;
  version.Finalize();
  if (found < 0 || found > kSchemaVersion) {
    return StoreFailed("read its file", absl::StrCat("it has version ", found,
                                                     ", not ", kSchemaVersion));
  }
  RETURN_IF_ERROR(Begin(/*sync=*/true));
  absl::Status status = Run(kCreateTables);
  if (status.ok()) {
    status =
        put_.Prepare(database_, "INSERT OR REPLACE INTO records VALUES(?,?,?)");
  }
  if (status.ok()) {
    status = remove_.Prepare(database_,
                             "DELETE FROM records WHERE kind=? AND key=?");
  }
  if (status.ok() && found == 1) status = MoveVersion1();
  if (status.ok()) {
    status = Run(absl::StrCat("PRAGMA user_version=", kSchemaVersion).c_str());
  }
  return End(std::move(status));
}

absl::Status Database::MoveVersion1() {
  Statement read;
  RETURN_IF_ERROR(read.Prepare(database_, kReadSegmentsV1));
  for (;;) {
    ASSIGN_OR_RETURN(const bool has_row, read.Step());
    if (!has_row) break;
    ASSIGN_OR_RETURN(const StoredSegment stored, ReadSegmentV1(read));
    const Change change = PutOf(stored);
    RETURN_IF_ERROR(Put(change.kind, change.key, *change.value));
  }
  read.Finalize();
  return Run("DROP TABLE segments");
}

absl::Status Database::Run(const char* sql) {
  char* message = nullptr;
  const int result = sqlite3_exec(database_, sql, nullptr, nullptr, &message);
  if (result == SQLITE_OK) return absl::OkStatus();
  const std::string why = message != nullptr ? message : sqlite3_errstr(result);
  sqlite3_free(message);
  return StoreFailed("run a statement", why);
}

absl::Status Database::RunPrepared(Statement& statement) {
  const absl::Status status = statement.Step().status();
  statement.Reset();
  return status;
}

absl::Status Database::Begin(bool sync) {
  // In WAL mode FULL syncs at each commit, with all before it; NORMAL does so
  // at checkpoints only (sqlite.org/pragma.html).
  if (sync != synchronous_full_) {
    RETURN_IF_ERROR(
        Run(sync ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
    synchronous_full_ = sync;
  }
  return RunPrepared(begin_);
}

absl::Status Database::End(absl::Status result) {
  if (result.ok()) result = RunPrepared(commit_);
  if (!result.ok()) Run("ROLLBACK").IgnoreError();
  return result;
}

absl::Status Database::Put(RecordKind kind, const std::string& key,
                           const std::string& value) {
  put_.BindInteger(1, static_cast<int64_t>(kind));
  put_.BindBlob(2, key);
  put_.BindBlob(3, value);
  return RunPrepared(put_);
}

absl::Status Database::Remove(RecordKind kind, const std::string& key) {
  remove_.BindInteger(1, static_cast<int64_t>(kind));
  remove_.BindBlob(2, key);
  return RunPrepared(remove_);
}

absl::StatusOr<uint64_t> Database::ReadAppliedSequence() {
  Statement read;
  RETURN_IF_ERROR(
      read.Prepare(database_, "SELECT applied_sequence FROM journal"));
  ASSIGN_OR_RETURN(const bool has_row, read.Step());
  if (!has_row) return StoreFailed("read its file", "the journal row is gone");
  return static_cast<uint64_t>(read.Integer(0));
}

absl::Status Database::Apply(const LastChanges& changes, uint64_t sequence,
                             bool sync) {
  RETURN_IF_ERROR(Begin(sync));
  absl::Status status;
  for (const auto& [name, value] : changes) {
    if (!status.ok()) break;
    status = value.has_value() ? Put(name.first, name.second, *value)
                               : Remove(name.first, name.second);
  }
  if (status.ok()) {
    set_applied_.BindInteger(1, static_cast<int64_t>(sequence));
    status = RunPrepared(set_applied_);
  }
  SHMD_FAILPOINT("database.commit");
  status = End(std::move(status));
  SHMD_FAILPOINT("database.committed");
  return status;
}

absl::StatusOr<StoreIdentity> Database::TakeIdentity() {
  StoreIdentity identity;
  Statement read;
  RETURN_IF_ERROR(read.Prepare(
      database_, "SELECT node, key, next_generation FROM identity"));
  ASSIGN_OR_RETURN(const bool exists, read.Step());
  if (exists) {
    identity.node = static_cast<uint64_t>(read.Integer(0));
    const std::string key = read.Blob(1);
    if (key.size() != identity.key.size()) {
      return StoreFailed("read its identity", "the key is damaged");
    }
    std::memcpy(identity.key.data(), key.data(), key.size());
    identity.first_generation = static_cast<uint64_t>(read.Integer(2));
  } else {
    randombytes_buf(&identity.node, sizeof(identity.node));
    identity.key = HandleSigner::RandomKey();
  }
  read.Finalize();
  RETURN_IF_ERROR(Begin(/*sync=*/true));
  RETURN_IF_ERROR(End(PutIdentity(identity)));
  return identity;
}

absl::Status Database::PutIdentity(const StoreIdentity& identity) {
  Statement write;
  RETURN_IF_ERROR(write.Prepare(
      database_,
      "INSERT OR REPLACE INTO identity(one, node, key, next_generation) "
      "VALUES(1, ?, ?, ?)"));
  write.BindInteger(1, static_cast<int64_t>(identity.node));
  write.BindBlob(2, std::string(identity.key.begin(), identity.key.end()));
  write.BindInteger(
      3, static_cast<int64_t>(identity.first_generation + kGenerationBlock));
  return write.Step().status();
}

absl::StatusOr<std::vector<Record>> Database::Load(RecordKind kind) {
  Statement read;
  RETURN_IF_ERROR(
      read.Prepare(database_, "SELECT key, value FROM records WHERE kind=?"));
  read.BindInteger(1, static_cast<int64_t>(kind));
  std::vector<Record> records;
  for (;;) {
    ASSIGN_OR_RETURN(const bool has_row, read.Step());
    if (!has_row) return records;
    records.push_back({read.Blob(0), read.Blob(1)});
  }
}

}  // namespace shmd
