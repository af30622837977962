#ifndef SHMD_SERVER_OBJECT_OBJECT_TABLE_FIXTURE_H_
#define SHMD_SERVER_OBJECT_OBJECT_TABLE_FIXTURE_H_

#include <fcntl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "server/object/object_table.h"
#include "shm/directory/directory_reader.h"
#include "shm/directory/pins.h"
#include "shm/sys/file.h"
#include "shm/sys/memfd.h"
#include "shm/sys/memory.h"

namespace shmd {

// A table of two sessions with an arena each, one of which has a lane; no
// daemon.
class ObjectTableFixture : public ::testing::Test {
 protected:
  static constexpr uint64_t kArenaBytes = 1 << 20;
  static constexpr uint64_t kObjectBytes = 64;
  static constexpr uint64_t kMaxEntries = 4096;
  static constexpr SessionId kMine = {1};
  static constexpr SessionId kOther = {2};  // has the lane
  static constexpr uint32_t kArenaOfMine = 1, kArenaOfOther = 2;

  void SetUp() override {
    auto writer = DirectoryWriter::Create({kMaxEntries, 0});
    ASSERT_TRUE(writer.ok()) << writer.status();
    auto fd = writer->ReadOnlyFd();
    ASSERT_TRUE(fd.ok()) << fd.status();
    memory_ = Map(*fd, writer->max_size_bytes(), /*writable=*/false);
    auto reader = DirectoryReader::Open(memory_.data(), memory_.size_bytes());
    ASSERT_TRUE(reader.ok()) << reader.status();
    reader_.emplace(*reader);
    ObjectTable::Parts parts;
    parts.clock = &clock_;
    parts.wake = [] {};
    table_ = std::make_unique<ObjectTable>(*std::move(writer), View(4096),
                                           std::move(parts));
    const UniqueFd page = MakePage(sizeof(layout::SessionPage));
    const UniqueFd answers = MakePage(sizeof(layout::AnswersPage));
    auto lane = Lane::Open(page.get(), answers.get(), kOther, Caller());
    ASSERT_TRUE(lane.ok()) << lane.status();
    table_->AddLane(kOther, *std::move(lane));
    page_ = Map(page, sizeof(layout::SessionPage), /*writable=*/true);
    answers_ = Map(answers, sizeof(layout::AnswersPage), /*writable=*/false);
    pins_ = std::make_unique<PinSet>(session_page());
    table_->AddArena(kArenaOfMine, View(kArenaBytes), kMine);
    table_->AddArena(kArenaOfOther, View(kArenaBytes), kOther);
  }

  static UniqueFd MakePage(size_t size_bytes) {
    auto fd = sys::MemfdCreate(4096);
    EXPECT_TRUE(fd.ok()) << fd.status();
    EXPECT_TRUE(sys::Ftruncate(fd->get(), size_bytes).ok());
    EXPECT_TRUE(
        sys::AddSeals(fd->get(), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
            .ok());
    return *std::move(fd);
  }

  static sys::ScopedMmap Map(const UniqueFd& fd, size_t size_bytes,
                             bool writable) {
    sys::MmapRequest request;
    request.fd = fd.get();
    request.length_bytes = size_bytes;
    request.writable = writable;
    auto mapped = sys::ScopedMmap::Map(request);
    EXPECT_TRUE(mapped.ok()) << mapped.status();
    return mapped.ok() ? *std::move(mapped) : sys::ScopedMmap();
  }

  static SegmentView View(uint64_t size_bytes) {
    auto segment = std::make_shared<Segment>();
    segment->name = {"default", "it"};
    segment->options.size_bytes = size_bytes;
    segment->options.page_size_bytes = 4096;
    return {nullptr, segment, 0};
  }

  static NameKey Key(const std::string& id) { return *NameKey::Of(id); }

  static ObjectUser Session(const SessionId& session) {
    ObjectUser user;
    user.session = session;
    return user;
  }

  // Where nothing was published before.
  PublishCommand Command(const SessionId& session, const std::string& id,
                         uint64_t size_bytes = kObjectBytes) {
    PublishCommand command;
    command.name = Key(id);
    command.arena = session == kMine ? kArenaOfMine : kArenaOfOther;
    command.offset_bytes = next_place_bytes_;
    command.size_bytes = size_bytes;
    next_place_bytes_ += (size_bytes + 63) / 64 * 64;
    return command;
  }

  // SAFETY of both: pages of that layout, which Lane::Open has made ready.
  layout::SessionPage* session_page() {
    return static_cast<layout::SessionPage*>(page_.data());
  }
  const layout::AnswersPage* answers_page() const {
    return static_cast<const layout::AnswersPage*>(answers_.data());
  }

  FakeClock clock_;
  sys::ScopedMmap memory_, page_, answers_;
  std::optional<DirectoryReader> reader_;
  std::unique_ptr<ObjectTable> table_;
  std::unique_ptr<PinSet> pins_;
  uint64_t next_place_bytes_ = 0;
};

}  // namespace shmd

#endif  // SHMD_SERVER_OBJECT_OBJECT_TABLE_FIXTURE_H_
