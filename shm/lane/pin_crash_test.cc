// A reader that is killed after each store that it makes to pin, read and
// unpin, while its object is replaced, and another reader that is not.

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "gtest/gtest.h"
#include "shm/directory/directory_reader.h"
#include "shm/directory/directory_writer.h"
#include "shm/directory/pins.h"
#include "shm/lane/dying_child.h"
#include "shm/lane/dying_memory.h"
#include "shm/lane/session_pages.h"
#include "shm/sys/file.h"
#include "shm/sys/memfd.h"
#include "shm/sys/memory.h"
#include "tests/testing/made_pages.h"

namespace shmd {
namespace {

constexpr uint64_t kPlaces = 4;
constexpr uint64_t kWords = 8;  // of an object, each its generation
constexpr int kGets = 5;
// What is nobody's is written over with this.
constexpr uint64_t kFree = 0xDEADDEADDEADDEAD;

// What all processes have mapped beside the directory.
struct Arena {
  uint64_t words[kPlaces][kWords];
};

class SharedArena {
 public:
  SharedArena() {
    const UniqueFd fd = *sys::MemfdCreate(4096);
    EXPECT_TRUE(sys::Ftruncate(fd.get(), sizeof(Arena)).ok());
    sys::MmapRequest request;
    request.fd = fd.get();
    request.length_bytes = sizeof(Arena);
    request.writable = true;
    memory_ = *sys::ScopedMmap::Map(request);
    // SAFETY: as large as that, and zeroes are a value of it.
    arena_ = static_cast<Arena*>(memory_.data());
  }
  SharedArena(const SharedArena&) = delete;

  void Fill(uint64_t place, uint64_t word) {
    for (uint64_t& one : arena_->words[place]) {
      layout::HostMemory::Store(&one, word, std::memory_order_relaxed);
    }
  }
  // Whether all of it is of that generation.
  bool Holds(uint64_t place, uint64_t generation) const {
    return std::all_of(
        std::begin(arena_->words[place]), std::end(arena_->words[place]),
        [&](const uint64_t& word) {
          return layout::HostMemory::Load(&word, std::memory_order_relaxed) ==
                 generation;
        });
  }

 private:
  sys::ScopedMmap memory_;
  Arena* arena_;
};

// Who writes the directory, and reads the pins of two sessions.
class Daemon {
 public:
  Daemon(SharedArena& arena, std::vector<const layout::SessionPage*> pages)
      : arena_(arena),
        pages_(std::move(pages)),
        writer_(*DirectoryWriter::Create(DirectoryOptions())) {
    for (uint64_t place = 0; place < kPlaces; ++place) free_.push_back(place);
  }

  int fd() const { return writer_.fd(); }
  uint64_t max_size_bytes() const { return writer_.max_size_bytes(); }
  size_t free_places() const { return free_.size(); }

  // False when all places are somebody's still.
  bool Replace() {
    FreeUnpinned();
    if (free_.empty()) return false;
    const uint64_t place = free_.back();
    free_.pop_back();
    EntryFields fields;
    fields.arena = 1;
    fields.offset_bytes = place;
    fields.generation = writer_.NextGeneration();
    arena_.Fill(place, fields.generation);
    uint32_t position = 0;
    EXPECT_TRUE(writer_.Publish(*NameKey::Of("a"), fields, &position).ok());
    return true;
  }

  void FreeUnpinned() {
    absl::flat_hash_set<uint32_t> pinned;
    for (const layout::SessionPage* page : pages_) CollectPins(page, &pinned);
    const std::vector<uint32_t> retired(writer_.retired().begin(),
                                        writer_.retired().end());
    for (const uint32_t position : retired) {
      if (pinned.contains(position)) continue;
      const uint64_t place = writer_.fields(position).offset_bytes;
      writer_.Free(position);
      arena_.Fill(place, kFree);
      free_.push_back(place);
    }
  }

  void EndSession(const layout::SessionPage* page) {
    pages_.erase(std::find(pages_.begin(), pages_.end(), page));
  }

 private:
  SharedArena& arena_;
  std::vector<const layout::SessionPage*> pages_;
  DirectoryWriter writer_;
  std::vector<uint64_t> free_;
};

sys::ScopedMmap MapDirectory(const Daemon& daemon) {
  sys::MmapRequest request;
  request.fd = daemon.fd();
  request.length_bytes = daemon.max_size_bytes();
  return *sys::ScopedMmap::Map(request);
}

// Gets, reads and releases, and dies meanwhile.
void Read(const sys::ScopedMmap& memory, layout::SessionPage* page,
          const SharedArena& arena) {
  const auto reader = *BasicDirectoryReader<DyingMemory>::Open(
      memory.data(), memory.size_bytes());
  BasicPinSet<DyingMemory> pins(page);
  for (int i = 0; i < kGets; ++i) {
    FoundObject found;
    const PinResult pin = pins.Pin(reader, *NameKey::Of("a"), &found);
    if (pin.outcome == PinOutcome::kTryAgain) continue;
    ASSERT_EQ(pin.outcome, PinOutcome::kPinned);
    for (int again = 0; again < 100; ++again) {
      ASSERT_TRUE(arena.Holds(found.offset_bytes, found.generation));
    }
    pins.Unpin(pin.slot);
  }
}

TEST(PinCrashTest, ReaderDiesAfterEachOfItsStores) {
  bool all_made = false;
  uint64_t stores = 1;
  for (; !all_made && !testing::Test::HasFailure(); ++stores) {
    const MadePages dying_pages, living_pages;
    const MappedSessionPages dying = dying_pages.Map();
    const MappedSessionPages living = living_pages.Map();
    SharedArena arena;
    Daemon daemon(arena, {dying_pages.daemon().session(),
                          living_pages.daemon().session()});
    ASSERT_TRUE(daemon.Replace());
    const sys::ScopedMmap memory = MapDirectory(daemon);
    const DirectoryReader reader =
        *DirectoryReader::Open(memory.data(), memory.size_bytes());
    PinSet pins(living.session());
    FoundObject kept;
    const PinResult pin = pins.Pin(reader, *NameKey::Of("a"), &kept);
    ASSERT_EQ(pin.outcome, PinOutcome::kPinned);

    Child program(stores, [&] { Read(memory, dying.session(), arena); });
    while (!program.HasEnded()) daemon.Replace();
    all_made = program.EndedWell();
    EXPECT_TRUE(all_made || program.WasKilled());
    // One object, what the living reader has, and what the dead one had.
    daemon.FreeUnpinned();
    EXPECT_GE(daemon.free_places(), kPlaces - 3);
    daemon.EndSession(dying_pages.daemon().session());
    daemon.FreeUnpinned();
    EXPECT_GE(daemon.free_places(), kPlaces - 2);
    EXPECT_TRUE(arena.Holds(kept.offset_bytes, kept.generation));
    pins.Unpin(pin.slot);
    daemon.FreeUnpinned();
    EXPECT_EQ(daemon.free_places(), kPlaces - 1);
  }
  // A slot and its end for each get, at least.
  EXPECT_GT(stores, 2u * kGets);
}

}  // namespace
}  // namespace shmd
