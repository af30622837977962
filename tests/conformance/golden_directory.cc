#include "tests/conformance/golden_directory.h"

#include <cstdint>
#include <vector>

#include "shm/directory/directory_table.h"
#include "shm/directory/directory_words.h"
#include "shm/directory/name_key.h"
#include "shm/layout/directory_layout.h"

namespace shmd {
namespace {

constexpr uint64_t kSizeBytes = 4 * 4096;
constexpr uint32_t kFirst = 2 * 4096 / layout::kPositionBytes;

EntryFields Fields(uint64_t generation) {
  EntryFields fields;
  fields.arena = 1;
  fields.metadata_bytes = 16;
  fields.generation = generation;
  fields.offset_bytes = generation * 4096;
  fields.size_bytes = generation * 100;
  fields.create_time_ns = 1700000000000000000 + generation;
  fields.owner = 1000;
  fields.priority = 128;
  return fields;
}

}  // namespace

std::string GoldenDirectory() {
  // Aligned like a mapping.
  std::vector<layout::DirectoryHeader> pages(kSizeBytes /
                                             sizeof(layout::DirectoryHeader));
  layout::DirectoryHeader& header = pages[0];
  header.magic = layout::kDirectoryMagic;
  header.header_bytes = sizeof(header);
  header.uid = 0x0123456789ABCDEF;
  header.hash_seed = 0xFEDCBA9876543210;
  header.max_size_bytes = kSizeBytes;
  header.size_bytes = kSizeBytes;
  // Two buckets, so that some names are not where their hash says.
  IndexSpan span;
  span.offset_bytes = 4096;
  span.buckets = 2;
  header.index = span.word();
  header.chunk_count = 1;
  header.chunks[0].first_position = kFirst;
  header.chunks[0].entries = layout::kEntriesInBlock;
  header.ready_entries = layout::kEntriesInBlock;

  const BasicDirectoryTable<layout::HostMemory> table(pages.data());
  uint64_t generation = 0;
  uint32_t position = kFirst;
  const auto publish = [&](const std::string& id) {
    const NameKey key = *NameKey::Of(id);
    const uint64_t hash = table.Hash(key);
    table.Fill(position, key, Fields(++generation));
    table.Link(span, table.FindUnused(span, hash), hash, position);
    ++position;
    ++header.live_entries;
  };
  for (const char* id :
       {"a", "frame/1", "frame/2", "exactly8", "twelve bytes",
        "a name of twenty-four by", "a name of twenty-five byt", "\xE2\x82\xAC",
        "deleted"}) {
    publish(id);
  }
  publish(std::string(64, 'z'));
  // One that was replaced, and one that was deleted.
  const auto old = table.Find(*NameKey::Of("frame/2"));
  const NameKey replaced = *NameKey::Of("frame/2");
  table.Fill(position, replaced, Fields(++generation));
  table.Relink(old, table.Hash(replaced), position);
  table.Retire(old.position);
  const auto deleted = table.Find(*NameKey::Of("deleted"));
  table.Unlink(deleted);
  table.Retire(deleted.position);
  --header.live_entries;
  header.last_generation = generation;
  header.version = layout::kDirectoryVersion;
  return std::string(reinterpret_cast<const char*>(pages.data()), kSizeBytes);
}

}  // namespace shmd
