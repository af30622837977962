#include "server/store/journal_replay.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "server/store/journal_file.h"

namespace shmd {
namespace {

// A group, and whether it was written since the host has started.
struct FoundGroup {
  Group group;
  bool is_of_this_boot = false;
};

absl::Status FindGroups(absl::string_view bytes, const BootId& boot_id,
                        std::vector<FoundGroup>* found) {
  const auto header = ParseJournalHeader(bytes);
  if (!header.has_value()) {
    // The header is on the disk before a group is written.
    if (bytes.size() <= kJournalHeaderBytes) return absl::OkStatus();
    return StoreFailed("read its journal", "the header is damaged");
  }
  const bool is_of_this_boot = header->boot_id == boot_id;
  size_t at = kJournalHeaderBytes;
  for (;;) {
    at = FindGroup(bytes, at, header->salt);
    if (at == absl::string_view::npos) return absl::OkStatus();
    const Group group = *ParseGroup(bytes.substr(at), header->salt);
    found->push_back({group, is_of_this_boot});
    at += kGroupHeaderBytes + group.payload.size();
  }
}

// Whether groups from `missing` on may be given up although `rest` follows.
bool MayBeLost(uint64_t missing, absl::Span<const FoundGroup> rest) {
  for (const FoundGroup& one : rest) {
    if (one.is_of_this_boot || one.group.synced_sequence >= missing) {
      return false;
    }
  }
  return true;
}

}  // namespace

absl::StatusOr<Replay> ReplayJournals(
    absl::Span<const absl::string_view> journals, uint64_t applied,
    const BootId& boot_id) {
  std::vector<FoundGroup> groups;
  for (const absl::string_view bytes : journals) {
    RETURN_IF_ERROR(FindGroups(bytes, boot_id, &groups));
  }
  Replay replay;
  replay.last_sequence = applied;
  std::vector<Change> changes;
  for (size_t i = 0; i < groups.size(); ++i) {
    const Group& group = groups[i].group;
    if (group.sequence <= replay.last_sequence) continue;
    const uint64_t expected = replay.last_sequence + 1;
    if (group.sequence != expected) {
      const auto rest = absl::MakeConstSpan(groups).subspan(i);
      if (MayBeLost(expected, rest)) {
        // Their numbers are not dealt again: a removal of these files may yet
        // be undone by another power loss.
        for (const FoundGroup& one : rest) {
          replay.last_sequence =
              std::max(replay.last_sequence, one.group.sequence);
        }
        break;
      }
      return StoreFailed(
          "read its journal",
          absl::StrCat("group ", expected, " is damaged or missing, and group ",
                       group.sequence, " follows"));
    }
    changes.clear();
    if (!ParseChanges(group.payload, &changes)) {
      return StoreFailed("read its journal",
                         absl::StrCat("group ", expected, " is damaged"));
    }
    for (Change& change : changes) {
      replay.changes[{change.kind, std::move(change.key)}] =
          std::move(change.value);
    }
    replay.last_sequence = expected;
  }
  return replay;
}

absl::StatusOr<std::vector<uint64_t>> ListJournals(const std::string& folder) {
  std::vector<uint64_t> numbers;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end;
       !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    absl::string_view digits = name;
    uint64_t number = 0;
    if (absl::ConsumePrefix(&digits, "journal.") &&
        absl::SimpleAtoi(digits, &number) && JournalName(number) == name) {
      numbers.push_back(number);
    }
  }
  if (error) return StoreFailed("read its folder", error.message());
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

absl::StatusOr<std::string> ReadJournal(const std::string& folder,
                                        uint64_t number) {
  const std::string path = absl::StrCat(folder, "/", JournalName(number));
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat file {};
  if (fstat(fd.get(), &file) != 0) return StoreFailed("open a journal", errno);
  std::string bytes(static_cast<size_t>(file.st_size), '\0');
  size_t at = 0;
  while (at < bytes.size()) {
    const ssize_t count = read(fd.get(), bytes.data() + at, bytes.size() - at);
    if (count < 0) return StoreFailed("read a journal", errno);
    if (count == 0) return StoreFailed("read a journal", "it became shorter");
    at += static_cast<size_t>(count);
  }
  return bytes;
}

}  // namespace shmd
