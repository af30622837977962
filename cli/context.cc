#include "cli/context.h"

#include <cstdio>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "nlohmann/json.hpp"
#include "shm/handle.h"

namespace shmd::cli {
namespace {

// What to do next, by reason; only where it is obvious.
std::string HintForReason(const std::string& reason) {
  static const auto* const hints = new std::map<std::string, std::string>{
      {reason::kSegmentNotFound,
       "`shm ls` lists what there is; an object's name needs --object"},
      {reason::kSegmentExists,
       "take another name, or `shm rm` the old segment first"},
      {reason::kObjectExists,
       "take it under management with `shm adopt`, or choose another name"},
      {reason::kSegmentInUse,
       "`shm stat` tells how many are attached; `shm rm --force` removes it "
       "all the same"},
      {reason::kSegmentReserved,
       "`shm channel rm` removes a channel, `shm rm --object` an object, "
       "`shm sync rm` a lock"},
      {reason::kCallerNotAllowed,
       "ask its owner for `shm set --mode` or `--group`, or for a grant "
       "(`shm grant`); namespaces are for administrators"},
      {reason::kSegmentAdopted,
       "`shm disown` gives it back; `shm rm --force` removes it"},
      {reason::kHandleInvalid,
       "copy it whole, or ask for a new one: `shm handle NAME`"},
      {reason::kHandleStale, "ask for a new handle: `shm handle NAME`"},
      {reason::kHandleExpired, "ask for a new handle: `shm handle NAME`"},
      {reason::kFileRootMissing, "start the daemon with --file_root=FOLDER"},
      {reason::kFilePathInvalid,
       "the path must lie below a --file_root of the daemon"},
      {reason::kNotResizable, "create it with --resizable"},
      {reason::kNotRevocable, "create it with --revocable"},
      {reason::kHugepagesExhausted,
       "`shm node` shows the pools; vm.nr_hugepages (sysctl) sets them"},
      {reason::kMemoryExhausted, "`shm node` shows what is left"},
      {reason::kBudgetExceeded, "`shm node` shows what is left"},
      {reason::kQuotaExceeded,
       "`shm namespace show NAME` tells who uses how much"},
      {reason::kNamespaceNotFound,
       "`shm namespaces` lists those that you may enter"},
      {reason::kNamespaceInUse, "`shm --namespace NAME ls` shows its segments"},
      {reason::kEtagMismatch, "read it again with `shm stat`"},
      {reason::kChannelNotFound, "`shm channels --once` lists what there is"},
      {reason::kChannelExists,
       "`shm channel stat` shows it; take another name, or the same sizes"},
      {reason::kChannelInUse,
       "`shm channel stat` tells who takes part; `shm channel rm --force` "
       "removes it all the same"},
      {reason::kChannelBlocked, "`shm channel stat` tells who lags"},
      {reason::kSessionNotFound, "`shm sessions` lists what there is"},
  };
  const auto found = hints->find(reason);
  return found == hints->end() ? "" : found->second;
}

// Where the same reason has causes that ask for something else.
std::string HintFor(const ErrorDetail& detail, absl::string_view message) {
  // It is resizable, but not to this size.
  if (detail.reason == reason::kNotResizable &&
      detail.metadata.count("size_bytes") != 0) {
    return "make a new segment of that size";
  }
  if (detail.reason == reason::kFilePathInvalid &&
      absl::StrContains(message, "folder does not exist")) {
    return "make the folder first";
  }
  const auto name = detail.metadata.find("name");
  if (detail.reason == reason::kSegmentNotFound &&
      name != detail.metadata.end() &&
      absl::StrContains(name->second, "/segments/shm1.")) {
    return "this verb takes a name; get, cat and sum take handles";
  }
  return HintForReason(detail.reason);
}

}  // namespace

absl::StatusOr<Client*> Context::Connect() {
  if (!client_.has_value()) {
    ConnectOptions options;
    options.socket_dir = socket_dir;
    options.name_space = name_space;
    ASSIGN_OR_RETURN(Client client, Client::Connect(options));
    client_.emplace(std::move(client));
  }
  return &*client_;
}

int ExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kNotFound:
      return 3;
    case absl::StatusCode::kAlreadyExists:
      return 4;
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnauthenticated:
      return 5;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAborted:
      return 6;
    case absl::StatusCode::kResourceExhausted:
      return 7;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return 8;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return 9;
    default:
      return 1;
  }
}

void PrintError(const absl::Status& status, bool json) {
  const ErrorDetail detail = GetErrorDetail(status);
  const std::string hint = HintFor(detail, status.message());
  if (json) {
    nlohmann::ordered_json error;
    error["code"] = absl::StatusCodeToString(status.code());
    error["reason"] = detail.reason;
    error["message"] = std::string(status.message());
    error["field"] = detail.field;
    error["metadata"] = detail.metadata;
    error["hint"] = hint;
    fprintf(stderr, "%s\n", ToText({{"error", error}}, -1).c_str());
    return;
  }
  std::string text = absl::StrCat("shm: ", status.message());
  // Which one, where the sentence does not say.
  const auto name = detail.metadata.find("name");
  if (name != detail.metadata.end() && !absl::StrContains(text, name->second)) {
    absl::StrAppend(&text, ": ", name->second);
  }
  text = Printable(text);
  if (!detail.reason.empty()) absl::StrAppend(&text, " (", detail.reason, ")");
  fprintf(stderr, "%s\n", text.c_str());
  if (!hint.empty()) fprintf(stderr, "hint: %s\n", hint.c_str());
}

absl::StatusOr<std::string> ResolveHandle(Client& client,
                                          const std::string& reference) {
  const absl::Status form = DecodeHandle(reference).status();
  if (form.ok()) return reference;
  const absl::StatusOr<Segment> segment = client.Get(reference, /*full=*/false);
  if (segment.ok()) return segment->handle;
  // A segment may be called so; but what is none is a handle that was not
  // copied whole, and to miss it under that name would hide why.
  const bool missing = absl::IsNotFound(segment.status()) ||
                       absl::IsInvalidArgument(segment.status());
  return missing && absl::StartsWith(reference, "shm1.") ? form
                                                         : segment.status();
}

}  // namespace shmd::cli
