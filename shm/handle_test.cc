#include "shm/handle.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

Handle Sample(const HandleSigner& signer) {
  Handle handle;
  handle.node = 0x1122334455667788;
  handle.name_space = "default";
  handle.uid = RandomUid();
  handle.generation = 7;
  handle.offset_bytes = 4096;
  handle.length_bytes = 8192;
  handle.access = Access::kReadWrite;
  handle.expire_unix_ms = 1700000000123;
  signer.Sign(handle);
  return handle;
}

TEST(HandleTest, TextRoundTripKeepsEveryField) {
  const HandleSigner signer(HandleSigner::RandomKey());
  const Handle handle = Sample(signer);
  const std::string text = EncodeHandle(handle);
  EXPECT_LE(text.size(), kMaxHandleTextBytes);
  const absl::StatusOr<Handle> decoded = DecodeHandle(text);
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_TRUE(*decoded == handle);
  EXPECT_TRUE(signer.Verify(*decoded));
}

TEST(HandleTest, LongestNamespaceFits) {
  const HandleSigner signer(HandleSigner::RandomKey());
  Handle handle = Sample(signer);
  handle.name_space = std::string(63, 'n');
  signer.Sign(handle);
  const absl::StatusOr<Handle> decoded = DecodeHandle(EncodeHandle(handle));
  ASSERT_TRUE(decoded.ok()) << decoded.status();
  EXPECT_TRUE(signer.Verify(*decoded));
}

TEST(HandleTest, EveryFlippedBitIsRefused) {
  const HandleSigner signer(HandleSigner::RandomKey());
  const std::string text = EncodeHandle(Sample(signer));
  std::string bytes;
  ASSERT_TRUE(absl::WebSafeBase64Unescape(text.substr(5), &bytes));
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
    std::string body;
    absl::WebSafeBase64Escape(flipped, &body);
    const absl::StatusOr<Handle> decoded =
        DecodeHandle(absl::StrCat("shm1.", body));
    EXPECT_FALSE(decoded.ok() && signer.Verify(*decoded)) << "bit " << bit;
  }
}

TEST(HandleTest, EveryChangedCharacterIsRefused) {
  const HandleSigner signer(HandleSigner::RandomKey());
  const std::string text = EncodeHandle(Sample(signer));
  for (size_t i = 0; i < text.size(); ++i) {
    for (const char c : {'A', 'z', '=', '+', ' ', '\0'}) {
      if (text[i] == c) continue;
      std::string changed = text;
      changed[i] = c;
      const absl::StatusOr<Handle> decoded = DecodeHandle(changed);
      EXPECT_FALSE(decoded.ok() && signer.Verify(*decoded)) << i << c;
    }
  }
}

// By the length of the namespace the last character has none, two or four bits
// that no byte uses.
TEST(HandleTest, BytesHaveOneText) {
  const HandleSigner signer(HandleSigner::RandomKey());
  const std::string alphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  for (const size_t namespace_bytes : {1, 2, 3}) {
    Handle handle = Sample(signer);
    handle.name_space = std::string(namespace_bytes, 'n');
    signer.Sign(handle);
    const std::string text = EncodeHandle(handle);
    size_t same = 0;
    for (const char last : alphabet) {
      std::string other = text;
      other.back() = last;
      const absl::StatusOr<Handle> decoded = DecodeHandle(other);
      same += decoded.ok() && *decoded == handle ? 1 : 0;
    }
    EXPECT_EQ(same, 1u) << namespace_bytes;
    for (const char* blank : {"=", "==", ".", "..", " ", "\n"}) {
      for (const size_t at : {text.size(), size_t{5}, size_t{20}}) {
        std::string other = text;
        other.insert(at, blank);
        EXPECT_FALSE(DecodeHandle(other).ok()) << other;
      }
    }
  }
}

TEST(HandleTest, OtherFormsAreRefusedWithReason) {
  const HandleSigner signer(HandleSigner::RandomKey());
  const std::string text = EncodeHandle(Sample(signer));
  for (const std::string& bad :
       {std::string(), std::string("shm1."), std::string("shm2.") + text,
        text + "=", text + "A", text.substr(0, text.size() - 1),
        std::string(300, 'A'), "shm1." + std::string(40, '\xff')}) {
    const absl::StatusOr<Handle> decoded = DecodeHandle(bad);
    ASSERT_FALSE(decoded.ok()) << bad;
    EXPECT_EQ(decoded.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(GetErrorReason(decoded.status()), "HANDLE_INVALID");
  }
}

TEST(HandleSignerTest, OtherKeyDoesNotVerify) {
  const Handle handle = Sample(HandleSigner(HandleSigner::RandomKey()));
  EXPECT_FALSE(HandleSigner(HandleSigner::RandomKey()).Verify(handle));
}

}  // namespace
}  // namespace shmd
