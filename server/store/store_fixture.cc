#include "server/store/store_fixture.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "server/store/journal_replay.h"

namespace shmd {

StoreFixture::StoreFixture() {
  root_ = absl::StrCat(::testing::TempDir(), "/storeXXXXXX");
  if (mkdtemp(root_.data()) == nullptr) ADD_FAILURE() << root_;
  folder_ = root_ + "/state";
  std::filesystem::create_directory(folder_);
}

StoreFixture::~StoreFixture() { std::filesystem::remove_all(root_); }

Store::Options StoreFixture::Unprepared() {
  Store::Options options;
  options.prepared_bytes = 0;
  return options;
}

Store::Options StoreFixture::JournalOnly() {
  Store::Options options = Unprepared();
  options.write_behind = absl::InfiniteDuration();
  return options;
}

absl::StatusOr<std::unique_ptr<Store>> StoreFixture::TryOpen(
    const std::string& folder, const Store::Options& options) {
  return Store::Open(folder, options);
}

std::unique_ptr<Store> StoreFixture::Open(const Store::Options& options) {
  auto store = TryOpen(folder_, options);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

std::string StoreFixture::Crash() {
  const std::string copy = absl::StrCat(root_, "/copy", ++copies_);
  std::filesystem::copy(folder_, copy);
  return copy;
}

Change StoreFixture::Put(const std::string& key, const std::string& value,
                         RecordKind kind) {
  return {kind, key, value};
}

Change StoreFixture::Removal(const std::string& key, RecordKind kind) {
  return {kind, key, std::nullopt};
}

absl::Status StoreFixture::Commit(Store& store, const Change& change,
                                  Durability durability) {
  return store.Commit(absl::MakeConstSpan(&change, 1), durability);
}

StoreFixture::Contents StoreFixture::ContentsOf(Store& store, RecordKind kind) {
  const auto records = store.Load(kind);
  EXPECT_TRUE(records.ok()) << records.status();
  Contents contents;
  if (!records.ok()) return contents;
  for (const Record& record : *records) contents[record.key] = record.value;
  return contents;
}

StoreFixture::Contents StoreFixture::ContentsIn(const std::string& folder) {
  const auto store = TryOpen(folder);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? ContentsOf(**store) : Contents();
}

std::string StoreFixture::JournalIn(const std::string& folder) {
  const auto numbers = ListJournals(folder);
  EXPECT_TRUE(numbers.ok()) << numbers.status();
  if (!numbers.ok() || numbers->size() != 1) return "";
  return absl::StrCat(folder, "/", JournalName(numbers->front()));
}

std::string StoreFixture::ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

void StoreFixture::WriteFile(const std::string& path,
                             const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << bytes;
  EXPECT_TRUE(file.good()) << path;
}

}  // namespace shmd
