#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "cli/format.h"
#include "cli/orphans.h"
#include "cli/verbs.h"

namespace shmd::cli {
namespace {

struct GcOptions {
  bool yes = false;
  bool dry_run = false;
  bool allow_living_creator = false;
};

// What became of the orphans.
struct Outcome {
  std::vector<const Orphan*> removed;
  std::vector<const Orphan*> kept;     // by choice
  std::vector<const Orphan*> skipped;  // their creator lives
  std::vector<std::pair<const Orphan*, absl::Status>> failed;
};

enum class Answer { kYes, kNo, kAll, kQuit };

Answer Ask() {
  printf("remove it? [y/N, a for all, q to quit] ");
  fflush(stdout);
  std::string line;
  if (!std::getline(std::cin, line)) return Answer::kQuit;
  const std::string word = absl::AsciiStrToLower(line).substr(0, 1);
  if (word == "y") return Answer::kYes;
  if (word == "a") return Answer::kAll;
  return word == "q" ? Answer::kQuit : Answer::kNo;
}

Outcome Collect(Client& client, const GcOptions& options, bool json,
                const std::vector<Orphan>& orphans) {
  Outcome out;
  bool all = options.yes;
  bool quit = options.dry_run;
  for (const Orphan& orphan : orphans) {
    if (!json) PrintOrphan(orphan);
    if (orphan.creator_alive && !options.allow_living_creator) {
      if (!json) printf("  kept: its creator lives (--allow_living_creator)\n");
      out.skipped.push_back(&orphan);
      continue;
    }
    if (!all && !quit) {
      const Answer answer = Ask();
      all = answer == Answer::kAll;
      quit = answer == Answer::kQuit;
      if (answer == Answer::kNo || quit) {
        out.kept.push_back(&orphan);
        continue;
      }
    } else if (quit) {
      out.kept.push_back(&orphan);
      continue;
    }
    const absl::Status status =
        client.DeleteOrphan(orphan, options.allow_living_creator);
    if (status.ok()) {
      out.removed.push_back(&orphan);
    } else {
      out.failed.emplace_back(&orphan, status);
    }
    if (!json) {
      printf("  %s\n",
             status.ok()
                 ? "removed"
                 : absl::StrCat("not removed: ",
                                Printable(std::string(status.message())), " (",
                                GetErrorReason(status), ")")
                       .c_str());
    }
  }
  return out;
}

nlohmann::ordered_json ToJson(const Outcome& outcome) {
  nlohmann::ordered_json out;
  const auto list = [](const std::vector<const Orphan*>& orphans) {
    nlohmann::ordered_json array = nlohmann::ordered_json::array();
    for (const Orphan* orphan : orphans) {
      array.push_back(OrphanToJson(*orphan));
    }
    return array;
  };
  out["removed"] = list(outcome.removed);
  out["kept"] = list(outcome.kept);
  out["skipped"] = list(outcome.skipped);
  out["failed"] = nlohmann::ordered_json::array();
  for (const auto& [orphan, status] : outcome.failed) {
    nlohmann::ordered_json one = OrphanToJson(*orphan);
    one["reason"] = GetErrorReason(status);
    one["message"] = std::string(status.message());
    out["failed"].push_back(std::move(one));
  }
  return out;
}

void PrintSum(const Outcome& outcome, bool dry_run) {
  uint64_t freed_bytes = 0;
  for (const Orphan* orphan : outcome.removed) {
    freed_bytes += orphan->resident_bytes;
  }
  uint64_t kept_bytes = 0;
  for (const Orphan* orphan : outcome.kept) {
    kept_bytes += orphan->resident_bytes;
  }
  if (dry_run) {
    printf("%zu orphans, %s of memory; nothing was removed (--dry_run)\n",
           outcome.kept.size(), HumanSize(kept_bytes).c_str());
  } else {
    printf("%zu removed, %s of memory; %zu kept, %zu could not be removed\n",
           outcome.removed.size(), HumanSize(freed_bytes).c_str(),
           outcome.kept.size(), outcome.failed.size());
  }
  if (!outcome.skipped.empty()) {
    printf("%zu more have a creator that lives (--allow_living_creator)\n",
           outcome.skipped.size());
  }
}

absl::Status RunGc(Context& context, const GcOptions& options) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const std::vector<Orphan> orphans, client->ListOrphans());
  const Outcome outcome = Collect(*client, options, context.json, orphans);
  if (context.json) {
    printf("%s\n", ToText(ToJson(outcome)).c_str());
  } else {
    PrintSum(outcome, options.dry_run);
  }
  if (outcome.failed.empty()) return absl::OkStatus();
  const absl::Status& first = outcome.failed.front().second;
  return WithErrorDetail(
      absl::Status(first.code(),
                   absl::StrCat(outcome.failed.size(), " of ", orphans.size(),
                                " orphans could not be removed; the first: ",
                                first.message())),
      GetErrorDetail(first));
}

}  // namespace

void AddGc(CLI::App& app, Context& context) {
  auto options = std::make_shared<GcOptions>();
  CLI::App& verb = *app.add_subcommand(
      "gc", "Remove shared memory that nobody uses, asking for each");
  CLI::Option* const yes =
      verb.add_flag("--yes,-y", options->yes, "remove all without asking");
  verb.add_flag("--dry_run,--dry-run", options->dry_run,
                "show what would be removed, and remove nothing")
      ->excludes(yes);
  verb.add_flag("--allow_living_creator,--allow-living-creator",
                options->allow_living_creator,
                "also System V segments whose creator lives and may be about "
                "to attach them");
  verb.callback([options, &context] {
    if (!options->yes && !options->dry_run &&
        (context.json || isatty(STDIN_FILENO) == 0)) {
      throw CLI::ValidationError(
          "gc", "there is no terminal to ask on: say --yes or --dry_run");
    }
    context.status = RunGc(context, *options);
  });
}

}  // namespace shmd::cli
