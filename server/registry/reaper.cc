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
    registry_->CleanUpSessions();
    registry_->RemoveExpired();
  }
}

}  // namespace shmd
