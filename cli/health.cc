#include "client/cpp/health.h"

#include <cstdio>
#include <memory>

#include "absl/time/time.h"
#include "cli/verbs.h"

namespace shmd::cli {

void AddHealth(CLI::App& app, Context& context) {
  auto seconds = std::make_shared<double>(1);
  CLI::App& verb = *app.add_subcommand(
      "health", "Succeed when the daemon serves: a probe for containers");
  verb.add_option("--timeout", *seconds, "seconds to wait for its answer")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  verb.callback([seconds, &context] {
    context.status = CheckHealth(context.socket_dir, absl::Seconds(*seconds));
    if (!context.status.ok()) return;
    puts(context.json ? "{\"status\": \"SERVING\"}" : "SERVING");
  });
}

}  // namespace shmd::cli
