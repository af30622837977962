#include "server/keeper/fd_names.h"

#include <algorithm>

#include "absl/types/optional.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "server/keeper/notification.h"

namespace shmd {
namespace {

constexpr absl::string_view kDigits =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
// More descriptors than a process can have; longer names are not ours.
constexpr size_t kMaxDigits = 4;

std::string Encode(uint64_t number) {
  std::string name;
  do {
    name += kDigits[number % kDigits.size()];
    number /= kDigits.size();
  } while (number > 0);
  std::reverse(name.begin(), name.end());
  return name;
}

// The number of a name that Encode makes.
absl::optional<uint64_t> Decode(absl::string_view name) {
  if (name.empty() || name.size() > kMaxDigits) return absl::nullopt;
  uint64_t number = 0;
  for (const char c : name) {
    const size_t digit = kDigits.find(c);
    if (digit == absl::string_view::npos) return absl::nullopt;
    number = number * kDigits.size() + digit;
  }
  if (Encode(number) != name) return absl::nullopt;
  return number;
}

}  // namespace

void FdNames::Reserve(const std::vector<absl::string_view>& names) {
  std::set<uint64_t> taken;
  for (const absl::string_view name : names) {
    ++in_use_;
    bytes_ += name.size() + 1;
    const absl::optional<uint64_t> number = Decode(name);
    if (number.has_value()) taken.insert(*number);
  }
  for (const uint64_t number : taken) {
    // Numbers come in order: what lies between them is free.
    for (; next_ < number; ++next_) free_.insert(next_);
    free_.erase(number);
    next_ = std::max(next_, number + 1);
  }
}

absl::StatusOr<std::vector<std::string>> FdNames::Take(size_t count) {
  if (count > max_names_ || in_use_ > max_names_ - count) {
    return Exhausted(reason::kDescriptorsExhausted, "the descriptor store",
                     count, max_names_ - std::min(in_use_, max_names_),
                     "descriptors");
  }
  std::vector<std::string> names;
  names.reserve(count);
  while (names.size() < count) {
    uint64_t number = next_;
    if (free_.empty()) {
      ++next_;
    } else {
      number = *free_.begin();
      free_.erase(free_.begin());
    }
    names.push_back(Encode(number));
    ++in_use_;
    bytes_ += names.back().size() + 1;
    // The last name has no separator behind it.
    if (bytes_ - 1 <= kMaxFdNamesBytes) continue;
    for (const std::string& name : names) GiveBack(name);
    return Exhausted(reason::kDescriptorsExhausted,
                     "the names in LISTEN_FDNAMES", count, names.size() - 1,
                     "descriptors");
  }
  return names;
}

void FdNames::GiveBack(absl::string_view name) {
  if (in_use_ == 0) return;
  --in_use_;
  bytes_ -= std::min(bytes_, name.size() + 1);
  const absl::optional<uint64_t> number = Decode(name);
  if (number.has_value() && *number < next_) free_.insert(*number);
}

}  // namespace shmd
