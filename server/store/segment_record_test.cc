#include "server/store/segment_record.h"

#include <sqlite3.h>

#include "absl/strings/str_cat.h"
#include "server/store/record.pb.h"
#include "server/store/segment_records.h"
#include "server/store/store_fixture.h"

namespace shmd {
namespace {

class SegmentRecordTest : public StoreFixture {};

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
  segment.state = SegmentState::kSealed;
  segment.options.backend = BackendKind::kPosix;
  segment.options.size_bytes = uint64_t{1} << 45;
  segment.options.page_size_bytes = 4096;
  segment.options.allocation = Allocation::kReserved;
  segment.options.populate = true;
  segment.options.resizable = true;
  segment.options.mode = 0640;
  segment.options.owner = 4000000000;
  segment.options.group = 7;
  segment.options.numa = {NumaMode::kInterleave, {0, 3}};
  segment.options.huge_page_advice = HugePageAdvice::kWanted;
  segment.options.seal_policy = SealPolicy::kNeverSealed;
  segment.options.file_path = "asked";
  stored.object.backend = BackendKind::kPosix;
  stored.object.posix_name = "/a";
  stored.object.file_root = "/root\xff";
  stored.object.sysv_id = -1;
  stored.object.device = UINT64_MAX;
  stored.object.inode = 99;
  stored.object.file_system = 77;
  return stored;
}

void ExpectSame(const StoredSegment& found, const StoredSegment& expected) {
  const Segment& segment = found.segment;
  EXPECT_EQ(segment.name.ToString(), expected.segment.name.ToString());
  EXPECT_EQ(segment.uid, expected.segment.uid);
  EXPECT_EQ(segment.generation, expected.segment.generation);
  EXPECT_EQ(segment.state, expected.segment.state);
  EXPECT_EQ(segment.labels, expected.segment.labels);
  EXPECT_EQ(segment.create_time, expected.segment.create_time);
  EXPECT_EQ(segment.expire_time, expected.segment.expire_time);
  EXPECT_EQ(segment.adopted, expected.segment.adopted);
  const SegmentOptions& options = segment.options;
  const SegmentOptions& asked = expected.segment.options;
  EXPECT_EQ(options.backend, asked.backend);
  EXPECT_EQ(options.size_bytes, asked.size_bytes);
  EXPECT_EQ(options.page_size_bytes, asked.page_size_bytes);
  EXPECT_EQ(options.allocation, asked.allocation);
  EXPECT_EQ(options.populate, asked.populate);
  EXPECT_EQ(options.lock_in_memory, asked.lock_in_memory);
  EXPECT_EQ(options.resizable, asked.resizable);
  EXPECT_EQ(options.mode, asked.mode);
  EXPECT_EQ(options.owner, asked.owner);
  EXPECT_EQ(options.group, asked.group);
  EXPECT_EQ(options.numa.mode, asked.numa.mode);
  EXPECT_EQ(options.numa.nodes, asked.numa.nodes);
  EXPECT_EQ(options.huge_page_advice, asked.huge_page_advice);
  EXPECT_EQ(options.seal_policy, asked.seal_policy);
  EXPECT_EQ(options.file_path, asked.file_path);
  EXPECT_EQ(found.object.backend, expected.object.backend);
  EXPECT_EQ(found.object.posix_name, expected.object.posix_name);
  EXPECT_EQ(found.object.sysv_key, expected.object.sysv_key);
  EXPECT_EQ(found.object.sysv_id, expected.object.sysv_id);
  EXPECT_EQ(found.object.file_root, expected.object.file_root);
  EXPECT_EQ(found.object.file_path, expected.object.file_path);
  EXPECT_EQ(found.object.device, expected.object.device);
  EXPECT_EQ(found.object.inode, expected.object.inode);
  EXPECT_EQ(found.object.file_system, expected.object.file_system);
}

TEST_F(SegmentRecordTest, KeepsEveryField) {
  const StoredSegment sample = Sample("a");
  { ASSERT_TRUE(PutSegments(*Open(), {sample}).ok()); }
  const auto loaded = LoadSegments(*Open());
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  ASSERT_EQ(loaded->size(), 1u);
  ExpectSame(loaded->front(), sample);
}

TEST_F(SegmentRecordTest, RemovalTakesOnlyWhatIsNamed) {
  const auto store = Open();
  const std::vector<StoredSegment> batch = {Sample("a"), Sample("b")};
  ASSERT_TRUE(PutSegments(*store, batch).ok());
  ASSERT_TRUE(
      RemoveSegments(*store, {batch[0].segment.uid}, Durability::kDaemonDeath)
          .ok());
  const auto loaded = LoadSegments(*store);
  ASSERT_TRUE(loaded.ok());
  ASSERT_EQ(loaded->size(), 1u);
  EXPECT_EQ(loaded->front().segment.name.id, "b");
}

TEST_F(SegmentRecordTest, OnlyFilesOutliveAPowerLoss) {
  StoredSegment sample = Sample("a");
  for (const BackendKind kind :
       {BackendKind::kMemfd, BackendKind::kPosix, BackendKind::kSysv}) {
    sample.object.backend = kind;
    EXPECT_EQ(DurabilityOf({sample}), Durability::kDaemonDeath);
  }
  StoredSegment file = Sample("b");
  file.object.backend = BackendKind::kMappedFile;
  EXPECT_EQ(DurabilityOf({sample, file}), Durability::kPowerLoss);
}

TEST_F(SegmentRecordTest, DamageIsToldNotServed) {
  const Change good = PutOf(Sample("a"));
  store::SegmentRecord record;
  const auto reason_of = [](const std::string& key, const std::string& value) {
    return GetErrorReason(ParseSegmentRecord(key, value).status());
  };
  EXPECT_EQ(reason_of(good.key, *good.value), "");
  EXPECT_EQ(reason_of(good.key.substr(1), *good.value), "STORE_FAILED");
  EXPECT_EQ(reason_of(good.key, ""), "STORE_FAILED");
  EXPECT_EQ(reason_of(good.key, "\xff\xff"), "STORE_FAILED");
  const auto with = [&](auto change) {
    EXPECT_TRUE(record.ParseFromString(*good.value));
    change(record);
    return reason_of(good.key, record.SerializeAsString());
  };
  EXPECT_EQ(with([](auto& r) { r.set_state(3); }), "STORE_FAILED");
  EXPECT_EQ(with([](auto& r) { r.clear_id(); }), "STORE_FAILED");
  EXPECT_EQ(with([](auto& r) { r.mutable_object()->set_backend(260); }),
            "STORE_FAILED");
  EXPECT_EQ(with([](auto& r) { r.mutable_options()->set_size_bytes(0); }),
            "STORE_FAILED");
  EXPECT_EQ(with([](auto& r) { r.mutable_options()->set_numa_mode(4); }),
            "STORE_FAILED");
  EXPECT_EQ(with([](auto& r) { r.mutable_options()->set_seal_policy(2); }),
            "STORE_FAILED");
  // Any part of it, and each of its bytes changed: an answer, never a crash.
  for (size_t i = 0; i < good.value->size(); ++i) {
    ParseSegmentRecord(good.key, good.value->substr(0, i)).IgnoreError();
    std::string flipped = *good.value;
    flipped[i] = static_cast<char>(flipped[i] ^ 0xff);
    ParseSegmentRecord(good.key, flipped).IgnoreError();
  }
}

TEST_F(SegmentRecordTest, FieldsOfALaterVersionAreNoDamage) {
  const Change good = PutOf(Sample("a"));
  // Field 1000, a varint.
  EXPECT_TRUE(ParseSegmentRecord(good.key, *good.value + "\xc0\x3e\x01").ok());
}

// The rows that the first version of this code wrote.
TEST_F(SegmentRecordTest, TableOfVersion1IsTakenOver) {
  const std::string path = absl::StrCat(folder(), "/segments.db");
  sqlite3* database = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &database), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(database, R"(
      CREATE TABLE identity(one INTEGER PRIMARY KEY CHECK(one = 1),
        node INTEGER NOT NULL, key BLOB NOT NULL,
        next_generation INTEGER NOT NULL) STRICT;
      INSERT INTO identity VALUES(1, 77, zeroblob(16), 4294967297);
      CREATE TABLE segments(uid BLOB PRIMARY KEY NOT NULL, namespace, id,
        generation, state, adopted, create_time_ns, expire_time_ns, labels,
        backend, posix_name, sysv_key, sysv_id, file_root, file_path,
        asked_file_path, device, inode, size_bytes, page_size_bytes,
        allocation, populate, lock_in_memory, resizable, mode, owner, group_id,
        numa_mode, numa_nodes, huge_page_advice, seal_policy,
        UNIQUE(namespace, id)) WITHOUT ROWID;
      INSERT INTO segments VALUES(x'000102030405060708090a0b0c0d0e0f',
        'default', 'old', 12, 0, 1, 1700000000123456789, -1,
        x'6b00310076', 3, '', 0, -1,
        '/srv', 'a.dat', 'asked.dat', -1, 99, 8192, 4096, 1, 0, 0, 1, 416,
        4000000000, 7, 2, '0,3', 1, 0);
      PRAGMA user_version=1;)",
                         nullptr, nullptr, nullptr),
            SQLITE_OK)
      << sqlite3_errmsg(database);
  sqlite3_close(database);
  for (int start = 0; start < 2; ++start) {
    const auto store = Open();
    ASSERT_NE(store, nullptr);
    EXPECT_EQ(store->identity().node, 77u);
    EXPECT_GE(store->identity().first_generation, 4294967297u);
    const auto loaded = LoadSegments(*store);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    ASSERT_EQ(loaded->size(), 1u);
    const Segment& segment = loaded->front().segment;
    EXPECT_EQ(UidToHex(segment.uid), "000102030405060708090a0b0c0d0e0f");
    EXPECT_EQ(segment.name.id, "old");
    EXPECT_EQ(segment.generation, 12u);
    EXPECT_TRUE(segment.adopted);
    EXPECT_FALSE(segment.expire_time.has_value());
    EXPECT_EQ(segment.labels, (Labels{{"k", "v"}}));
    EXPECT_EQ(segment.options.backend, BackendKind::kMappedFile);
    EXPECT_EQ(segment.options.owner, 4000000000);
    EXPECT_EQ(segment.options.mode, 0640u);
    EXPECT_EQ(segment.options.numa.nodes, (std::vector<uint32_t>{0, 3}));
    EXPECT_EQ(segment.options.file_path, "asked.dat");
    EXPECT_EQ(loaded->front().object.file_path, "a.dat");
    EXPECT_EQ(loaded->front().object.device, UINT64_MAX);
    EXPECT_EQ(loaded->front().object.inode, 99u);
  }
}

TEST_F(SegmentRecordTest, DamagedRecordIsAnErrorAtLoad) {
  const auto store = Open();
  ASSERT_TRUE(Commit(*store, Put(std::string(16, 'k'), "\xff")).ok());
  EXPECT_EQ(GetErrorReason(LoadSegments(*store).status()), "STORE_FAILED");
}

}  // namespace
}  // namespace shmd
