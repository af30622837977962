#include "shm/types.h"

#include <sodium.h>
#include <unistd.h>

#include "absl/strings/escaping.h"
#include "absl/strings/string_view.h"

namespace shmd {

const char* BackendName(BackendKind kind) {
  switch (kind) {
    case BackendKind::kMemfd:
      return "MEMFD";
    case BackendKind::kPosix:
      return "POSIX";
    case BackendKind::kSysv:
      return "SYSV";
    case BackendKind::kMappedFile:
      return "MAPPED_FILE";
  }
  return "?";
}

std::string UidToHex(const Uid& uid) {
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(uid.data()), uid.size()));
}

std::optional<Uid> UidFromHex(absl::string_view hex) {
  Uid uid;
  size_t length = 0;
  if (hex.size() != 2 * uid.size() ||
      sodium_hex2bin(uid.data(), uid.size(), hex.data(), hex.size(), nullptr,
                     &length, nullptr) != 0 ||
      length != uid.size() || UidToHex(uid) != hex) {
    return std::nullopt;
  }
  return uid;
}

Uid RandomUid() {
  Uid uid;
  randombytes_buf(uid.data(), uid.size());
  return uid;
}

std::vector<Uid> RandomUids(size_t count) {
  std::vector<Uid> uids(count);
  if (count > 0) randombytes_buf(uids.data(), count * sizeof(Uid));
  return uids;
}

uint64_t BasePageSizeBytes() {
  static const uint64_t size = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return size;
}

uint64_t RoundUpToPages(uint64_t size_bytes, uint64_t page_size_bytes) {
  return (size_bytes + page_size_bytes - 1) / page_size_bytes * page_size_bytes;
}

}  // namespace shmd
