#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "cli/verbs.h"

// Completion scripts, made from the verbs and options themselves, so that they
// never lag behind. Segments are completed by asking `shm ls --quiet`, channels
// by `shm channels --quiet`, of the daemon and namespace that the line names.

namespace shmd::cli {
namespace {

// An option with a fixed set of values.
struct Choice {
  std::string option;  // with its dashes
  std::string values;  // with blanks between
};

struct Verb {
  std::string name;
  std::string path;  // its name behind those of the verbs above it
  std::string description;
  std::vector<std::string> options;  // with their dashes
  std::vector<Choice> choices;
  std::string values;  // of its argument, where that has a fixed set
  bool takes_segment = false;
  bool takes_channel = false;
  bool takes_file = false;
  std::vector<Verb> verbs;  // below it, of which one must follow
};

// The values that an option takes, with blanks between; empty where it takes
// any. Its type has them, between braces, as its --help shows.
std::string ValuesOf(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const size_t begin = type.find('{');
  const size_t end = type.find('}');
  if (begin == std::string::npos || end == std::string::npos) return "";
  return absl::StrReplaceAll(type.substr(begin + 1, end - begin - 1),
                             {{",", " "}});
}

void CollectNames(const CLI::Option& option, Verb* verb) {
  const std::string values = ValuesOf(option);
  for (const std::string& name : option.get_lnames()) {
    const std::string dashed = "--" + name;
    std::vector<std::string>& options = verb->options;
    // Every verb has its own --help.
    if (std::find(options.begin(), options.end(), dashed) != options.end()) {
      continue;
    }
    options.push_back(dashed);
    if (!values.empty()) verb->choices.push_back({dashed, values});
  }
  if (option.get_positional()) verb->values += values;
}

void CollectOptions(const CLI::App& app, Verb* verb) {
  for (const CLI::Option* option : app.get_options()) {
    CollectNames(*option, verb);
    if (option->get_positional()) {
      verb->takes_segment |= option->get_single_name() == "segment";
      verb->takes_channel |= option->get_single_name() == "channel";
      verb->takes_file |= option->get_single_name() == "file";
    }
  }
  // Groups of options are nameless apps of their own.
  for (const CLI::App* group : app.get_subcommands(
           [](const CLI::App* sub) { return sub->get_name().empty(); })) {
    CollectOptions(*group, verb);
  }
}

std::vector<Verb> CollectVerbs(const CLI::App& app, const std::string& above) {
  std::vector<Verb> verbs;
  for (const CLI::App* sub : app.get_subcommands(
           [](const CLI::App* verb) { return !verb->get_name().empty(); })) {
    Verb verb;
    verb.name = sub->get_name();
    verb.path = absl::StrCat(above, above.empty() ? "" : " ", verb.name);
    verb.description = sub->get_description();
    for (const CLI::App* one = sub; one != nullptr; one = one->get_parent()) {
      CollectOptions(*one, &verb);
    }
    verb.verbs = CollectVerbs(*sub, verb.path);
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

// The cases of verbs that are the last, and of those that others follow.
struct Cases {
  std::string last;
  std::string followed;
};

std::string BashChoices(const Verb& verb) {
  std::string out;
  for (const Choice& choice : verb.choices) {
    absl::StrAppend(&out, "; [[ $previous == ", choice.option,
                    " ]] && values='", choice.values, "'");
  }
  return out;
}

void AppendBashCases(const std::vector<Verb>& verbs, Cases* cases) {
  for (const Verb& verb : verbs) {
    if (!verb.verbs.empty()) {
      absl::StrAppend(&cases->followed, "      '", verb.path, "') names='",
                      VerbNames(verb.verbs), "' ;;\n");
      AppendBashCases(verb.verbs, cases);
      continue;
    }
    absl::StrAppend(&cases->last, "    '", verb.path, "') options='",
                    absl::StrJoin(verb.options, " "), "'; arguments='",
                    verb.values, "'", BashChoices(verb),
                    verb.takes_segment ? "; segments=1" : "",
                    verb.takes_channel ? "; channels=1" : "",
                    verb.takes_file ? "; files=1" : "", " ;;\n");
  }
}

std::string Bash(const std::vector<Verb>& verbs) {
  Cases cases;
  AppendBashCases(verbs, &cases);
  return absl::StrReplaceAll(
      R"sh(# bash completion for shm: source <(shm completion bash)
_shm() {
  local word=${COMP_WORDS[COMP_CWORD]} verb= names='@VERBS@'
  local previous=${COMP_WORDS[COMP_CWORD-1]} values= arguments=
  local options= segments= channels= files= option i
  local -a where=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    option=${COMP_WORDS[i]}
    case $option in
      --namespace=*|--socket_dir=*) where+=("$option") ;;
      --namespace|--socket_dir)
        # Bash makes a word of a = behind it.
        [[ ${COMP_WORDS[i+1]} == = ]] && ((i++))
        ((++i < COMP_CWORD)) && where+=("$option=${COMP_WORDS[i]}")
        continue
        ;;
    esac
    [[ $names && " $names " == *" ${COMP_WORDS[i]} "* ]] || continue
    verb+=${verb:+ }${COMP_WORDS[i]}
    case $verb in
@FOLLOWED@      *) names= ;;
    esac
  done
  COMPREPLY=()
  ((i > COMP_CWORD)) && return  # the value of such an option
  if [[ $names ]]; then
    COMPREPLY=($(compgen -W "$names" -- "$word"))
    return
  fi
  case $verb in
@CASES@  esac
  if [[ $values ]]; then
    COMPREPLY=($(compgen -W "$values" -- "$word"))
    return
  fi
  if [[ $word == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
    return
  fi
  [[ $arguments ]] && COMPREPLY=($(compgen -W "$arguments" -- "$word"))
  [[ $segments ]] &&
    COMPREPLY+=($(compgen -W \
      "$(shm "${where[@]}" ls --quiet 2>/dev/null)" -- "$word"))
  [[ $channels ]] &&
    COMPREPLY+=($(compgen -W \
      "$(shm "${where[@]}" channels --quiet 2>/dev/null)" -- "$word"))
  [[ $files ]] && COMPREPLY+=($(compgen -f -- "$word"))
}
complete -o filenames -F _shm shm
)sh",
      {{"@VERBS@", VerbNames(verbs)},
       {"@FOLLOWED@", cases.followed},
       {"@CASES@", cases.last}});
}

// The words of a list of verbs.
std::string ZshList(const std::vector<Verb>& verbs) {
  std::string out;
  for (const Verb& verb : verbs) {
    absl::StrAppend(&out, "    '", verb.name, ":",
                    QuotedForShell(verb.description), "'\n");
  }
  return out;
}

// Values stand alone behind their option.
std::string ZshChoices(const Verb& verb) {
  std::string out;
  for (const Choice& choice : verb.choices) {
    absl::StrAppend(&out, "[[ $words[CURRENT-1] == ", choice.option,
                    " ]] && { compadd -- ", choice.values, "; return; }; ");
  }
  return out;
}

void AppendZshCases(const std::vector<Verb>& verbs, Cases* cases) {
  for (const Verb& verb : verbs) {
    if (!verb.verbs.empty()) {
      absl::StrAppend(&cases->followed, "    '", verb.path, "') verbs=(\n",
                      ZshList(verb.verbs), "    ) ;;\n");
      AppendZshCases(verb.verbs, cases);
      continue;
    }
    absl::StrAppend(&cases->last, "    '", verb.path, "') ", ZshChoices(verb),
                    "compadd -- ", absl::StrJoin(verb.options, " "),
                    verb.values.empty() ? "" : " ", verb.values,
                    verb.takes_segment ? "; _shm_segments" : "",
                    verb.takes_channel ? "; _shm_channels" : "",
                    verb.takes_file ? "; _files" : "", " ;;\n");
  }
}

std::string Zsh(const std::vector<Verb>& verbs) {
  Cases cases;
  AppendZshCases(verbs, &cases);
  return absl::StrReplaceAll(
      R"sh(#compdef shm
# zsh completion for shm; put it as _shm into a folder of $fpath
_shm_segments() {
  local -a segments
  segments=(${(f)"$(shm $where ls --quiet 2>/dev/null)"})
  (( $#segments )) && compadd -a segments
}
_shm_channels() {
  local -a channels
  channels=(${(f)"$(shm $where channels --quiet 2>/dev/null)"})
  (( $#channels )) && compadd -a channels
}
_shm() {
  local -a verbs where
  local verb= option i
  verbs=(
@DESCRIPTIONS@  )
  for ((i = 2; i < CURRENT; i++)); do
    option=$words[i]
    case $option in
      --namespace=*|--socket_dir=*) where+=($option) ;;
      --namespace|--socket_dir)
        ((++i < CURRENT)) && where+=($option=$words[i])
        continue
        ;;
    esac
    (( ${verbs[(I)$option:*]} )) || continue
    verb+=${verb:+ }$option
    case $verb in
@FOLLOWED@    *) verbs=() ;;
    esac
  done
  if (( $#verbs )); then
    _describe verb verbs
    return
  fi
  case $verb in
@CASES@  esac
}
compdef _shm shm
)sh",
      {{"@DESCRIPTIONS@", ZshList(verbs)},
       {"@FOLLOWED@", cases.followed},
       {"@CASES@", cases.last}});
}

// A condition that the line has `verb`, for fish. Names of verbs may also be
// those of verbs below `others`.
std::string FishSeen(const std::string& verb, const std::string& others) {
  return absl::StrCat(
      "__fish_seen_subcommand_from ", verb,
      others.empty() ? "" : "; and not __fish_seen_subcommand_from ", others);
}

void AppendFish(const Verb& verb, const std::string& when, std::string* out) {
  const std::string begin = absl::StrCat("complete -c shm -n '", when, "'");
  for (const std::string& option : verb.options) {
    absl::StrAppend(out, begin, " -l ", option.substr(2), "\n");
  }
  for (const Choice& choice : verb.choices) {
    absl::StrAppend(out, begin, " -l ", choice.option.substr(2), " -x -a '",
                    choice.values, "'\n");
  }
  if (!verb.values.empty()) {
    absl::StrAppend(out, begin, " -a '", verb.values, "'\n");
  }
  if (verb.takes_segment) {
    absl::StrAppend(out, begin,
                    " -a '(shm (_shm_where) ls --quiet 2>/dev/null)'\n");
  }
  if (verb.takes_channel) {
    absl::StrAppend(out, begin,
                    " -a '(shm (_shm_where) channels --quiet 2>/dev/null)'\n");
  }
  if (verb.takes_file) absl::StrAppend(out, begin, " -F\n");
}

std::string Fish(const std::vector<Verb>& verbs) {
  std::string out =
      R"sh(# fish completion for shm; put it as shm.fish into
# ~/.config/fish/completions
function _shm_where
  set -l option
  for word in (commandline -opc)
    if test -n "$option"
      echo -- $option=$word
      set option
    else if contains -- $word --namespace --socket_dir
      set option $word
    else if string match -qr -- '^--(namespace|socket_dir)=' $word
      echo -- $word
    end
  end
end
complete -c shm -f
)sh";
  std::string followed;
  for (const Verb& verb : verbs) {
    if (verb.verbs.empty()) continue;
    absl::StrAppend(&followed, followed.empty() ? "" : " ", verb.name);
  }
  for (const Verb& verb : verbs) {
    absl::StrAppend(&out, "complete -c shm -n __fish_use_subcommand -a ",
                    verb.name, " -d '", QuotedForShell(verb.description),
                    "'\n");
    if (verb.verbs.empty()) {
      AppendFish(verb, FishSeen(verb.name, followed), &out);
    }
    for (const Verb& below : verb.verbs) {
      absl::StrAppend(&out, "complete -c shm -n '",
                      FishSeen(verb.name, VerbNames(verb.verbs)), "' -a ",
                      below.name, " -d '", QuotedForShell(below.description),
                      "'\n");
      AppendFish(below,
                 absl::StrCat(FishSeen(verb.name, ""), "; and ",
                              FishSeen(below.name, "")),
                 &out);
    }
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
    const std::vector<Verb> verbs = CollectVerbs(app, "");
    const std::string script = *shell == "bash"  ? Bash(verbs)
                               : *shell == "zsh" ? Zsh(verbs)
                                                 : Fish(verbs);
    fputs(script.c_str(), stdout);
    context.status = absl::OkStatus();
  });
}

}  // namespace shmd::cli
