#include "server/registry/filter.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"

namespace shmd {
namespace {

Error Invalid(absl::string_view why) {
  return InvalidField("filter", reason::kFilterInvalid, why);
}

bool IsWordByte(char c) {
  return absl::ascii_isalnum(c) || c == '_' || c == '.' || c == '-';
}

// Words, quoted strings (with their opening quote kept as a mark), operators.
absl::StatusOr<std::vector<std::string>> Tokenize(absl::string_view text) {
  std::vector<std::string> tokens;
  size_t i = 0;
  while (i < text.size()) {
    const char c = text[i];
    if (absl::ascii_isspace(c)) {
      ++i;
    } else if (c == '"') {
      const size_t end = text.find('"', i + 1);
      if (end == absl::string_view::npos)
        return Invalid("a quote is not closed");
      tokens.push_back(std::string(text.substr(i, end - i)));
      i = end + 1;
    } else if (c == '!' && i + 1 < text.size() && text[i + 1] == '=') {
      tokens.push_back("!=");
      i += 2;
    } else if (c == '=' || c == ':') {
      tokens.push_back(std::string(1, c));
      ++i;
    } else if (IsWordByte(c)) {
      const size_t start = i;
      while (i < text.size() && IsWordByte(text[i])) ++i;
      tokens.push_back(std::string(text.substr(start, i - start)));
    } else {
      return Invalid("has a character that it cannot").With("offset", i);
    }
  }
  return tokens;
}

bool IsKnownBackend(absl::string_view name) {
  for (const BackendKind kind :
       {BackendKind::kMemfd, BackendKind::kPosix, BackendKind::kSysv,
        BackendKind::kMappedFile}) {
    if (name == BackendName(kind)) return true;
  }
  return false;
}

bool IsKnownState(absl::string_view name) {
  return name == "ACTIVE" || name == "CLOSED_TO_WRITERS" || name == "SEALED";
}

}  // namespace

const char* StateName(SegmentState state) {
  switch (state) {
    case SegmentState::kActive:
      return "ACTIVE";
    case SegmentState::kClosedToWriters:
      return "CLOSED_TO_WRITERS";
    case SegmentState::kSealed:
      return "SEALED";
    case SegmentState::kDeleted:
      return "DELETED";
  }
  return "?";
}

absl::StatusOr<SegmentFilter::Comparison> SegmentFilter::ParseComparison(
    const std::vector<std::string>& tokens, size_t* at) {
  if (*at + 3 > tokens.size()) return Invalid("ends too early");
  const std::string& left = tokens[*at];
  const std::string& oper = tokens[*at + 1];
  absl::string_view right = tokens[*at + 2];
  *at += 3;
  absl::ConsumePrefix(&right, "\"");
  Comparison comparison;
  comparison.value = std::string(right);
  if (left == "labels" && oper == ":") {
    comparison.has = true;
    comparison.key = std::string(right);
    return comparison;
  }
  if (oper != "=" && oper != "!=") {
    return Invalid("wants = or != between field and value");
  }
  comparison.negated = oper == "!=";
  absl::string_view key = left;
  if (left == "backend") {
    comparison.field = Field::kBackend;
    if (!IsKnownBackend(right)) return Invalid("names an unknown backend");
  } else if (left == "state") {
    comparison.field = Field::kState;
    if (!IsKnownState(right)) return Invalid("names an unknown state");
  } else if (absl::ConsumePrefix(&key, "labels.") && !key.empty()) {
    comparison.key = std::string(key);
  } else {
    return Invalid("knows the fields backend, state and labels.KEY only");
  }
  return comparison;
}

absl::StatusOr<SegmentFilter> SegmentFilter::Parse(absl::string_view text) {
  if (text.size() > kMaxFilterBytes) return Invalid("is too long");
  SegmentFilter filter;
  ASSIGN_OR_RETURN(const std::vector<std::string> tokens, Tokenize(text));
  size_t at = 0;
  while (at < tokens.size()) {
    ASSIGN_OR_RETURN(Comparison comparison, ParseComparison(tokens, &at));
    filter.comparisons_.push_back(std::move(comparison));
    if (at == tokens.size()) break;
    if (tokens[at] != "AND") return Invalid("joins comparisons by AND only");
    ++at;
    if (at == tokens.size()) return Invalid("ends too early");
  }
  return filter;
}

bool SegmentFilter::Matches(const Segment& segment) const {
  for (const Comparison& comparison : comparisons_) {
    bool matches = false;
    const auto label = segment.labels.find(comparison.key);
    switch (comparison.field) {
      case Field::kBackend:
        matches = comparison.value == BackendName(segment.options.backend);
        break;
      case Field::kState:
        matches = comparison.value == StateName(segment.state);
        break;
      case Field::kLabel:
        matches = label != segment.labels.end() &&
                  (comparison.has || label->second == comparison.value);
        break;
    }
    if (matches == comparison.negated) return false;
  }
  return true;
}

}  // namespace shmd
