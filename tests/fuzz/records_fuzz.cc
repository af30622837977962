// The stored records: what is understood is written so that it is understood
// again.

#include "server/store/grant_record.h"
#include "server/store/intent_record.h"
#include "server/store/namespace_record.h"
#include "server/store/request_record.h"
#include "server/store/segment_record.h"
#include "server/store/session_record.h"
#include "tests/fuzz/fuzz_input.h"

namespace shmd {
namespace {

template <typename Parser>
void Try(Parser parse, absl::string_view key, absl::string_view value) {
  const auto parsed = parse(key, value);
  if (!parsed.ok()) return;
  const Change put = PutOf(*parsed);
  Expect(put.key == key && put.value.has_value());
  const auto again = parse(put.key, *put.value);
  // Maps have no order on the wire.
  Expect(again.ok() && PutOf(*again).value->size() == put.value->size());
}

}  // namespace
}  // namespace shmd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shmd::FuzzInput input(data, size);
  const uint8_t kind = input.TakeByte();
  const absl::string_view key = input.TakePiece();
  const absl::string_view value = input.TakeRest();
  switch (kind % 6) {
    case 0:
      shmd::Try(&shmd::ParseSegmentRecord, key, value);
      break;
    case 1:
      shmd::Try(&shmd::ParseSessionRecord, key, value);
      break;
    case 2:
      shmd::Try(&shmd::ParseGrantRecord, key, value);
      break;
    case 3:
      shmd::Try(&shmd::ParseRequestRecord, key, value);
      break;
    case 4:
      shmd::Try(&shmd::ParseIntentRecord, key, value);
      break;
    default:
      shmd::Try(&shmd::ParseNamespaceRecord, key, value);
  }
  return 0;
}
