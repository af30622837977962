#include "server/store/segment_store.h"

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

class SegmentStoreTest : public ::testing::Test {
 protected:
  SegmentStoreTest() {
    std::string pattern = absl::StrCat(::testing::TempDir(), "/storeXXXXXX");
    folder_ = mkdtemp(pattern.data());
  }
  ~SegmentStoreTest() override {
    const std::string command = absl::StrCat("rm -rf '", folder_, "'");
    if (system(command.c_str()) != 0) ADD_FAILURE() << command;
  }

  std::unique_ptr<SegmentStore> Open() {
    absl::StatusOr<std::unique_ptr<SegmentStore>> store =
        SegmentStore::Open(folder_);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

  std::string folder_;
};

StoredSegment Sample(const std::string& id) {
  StoredSegment stored;
  Segment& segment = stored.segment;
  segment.name = {"default", id};
  segment.uid = RandomUid();
  segment.generation = 12;
  segment.labels = {{"team", "vision"}, {"empty", ""}, {"odd", "a\nb"}};
  segment.create_time = absl::FromUnixNanos(1700000000123456789);
  segment.expire_time = absl::FromUnixNanos(1800000000123456789);
  segment.adopted = true;
  segment.options.backend = BackendKind::kPosix;
  segment.options.size_bytes = uint64_t{1} << 45;
  segment.options.page_size_bytes = 4096;
  segment.options.allocation = Allocation::kReserved;
  segment.options.resizable = true;
  segment.options.mode = 0640;
  segment.options.owner = 4000000000;
  segment.options.group = 7;
  segment.options.numa = {NumaMode::kInterleave, {0, 3}};
  segment.options.huge_page_advice = HugePageAdvice::kWanted;
  segment.options.posix_name = "/" + id;
  stored.object.backend = BackendKind::kPosix;
  stored.object.posix_name = "/" + id;
  stored.object.device = UINT64_MAX;
  stored.object.inode = 99;
  return stored;
}

TEST_F(SegmentStoreTest, KeepsEveryFieldAcrossReopening) {
  const StoredSegment sample = Sample("a");
  ASSERT_TRUE(Open()->Put(absl::MakeConstSpan(&sample, 1)).ok());
  const auto loaded = Open()->Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_EQ(loaded->size(), 1u);
  const Segment& segment = (*loaded)[0].segment;
  EXPECT_EQ(segment.name.ToString(), sample.segment.name.ToString());
  EXPECT_EQ(segment.uid, sample.segment.uid);
  EXPECT_EQ(segment.generation, 12u);
  EXPECT_EQ(segment.labels, sample.segment.labels);
  EXPECT_EQ(segment.create_time, sample.segment.create_time);
  EXPECT_EQ(segment.expire_time, sample.segment.expire_time);
  EXPECT_TRUE(segment.adopted);
  EXPECT_EQ(segment.options.size_bytes, uint64_t{1} << 45);
  EXPECT_EQ(segment.options.allocation, Allocation::kReserved);
  EXPECT_TRUE(segment.options.resizable);
  EXPECT_EQ(segment.options.mode, 0640u);
  EXPECT_EQ(segment.options.owner, 4000000000);
  EXPECT_EQ(segment.options.group, 7u);
  EXPECT_EQ(segment.options.numa.mode, NumaMode::kInterleave);
  EXPECT_EQ(segment.options.numa.nodes, (std::vector<uint32_t>{0, 3}));
  EXPECT_EQ(segment.options.huge_page_advice, HugePageAdvice::kWanted);
  EXPECT_EQ((*loaded)[0].object.posix_name, "/a");
  EXPECT_EQ((*loaded)[0].object.device, UINT64_MAX);
  EXPECT_EQ((*loaded)[0].object.inode, 99u);
}

TEST_F(SegmentStoreTest, IdentityStaysAndGenerationsAreNeverDealtTwice) {
  const StoreIdentity first = Open()->identity();
  const StoreIdentity second = Open()->identity();
  EXPECT_EQ(first.node, second.node);
  EXPECT_EQ(first.key, second.key);
  EXPECT_GE(second.first_generation,
            first.first_generation + (uint64_t{1} << 32));
}

TEST_F(SegmentStoreTest, SecondDaemonIsRefused) {
  const auto first = Open();
  const auto second = SegmentStore::Open(folder_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
}

TEST_F(SegmentStoreTest, DeleteRemovesOnlyWhatIsNamed) {
  const auto store = Open();
  const std::vector<StoredSegment> batch = {Sample("a"), Sample("b")};
  ASSERT_TRUE(store->Put(batch).ok());
  ASSERT_TRUE(store->Delete({batch[0].segment.uid}).ok());
  const auto loaded = store->Load();
  ASSERT_TRUE(loaded.ok());
  ASSERT_EQ(loaded->size(), 1u);
  EXPECT_EQ((*loaded)[0].segment.name.id, "b");
}

TEST_F(SegmentStoreTest, FileOfAnotherVersionIsRefused) {
  { Open(); }
  const std::string path = absl::StrCat(folder_, "/segments.db");
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "PRAGMA user_version=77", nullptr, nullptr,
                         nullptr),
            SQLITE_OK);
  sqlite3_close(database);
  const auto store = SegmentStore::Open(folder_);
  EXPECT_EQ(GetErrorReason(store.status()), "STORE_FAILED");
}

TEST_F(SegmentStoreTest, DamagedRowIsToldNotServed) {
  const StoredSegment sample = Sample("a");
  ASSERT_TRUE(Open()->Put(absl::MakeConstSpan(&sample, 1)).ok());
  const std::string path = absl::StrCat(folder_, "/segments.db");
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(database, "UPDATE segments SET backend=9", nullptr,
                         nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(database);
  EXPECT_EQ(GetErrorReason(Open()->Load().status()), "STORE_FAILED");
}

}  // namespace
}  // namespace shmd
