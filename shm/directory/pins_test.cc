#include "shm/directory/pins.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "shm/directory/directory_writer.h"

namespace shmd {
namespace {

NameKey PinKey(const std::string& id) { return *NameKey::Of(id); }

class PinsTest : public testing::Test {
 protected:
  PinsTest()
      : writer_(*DirectoryWriter::Create(DirectoryOptions())),
        page_(std::make_unique<layout::SessionPage>()),
        pins_(page_.get()) {
    sys::MmapRequest request;
    request.fd = writer_.fd();
    request.length_bytes = writer_.max_size_bytes();
    mapping_ = *sys::ScopedMmap::Map(request);
  }

  DirectoryReader reader() const {
    return *DirectoryReader::Open(mapping_.data(), mapping_.size_bytes());
  }
  uint32_t Publish(const std::string& id) {
    uint32_t position = 0;
    EXPECT_TRUE(writer_.Publish(PinKey(id), EntryFields(), &position).ok());
    return position;
  }
  absl::flat_hash_set<uint32_t> Collect() const {
    absl::flat_hash_set<uint32_t> pinned;
    CollectPins(page_.get(), &pinned);
    return pinned;
  }

  DirectoryWriter writer_;
  sys::ScopedMmap mapping_;
  std::unique_ptr<layout::SessionPage> page_;
  PinSet pins_;
};

TEST_F(PinsTest, PinsAreSeenUntilTheyAreTakenBack) {
  const uint32_t position = Publish("a");
  FoundObject found;
  const PinResult pin = pins_.Pin(reader(), PinKey("a"), &found);
  ASSERT_EQ(pin.outcome, PinOutcome::kPinned);
  EXPECT_EQ(found.position, position);
  EXPECT_EQ(page_->pins[pin.slot], position | found.control << 32);
  EXPECT_EQ(Collect(), absl::flat_hash_set<uint32_t>({position}));
  pins_.Unpin(pin.slot);
  EXPECT_TRUE(Collect().empty());
  EXPECT_EQ(pins_.Pin(reader(), PinKey("b"), &found).outcome,
            PinOutcome::kAbsent);
  EXPECT_TRUE(Collect().empty());
}

TEST_F(PinsTest, RemembersWhatWasUsedLast) {
  const uint32_t position = Publish("a");
  FoundObject found;
  pins_.Unpin(pins_.Pin(reader(), PinKey("a"), &found).slot);
  EXPECT_EQ(page_->header.recent_count, 1u);
  EXPECT_EQ(page_->header.recent[0], position);
}

TEST_F(PinsTest, ThereAreAsManyPinsAsTheLayoutHas) {
  Publish("a");
  const DirectoryReader directory = reader();
  FoundObject found;
  std::set<uint32_t> slots;
  for (uint64_t i = 0; i < layout::kMaxPins; ++i) {
    const PinResult pin = pins_.Pin(directory, PinKey("a"), &found);
    ASSERT_EQ(pin.outcome, PinOutcome::kPinned);
    EXPECT_TRUE(slots.insert(pin.slot).second);
  }
  EXPECT_EQ(pins_.Pin(directory, PinKey("a"), &found).outcome,
            PinOutcome::kNoSlot);
  EXPECT_EQ(page_->header.pins_used, layout::kMaxPins);
  // One that another thread has given back is found.
  std::thread([&] { pins_.Unpin(4711); }).join();
  const PinResult pin = pins_.Pin(directory, PinKey("a"), &found);
  EXPECT_EQ(pin.outcome, PinOutcome::kPinned);
  EXPECT_EQ(pin.slot, 4711u);
}

TEST_F(PinsTest, FewSlotsServeManyPins) {
  Publish("a");
  const DirectoryReader directory = reader();
  FoundObject found;
  for (int i = 0; i < 10000; ++i) {
    pins_.Unpin(pins_.Pin(directory, PinKey("a"), &found).slot);
  }
  EXPECT_EQ(page_->header.pins_used, 8u);
}

TEST_F(PinsTest, CollectsFromAPageThatIsAllOnes) {
  std::memset(static_cast<void*>(page_.get()), 0xFF, sizeof(*page_));
  EXPECT_EQ(Collect(), absl::flat_hash_set<uint32_t>({0xFFFFFFFF}));
}

}  // namespace
}  // namespace shmd
