#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <optional>

#include "absl/strings/escaping.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "cli/channels.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "cli/verbs.h"
#include "client/cpp/calls.h"

namespace shmd::cli {
namespace {

struct CallVerbOptions {
  std::string channel;
  std::optional<std::string> data;
  CallOptions call;
  absl::Duration timeout = absl::Minutes(1);
};

absl::StatusOr<std::string> ReadInput() {
  std::string out;
  char piece[65536];
  for (;;) {
    const ssize_t count = read(STDIN_FILENO, piece, sizeof(piece));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus(errno, "reading the standard input");
    if (count == 0) return out;
    out.append(piece, static_cast<size_t>(count));
  }
}

void PrintCall(const CallResponse& response, bool json) {
  // Once: it is in memory that the server may change.
  const std::string payload(response.message.data(),
                            response.message.size_bytes());
  if (json) {
    nlohmann::ordered_json out;
    out["size_bytes"] = std::to_string(payload.size());
    out["payload"] = payload;
    out["payload_base64"] = absl::Base64Escape(payload);
    out["is_last"] = response.is_last;
    printf("%s\n", ToText(out, -1).c_str());
  } else {
    fwrite(payload.data(), 1, payload.size(), stdout);
    if (payload.empty() || payload.back() != '\n') fputc('\n', stdout);
  }
  fflush(stdout);
}

absl::Status RunCall(Context& context, const CallVerbOptions& options) {
  std::string request;
  if (options.data.has_value()) {
    request = *options.data;
  } else {
    ASSIGN_OR_RETURN(request, ReadInput());
  }
  const absl::Time deadline = absl::Now() + options.timeout;
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(Requester requester,
                   Requester::Open(*client, options.channel, options.call));
  ASSIGN_OR_RETURN(const uint64_t call,
                   requester.Start(absl::MakeConstSpan(request), deadline));
  for (bool is_last = false; !is_last && ferror(stdout) == 0;) {
    ASSIGN_OR_RETURN(const CallResponse response,
                     requester.Next(call, deadline));
    PrintCall(response, context.json);
    is_last = response.is_last;
  }
  return absl::OkStatus();
}

}  // namespace

void AddCall(CLI::App& app, Context& context) {
  auto options = std::make_shared<CallVerbOptions>();
  CLI::App& verb = *app.add_subcommand(
      "call", "Send a request to a server and print its responses");
  verb.add_option("channel", options->channel, "its name")->required();
  verb.add_option("data", options->data,
                  "the request (default: standard input)");
  AddParsed(verb, "--timeout", "give up after this long (default 1m)", ParseTtl,
            [options](absl::Duration timeout) { options->timeout = timeout; });
  AddGrantOption(verb, &options->call.grant);
  verb.callback(
      [options, &context] { context.status = RunCall(context, *options); });
}

}  // namespace shmd::cli
