#ifndef SHMD_SERVER_STORE_STATEMENT_H_
#define SHMD_SERVER_STORE_STATEMENT_H_

#include <sqlite3.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace shmd {

// A prepared statement of SQLite. Parameters count from 1 and columns from 0,
// as SQLite has it. Not thread-safe.
class Statement {
 public:
  Statement() = default;
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement() { Finalize(); }

  absl::Status Prepare(sqlite3* database, const char* sql);
  void Finalize();
  void Reset();

  void BindInteger(int parameter, int64_t value);
  void BindText(int parameter, const std::string& value);
  void BindBlob(int parameter, const std::string& value);

  // Whether there is a row; STORE_FAILED (INTERNAL).
  absl::StatusOr<bool> Step();

  int64_t Integer(int column) const;
  // Of a text or blob; copied.
  std::string Blob(int column) const;

 private:
  sqlite3_stmt* statement_ = nullptr;
};

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_STATEMENT_H_
