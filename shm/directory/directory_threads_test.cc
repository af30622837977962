// Readers, and programs that pin, while the daemon changes the directory.

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "shm/directory/directory_reader.h"
#include "shm/directory/directory_writer.h"
#include "shm/directory/pins.h"

namespace shmd {
namespace {

constexpr int kNames = 8;
constexpr int kReaders = 2;

NameKey ThreadKey(const std::string& id) { return *NameKey::Of(id); }

// ThreadFields that belong together: a reader that got parts of two objects
// sees it.
EntryFields ThreadFields(uint64_t name, uint64_t generation) {
  EntryFields fields;
  fields.arena = static_cast<uint32_t>(name + 1);
  fields.generation = generation;
  fields.offset_bytes = generation * 3 + name;
  fields.size_bytes = generation * 5 + name;
  fields.metadata_bytes = static_cast<uint32_t>(generation * 7 + name);
  return fields;
}

bool IsWhole(const FoundObject& found, uint64_t name) {
  const EntryFields fields = ThreadFields(name, found.generation);
  return found.arena == fields.arena &&
         found.offset_bytes == fields.offset_bytes &&
         found.size_bytes == fields.size_bytes &&
         found.metadata_bytes == fields.metadata_bytes;
}

class DirectoryThreadsTest : public testing::Test {
 protected:
  DirectoryThreadsTest()
      : writer_(*DirectoryWriter::Create(DirectoryOptions())),
        page_(std::make_unique<layout::SessionPage>()),
        pins_(page_.get()) {
    sys::MmapRequest request;
    request.fd = writer_.fd();
    request.length_bytes = writer_.max_size_bytes();
    mapping_ = *sys::ScopedMmap::Map(request);
    for (uint64_t i = 0; i < kNames; ++i) Replace(i);
  }

  DirectoryReader reader() const {
    return *DirectoryReader::Open(mapping_.data(), mapping_.size_bytes());
  }
  static std::string Id(uint64_t name) {
    // Some are in an entry's second line too.
    return std::string(name % 2 == 0 ? 8 : 40, 'a' + static_cast<char>(name));
  }
  void Replace(uint64_t name) {
    uint32_t position = 0;
    const absl::Status status = writer_.Publish(
        ThreadKey(Id(name)), ThreadFields(name, writer_.NextGeneration()),
        &position);
    ASSERT_TRUE(status.ok()) << status;
  }
  void FreeUnpinned() {
    absl::flat_hash_set<uint32_t> pinned;
    CollectPins(page_.get(), &pinned);
    const std::vector<uint32_t> retired(writer_.retired().begin(),
                                        writer_.retired().end());
    for (const uint32_t position : retired) {
      if (pinned.count(position) == 0) writer_.Free(position);
    }
  }
  // Runs `read(thread)` in threads over and over while `write` runs in this.
  template <typename Read, typename Write>
  void Race(Read read, Write write) {
    std::atomic<bool> done{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < kReaders; ++i) {
      threads.emplace_back([&] {
        while (!done) read();
      });
    }
    write();
    done = true;
    for (std::thread& thread : threads) thread.join();
  }

  DirectoryWriter writer_;
  sys::ScopedMmap mapping_;
  std::unique_ptr<layout::SessionPage> page_;
  PinSet pins_;
  std::atomic<uint64_t> faults_{0};
};

TEST_F(DirectoryThreadsTest, NamesThatAreReplacedAreAlwaysFoundWhole) {
  const auto read = [&] {
    static thread_local uint64_t last[kNames] = {};
    const DirectoryReader directory = reader();
    for (uint64_t i = 0; i < kNames; ++i) {
      FoundObject found;
      const Lookup lookup = directory.Find(ThreadKey(Id(i)), &found);
      // Never absent, never of two objects, never an earlier one again.
      if (lookup == Lookup::kTryAgain) continue;
      if (lookup != Lookup::kFound || !IsWhole(found, i) ||
          found.generation < last[i]) {
        ++faults_;
      }
      last[i] = found.generation;
    }
  };
  Race(read, [&] {
    for (uint64_t i = 0; i < 5000; ++i) {
      Replace(i % kNames);
      // At once, so that entries are used anew under the readers' eyes.
      FreeUnpinned();
      // The index grows under them too.
      if (i % 5 == 0) {
        uint32_t position = 0;
        writer_
            .Publish(ThreadKey("x" + std::to_string(i)), ThreadFields(99, i),
                     &position)
            .IgnoreError();
      }
    }
  });
  EXPECT_EQ(faults_, 0u);
}

TEST_F(DirectoryThreadsTest, NamesThatComeAndGoAreFoundWholeOrNot) {
  const auto read = [&] {
    const DirectoryReader directory = reader();
    for (uint64_t i = 0; i < kNames; ++i) {
      FoundObject found;
      if (directory.Find(ThreadKey(Id(i)), &found) == Lookup::kFound &&
          !IsWhole(found, i)) {
        ++faults_;
      }
    }
    directory.ForEach([&](const ListedObject& listed) {
      if (!IsWhole(listed.object, listed.object.arena - 1)) ++faults_;
      return true;
    });
  };
  Race(read, [&] {
    for (uint64_t i = 0; i < 5000; ++i) {
      const uint32_t position = writer_.Find(ThreadKey(Id(i * 7 % kNames)));
      if (position != 0) writer_.Unlink(position);
      FreeUnpinned();
      Replace(i % kNames);
    }
  });
  EXPECT_EQ(faults_, 0u);
}

TEST_F(DirectoryThreadsTest, WhatIsPinnedIsNotUsedAnew) {
  const auto read = [&] {
    const DirectoryReader directory = reader();
    for (uint64_t i = 0; i < kNames; ++i) {
      FoundObject found;
      const PinResult pin = pins_.Pin(directory, ThreadKey(Id(i)), &found);
      if (pin.outcome != PinOutcome::kPinned) continue;
      // It may have been retired since, which is the one change; had it been
      // freed, there were two.
      const auto* const entry = reinterpret_cast<const layout::DirectoryEntry*>(
          static_cast<const char*>(mapping_.data()) +
          layout::EntryOffsetBytes(found.position));
      for (int look = 0; look < 20; ++look) {
        const uint64_t control = layout::HostMemory::Load(
            &entry->control, std::memory_order_acquire);
        if (static_cast<uint32_t>(control - found.control) > 1) ++faults_;
      }
      pins_.Unpin(pin.slot);
    }
  };
  Race(read, [&] {
    for (uint64_t i = 0; i < 5000; ++i) {
      Replace(i % kNames);
      FreeUnpinned();
    }
  });
  EXPECT_EQ(faults_, 0u);
  absl::flat_hash_set<uint32_t> pinned;
  CollectPins(page_.get(), &pinned);
  EXPECT_TRUE(pinned.empty());
  FreeUnpinned();
  EXPECT_TRUE(writer_.retired().empty());
}

}  // namespace
}  // namespace shmd
