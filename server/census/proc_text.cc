#include "server/census/proc_text.h"

#include <sys/sysmacros.h>

#include <algorithm>
#include <charconv>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace shmd {
namespace {

// PF_KTHREAD of the kernel's include/linux/sched.h.
constexpr uint64_t kKernelThreadFlag = 0x00200000;

// Takes a number and the one byte behind it.
bool TakeNumber(absl::string_view& text, int base, uint64_t& number,
                char behind) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number, base);
  if (error != std::errc() || stop == end || *stop != behind) return false;
  text.remove_prefix(static_cast<size_t>(stop - text.data()) + 1);
  return true;
}

// Takes the text up to a blank, and the blank.
absl::string_view TakeWord(absl::string_view& text) {
  const size_t length = std::min(text.find(' '), text.size());
  const absl::string_view word = text.substr(0, length);
  text.remove_prefix(std::min(length + 1, text.size()));
  return word;
}

template <typename Number>
bool ToNumber(absl::string_view word, Number& number, int base = 10) {
  const char* const end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, number, base);
  return error == std::errc() && stop == end;
}

// Whether a mapping of this name is of System V: the inode is a shmid then.
bool IsSysvName(absl::string_view name) {
  return absl::ConsumePrefix(&name, "/SYSV") && name.size() >= 8 &&
         std::all_of(name.begin(), name.begin() + 8, absl::ascii_isxdigit) &&
         absl::StartsWith(name.substr(8), " (deleted)");
}

// ADDRESS-ADDRESS rwxs OFFSET MAJOR:MINOR INODE     NAME
std::optional<MapsLine> ParseMapsLine(absl::string_view line) {
  uint64_t start = 0, end = 0, offset = 0, major_number = 0, minor_number = 0;
  MapsLine out;
  if (!TakeNumber(line, 16, start, '-') || !TakeNumber(line, 16, end, ' ') ||
      end < start) {
    return std::nullopt;
  }
  const absl::string_view rights = TakeWord(line);
  if (rights.size() != 4 || !TakeNumber(line, 16, offset, ' ') ||
      !TakeNumber(line, 16, major_number, ':') ||
      !TakeNumber(line, 16, minor_number, ' ') ||
      !ToNumber(TakeWord(line), out.object.number)) {
    return std::nullopt;
  }
  out.bytes = end - start;
  out.writable = rights[1] == 'w' && rights[3] == 's';
  // Those live on a file system of the kernel's own, and one has the number 0.
  if (major_number == 0 &&
      IsSysvName(absl::StripLeadingAsciiWhitespace(line))) {
    out.object.kind = ObjectId::Kind::kSysv;
    return out;
  }
  if (out.object.number == 0) return std::nullopt;
  out.object.device = makedev(static_cast<unsigned>(major_number),
                              static_cast<unsigned>(minor_number));
  return out;
}

// `\040` and its like, by which mountinfo writes blanks.
std::string Unescape(absl::string_view text) {
  std::string out;
  while (!text.empty()) {
    int byte = 0;
    if (text[0] == '\\' && text.size() >= 4 &&
        ToNumber(text.substr(1, 3), byte, 8)) {
      out += static_cast<char>(byte);
      text.remove_prefix(4);
    } else {
      out += text[0];
      text.remove_prefix(1);
    }
  }
  return out;
}

}  // namespace

void ParseMaps(absl::string_view maps,
               const std::function<void(const MapsLine&)>& visit) {
  while (!maps.empty()) {
    const size_t length = std::min(maps.find('\n'), maps.size());
    const std::optional<MapsLine> line = ParseMapsLine(maps.substr(0, length));
    if (line.has_value()) visit(*line);
    maps.remove_prefix(std::min(length + 1, maps.size()));
  }
}

std::optional<uid_t> ParseStatusUid(absl::string_view status) {
  for (absl::string_view line : absl::StrSplit(status, '\n')) {
    uid_t uid = 0;
    if (!absl::ConsumePrefix(&line, "Uid:\t")) continue;
    if (!ToNumber(line.substr(0, line.find('\t')), uid)) break;
    return uid;
  }
  return std::nullopt;
}

std::string ParseCgroup(absl::string_view cgroup) {
  absl::string_view best;
  for (absl::string_view line : absl::StrSplit(cgroup, '\n')) {
    // HIERARCHY:CONTROLLERS:PATH
    const std::vector<absl::string_view> parts =
        absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() != 3 || parts[2].size() <= 1) continue;
    if (best.empty() || parts[0] == "0") best = parts[2];
  }
  return std::string(best.substr(best.rfind('/') + 1));
}

std::optional<ProcessState> ParseStat(absl::string_view stat) {
  // PID (COMMAND) STATE PARENT GROUP SESSION TTY TTY_GROUP FLAGS ...; the
  // command may hold blanks and brackets.
  const size_t open = stat.find('(');
  const size_t close = stat.rfind(')');
  if (open == absl::string_view::npos || close == absl::string_view::npos ||
      close < open || close + 2 > stat.size()) {
    return std::nullopt;
  }
  const std::vector<absl::string_view> rest = absl::StrSplit(
      stat.substr(close + 1), absl::ByAnyChar(" \n"), absl::SkipEmpty());
  ProcessState out;
  uint64_t flags = 0;
  if (rest.size() < 7 || !ToNumber(rest[1], out.parent) ||
      !ToNumber(rest[6], flags)) {
    return std::nullopt;
  }
  out.command = std::string(stat.substr(open + 1, close - open - 1));
  out.is_kernel_thread = (flags & kKernelThreadFlag) != 0;
  out.is_dead = rest[0] == "Z" || rest[0] == "X";
  return out;
}

std::vector<std::string> ParseHugetlbfsMounts(absl::string_view mountinfo) {
  std::vector<std::string> out;
  for (const absl::string_view line : absl::StrSplit(mountinfo, '\n')) {
    // ID PARENT MAJOR:MINOR ROOT FOLDER OPTIONS... - TYPE SOURCE OPTIONS
    const size_t dash = line.find(" - ");
    if (dash == absl::string_view::npos ||
        !absl::StartsWith(line.substr(dash + 3), "hugetlbfs ")) {
      continue;
    }
    const std::vector<absl::string_view> words =
        absl::StrSplit(line.substr(0, dash), ' ');
    if (words.size() >= 5) out.push_back(Unescape(words[4]));
  }
  return out;
}

std::vector<SysvRow> ParseSysvTable(absl::string_view table) {
  std::vector<SysvRow> out;
  for (const absl::string_view line : absl::StrSplit(table, '\n')) {
    // key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime
    // ctime rss swap
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, ' ', absl::SkipEmpty());
    SysvRow row;
    int32_t key = 0;
    if (words.size() < 16 || !ToNumber(words[0], key) ||
        !ToNumber(words[1], row.id) || row.id < 0 ||
        !ToNumber(words[2], row.mode, 8) ||
        !ToNumber(words[3], row.size_bytes) ||
        !ToNumber(words[4], row.creator) ||
        !ToNumber(words[5], row.last_user) ||
        !ToNumber(words[6], row.attach_count) ||
        !ToNumber(words[7], row.owner) ||
        !ToNumber(words[11], row.attach_time) ||
        !ToNumber(words[12], row.detach_time) ||
        !ToNumber(words[13], row.change_time) ||
        !ToNumber(words[14], row.resident_bytes) ||
        !ToNumber(words[15], row.swapped_bytes)) {
      continue;
    }
    row.key = static_cast<uint32_t>(key);
    row.mode &= 0777;
    out.push_back(row);
  }
  return out;
}

std::string EscapedName(absl::string_view name) {
  return std::all_of(name.begin(), name.end(), absl::ascii_isprint)
             ? std::string(name)
             : absl::CHexEscape(name);
}

}  // namespace shmd
