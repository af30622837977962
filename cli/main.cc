#include <cerrno>
#include <csignal>
#include <cstdio>

#include "base/error.h"
#include "cli/verbs.h"

namespace {

constexpr char kVersion[] = "shm 0.1.0";
constexpr int kUsageError = 2;

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
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsageError;
  }
  // What was printed must have got somewhere, unless its reader has gone.
  if (fflush(stdout) != 0 && errno != EPIPE && context.status.ok()) {
    context.status = shmd::ErrnoStatus(errno, "writing to the standard output");
  }
  if (!context.status.ok()) {
    shmd::cli::PrintError(context.status, context.json);
  }
  return shmd::cli::ExitCode(context.status);
}
