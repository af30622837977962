#include "cli/interruption.h"

namespace shmd::cli {
namespace {

volatile sig_atomic_t signal_that_came = 0;

void Keep(int number) { signal_that_came = number; }

void KeepUnlessIgnored(int number, struct sigaction* old) {
  struct sigaction keep = {};
  keep.sa_handler = Keep;
  // RESETHAND: the second one finds the usual end.
  keep.sa_flags = static_cast<int>(SA_RESTART | SA_RESETHAND);
  sigaction(number, nullptr, old);
  if (old->sa_handler != SIG_IGN) sigaction(number, &keep, nullptr);
}

}  // namespace

Interruption::Interruption() {
  signal_that_came = 0;
  KeepUnlessIgnored(SIGINT, &old_interrupt_);
  KeepUnlessIgnored(SIGTERM, &old_terminate_);
}

Interruption::~Interruption() {
  sigaction(SIGINT, &old_interrupt_, nullptr);
  sigaction(SIGTERM, &old_terminate_, nullptr);
}

int Interruption::signal() const { return signal_that_came; }

int EndBySignal(int signal) {
  std::signal(signal, SIG_DFL);
  raise(signal);
  return 128 + signal;
}

}  // namespace shmd::cli
