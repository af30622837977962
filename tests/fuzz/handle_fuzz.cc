// Handles as text and as a message: what is understood is written the same.

#include "server/attach/handle_proto.h"
#include "shm/handle.h"
#include "tests/fuzz/fuzz_input.h"

namespace shmd {
namespace {

void TryText(absl::string_view text) {
  const absl::StatusOr<Handle> handle = DecodeHandle(text);
  if (!handle.ok()) return;
  Expect(text.size() <= kMaxHandleTextBytes);
  Expect(EncodeHandle(*handle) == text);
}

void TryMessage(absl::string_view bytes) {
  v1::Handle proto;
  if (!proto.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return;
  }
  const absl::StatusOr<Handle> handle = HandleFromProto(proto);
  if (!handle.ok()) return;
  const absl::StatusOr<Handle> by_text = DecodeHandle(EncodeHandle(*handle));
  Expect(by_text.ok() && *by_text == *handle);
  v1::Handle again;
  HandleToProto(*handle, &again);
  const absl::StatusOr<Handle> by_proto = HandleFromProto(again);
  Expect(by_proto.ok() && *by_proto == *handle);
}

}  // namespace
}  // namespace shmd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  shmd::FuzzInput input(data, size);
  if (input.TakeByte() % 2 == 0) {
    shmd::TryText(input.TakeRest());
  } else {
    shmd::TryMessage(input.TakeRest());
  }
  return 0;
}
