#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "cli/channels.h"
#include "cli/verbs.h"
#include "client/cpp/calls.h"

namespace shmd::cli {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(10);

struct ServeOptions {
  std::string channel;
  ChannelSpec spec;
  CallOptions call;
  std::vector<std::string> command;  // empty: the request is the response
  uint64_t count = UINT64_MAX;
};

// A pipe whose ends no other program gets.
struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Runs a command that reads `in` and writes `out`.
absl::StatusOr<pid_t> Spawn(const std::vector<std::string>& command, int in,
                            int out) {
  std::vector<char*> argv;
  for (const std::string& one : command) {
    argv.push_back(const_cast<char*>(one.c_str()));
  }
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  pid_t pid = 0;
  const int error =
      posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return ErrnoStatus(error, command[0]);
  return pid;
}

// Gives `request` to a command and takes what it writes until it closes its
// output, both as they go, so that neither waits for the other.
absl::Status Converse(absl::Span<const char> request, Pipe to, Pipe from,
                      std::string* response) {
  to.read_end.Reset();
  from.write_end.Reset();
  fcntl(to.write_end.get(), F_SETFL, O_NONBLOCK);
  for (;;) {
    if (request.empty()) to.write_end.Reset();
    pollfd events[] = {{from.read_end.get(), POLLIN, 0},
                       {to.write_end.get(), POLLOUT, 0}};
    if (poll(events, 2, -1) < 0 && errno != EINTR) {
      return ErrnoStatus(errno, "poll");
    }
    if (events[1].revents != 0) {
      const ssize_t count =
          write(to.write_end.get(), request.data(), request.size());
      if (count > 0) request.remove_prefix(static_cast<size_t>(count));
      // It does not want to read on.
      if (count < 0 && errno != EAGAIN && errno != EINTR) request = {};
    }
    if (events[0].revents == 0) continue;
    char piece[65536];
    const ssize_t count = read(from.read_end.get(), piece, sizeof(piece));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return ErrnoStatus(errno, "read");
    if (count == 0) return absl::OkStatus();
    response->append(piece, static_cast<size_t>(count));
  }
}

absl::StatusOr<std::string> Answer(const ServeOptions& options,
                                   absl::Span<const char> request) {
  if (options.command.empty()) {
    return std::string(request.data(), request.size());
  }
  ASSIGN_OR_RETURN(Pipe to, MakePipe());
  ASSIGN_OR_RETURN(Pipe from, MakePipe());
  ASSIGN_OR_RETURN(const pid_t pid, Spawn(options.command, to.read_end.get(),
                                          from.write_end.get()));
  std::string response;
  const absl::Status conversed =
      Converse(request, std::move(to), std::move(from), &response);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  RETURN_IF_ERROR(conversed);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return response;
  return absl::UnknownError(
      absl::StrCat(options.command[0],
                   WIFEXITED(status) ? " ended with " : " was killed by ",
                   WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status)));
}

absl::Status RunServe(Context& context, const ServeOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  if (options.call.grant.empty()) {
    RETURN_IF_ERROR(
        FindOrCreateChannel(*client, options.channel, options.spec).status());
  }
  ASSIGN_OR_RETURN(Responder responder,
                   Responder::Open(*client, options.channel, options.call));
  for (uint64_t left = options.count; left > 0; --left) {
    ASSIGN_OR_RETURN(IncomingCall call, responder.Next());
    const absl::StatusOr<std::string> response =
        Answer(options, call.payload());
    const absl::Time give_up = absl::Now() + kPatience;
    const absl::Status sent =
        response.ok() ? call.Finish(absl::MakeConstSpan(*response), give_up)
                      : call.Fail(response.status(), give_up);
    if (!sent.ok()) {
      fprintf(stderr, "shm: no response: %s\n",
              std::string(sent.message()).c_str());
    }
  }
  return absl::OkStatus();
}

}  // namespace

void AddServe(CLI::App& app, Context& context) {
  auto options = std::make_shared<ServeOptions>();
  options->spec.kind = ChannelKind::kCall;
  CLI::App& verb = *app.add_subcommand(
      "serve",
      "Answer calls with what a command makes of each request, or with the "
      "request; the channel is created if there is none");
  verb.add_option("channel", options->channel, "its name")->required();
  verb.add_option("command", options->command,
                  "behind `--`: reads a request, writes the response");
  verb.add_option("--count,-n", options->count, "end after this many calls")
      ->check(CLI::PositiveNumber);
  AddGrantOption(verb, &options->call.grant);
  verb.callback(
      [options, &context] { context.status = RunServe(context, *options); });
}

}  // namespace shmd::cli
