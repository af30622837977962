#ifndef SHMD_CLI_OPTIONS_H_
#define SHMD_CLI_OPTIONS_H_

#include <functional>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "client/cpp/segment.h"

namespace shmd::cli {

// Adds an option whose text `parse` turns into a value that `store` takes.
// What cannot be parsed is a usage error.
template <typename Parse, typename Store>
CLI::Option* AddParsed(CLI::App& app, const std::string& name,
                       const std::string& description, Parse parse,
                       Store store) {
  return app
      .add_option_function<std::string>(
          name,
          [name, parse, store](const std::string& text) {
            auto value = parse(text);
            if (!value.ok()) {
              throw CLI::ValidationError(name,
                                         std::string(value.status().message()));
            }
            store(*std::move(value));
          },
          description)
      ->trigger_on_parse();
}

// A check of an argument that names a file: `-`, by which other programs mean a
// standard stream, is refused with `instead`, which says what to do.
std::function<std::string(const std::string&)> NoStandardStream(
    const std::string& instead);

// The options of `create` and `put` that say what to create. `spec` outlives
// `app`'s parse.
void AddSpecOptions(CLI::App& app, SegmentSpec* spec);

// --label KEY=VALUE, as often as wanted.
void AddLabelOption(CLI::App& app, std::map<std::string, std::string>* labels);
// --ttl; `what` says what happens at the end, as "removed by itself".
void AddTtlOption(CLI::App& app, const std::string& what,
                  std::optional<absl::Duration>* ttl);

}  // namespace shmd::cli

#endif  // SHMD_CLI_OPTIONS_H_
