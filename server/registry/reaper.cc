#include "server/registry/reaper.h"

namespace shmd {

Reaper::Reaper(SegmentRegistry* registry)
    : registry_(registry), thread_([this] { Run(); }) {}

Reaper::~Reaper() {
  stopping_ = true;
  registry_->expiries().Wake();
  thread_.join();
}

void Reaper::Run() {
  bool is_last = false;
  while (!is_last) {
    registry_->expiries().WaitForNext(registry_->clock().SinceBoot());
    // Asked before the work, not after it: what has ended before the stop is
    // not left to the next run.
    is_last = stopping_;
    registry_->RemoveExpired();
    // Last, so that what is set to be looked at in it is not taken for done.
    registry_->CleanUpSessions();
  }
}

}  // namespace shmd
