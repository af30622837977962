#ifndef SHMD_CLI_FORMAT_H_
#define SHMD_CLI_FORMAT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "client/cpp/client.h"
#include "nlohmann/json.hpp"

namespace shmd::cli {

// How values look: to people in tables, to programs in JSON.

// "4 KiB", "1.5 GiB", "17 B".
std::string HumanSize(uint64_t bytes);

// As "1 segment", "2 segments".
std::string Counted(size_t count, const std::string& what);

// "0640".
std::string OctalMode(uint32_t mode);

// The user's name, or the number where there is none.
std::string UserName(uint32_t uid);
std::string GroupName(uint32_t gid);

// "2026-11-22T05:14:43Z".
std::string TimeText(absl::Time time);

// `text` with every control character replaced, so that a label cannot speak
// to the terminal.
std::string Printable(const std::string& text);

// As the proto has them: "BIND", "HUGE_PAGES_WANTED", "NEVER_SEALED", and so
// on.
const char* NumaModeName(NumaMode mode);
const char* HugePageAdviceName(HugePageAdvice advice);
const char* SealPolicyName(SealPolicy policy);

// As "4 KiB (4096 bytes)".
std::string ExactSize(uint64_t bytes);

// One line of what a verb shows of one thing; the value as Printable has it.
void PrintField(const std::string& key, const std::string& value);

// Aligned columns with a header; the cells in `right_aligned` columns to the
// right. Every row has as many cells as the header.
std::string FormatTable(const std::vector<std::string>& header,
                        const std::vector<std::vector<std::string>>& rows,
                        const std::vector<size_t>& right_aligned);

// JSON with the keys of the proto, snake_case; times as TimeText, `sysv_key`
// as in 0x44, `mode` as in "0640". 64-bit numbers that are identities are
// strings, as in proto3's JSON. Keys are never renamed.
nlohmann::ordered_json SegmentToJson(const Segment& segment);
nlohmann::ordered_json NodeToJson(const Node& node);

// Text of `json`; bytes that are not UTF-8 are replaced. `indent` -1: one
// line.
std::string ToText(const nlohmann::ordered_json& json, int indent = 2);

// Prints a segment as made or changed by a verb: as JSON, or name and handle,
// or (quiet) the handle alone.
void PrintSegment(const Segment& segment, bool json, bool quiet);

}  // namespace shmd::cli

#endif  // SHMD_CLI_FORMAT_H_
