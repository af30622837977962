// List filters: anything may be asked, and every answer is about a segment.

#include "server/registry/filter.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const auto filter = shmd::SegmentFilter::Parse(text);
  if (!filter.ok()) return 0;
  shmd::Expect(size <= shmd::kMaxFilterBytes);
  shmd::Segment segment;
  filter->Matches(segment);
  segment.labels["a"] = "b";
  filter->Matches(segment);
  return 0;
}
