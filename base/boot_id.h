#ifndef SHMD_BASE_BOOT_ID_H_
#define SHMD_BASE_BOOT_ID_H_

#include <array>

namespace shmd {

// Which boot of the host something was of.
using BootId = std::array<char, 16>;

// This boot (/proc/sys/kernel/random/boot_id); zeroes where the kernel does not
// tell. Thread-safe.
BootId ReadBootId();

}  // namespace shmd

#endif  // SHMD_BASE_BOOT_ID_H_
