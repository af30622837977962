#ifndef SHMD_BASE_CRC32C_H_
#define SHMD_BASE_CRC32C_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace shmd {

// The Castagnoli checksum (RFC 3720, appendix B.4) of what `crc` was made of,
// followed by `data`. Start with 0. By the processor's own instruction where it
// has one, else by a table, which gives the same.
uint32_t ExtendCrc32c(uint32_t crc, absl::string_view data);

// The same by the table, whatever the processor has.
uint32_t ExtendCrc32cByTable(uint32_t crc, absl::string_view data);

}  // namespace shmd

#endif  // SHMD_BASE_CRC32C_H_
