#ifndef SHMD_SERVER_STORE_STORE_FIXTURE_H_
#define SHMD_SERVER_STORE_STORE_FIXTURE_H_

#include <map>
#include <memory>
#include <string>

#include "base/error.h"
#include "gtest/gtest.h"
#include "server/store/store.h"

namespace shmd {

// Stores in a folder of the test's own.
class StoreFixture : public ::testing::Test {
 public:
  // Values by key.
  using Contents = std::map<std::string, std::string>;

 protected:
  StoreFixture();
  ~StoreFixture() override;

  // Options of a store whose database follows only when it is told to, so that
  // everything stays in the journal; which ends with its last group.
  static Store::Options JournalOnly();

  // As a daemon has them, but that journals are not written ahead.
  static Store::Options Unprepared();

  absl::StatusOr<std::unique_ptr<Store>> TryOpen(
      const std::string& folder, const Store::Options& options = Unprepared());
  // The same, which succeeds or fails the test.
  std::unique_ptr<Store> Open(const Store::Options& options = Unprepared());

  // A copy of the folder as kill -9 would leave it now; while nobody commits.
  std::string Crash();

  static Change Put(const std::string& key, const std::string& value,
                    RecordKind kind = RecordKind::kSegment);
  static Change Removal(const std::string& key,
                        RecordKind kind = RecordKind::kSegment);
  static absl::Status Commit(Store& store, const Change& change,
                             Durability durability = Durability::kDaemonDeath);

  static Contents ContentsOf(Store& store,
                             RecordKind kind = RecordKind::kSegment);
  // Of a store that is opened for the purpose.
  Contents ContentsIn(const std::string& folder);

  // The only journal of `folder`, or "".
  static std::string JournalIn(const std::string& folder);
  static std::string ReadFile(const std::string& path);
  static void WriteFile(const std::string& path, const std::string& bytes);

  const std::string& folder() const { return folder_; }

 private:
  std::string root_;
  std::string folder_;
  int copies_ = 0;
};

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_STORE_FIXTURE_H_
