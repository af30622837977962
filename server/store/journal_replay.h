#ifndef SHMD_SERVER_STORE_JOURNAL_REPLAY_H_
#define SHMD_SERVER_STORE_JOURNAL_REPLAY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "server/store/journal_format.h"
#include "server/store/record.h"

namespace shmd {

// What journals hold beyond what the database has.
struct Replay {
  LastChanges changes;
  uint64_t last_sequence = 0;
};

// Replays journals, given as the bytes of their files, oldest first.
// `applied` is the last group that the database has, `boot_id` the present
// boot. A tail that is torn was never acknowledged and is passed over. Damage
// before a good group is STORE_FAILED, except for what a power loss may do:
// groups of an earlier boot that nobody had asked to be synced, and all that
// follows them, are given up.
absl::StatusOr<Replay> ReplayJournals(
    absl::Span<const absl::string_view> journals, uint64_t applied,
    const BootId& boot_id);

// The numbers of the journals in `folder`, oldest first.
absl::StatusOr<std::vector<uint64_t>> ListJournals(const std::string& folder);

// The bytes of a file.
absl::StatusOr<std::string> ReadJournal(const std::string& folder,
                                        uint64_t number);

}  // namespace shmd

#endif  // SHMD_SERVER_STORE_JOURNAL_REPLAY_H_
