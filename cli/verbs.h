#ifndef SHMD_CLI_VERBS_H_
#define SHMD_CLI_VERBS_H_

#include "CLI/CLI.hpp"
#include "cli/context.h"

namespace shmd::cli {

// Each adds one verb to `app`, in the file of its name. When it is the one
// that was asked for, it runs during the parse and leaves its end in
// `context.status`. `context` outlives `app`.
void AddAdopt(CLI::App& app, Context& context);
void AddCall(CLI::App& app, Context& context);
void AddCat(CLI::App& app, Context& context);
void AddChannel(CLI::App& app, Context& context);
void AddChannels(CLI::App& app, Context& context);
void AddCompletion(CLI::App& app, Context& context);
void AddCreate(CLI::App& app, Context& context);
void AddDisown(CLI::App& app, Context& context);
void AddDoctor(CLI::App& app, Context& context);
void AddFlush(CLI::App& app, Context& context);
void AddGc(CLI::App& app, Context& context);
void AddGet(CLI::App& app, Context& context);
void AddGrant(CLI::App& app, Context& context);
void AddGrants(CLI::App& app, Context& context);
void AddHandle(CLI::App& app, Context& context);
void AddHealth(CLI::App& app, Context& context);
void AddLocks(CLI::App& app, Context& context);
void AddLs(CLI::App& app, Context& context);
void AddNamespace(CLI::App& app, Context& context);
void AddNamespaces(CLI::App& app, Context& context);
void AddNode(CLI::App& app, Context& context);
void AddPub(CLI::App& app, Context& context);
void AddPut(CLI::App& app, Context& context);
void AddRenew(CLI::App& app, Context& context);
void AddResize(CLI::App& app, Context& context);
void AddRevoke(CLI::App& app, Context& context);
void AddRm(CLI::App& app, Context& context);
void AddSeal(CLI::App& app, Context& context);
void AddServe(CLI::App& app, Context& context);
void AddSessions(CLI::App& app, Context& context);
void AddSet(CLI::App& app, Context& context);
void AddStat(CLI::App& app, Context& context);
void AddSub(CLI::App& app, Context& context);
void AddSum(CLI::App& app, Context& context);
void AddSync(CLI::App& app, Context& context);
void AddTop(CLI::App& app, Context& context);
void AddWatch(CLI::App& app, Context& context);
void AddWho(CLI::App& app, Context& context);

}  // namespace shmd::cli

#endif  // SHMD_CLI_VERBS_H_
