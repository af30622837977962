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
  while (!stopping_) {
    registry_->expiries().WaitForNext(registry_->clock().SinceBoot());
    registry_->RemoveExpired();
    // Last, so that what is set to be looked at in it is not taken for done.
    registry_->CleanUpSessions();
  }
}

}  // namespace shmd
