#ifndef SHMD_CLI_USAGE_H_
#define SHMD_CLI_USAGE_H_

#include <string>
#include <vector>

#include "CLI/CLI.hpp"

namespace shmd::cli {

// The words behind the program's name; `help VERB` as `VERB --help`.
std::vector<std::string> CommandLine(int argc, const char* const* argv);

// Prints what was asked for (--help, --version), or why `app` could not parse
// its command line; returns the process's exit code.
int EndUnparsed(const CLI::App& app, const CLI::ParseError& error, bool json);

}  // namespace shmd::cli

#endif  // SHMD_CLI_USAGE_H_
