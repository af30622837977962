#include "cli/usage.h"

#include <cstdio>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "cli/context.h"

namespace shmd::cli {
namespace {

constexpr int kUsageError = 2;

// A verb that the parser has come to, and how it is called.
struct ParsedVerb {
  const CLI::App* app;
  std::string call;  // as "shm namespace create"
};

ParsedVerb LastVerb(const CLI::App& app) {
  ParsedVerb last = {&app, app.get_name()};
  while (!last.app->get_subcommands().empty()) {
    last.app = last.app->get_subcommands().back();
    absl::StrAppend(&last.call, " ", last.app->get_name());
  }
  return last;
}

bool LacksVerb(const ParsedVerb& verb) {
  return verb.app->get_require_subcommand_min() > 0;
}

// By its code: the name of an ExtrasError is that of the program.
bool HasKind(const CLI::ParseError& error, CLI::ExitCodes kind) {
  return error.get_exit_code() == static_cast<int>(kind);
}

// The first word that the parser could not place, or empty.
std::string UnknownWord(const CLI::App& app) {
  for (const std::string& word : app.remaining(/*recurse=*/true)) {
    if (word != "--") return word;
  }
  return "";
}

std::string UnknownMessage(const ParsedVerb& verb, const std::string& word) {
  if (LacksVerb(verb)) return absl::StrCat("there is no verb or option ", word);
  // An option of the verb may stand before it, where it is none.
  const std::string option = word.substr(0, word.find('='));
  if (absl::StartsWith(option, "-") &&
      verb.app->get_option_no_throw(option) == nullptr) {
    return absl::StrCat("`", verb.call, "` has no option ", option);
  }
  return absl::StrCat("not expected here: ", word);
}

}  // namespace

std::vector<std::string> CommandLine(int argc, const char* const* argv) {
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) words.emplace_back(argv[i]);
  if (!words.empty() && words.front() == "help") {
    words.erase(words.begin());
    words.emplace_back("--help");
  }
  return words;
}

int EndUnparsed(const CLI::App& app, const CLI::ParseError& error, bool json) {
  const ParsedVerb verb = LastVerb(app);
  const std::string unknown = UnknownWord(app);
  const bool is_no_verb = LacksVerb(verb) && !unknown.empty();
  if (error.get_exit_code() == 0 && !is_no_verb) return app.exit(error);
  const bool is_incomplete = HasKind(error, CLI::ExitCodes::RequiredError);
  const bool has_extras = HasKind(error, CLI::ExitCodes::ExtrasError);
  const bool shows_verbs = LacksVerb(verb) && is_incomplete && !is_no_verb;
  std::string message = error.what();
  if (shows_verbs) message = "a verb is required";
  // What is missing may only be misspelt, so it is not what is told first.
  if (is_no_verb || (!unknown.empty() && (is_incomplete || has_extras))) {
    message = UnknownMessage(verb, unknown);
  }
  PrintError(absl::InvalidArgumentError(message), json);
  if (json) return kUsageError;
  if (shows_verbs) {
    fprintf(stderr, "\n%s", app.help().c_str());
  } else {
    fprintf(stderr, "Run `%s --help` for more information.\n",
            verb.call.c_str());
  }
  return kUsageError;
}

}  // namespace shmd::cli
