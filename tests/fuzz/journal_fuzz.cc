// Journals: files of any bytes, and files whose checksums are right around any
// bytes, which chance would never give.

#include <string>
#include <vector>

#include "base/crc32c.h"
#include "server/store/journal_replay.h"
#include "tests/fuzz/fuzz_input.h"

namespace shmd {
namespace {

constexpr uint32_t kSalt = 7;

void TryFile(absl::string_view bytes) {
  const auto header = ParseJournalHeader(bytes);
  if (header.has_value()) {
    Expect(EncodeJournalHeader(*header) ==
           bytes.substr(0, kJournalHeaderBytes));
  }
  ReplayJournals({bytes}, 0, BootId()).IgnoreError();
  FindGroup(bytes, 0, kSalt);
}

// Each piece is the payload of a group.
void TryPayloads(FuzzInput input) {
  const uint64_t applied = input.TakeByte();
  uint64_t sequence = input.TakeByte();
  std::string journals[2];
  for (std::string& journal : journals) {
    journal = EncodeJournalHeader({BootId(), kSalt});
    for (int i = 0; i < 4 && !input.empty(); ++i) {
      sequence += input.TakeByte() % 4;
      const absl::string_view payload = input.TakePiece();
      std::string group(kGroupHeaderBytes, '\0');
      group.append(payload.data(), payload.size());
      SealGroup(sequence, sequence / 2, ExtendCrc32c(0, payload), kSalt,
                &group);
      const auto parsed = ParseGroup(group, kSalt);
      Expect(parsed.has_value() && parsed->payload == payload);
      std::vector<Change> changes;
      if (ParseChanges(payload, &changes)) {
        uint32_t crc = 0;
        EncodeGroup(changes, &crc);
      }
      journal += group;
    }
  }
  ReplayJournals({journals[0], journals[1]}, applied, BootId()).IgnoreError();
}

}  // namespace
}  // namespace shmd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shmd::FuzzInput input(data, size);
  if (input.TakeByte() % 2 == 0) {
    shmd::TryFile(input.TakeRest());
  } else {
    shmd::TryPayloads(input);
  }
  return 0;
}
