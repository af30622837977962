#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "cli/interruption.h"
#include "cli/usage.h"
#include "cli/verbs.h"

namespace {

constexpr char kVersion[] = "shm 0.1.0";

// A command line that cannot be parsed leaves no flags to ask.
bool AsksForJson(int argc, char** argv) {
  for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; ++i) {
    if (strcmp(argv[i], "--json") == 0) return true;
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  // A reader that has gone is an error of the write, not the program's end.
  signal(SIGPIPE, SIG_IGN);
  shmd::cli::Context context;
  CLI::App app("Creates, lists, fills, reads and removes shared memory of shmd",
               "shm");
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);
  // So that --json and --socket_dir may also follow the verb.
  app.fallthrough();
  app.add_option("--socket_dir", context.socket_dir,
                 "folder of the daemon's sockets (default $SHMD_SOCKET_DIR, "
                 "$XDG_RUNTIME_DIR/shmd, /run/shmd)");
  app.add_option("--namespace", context.name_space,
                 "where short names live (default `default`)");
  app.add_flag("--json", context.json, "JSON for programs");
  for (const auto add : {shmd::cli::AddCreate,    shmd::cli::AddLs,
                         shmd::cli::AddStat,      shmd::cli::AddPut,
                         shmd::cli::AddGet,       shmd::cli::AddCat,
                         shmd::cli::AddSum,       shmd::cli::AddHandle,
                         shmd::cli::AddGrant,     shmd::cli::AddGrants,
                         shmd::cli::AddRevoke,    shmd::cli::AddRenew,
                         shmd::cli::AddSet,       shmd::cli::AddSeal,
                         shmd::cli::AddResize,    shmd::cli::AddFlush,
                         shmd::cli::AddAdopt,     shmd::cli::AddDisown,
                         shmd::cli::AddRm,        shmd::cli::AddWatch,
                         shmd::cli::AddWho,       shmd::cli::AddSessions,
                         shmd::cli::AddTop,       shmd::cli::AddNode,
                         shmd::cli::AddHealth,    shmd::cli::AddDoctor,
                         shmd::cli::AddGc,        shmd::cli::AddNamespaces,
                         shmd::cli::AddNamespace, shmd::cli::AddChannels,
                         shmd::cli::AddChannel,   shmd::cli::AddPub,
                         shmd::cli::AddSub,       shmd::cli::AddCall,
                         shmd::cli::AddServe,     shmd::cli::AddLocks,
                         shmd::cli::AddSync,      shmd::cli::AddCompletion}) {
    add(app, context);
  }
  // A verb made later would have it as well.
  app.footer("`shm help VERB` shows the options of a verb.");
  try {
    std::vector<std::string> words = shmd::cli::CommandLine(argc, argv);
    // The parser takes them from the back.
    std::reverse(words.begin(), words.end());
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    return shmd::cli::EndUnparsed(app, error, AsksForJson(argc, argv));
  }
  // What was printed must have got somewhere, unless its reader has gone.
  if (fflush(stdout) != 0 && errno != EPIPE && context.status.ok()) {
    context.status = shmd::ErrnoStatus(errno, "writing to the standard output");
  }
  if (!context.status.ok()) {
    shmd::cli::PrintError(context.status, context.json);
  }
  if (context.signal != 0) return shmd::cli::EndBySignal(context.signal);
  return shmd::cli::ExitCode(context.status);
}
