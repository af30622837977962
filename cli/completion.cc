#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/verbs.h"

// Completion scripts, made from the verbs and options themselves, so that they
// never lag behind. Segments are completed by asking `shm ls --quiet`.

namespace shmd::cli {
namespace {

struct Verb {
  std::string name;
  std::string description;
  std::vector<std::string> options;  // with their dashes
  bool takes_segment = false;
  bool takes_file = false;
};

void CollectOptions(const CLI::App& app, Verb* verb) {
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      verb->options.push_back("--" + name);
    }
    if (option->get_positional()) {
      verb->takes_segment |= option->get_single_name() == "segment";
      verb->takes_file |= option->get_single_name() == "file";
    }
  }
  // Groups of options are nameless apps of their own.
  for (const CLI::App* group : app.get_subcommands(
           [](const CLI::App* sub) { return sub->get_name().empty(); })) {
    CollectOptions(*group, verb);
  }
}

std::vector<Verb> CollectVerbs(const CLI::App& app) {
  std::vector<Verb> verbs;
  for (const CLI::App* sub : app.get_subcommands(
           [](const CLI::App* verb) { return !verb->get_name().empty(); })) {
    Verb verb;
    verb.name = sub->get_name();
    verb.description = sub->get_description();
    CollectOptions(*sub, &verb);
    CollectOptions(app, &verb);
    verbs.push_back(std::move(verb));
  }
  return verbs;
}

std::string VerbNames(const std::vector<Verb>& verbs) {
  return absl::StrJoin(verbs, " ", [](std::string* out, const Verb& verb) {
    absl::StrAppend(out, verb.name);
  });
}

// For use between single quotes.
std::string QuotedForShell(const std::string& text) {
  return absl::StrReplaceAll(text, {{"'", "'\\''"}});
}

std::string Bash(const std::vector<Verb>& verbs) {
  std::string cases;
  for (const Verb& verb : verbs) {
    absl::StrAppend(&cases, "    ", verb.name, ") options='",
                    absl::StrJoin(verb.options, " "), "'",
                    verb.takes_segment ? "; segments=1" : "",
                    verb.takes_file ? "; files=1" : "", " ;;\n");
  }
  return absl::StrReplaceAll(
      R"sh(# bash completion for shm: source <(shm completion bash)
_shm() {
  local word=${COMP_WORDS[COMP_CWORD]} verb= options= segments= files= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    if [[ " @VERBS@ " == *" ${COMP_WORDS[i]} "* ]]; then
      verb=${COMP_WORDS[i]}
      break
    fi
  done
  COMPREPLY=()
  case $verb in
    '') COMPREPLY=($(compgen -W "@VERBS@" -- "$word")); return ;;
@CASES@  esac
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
    return
  fi
  [[ $segments ]] &&
    COMPREPLY=($(compgen -W "$(shm ls --quiet 2>/dev/null)" -- "$word"))
  [[ $files ]] && COMPREPLY+=($(compgen -f -- "$word"))
}
complete -o filenames -F _shm shm
)sh",
      {{"@VERBS@", VerbNames(verbs)}, {"@CASES@", cases}});
}

std::string Zsh(const std::vector<Verb>& verbs) {
  std::string descriptions;
  std::string cases;
  for (const Verb& verb : verbs) {
    absl::StrAppend(&descriptions, "    '", verb.name, ":",
                    QuotedForShell(verb.description), "'\n");
    absl::StrAppend(&cases, "    ", verb.name, ") compadd -- ",
                    absl::StrJoin(verb.options, " "),
                    verb.takes_segment ? "; _shm_segments" : "",
                    verb.takes_file ? "; _files" : "", " ;;\n");
  }
  return absl::StrReplaceAll(
      R"sh(#compdef shm
# zsh completion for shm; put it as _shm into a folder of $fpath
_shm_segments() {
  local -a segments
  segments=(${(f)"$(shm ls --quiet 2>/dev/null)"})
  (( $#segments )) && compadd -a segments
}
_shm() {
  local -a verbs
  verbs=(
@DESCRIPTIONS@  )
  if (( CURRENT == 2 )); then
    _describe verb verbs
    return
  fi
  case $words[2] in
@CASES@  esac
}
compdef _shm shm
)sh",
      {{"@DESCRIPTIONS@", descriptions}, {"@CASES@", cases}});
}

std::string Fish(const std::vector<Verb>& verbs) {
  std::string out =
      "# fish completion for shm; put it into "
      "~/.config/fish/completions/shm.fish\n"
      "complete -c shm -f\n";
  for (const Verb& verb : verbs) {
    absl::StrAppend(&out, "complete -c shm -n __fish_use_subcommand -a ",
                    verb.name, " -d '", QuotedForShell(verb.description),
                    "'\n");
    const std::string when = absl::StrCat(
        "complete -c shm -n '__fish_seen_subcommand_from ", verb.name, "'");
    for (const std::string& option : verb.options) {
      absl::StrAppend(&out, when, " -l ", option.substr(2), "\n");
    }
    if (verb.takes_segment) {
      absl::StrAppend(&out, when, " -a '(shm ls --quiet 2>/dev/null)'\n");
    }
    if (verb.takes_file) absl::StrAppend(&out, when, " -F\n");
  }
  return out;
}

}  // namespace

void AddCompletion(CLI::App& app, Context& context) {
  auto shell = std::make_shared<std::string>();
  CLI::App& verb = *app.add_subcommand("completion",
                                       "Print a completion script for a shell");
  verb.add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  verb.callback([shell, &app, &context] {
    const std::vector<Verb> verbs = CollectVerbs(app);
    const std::string script = *shell == "bash"  ? Bash(verbs)
                               : *shell == "zsh" ? Zsh(verbs)
                                                 : Fish(verbs);
    fputs(script.c_str(), stdout);
    context.status = absl::OkStatus();
  });
}

}  // namespace shmd::cli
