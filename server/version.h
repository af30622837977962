#ifndef SHMD_SERVER_VERSION_H_
#define SHMD_SERVER_VERSION_H_

namespace shmd {

// As in CHANGELOG.md.
inline constexpr char kVersion[] = "0.1.0";

}  // namespace shmd

#endif  // SHMD_SERVER_VERSION_H_
