#include "server/store/statement.h"

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

Error StoreFailed(sqlite3* database) {
  return Error(absl::StatusCode::kInternal, reason::kStoreFailed,
               absl::StrCat("the store: ", sqlite3_errmsg(database)));
}

}  // namespace

absl::Status Statement::Prepare(sqlite3* database, const char* sql) {
  if (sqlite3_prepare_v2(database, sql, -1, &statement_, nullptr) !=
      SQLITE_OK) {
    return StoreFailed(database);
  }
  return absl::OkStatus();
}

void Statement::Finalize() {
  sqlite3_finalize(statement_);
  statement_ = nullptr;
}

void Statement::Reset() { sqlite3_reset(statement_); }

void Statement::BindInteger(int parameter, int64_t value) {
  sqlite3_bind_int64(statement_, parameter, value);
}

void Statement::BindText(int parameter, const std::string& value) {
  sqlite3_bind_text(statement_, parameter, value.data(),
                    static_cast<int>(value.size()), SQLITE_TRANSIENT);
}

void Statement::BindBlob(int parameter, const std::string& value) {
  sqlite3_bind_blob(statement_, parameter, value.data(),
                    static_cast<int>(value.size()), SQLITE_TRANSIENT);
}

absl::StatusOr<bool> Statement::Step() {
  switch (sqlite3_step(statement_)) {
    case SQLITE_ROW:
      return true;
    case SQLITE_DONE:
      return false;
    default:
      return absl::StatusOr<bool>(StoreFailed(sqlite3_db_handle(statement_)));
  }
}

int64_t Statement::Integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

std::string Statement::Blob(int column) const {
  const void* const data = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return std::string(static_cast<const char*>(data),
                     data == nullptr ? 0 : static_cast<size_t>(size));
}

}  // namespace shmd
