#include "server/store/segment_store.h"

#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/store/statement.h"
#include "server/store/stored_segment.h"

namespace shmd {
namespace {

// Generations are dealt in blocks: the store knows the first of the next one,
// so that no create has to record its own.
constexpr uint64_t kGenerationBlock = uint64_t{1} << 32;

// Raised with every change of the tables; another version's file is refused
// rather than misread.
constexpr int kSchemaVersion = 1;

Error StoreFailed(absl::string_view what, absl::string_view why) {
  return Error(absl::StatusCode::kInternal, reason::kStoreFailed,
               absl::StrCat("the store could not ", what, ": ", why));
}

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

absl::StatusOr<std::unique_ptr<SegmentStore>> SegmentStore::Open(
    const std::string& folder) {
  auto store = std::unique_ptr<SegmentStore>(new SegmentStore);
  ASSIGN_OR_RETURN(store->lock_, LockFolder(folder));
  const std::string path = absl::StrCat(folder, "/segments.db");
  absl::MutexLock lock(&store->mutex_);
  if (sqlite3_open_v2(
          path.c_str(), &store->database_,
          SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
          nullptr) != SQLITE_OK) {
    return StoreFailed("open its file", sqlite3_errmsg(store->database_));
  }
  if (chmod(path.c_str(), 0600) != 0) return ErrnoStatus(errno, "chmod");
  RETURN_IF_ERROR(store->Prepare());
  RETURN_IF_ERROR(store->LoadIdentity());
  return store;
}

SegmentStore::~SegmentStore() {
  absl::MutexLock lock(&mutex_);
  begin_.Finalize();
  commit_.Finalize();
  put_.Finalize();
  delete_.Finalize();
  sqlite3_close(database_);
}

absl::Status SegmentStore::Run(const char* sql) {
  char* message = nullptr;
  const int result = sqlite3_exec(database_, sql, nullptr, nullptr, &message);
  if (result == SQLITE_OK) return absl::OkStatus();
  const std::string why = message != nullptr ? message : sqlite3_errstr(result);
  sqlite3_free(message);
  return StoreFailed("run a statement", why);
}

absl::Status SegmentStore::RunPrepared(Statement& statement) {
  const absl::Status status = statement.Step().status();
  statement.Reset();
  return status;
}

absl::Status SegmentStore::Prepare() {
  // Of a new file only. A record is some hundred bytes, and a change writes
  // whole pages.
  RETURN_IF_ERROR(Run("PRAGMA page_size=1024"));
  // LockFolder has seen to it that there is nobody to share the file with.
  // Before WAL, which then keeps its index in our memory.
  RETURN_IF_ERROR(Run("PRAGMA locking_mode=EXCLUSIVE"));
  RETURN_IF_ERROR(Run("PRAGMA journal_mode=WAL"));
  RETURN_IF_ERROR(Run("PRAGMA synchronous=NORMAL"));
  Statement version;
  RETURN_IF_ERROR(version.Prepare(database_, "PRAGMA user_version"));
  ASSIGN_OR_RETURN(const bool has_row, version.Step());
  const int64_t found = has_row ? version.Integer(0) : 0;
  version.Finalize();
  if (found != 0 && found != kSchemaVersion) {
    return StoreFailed("read its file", absl::StrCat("it has version ", found,
                                                     ", not ", kSchemaVersion));
  }
  RETURN_IF_ERROR(Run(kCreateTables));
  RETURN_IF_ERROR(
      Run(absl::StrCat("PRAGMA user_version=", kSchemaVersion).c_str()));
  RETURN_IF_ERROR(begin_.Prepare(database_, "BEGIN IMMEDIATE"));
  RETURN_IF_ERROR(commit_.Prepare(database_, "COMMIT"));
  RETURN_IF_ERROR(put_.Prepare(database_, kPutSegment));
  return delete_.Prepare(database_, "DELETE FROM segments WHERE uid=?");
}

absl::Status SegmentStore::LoadIdentity() {
  Statement read;
  RETURN_IF_ERROR(read.Prepare(
      database_, "SELECT node, key, next_generation FROM identity"));
  ASSIGN_OR_RETURN(const bool exists, read.Step());
  if (exists) {
    identity_.node = static_cast<uint64_t>(read.Integer(0));
    const std::string key = read.Blob(1);
    if (key.size() != identity_.key.size()) {
      return StoreFailed("read its identity", "the key is damaged");
    }
    std::memcpy(identity_.key.data(), key.data(), key.size());
    identity_.first_generation = static_cast<uint64_t>(read.Integer(2));
  } else {
    randombytes_buf(&identity_.node, sizeof(identity_.node));
    identity_.key = HandleSigner::RandomKey();
  }
  read.Finalize();
  RETURN_IF_ERROR(Begin(/*survives_power_loss=*/true));
  return End(PutIdentity());
}

absl::Status SegmentStore::PutIdentity() {
  Statement write;
  RETURN_IF_ERROR(write.Prepare(
      database_,
      "INSERT OR REPLACE INTO identity(one, node, key, next_generation) "
      "VALUES(1, ?, ?, ?)"));
  write.BindInteger(1, static_cast<int64_t>(identity_.node));
  write.BindBlob(2, std::string(identity_.key.begin(), identity_.key.end()));
  write.BindInteger(
      3, static_cast<int64_t>(identity_.first_generation + kGenerationBlock));
  return write.Step().status();
}

absl::Status SegmentStore::Begin(bool survives_power_loss) {
  // In WAL mode FULL syncs at each commit, NORMAL at checkpoints only
  // (sqlite.org/pragma.html). Objects in memory do not survive a power loss, so
  // their records need not.
  if (survives_power_loss != synchronous_full_) {
    RETURN_IF_ERROR(Run(survives_power_loss ? "PRAGMA synchronous=FULL"
                                            : "PRAGMA synchronous=NORMAL"));
    synchronous_full_ = survives_power_loss;
  }
  return RunPrepared(begin_);
}

absl::Status SegmentStore::End(absl::Status result) {
  if (result.ok()) result = RunPrepared(commit_);
  if (!result.ok()) Run("ROLLBACK").IgnoreError();
  return result;
}

absl::Status SegmentStore::Put(absl::Span<const StoredSegment> segments) {
  bool survives_power_loss = false;
  for (const StoredSegment& stored : segments) {
    survives_power_loss |= stored.object.backend == BackendKind::kMappedFile;
  }
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(Begin(survives_power_loss));
  absl::Status status;
  for (const StoredSegment& stored : segments) {
    if (!status.ok()) break;
    put_.Reset();
    BindSegment(stored, put_);
    status = put_.Step().status();
  }
  put_.Reset();
  return End(status);
}

absl::Status SegmentStore::Delete(absl::Span<const Uid> uids) {
  if (uids.empty()) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(Begin(/*survives_power_loss=*/false));
  absl::Status status;
  for (const Uid& uid : uids) {
    if (!status.ok()) break;
    delete_.Reset();
    delete_.BindBlob(1, std::string(uid.begin(), uid.end()));
    status = delete_.Step().status();
  }
  delete_.Reset();
  return End(status);
}

absl::StatusOr<std::vector<StoredSegment>> SegmentStore::Load() {
  absl::MutexLock lock(&mutex_);
  Statement read;
  RETURN_IF_ERROR(read.Prepare(database_, kReadSegments));
  std::vector<StoredSegment> segments;
  for (;;) {
    ASSIGN_OR_RETURN(const bool has_row, read.Step());
    if (!has_row) return segments;
    ASSIGN_OR_RETURN(StoredSegment stored, ReadSegment(read));
    segments.push_back(std::move(stored));
  }
}

}  // namespace shmd
