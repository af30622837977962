#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/error_reason.h"
#include "shm/directory/directory_reader.h"
#include "shm/directory/directory_writer.h"
#include "shm/sys/file.h"

namespace shmd {
namespace {

using layout::EntryState;

NameKey Key(const std::string& id) { return *NameKey::Of(id); }

EntryFields Fields(uint64_t number) {
  EntryFields fields;
  fields.arena = static_cast<uint32_t>(number + 1);
  fields.metadata_bytes = static_cast<uint32_t>(number + 2);
  fields.generation = number + 3;
  fields.offset_bytes = number + 4;
  fields.size_bytes = number + 5;
  fields.create_time_ns = number + 6;
  fields.expire_time_ns = number + 7;
  fields.owner = static_cast<uint32_t>(number + 8);
  fields.priority = 9;
  fields.flags = 10;
  return fields;
}

// A directory, and a reader that has it mapped as a session would.
class DirectoryTest : public testing::Test {
 protected:
  void SetUp() override { Start(DirectoryOptions()); }

  void Start(const DirectoryOptions& options) {
    auto made = DirectoryWriter::Create(options);
    ASSERT_TRUE(made.ok()) << made.status();
    writer_ = std::make_unique<DirectoryWriter>(*std::move(made));
    auto fd = writer_->ReadOnlyFd();
    ASSERT_TRUE(fd.ok()) << fd.status();
    sys::MmapRequest request;
    request.fd = fd->get();
    request.length_bytes = writer_->max_size_bytes();
    auto mapped = sys::ScopedMmap::Map(request);
    ASSERT_TRUE(mapped.ok()) << mapped.status();
    mapping_ = *std::move(mapped);
    auto reader = DirectoryReader::Open(mapping_.data(), mapping_.size_bytes());
    ASSERT_TRUE(reader.ok()) << reader.status();
    reader_ = std::make_unique<DirectoryReader>(*reader);
  }

  // The directory as the next run of the daemon finds it.
  void Restart() {
    auto fd = sys::Duplicate(writer_->fd());
    ASSERT_TRUE(fd.ok()) << fd.status();
    writer_.reset();
    auto taken = DirectoryWriter::TakeUp(*std::move(fd), DirectoryOptions());
    ASSERT_TRUE(taken.ok()) << taken.status();
    writer_ = std::make_unique<DirectoryWriter>(*std::move(taken));
  }

  uint32_t Publish(const std::string& id, uint64_t number,
                   uint32_t* replaced = nullptr) {
    uint32_t position = 0;
    const absl::Status status =
        writer_->Publish(Key(id), Fields(number), &position, replaced);
    EXPECT_TRUE(status.ok()) << status;
    return position;
  }

  Lookup Find(const std::string& id, FoundObject* found) {
    return reader_->Find(Key(id), found);
  }
  Lookup Find(const std::string& id) {
    FoundObject found;
    return Find(id, &found);
  }

  std::unique_ptr<DirectoryWriter> writer_;
  sys::ScopedMmap mapping_;
  std::unique_ptr<DirectoryReader> reader_;
};

TEST_F(DirectoryTest, FindsWhatWasPublished) {
  EXPECT_EQ(Find("a"), Lookup::kAbsent);
  const uint32_t position = Publish("a", 100);
  FoundObject found;
  ASSERT_EQ(Find("a", &found), Lookup::kFound);
  EXPECT_EQ(found.position, position);
  EXPECT_EQ(found.state, EntryState::kAvailable);
  EXPECT_EQ(found.arena, 101u);
  EXPECT_EQ(found.metadata_bytes, 102u);
  EXPECT_EQ(found.generation, 103u);
  EXPECT_EQ(found.offset_bytes, 104u);
  EXPECT_EQ(found.size_bytes, 105u);
  EXPECT_TRUE(reader_->IsStill(found));
  EXPECT_EQ(Find("b"), Lookup::kAbsent);
  EXPECT_EQ(writer_->Find(Key("a")), position);
  EXPECT_EQ(writer_->fields(position).owner, 108u);
  EXPECT_EQ(writer_->fields(position).priority, 9);
  EXPECT_EQ(writer_->key(position).id(), "a");
  EXPECT_EQ(reader_->live_entries(), 1u);
}

TEST_F(DirectoryTest, NamesOfEveryLengthAreTold) {
  for (size_t length = 1; length <= 64; ++length) {
    Publish(std::string(length, 'x'), length);
  }
  for (size_t length = 1; length <= 64; ++length) {
    FoundObject found;
    ASSERT_EQ(Find(std::string(length, 'x'), &found), Lookup::kFound);
    EXPECT_EQ(found.generation, length + 3);
    std::string other(length, 'x');
    other.back() = 'y';
    EXPECT_EQ(Find(other), Lookup::kAbsent);
  }
}

TEST_F(DirectoryTest, ReplacingRetiresTheOldEntry) {
  const uint32_t first = Publish("a", 1);
  FoundObject before;
  ASSERT_EQ(Find("a", &before), Lookup::kFound);
  uint32_t replaced = 0;
  const uint32_t second = Publish("a", 2, &replaced);
  EXPECT_EQ(replaced, first);
  EXPECT_NE(second, first);
  EXPECT_FALSE(reader_->IsStill(before));
  FoundObject after;
  ASSERT_EQ(Find("a", &after), Lookup::kFound);
  EXPECT_EQ(after.generation, 5u);
  EXPECT_EQ(writer_->live(), 1u);
  EXPECT_EQ(writer_->retired().count(first), 1u);
  // What the daemon needs to free it is still there.
  EXPECT_EQ(writer_->fields(first).generation, 4u);
}

TEST_F(DirectoryTest, UnlinkedIsAbsentAndFreedIsUsedAnew) {
  const uint32_t position = Publish("a", 1);
  EXPECT_FALSE(writer_->Free(position));
  EXPECT_TRUE(writer_->Unlink(position));
  EXPECT_FALSE(writer_->Unlink(position));
  EXPECT_FALSE(writer_->Unlink(0xFFFFFFFF));
  EXPECT_EQ(Find("a"), Lookup::kAbsent);
  EXPECT_EQ(writer_->live(), 0u);
  const uint64_t free = writer_->free_entries();
  EXPECT_TRUE(writer_->Free(position));
  EXPECT_FALSE(writer_->Free(position));
  EXPECT_EQ(writer_->free_entries(), free + 1);
  EXPECT_EQ(Publish("b", 2), position);
  EXPECT_EQ(Find("a"), Lookup::kAbsent);
  EXPECT_EQ(Find("b"), Lookup::kFound);
}

TEST_F(DirectoryTest, EntriesAreFreedFirstInFirstOut) {
  std::vector<uint32_t> positions;
  for (const char* id : {"a", "b", "c"}) positions.push_back(Publish(id, 1));
  for (const uint32_t position : positions) {
    writer_->Unlink(position);
    writer_->Free(position);
  }
  for (const uint32_t position : positions) {
    EXPECT_EQ(Publish("x" + std::to_string(position), 1), position);
  }
}

TEST_F(DirectoryTest, ManyNamesGrowIndexAndChunks) {
  constexpr uint64_t kNames = 20000;
  for (uint64_t i = 0; i < kNames; ++i) Publish("n" + std::to_string(i), i);
  for (uint64_t i = 0; i < kNames; i += 2) {
    EXPECT_TRUE(writer_->Unlink(writer_->Find(Key("n" + std::to_string(i)))));
  }
  for (uint64_t i = 0; i < kNames; ++i) {
    FoundObject found;
    const Lookup lookup = Find("n" + std::to_string(i), &found);
    ASSERT_EQ(lookup, i % 2 == 0 ? Lookup::kAbsent : Lookup::kFound) << i;
    if (lookup == Lookup::kFound) {
      EXPECT_EQ(found.generation, i + 3);
    }
  }
  EXPECT_EQ(writer_->live(), kNames / 2);
  EXPECT_EQ(
      writer_->live() + writer_->retired().size() + writer_->free_entries(),
      writer_->ready());
}

TEST_F(DirectoryTest, WhatIsReservedNeedsNoMemoryMore) {
  Publish("first", 0);
  // Several chunks, and a larger index.
  constexpr uint64_t kMany = 10'000;
  const absl::Status reserved = writer_->Reserve(kMany);
  ASSERT_TRUE(reserved.ok()) << reserved;
  const uint64_t ready = writer_->ready();
  const uint64_t buckets = writer_->buckets();
  std::set<uint32_t> positions;
  for (uint64_t i = 1; i <= kMany; ++i) {
    positions.insert(Publish(std::to_string(i), i));
  }
  EXPECT_EQ(positions.size(), kMany);
  EXPECT_EQ(writer_->ready(), ready);
  EXPECT_EQ(writer_->buckets(), buckets);
  for (uint64_t i = 1; i <= kMany; ++i) {
    ASSERT_EQ(Find(std::to_string(i)), Lookup::kFound) << i;
  }
  uint64_t listed = 0;
  writer_->ForEach([&](uint32_t) { ++listed; });
  EXPECT_EQ(listed, kMany + 1);
  Restart();
  EXPECT_EQ(writer_->live(), kMany + 1);
}

TEST_F(DirectoryTest, MoreThanThereCanBeIsNotReserved) {
  DirectoryOptions options;
  options.max_entries = 1000;
  Start(options);
  Publish("first", 0);
  EXPECT_EQ(GetErrorReason(writer_->Reserve(100'000)), reason::kDirectoryFull);
  Publish("second", 1);
  EXPECT_EQ(Find("first"), Lookup::kFound);
  EXPECT_EQ(Find("second"), Lookup::kFound);
}

TEST_F(DirectoryTest, ListsEachObjectOnce) {
  std::map<std::string, uint64_t> expected;
  for (uint64_t i = 0; i < 100; ++i) {
    Publish("n" + std::to_string(i), 7);
    Publish("n" + std::to_string(i), i);
    expected["n" + std::to_string(i)] = i + 6;
  }
  std::map<std::string, uint64_t> listed;
  reader_->ForEach([&](const ListedObject& object) {
    EXPECT_TRUE(
        listed.emplace(std::string(object.key.id()), object.create_time_ns)
            .second);
    return true;
  });
  EXPECT_EQ(listed, expected);
  int visits = 0;
  reader_->ForEach([&](const ListedObject&) { return ++visits < 3; });
  EXPECT_EQ(visits, 3);
}

// A writer compares this with what it has published.
TEST_F(DirectoryTest, InUseIsWhatIsThereOrMayBePinned) {
  const auto in_use = [&] {
    std::set<std::pair<uint32_t, uint64_t>> found;
    EXPECT_TRUE(reader_->ForEachInUse([&](uint32_t arena, uint64_t generation) {
      EXPECT_TRUE(found.emplace(arena, generation).second);
    }));
    return found;
  };
  using Set = std::set<std::pair<uint32_t, uint64_t>>;
  EXPECT_EQ(in_use(), Set());
  Publish("a", 100);
  const uint32_t b = Publish("b", 200);
  uint32_t replaced = 0;
  Publish("a", 300, &replaced);
  EXPECT_EQ(in_use(), (Set{{101, 103}, {201, 203}, {301, 303}}));
  writer_->Unlink(b);
  EXPECT_EQ(in_use(), (Set{{101, 103}, {201, 203}, {301, 303}}));
  Restart();
  EXPECT_EQ(in_use(), (Set{{101, 103}, {201, 203}, {301, 303}}));
  writer_->Free(replaced);
  EXPECT_EQ(in_use(), (Set{{201, 203}, {301, 303}}));
  writer_->Free(b);
  EXPECT_EQ(in_use(), (Set{{301, 303}}));
  // Their entries hold other objects by now.
  Publish("c", 400);
  EXPECT_EQ(in_use(), (Set{{301, 303}, {401, 403}}));
}

TEST_F(DirectoryTest, CostsOnePageUntilTheFirstName) {
  EXPECT_EQ(*writer_->MemoryBytes(), 4096u);
  Publish("a", 1);
  EXPECT_EQ(*writer_->MemoryBytes(), 4 * 4096u);
}

TEST_F(DirectoryTest, AFullDirectoryRefuses) {
  DirectoryOptions options;
  options.max_entries = 64;
  Start(options);
  for (int i = 0; i < 64; ++i) Publish(std::to_string(i), 1);
  uint32_t position = 0;
  const absl::Status status =
      writer_->Publish(Key("more"), Fields(1), &position);
  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
  EXPECT_EQ(GetErrorReason(status), reason::kDirectoryFull);
  EXPECT_EQ(Find("more"), Lookup::kAbsent);
  const uint32_t first = writer_->Find(Key("0"));
  writer_->Unlink(first);
  writer_->Free(first);
  Publish("more", 1);
}

TEST_F(DirectoryTest, ReadersCannotWrite) {
  auto fd = writer_->ReadOnlyFd();
  ASSERT_TRUE(fd.ok());
  EXPECT_EQ(*sys::AccessMode(fd->get()), O_RDONLY);
  EXPECT_FALSE(sys::Ftruncate(writer_->fd(), 0).ok());
}

TEST_F(DirectoryTest, GoesOnAfterARestart) {
  for (uint64_t i = 0; i < 1000; ++i) Publish("n" + std::to_string(i), i);
  for (uint64_t i = 0; i < 10; ++i) {
    writer_->Unlink(writer_->Find(Key("n" + std::to_string(i))));
  }
  const uint64_t generation = writer_->NextGeneration();
  Restart();
  EXPECT_EQ(writer_->live(), 990u);
  EXPECT_EQ(writer_->retired().size(), 10u);
  EXPECT_EQ(
      writer_->live() + writer_->retired().size() + writer_->free_entries(),
      writer_->ready());
  EXPECT_GT(writer_->NextGeneration(), generation);
  FoundObject found;
  ASSERT_EQ(Find("n500", &found), Lookup::kFound);
  EXPECT_EQ(found.generation, 503u);
  Publish("n500", 5000);
  Publish("new", 6000);
  EXPECT_EQ(Find("new"), Lookup::kFound);
  uint64_t visited = 0;
  writer_->ForEach([&](uint32_t) { ++visited; });
  EXPECT_EQ(visited, 991u);
}

TEST_F(DirectoryTest, PagesGoThroughTheEntriesInTheirOrder) {
  // Of several chunks, with holes.
  for (int i = 0; i < 1000; ++i) Publish("n" + std::to_string(i), 1);
  std::vector<uint32_t> all;
  writer_->ForEach([&](uint32_t position) {
    if (position % 3 == 0) {
      writer_->Unlink(position);
    } else {
      all.push_back(position);
    }
  });
  ASSERT_GT(all.size(), 500u);
  for (const size_t page : {1, 7, 64, 2000}) {
    std::vector<uint32_t> paged;
    uint32_t after = 0;
    for (size_t found = page; found == page;) {
      found = 0;
      writer_->ForEachBehind(after, [&](uint32_t position) {
        paged.push_back(position);
        after = position;
        return ++found < page;
      });
    }
    EXPECT_EQ(paged, all) << page;
  }
  // Behind what is no entry there is nothing.
  int visits = 0;
  writer_->ForEachBehind(1, [&](uint32_t) { return ++visits < 3; });
  EXPECT_EQ(visits, 0);
}

TEST_F(DirectoryTest, OpensNoOtherVersionAndNothingElse) {
  alignas(8) static layout::DirectoryHeader header;
  std::memcpy(static_cast<void*>(&header), mapping_.data(), sizeof(header));
  const auto open = [] {
    return GetErrorReason(
        DirectoryReader::Open(&header, size_t{16} << 30).status());
  };
  EXPECT_EQ(open(), "");
  header.version = 0;
  EXPECT_EQ(open(), reason::kLayoutVersionMismatch);
  header.version = 2;
  EXPECT_EQ(open(), reason::kLayoutVersionMismatch);
  header.version = 1;
  header.magic = 7;
  EXPECT_EQ(open(), reason::kHeaderCorrupt);
  header.magic = layout::kDirectoryMagic;
  header.max_size_bytes = uint64_t{1} << 40;
  EXPECT_EQ(open(), reason::kHeaderCorrupt);
}

}  // namespace
}  // namespace shmd
