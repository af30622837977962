#include "cli/progress.h"

#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "cli/format.h"

namespace shmd::cli {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(1);
constexpr absl::Duration kDrawInterval = absl::Milliseconds(100);
constexpr int kWidth = 30;

}  // namespace

ProgressBar::ProgressBar()
    : terminal_(isatty(STDERR_FILENO) != 0),
      start_(absl::Now()),
      next_draw_(start_ + kPatience) {}

ProgressBar::~ProgressBar() {
  if (drawn_) fputs("\r\033[K", stderr);
}

void ProgressBar::Update(uint64_t done_bytes, uint64_t total_bytes) {
  if (!terminal_) return;
  const absl::Time now = absl::Now();
  if (now < next_draw_) return;
  next_draw_ = now + kDrawInterval;
  drawn_ = true;
  fprintf(stderr, "\r%s\033[K",
          Render(done_bytes, total_bytes, now - start_).c_str());
  fflush(stderr);
}

std::string ProgressBar::Render(uint64_t done_bytes, uint64_t total_bytes,
                                absl::Duration elapsed) {
  const double part = total_bytes == 0 ? 1.0
                                       : static_cast<double>(done_bytes) /
                                             static_cast<double>(total_bytes);
  const int full = static_cast<int>(part * kWidth);
  const double seconds = absl::ToDoubleSeconds(elapsed);
  const double rate =
      seconds > 0 ? static_cast<double>(done_bytes) / seconds / 1e9 : 0;
  return absl::StrFormat("[%s%s] %3d %%  %s  %.2f GB/s", std::string(full, '#'),
                         std::string(kWidth - full, '-'),
                         static_cast<int>(part * 100), HumanSize(total_bytes),
                         rate);
}

}  // namespace shmd::cli
