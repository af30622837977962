#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <optional>

#include "absl/time/clock.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "cli/channels.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "cli/verbs.h"
#include "client/cpp/channels.h"

namespace shmd::cli {
namespace {

struct PubOptions {
  std::string channel;
  std::string file = "-";
  ChannelSpec spec;
  std::string grant;
  bool lines = false;
  size_t subscribers = 0;
  absl::Duration timeout = absl::InfiniteDuration();
};

// What is read of a file, piece by piece.
class Input {
 public:
  Input(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}

  // All that is left.
  absl::StatusOr<std::string> ReadAll() {
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, ReadMore());
      if (!more) return std::move(buffer_);
    }
  }

  // The next line without its end; nullopt at the end.
  absl::StatusOr<std::optional<std::string>> ReadLine() {
    for (size_t from = 0;;) {
      const size_t end = buffer_.find('\n', from);
      if (end != std::string::npos) {
        std::string line = buffer_.substr(0, end);
        buffer_.erase(0, end + 1);
        return line;
      }
      from = buffer_.size();
      ASSIGN_OR_RETURN(const bool more, ReadMore());
      if (more) continue;
      if (buffer_.empty()) return std::optional<std::string>();
      return std::exchange(buffer_, "");
    }
  }

 private:
  // Whether there was more.
  absl::StatusOr<bool> ReadMore() {
    char piece[65536];
    ssize_t count;
    do {
      count = read(fd_, piece, sizeof(piece));
    } while (count < 0 && errno == EINTR);
    if (count < 0) return ErrnoStatus(errno, name_);
    buffer_.append(piece, static_cast<size_t>(count));
    return count > 0;
  }

  const int fd_;
  const std::string name_;
  std::string buffer_;
};

absl::Status PublishLines(Input& input, Publisher& publisher,
                          absl::Time deadline) {
  for (;;) {
    ASSIGN_OR_RETURN(const std::optional<std::string> line, input.ReadLine());
    if (!line.has_value()) return absl::OkStatus();
    RETURN_IF_ERROR(
        publisher.Publish(absl::MakeConstSpan(*line), {}, deadline).status());
  }
}

absl::Status RunPub(Context& context, const PubOptions& options) {
  UniqueFd file;
  if (options.file != "-") {
    file.Reset(open(options.file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.valid()) return ErrnoStatus(errno, options.file);
  }
  Input input(file.valid() ? file.get() : STDIN_FILENO, options.file);
  const absl::Time deadline = absl::Now() + options.timeout;
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  if (options.grant.empty()) {
    RETURN_IF_ERROR(
        FindOrCreateChannel(*client, options.channel, options.spec).status());
  }
  PublisherOptions publisher_options;
  publisher_options.grant = options.grant;
  ASSIGN_OR_RETURN(
      Publisher publisher,
      Publisher::Open(*client, options.channel, publisher_options));
  RETURN_IF_ERROR(publisher.AwaitSubscribers(options.subscribers, deadline));
  if (options.lines) {
    RETURN_IF_ERROR(PublishLines(input, publisher, deadline));
  } else {
    ASSIGN_OR_RETURN(const std::string message, input.ReadAll());
    RETURN_IF_ERROR(
        publisher.Publish(absl::MakeConstSpan(message), {}, deadline).status());
  }
  // What nobody has mapped goes with the publisher; work stays, but who has
  // left does not learn that it is done.
  return publisher.Drain(deadline);
}

}  // namespace

void AddPub(CLI::App& app, Context& context) {
  auto options = std::make_shared<PubOptions>();
  CLI::App& verb = *app.add_subcommand(
      "pub", "Publish in a channel, which is created if there is none");
  verb.add_option("channel", options->channel, "its name")->required();
  verb.add_option("file", options->file,
                  "what to publish, as one message (default `-`: standard "
                  "input)");
  verb.add_flag("--lines,-l", options->lines,
                "each line is a message, as it comes");
  verb.add_option("--subscribers", options->subscribers,
                  "wait first until there are so many");
  AddParsed(verb, "--timeout",
            "give up after this long, as 90s; also to wait at the end until "
            "all is read or acknowledged",
            ParseTtl,
            [options](absl::Duration timeout) { options->timeout = timeout; });
  AddChannelSpecOptions(verb, &options->spec);
  AddGrantOption(verb, &options->grant);
  verb.callback(
      [options, &context] { context.status = RunPub(context, *options); });
}

}  // namespace shmd::cli
