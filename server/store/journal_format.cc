#include "server/store/journal_format.h"

#include <endian.h>

#include <cstring>
#include <utility>

#include "base/crc32c.h"

namespace shmd {
namespace {

constexpr absl::string_view kFileMagic("shmdjnl1", 8);
// No UTF-8 text has these bytes, so no name or label looks like a group.
constexpr absl::string_view kGroupMagic("\xf5sg\xff", 4);

constexpr size_t kChangeHeaderBytes = 10;

void Put32(uint32_t value, char* to) {
  value = htole32(value);
  std::memcpy(to, &value, sizeof(value));
}

void Put64(uint64_t value, char* to) {
  value = htole64(value);
  std::memcpy(to, &value, sizeof(value));
}

uint32_t Get32(const char* from) {
  uint32_t value;
  std::memcpy(&value, from, sizeof(value));
  return le32toh(value);
}

uint64_t Get64(const char* from) {
  uint64_t value;
  std::memcpy(&value, from, sizeof(value));
  return le64toh(value);
}

uint32_t GroupCrc(uint32_t payload_crc, const char* header, uint32_t salt) {
  char salt_bytes[4];
  Put32(salt, salt_bytes);
  return ExtendCrc32c(ExtendCrc32c(payload_crc, {header, 24}),
                      {salt_bytes, sizeof(salt_bytes)});
}

}  // namespace

std::string EncodeJournalHeader(const JournalHeader& header) {
  std::string bytes(kJournalHeaderBytes, '\0');
  std::memcpy(bytes.data(), kFileMagic.data(), kFileMagic.size());
  std::memcpy(bytes.data() + 8, header.boot_id.data(), header.boot_id.size());
  Put32(header.salt, bytes.data() + 24);
  Put32(ExtendCrc32c(0, {bytes.data(), 28}), bytes.data() + 28);
  return bytes;
}

std::optional<JournalHeader> ParseJournalHeader(absl::string_view bytes) {
  if (bytes.size() < kJournalHeaderBytes ||
      bytes.substr(0, kFileMagic.size()) != kFileMagic ||
      Get32(bytes.data() + 28) != ExtendCrc32c(0, bytes.substr(0, 28))) {
    return std::nullopt;
  }
  JournalHeader header;
  std::memcpy(header.boot_id.data(), bytes.data() + 8, header.boot_id.size());
  header.salt = Get32(bytes.data() + 24);
  return header;
}

std::string EncodeGroup(absl::Span<const Change> changes,
                        uint32_t* payload_crc) {
  size_t size = kGroupHeaderBytes;
  for (const Change& change : changes) {
    size += kChangeHeaderBytes + change.key.size() +
            (change.value.has_value() ? change.value->size() : 0);
  }
  std::string group;
  group.reserve(size);
  group.resize(kGroupHeaderBytes);
  for (const Change& change : changes) {
    char header[kChangeHeaderBytes];
    header[0] = static_cast<char>(change.kind);
    header[1] = change.value.has_value() ? 1 : 0;
    Put32(static_cast<uint32_t>(change.key.size()), header + 2);
    Put32(static_cast<uint32_t>(change.value.has_value() ? change.value->size()
                                                         : 0),
          header + 6);
    group.append(header, sizeof(header));
    group.append(change.key);
    if (change.value.has_value()) group.append(*change.value);
  }
  *payload_crc =
      ExtendCrc32c(0, absl::string_view(group).substr(kGroupHeaderBytes));
  return group;
}

void SealGroup(uint64_t sequence, uint64_t synced_sequence,
               uint32_t payload_crc, uint32_t salt, std::string* group) {
  char* const header = group->data();
  std::memcpy(header, kGroupMagic.data(), kGroupMagic.size());
  Put32(static_cast<uint32_t>(group->size() - kGroupHeaderBytes), header + 4);
  Put64(sequence, header + 8);
  Put64(synced_sequence, header + 16);
  Put32(GroupCrc(payload_crc, header, salt), header + 24);
}

std::optional<Group> ParseGroup(absl::string_view bytes, uint32_t salt) {
  if (bytes.size() < kGroupHeaderBytes ||
      bytes.substr(0, kGroupMagic.size()) != kGroupMagic) {
    return std::nullopt;
  }
  const char* const header = bytes.data();
  const uint32_t size = Get32(header + 4);
  if (size > bytes.size() - kGroupHeaderBytes) return std::nullopt;
  Group group;
  group.payload = bytes.substr(kGroupHeaderBytes, size);
  if (Get32(header + 24) !=
      GroupCrc(ExtendCrc32c(0, group.payload), header, salt)) {
    return std::nullopt;
  }
  group.sequence = Get64(header + 8);
  group.synced_sequence = Get64(header + 16);
  return group;
}

size_t FindGroup(absl::string_view bytes, size_t from, uint32_t salt) {
  for (;;) {
    from = bytes.find(kGroupMagic, from);
    if (from == absl::string_view::npos) return from;
    if (ParseGroup(bytes.substr(from), salt).has_value()) return from;
    ++from;
  }
}

bool ParseChanges(absl::string_view payload, std::vector<Change>* changes) {
  while (!payload.empty()) {
    if (payload.size() < kChangeHeaderBytes) return false;
    Change change;
    change.kind = static_cast<RecordKind>(payload[0]);
    const bool has_value = payload[1] != 0;
    const uint64_t key_size = Get32(payload.data() + 2);
    const uint64_t value_size = Get32(payload.data() + 6);
    payload.remove_prefix(kChangeHeaderBytes);
    if (key_size + value_size > payload.size() ||
        (!has_value && value_size != 0)) {
      return false;
    }
    change.key = std::string(payload.substr(0, key_size));
    if (has_value) {
      change.value = std::string(payload.substr(key_size, value_size));
    }
    payload.remove_prefix(key_size + value_size);
    changes->push_back(std::move(change));
  }
  return true;
}

}  // namespace shmd
