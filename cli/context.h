#ifndef SHMD_CLI_CONTEXT_H_
#define SHMD_CLI_CONTEXT_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cpp/client.h"

namespace shmd::cli {

// What all verbs share: the global options, the connection, and how the verb
// that ran has ended. Not thread-safe.
struct Context {
  std::string socket_dir;
  std::string name_space = "default";
  bool json = false;
  absl::Status status;
  // What stopped the verb, once it has cleaned up; 0 when nothing did.
  int signal = 0;

  // Connects at the first call.
  absl::StatusOr<Client*> Connect();

 private:
  std::optional<Client> client_;
};

// The process's exit code for how a verb has ended; the table is in README.md.
int ExitCode(const absl::Status& status);

// Writes an error to standard error: `shm: MESSAGE (REASON)`, and a hint
// where there is an obvious next step; one JSON object with `json`.
void PrintError(const absl::Status& status, bool json);

// The handle that a program attaches by: `reference` itself when it is the
// text of one, else that of the segment so named. HANDLE_INVALID when it begins
// as a handle does and is neither.
absl::StatusOr<std::string> ResolveHandle(Client& client,
                                          const std::string& reference);

}  // namespace shmd::cli

#endif  // SHMD_CLI_CONTEXT_H_
