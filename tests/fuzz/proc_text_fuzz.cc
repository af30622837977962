// The kernel's tables, in which other programs choose the names.

#include "server/census/proc_text.h"
#include "tests/fuzz/fuzz_input.h"

namespace shmd {
namespace {

void TryName(absl::string_view name) {
  for (const char c : EscapedName(name)) Expect(c >= ' ' && c <= '~');
}

}  // namespace
}  // namespace shmd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shmd::FuzzInput input(data, size);
  const uint8_t parser = input.TakeByte();
  const absl::string_view text = input.TakeRest();
  switch (parser % 7) {
    case 0:
      shmd::ParseMaps(text, [](const shmd::MapsLine&) {});
      break;
    case 1:
      shmd::ParseStatusUid(text);
      break;
    case 2:
      shmd::ParseCgroup(text);
      break;
    case 3:
      shmd::ParseStat(text);
      break;
    case 4:
      shmd::ParseHugetlbfsMounts(text);
      break;
    case 5:
      shmd::ParseSysvTable(text);
      break;
    default:
      shmd::TryName(text);
  }
  return 0;
}
