// A keeper with settings of the test's choice.
//   trial_keeper FOLDER FIRST_DELAY_MS MAX_FAILED_STARTS COMMAND...

#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/time/time.h"
#include "server/keeper/keeper.h"

int main(int argc, char** argv) {
  int delay_ms = 0;
  shmd::Keeper::Settings settings;
  if (argc < 5 || !absl::SimpleAtoi(argv[2], &delay_ms) ||
      !absl::SimpleAtoi(argv[3], &settings.max_failed_starts)) {
    return 64;
  }
  settings.folder = argv[1];
  settings.first_delay = absl::Milliseconds(delay_ms);
  settings.command.assign(argv + 4, argv + argc);
  const absl::StatusOr<int> code = shmd::Keeper(settings).Run();
  if (code.ok()) return *code;
  std::fprintf(stderr, "%s\n", code.status().ToString().c_str());
  return 70;
}
