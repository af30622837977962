#ifndef SHMD_SHM_HANDLE_H_
#define SHMD_SHM_HANDLE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "shm/types.h"

namespace shmd {

using GrantSecret = std::array<uint8_t, 16>;

// A transferable reference to a segment or a range of it; see
// protos/shmd/v1/handle.proto for what each field means.
//
// Text form: "shm1." and unpadded URL-safe base64 of these bytes, integers
// little-endian:
//
//   offset size
//        0    1  layout version, 1
//        1    1  access: 1 read, 2 read and write
//        2    1  length n of the namespace, 1 to 63
//        3    1  1 with the secret of a grant, else 0
//        4    8  node
//       12   16  uid
//       28    8  generation
//       36    8  range: offset in bytes
//       44    8  range: length in bytes, 0 to the end
//       52    8  end, milliseconds since 1970, 0 none
//       60    n  namespace
//     60+n   16  only with a grant: its secret
//     then   16  signature over all before it
//
// One handle has exactly one text: what Encode does not produce, Decode
// refuses. A plain value; safe to copy and to read from many threads.
struct Handle {
  uint64_t node = 0;
  std::string name_space;
  Uid uid = {};
  uint64_t generation = 0;
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;
  Access access = Access::kRead;
  int64_t expire_unix_ms = 0;
  std::optional<GrantSecret> grant;
  std::array<uint8_t, 16> signature = {};
};

bool operator==(const Handle& a, const Handle& b);

inline constexpr size_t kMaxHandleTextBytes = 256;

// The text form of `handle`, whose namespace has 1 to 63 bytes.
std::string EncodeHandle(const Handle& handle);
// The same in place of `text`, whose room it uses.
void EncodeHandle(const Handle& handle, std::string* text);

// The handle that `text` stands for; HANDLE_INVALID (INVALID_ARGUMENT) when it
// is not of the form. Says nothing of the signature.
absl::StatusOr<Handle> DecodeHandle(absl::string_view text);

// Signs handles and knows them again: a keyed SipHash-2-4 with 128 bits of
// output (libsodium). Thread-safe.
class HandleSigner {
 public:
  using Key = std::array<uint8_t, 16>;

  explicit HandleSigner(const Key& key) : key_(key) {}

  static Key RandomKey();

  // Sets `handle`'s signature.
  void Sign(Handle& handle) const;

  // Whether Sign made the signature; takes the same time for any input.
  bool Verify(const Handle& handle) const;

 private:
  Key key_;
};

}  // namespace shmd

#endif  // SHMD_SHM_HANDLE_H_
