#include <unistd.h>

#include <cerrno>
#include <string>

#include "base/error.h"
#include "base/status_macros.h"
#include "cli/verbs.h"
#include "client/cpp/file_transfer.h"

namespace shmd::cli {
namespace {

absl::Status RunCat(Context& context, const std::string& segment) {
  ASSIGN_OR_RETURN(Client * client, context.Connect());
  ASSIGN_OR_RETURN(const std::string handle, ResolveHandle(*client, segment));
  const absl::Status status = GetToDescriptor(*client, handle, STDOUT_FILENO);
  // Who reads has read enough, as `shm cat NAME | head` does.
  if (GetErrorDetail(status).metadata["errno"] == std::to_string(EPIPE)) {
    return absl::OkStatus();
  }
  return status;
}

}  // namespace

void AddCat(CLI::App& app, Context& context) {
  auto segment = std::make_shared<std::string>();
  CLI::App& verb =
      *app.add_subcommand("cat", "Write a segment to standard output");
  verb.add_option("segment", *segment, "name or handle")->required();
  verb.callback(
      [segment, &context] { context.status = RunCat(context, *segment); });
}

}  // namespace shmd::cli
