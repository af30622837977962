#include <cstdio>
#include <map>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "cli/channels.h"
#include "cli/format.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "cli/verbs.h"
#include "client/cpp/channels.h"

namespace shmd::cli {
namespace {

const std::map<std::string, SlowPolicy>& Policies() {
  static const auto* const policies = new std::map<std::string, SlowPolicy>{
      {"block", SlowPolicy::kBlock},
      {"drop_oldest", SlowPolicy::kDropOldest},
      {"cut_off", SlowPolicy::kCutOff}};
  return *policies;
}

struct SubOptions {
  std::string channel;
  ChannelSpec spec;
  std::string grant;
  std::string policy = "block";
  uint64_t count = UINT64_MAX;
  bool raw = false;
  absl::Duration timeout = absl::InfiniteDuration();
};

void PrintSub(const ReceivedMessage& message, bool json, bool raw) {
  const absl::string_view payload(message.data(), message.size_bytes());
  if (json) {
    nlohmann::ordered_json out;
    out["publisher"] = absl::StrCat(message.publisher().index, ".",
                                    message.publisher().generation);
    out["number"] = std::to_string(message.number());
    out["publish_time"] = TimeText(
        absl::FromUnixNanos(static_cast<int64_t>(message.publish_time_ns())));
    out["lost_before"] = std::to_string(message.lost_before());
    out["size_bytes"] = std::to_string(message.size_bytes());
    // Once: it is in memory that its publisher may change.
    const std::string copy(payload);
    out["payload"] = copy;
    out["payload_base64"] = absl::Base64Escape(copy);
    printf("%s\n", ToText(out, -1).c_str());
  } else {
    fwrite(payload.data(), 1, payload.size(), stdout);
    if (!raw) fputc('\n', stdout);
  }
  // Who reads a pipe sees each message as it comes.
  fflush(stdout);
}

// Prints messages as `next` gets them, until there have been enough, the
// channel is closed, or nobody reads any more. `done` ends each.
template <typename Next, typename Done>
absl::Status PrintAllSub(const SubOptions& options, bool json, const Next& next,
                         const Done& done) {
  const absl::Time deadline = absl::Now() + options.timeout;
  for (uint64_t left = options.count; left > 0 && ferror(stdout) == 0;) {
    absl::StatusOr<ReceivedMessage> message = next(deadline);
    if (GetErrorReason(message.status()) == reason::kMessageDamaged) {
      fprintf(stderr, "shm: %s\n",
              std::string(message.status().message()).c_str());
      continue;
    }
    RETURN_IF_ERROR(message.status());
    PrintSub(*message, json, options.raw);
    RETURN_IF_ERROR(done(*message));
    --left;
  }
  return absl::OkStatus();
}

absl::Status RunSub(Context& context, const SubOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  // Who is let in by a grant cannot ask what kind it is.
  ChannelKind kind = options.spec.kind;
  if (options.grant.empty()) {
    ASSIGN_OR_RETURN(
        const Channel channel,
        FindOrCreateChannel(*client, options.channel, options.spec));
    kind = channel.kind;
  }
  if (kind == ChannelKind::kQueue) {
    ConsumerOptions consumer_options;
    consumer_options.grant = options.grant;
    ASSIGN_OR_RETURN(Consumer consumer, Consumer::Open(*client, options.channel,
                                                       consumer_options));
    return PrintAllSub(
        options, context.json,
        [&](absl::Time deadline) { return consumer.Receive(deadline); },
        [](ReceivedMessage& message) { return message.Acknowledge(); });
  }
  SubscriberOptions subscriber_options;
  subscriber_options.policy = Policies().at(options.policy);
  subscriber_options.grant = options.grant;
  ASSIGN_OR_RETURN(
      Subscriber subscriber,
      Subscriber::Open(*client, options.channel, subscriber_options));
  RETURN_IF_ERROR(PrintAllSub(
      options, context.json,
      [&](absl::Time deadline) { return subscriber.Receive(deadline); },
      [](ReceivedMessage& message) {
        message.Release();
        return absl::OkStatus();
      }));
  if (subscriber.lost() > 0) {
    fprintf(stderr, "shm: %s messages were lost\n",
            absl::StrCat(subscriber.lost()).c_str());
  }
  return absl::OkStatus();
}

}  // namespace

void AddSub(CLI::App& app, Context& context) {
  auto options = std::make_shared<SubOptions>();
  CLI::App& verb =
      *app.add_subcommand("sub",
                          "Print what is published in a channel, or take "
                          "work from a queue; it is "
                          "created if there is none");
  verb.add_option("channel", options->channel, "its name")->required();
  verb.add_option("--count,-n", options->count, "end after this many messages")
      ->check(CLI::PositiveNumber);
  verb.add_option("--policy", options->policy,
                  "what happens when this does not keep up: block (default), "
                  "drop_oldest or cut_off")
      ->check(CLI::IsMember({"block", "drop_oldest", "cut_off"}));
  verb.add_flag("--raw", options->raw, "no line end behind each message");
  AddParsed(verb, "--timeout", "give up after this long, as 90s", ParseTtl,
            [options](absl::Duration timeout) { options->timeout = timeout; });
  AddChannelSpecOptions(verb, &options->spec);
  AddGrantOption(verb, &options->grant);
  verb.callback(
      [options, &context] { context.status = RunSub(context, *options); });
}

}  // namespace shmd::cli
