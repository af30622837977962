#include "shm/handle.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"

namespace shmd {
namespace {

constexpr absl::string_view kPrefix = "shm1.";
constexpr uint8_t kLayoutVersion = 1;
constexpr size_t kNamespaceOffset = 60;

// The bytes of a handle without a heap: one is made for each segment of a
// batch.
class HandleBytes {
 public:
  // Those that the signature covers.
  explicit HandleBytes(const Handle& handle) {
    Append8(kLayoutVersion);
    Append8(static_cast<uint8_t>(handle.access));
    Append8(static_cast<uint8_t>(handle.name_space.size()));
    Append8(static_cast<uint8_t>(handle.grant.has_value()));
    Append64(handle.node);
    AppendArray(handle.uid);
    Append64(handle.generation);
    Append64(handle.offset_bytes);
    Append64(handle.length_bytes);
    Append64(static_cast<uint64_t>(handle.expire_unix_ms));
    // No handle has a longer one; a longer one could not be encoded.
    Append(handle.name_space.data(),
           std::min(handle.name_space.size(), kMaxNamespaceBytes));
    if (handle.grant.has_value()) AppendArray(*handle.grant);
  }

  template <typename Array>
  void AppendArray(const Array& array) {
    Append(array.data(), array.size());
  }

  const uint8_t* data() const { return bytes_; }
  size_t size() const { return size_; }
  absl::string_view view() const {
    return {reinterpret_cast<const char*>(bytes_), size_};
  }

 private:
  void Append(const void* bytes, size_t size) {
    std::memcpy(bytes_ + size_, bytes, size);
    size_ += size;
  }
  void Append8(uint8_t value) { bytes_[size_++] = value; }
  void Append64(uint64_t value) {
    for (int i = 0; i < 8; ++i) {
      bytes_[size_ + static_cast<size_t>(i)] =
          static_cast<uint8_t>(value >> (8 * i));
    }
    size_ += 8;
  }

  size_t size_ = 0;
  // With a grant's secret and the signature.
  uint8_t bytes_[kNamespaceOffset + kMaxNamespaceBytes + 16 + 16];
};

uint64_t Read64(absl::string_view bytes, size_t offset) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; --i) {
    value = value << 8 | static_cast<uint8_t>(bytes[offset + i]);
  }
  return value;
}

// Base64 has several texts for the same bytes (padding, blanks, unused bits in
// the last character); only ours is a handle.
bool IsOneText(absl::string_view text, absl::string_view bytes) {
  const size_t tail_bytes = bytes.size() % 3;
  const size_t tail_chars = tail_bytes == 0 ? 0 : tail_bytes + 1;
  if (text.size() != bytes.size() / 3 * 4 + tail_chars) return false;
  bytes.remove_prefix(bytes.size() - tail_bytes);
  text.remove_prefix(text.size() - tail_chars);
  return absl::WebSafeBase64Escape(bytes) == text;
}

Error Invalid(absl::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kHandleInvalid,
               absl::StrCat("the handle ", why));
}

}  // namespace

bool operator==(const Handle& a, const Handle& b) {
  return HandleBytes(a).view() == HandleBytes(b).view() &&
         a.signature == b.signature;
}

std::string EncodeHandle(const Handle& handle) {
  std::string text;
  EncodeHandle(handle, &text);
  return text;
}

void EncodeHandle(const Handle& handle, std::string* text) {
  HandleBytes bytes(handle);
  bytes.AppendArray(handle.signature);
  // Once, with room for the prefix.
  text->reserve(kPrefix.size() + (bytes.size() + 2) / 3 * 4);
  absl::WebSafeBase64Escape(bytes.view(), text);
  text->insert(0, kPrefix.data(), kPrefix.size());
}

absl::StatusOr<Handle> DecodeHandle(absl::string_view text) {
  if (text.size() > kMaxHandleTextBytes) return Invalid("is too long");
  absl::string_view body = text;
  if (!absl::ConsumePrefix(&body, kPrefix)) {
    return Invalid("does not start with shm1.");
  }
  std::string bytes;
  if (!absl::WebSafeBase64Unescape(body, &bytes)) {
    return Invalid("is not URL-safe base64");
  }
  Handle handle;
  if (bytes.size() <= kNamespaceOffset + handle.signature.size()) {
    return Invalid("is too short");
  }
  const size_t namespace_bytes = static_cast<uint8_t>(bytes[2]);
  if (static_cast<uint8_t>(bytes[0]) != kLayoutVersion) {
    return Invalid("has a layout that this version does not know");
  }
  const uint8_t has_grant = static_cast<uint8_t>(bytes[3]);
  if (has_grant > 1) return Invalid("has an unknown flag");
  const size_t grant_offset = kNamespaceOffset + namespace_bytes;
  const size_t grant_bytes = has_grant * sizeof(GrantSecret);
  const size_t signature_offset = grant_offset + grant_bytes;
  if (namespace_bytes == 0 || namespace_bytes > kMaxNamespaceBytes ||
      bytes.size() != signature_offset + handle.signature.size()) {
    return Invalid("has a wrong length");
  }
  const uint8_t access = static_cast<uint8_t>(bytes[1]);
  if (access != static_cast<uint8_t>(Access::kRead) &&
      access != static_cast<uint8_t>(Access::kReadWrite)) {
    return Invalid("has an unknown access");
  }
  handle.access = static_cast<Access>(access);
  handle.node = Read64(bytes, 4);
  std::memcpy(handle.uid.data(), bytes.data() + 12, handle.uid.size());
  handle.generation = Read64(bytes, 28);
  handle.offset_bytes = Read64(bytes, 36);
  handle.length_bytes = Read64(bytes, 44);
  handle.expire_unix_ms = static_cast<int64_t>(Read64(bytes, 52));
  handle.name_space = bytes.substr(kNamespaceOffset, namespace_bytes);
  if (has_grant == 1) {
    handle.grant.emplace();
    std::memcpy(handle.grant->data(), bytes.data() + grant_offset, grant_bytes);
  }
  std::memcpy(handle.signature.data(), bytes.data() + signature_offset,
              handle.signature.size());
  if (!IsOneText(body, bytes)) return Invalid("is not in its one form");
  return handle;
}

HandleSigner::Key HandleSigner::RandomKey() {
  Key key;
  randombytes_buf(key.data(), key.size());
  return key;
}

void HandleSigner::Sign(Handle& handle) const {
  const HandleBytes bytes(handle);
  static_assert(crypto_shorthash_siphashx24_BYTES ==
                std::tuple_size_v<decltype(handle.signature)>);
  static_assert(crypto_shorthash_siphashx24_KEYBYTES == std::tuple_size_v<Key>);
  crypto_shorthash_siphashx24(handle.signature.data(), bytes.data(),
                              bytes.size(), key_.data());
}

bool HandleSigner::Verify(const Handle& handle) const {
  if (handle.name_space.size() > kMaxNamespaceBytes) return false;
  Handle expected = handle;
  Sign(expected);
  return sodium_memcmp(expected.signature.data(), handle.signature.data(),
                       handle.signature.size()) == 0;
}

}  // namespace shmd
