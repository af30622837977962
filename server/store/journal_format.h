#ifndef SHMD_SERVER_STORE_JOURNAL_FORMAT_H_
#define SHMD_SERVER_STORE_JOURNAL_FORMAT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/boot_id.h"
#include "server/store/record.h"

namespace shmd {

// The bytes of a journal file: a header, then groups of changes. Every number
// is little-endian. Nothing here touches a file; the parsers take any bytes.
//
//   file    0 "shmdjnl1"   8 boot id (16)   24 salt (u32)
//          28 crc32c of bytes 0 to 28 (u32)
//   group   0 magic (4)    4 payload size (u32)   8 sequence (u64)
//          16 sequence up to which all is synced (u64)
//          24 crc32c of the payload, bytes 0 to 24, and the salt (u32)
//          28 payload: changes
//   change  0 kind (u8)    1 has a value (u8)     2 key size (u32)
//           6 value size (u32)   10 key, value
//
// The salt is random, so that nobody can give us a value with a group in it.

inline constexpr size_t kJournalHeaderBytes = 32;
inline constexpr size_t kGroupHeaderBytes = 28;
inline constexpr size_t kMaxJournalPayloadBytes = size_t{256} << 20;

struct JournalHeader {
  BootId boot_id = {};
  uint32_t salt = 0;
};

std::string EncodeJournalHeader(const JournalHeader& header);

// The header that `bytes` start with, unless it is damaged.
std::optional<JournalHeader> ParseJournalHeader(absl::string_view bytes);

// A whole group with its header still empty. `payload_crc` is for SealGroup.
std::string EncodeGroup(absl::Span<const Change> changes,
                        uint32_t* payload_crc);

// Fills the header of what EncodeGroup made: little work, for the holder of a
// lock.
void SealGroup(uint64_t sequence, uint64_t synced_sequence,
               uint32_t payload_crc, uint32_t salt, std::string* group);

struct Group {
  uint64_t sequence = 0;
  uint64_t synced_sequence = 0;
  absl::string_view payload;
};

// The group that `bytes` start with, unless it is torn or damaged.
std::optional<Group> ParseGroup(absl::string_view bytes, uint32_t salt);

// The offset of the next group in `bytes`, at `from` or later; npos for none.
size_t FindGroup(absl::string_view bytes, size_t from, uint32_t salt);

// Appends the changes of a payload; false when it is damaged.
bool ParseChanges(absl::string_view payload, std::vector<Change>* changes);

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_JOURNAL_FORMAT_H_
