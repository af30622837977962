#include "shm/sys/bell_set.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/sys/bell_pipe.h"

namespace shmd::sys {
namespace {

absl::Status Watch(int epoll, int read_end) {
  epoll_event event = {};
  event.events = EPOLLIN;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, read_end, &event) != 0) {
    return ErrnoStatus(errno, "epoll_ctl");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<BellSet>> BellSet::Make() {
  UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (epoll.valid()) {
    return std::shared_ptr<BellSet>(new BellSet(std::move(epoll)));
  }
  if (errno != EMFILE && errno != ENFILE) {
    return ErrnoStatus(errno, "epoll_create1");
  }
  return Error(absl::StatusCode::kResourceExhausted,
               reason::kDescriptorsExhausted,
               "there is no descriptor left to wait on");
}

absl::Status BellSet::Add(UniqueFd read_end) {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(Watch(epoll_.get(), read_end.get()));
  read_ends_.push_back(std::move(read_end));
  return absl::OkStatus();
}

void BellSet::WakeAfter(absl::Duration delay) {
  absl::MutexLock lock(&mutex_);
  if (!timer_.valid()) {
    UniqueFd timer(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!timer.valid() || !Watch(epoll_.get(), timer.get()).ok()) return;
    timer_ = std::move(timer);
  }
  itimerspec once = {};
  once.it_value = absl::ToTimespec(std::max(delay, absl::Nanoseconds(1)));
  timerfd_settime(timer_.get(), 0, &once, nullptr);
}

void BellSet::Drain() {
  absl::MutexLock lock(&mutex_);
  uint64_t expirations;
  if (timer_.valid() &&
      read(timer_.get(), &expirations, sizeof(expirations)) < 0) {
    // Not yet: it is for the next look.
  }
  // To close a pipe takes it out of the epoll set (epoll(7)).
  read_ends_.erase(std::remove_if(read_ends_.begin(), read_ends_.end(),
                                  [](const UniqueFd& one) {
                                    return !DrainBellPipe(one.get());
                                  }),
                   read_ends_.end());
}

void BellSet::End() {
  absl::MutexLock lock(&mutex_);
  if (end_.valid()) return;
  absl::StatusOr<BellPipe> pipe = CreateBellPipe();
  if (!pipe.ok()) return;
  // Its other end is closed here, which is readable.
  if (Watch(epoll_.get(), pipe->read_end.get()).ok()) {
    end_ = std::move(pipe->read_end);
  }
}

}  // namespace shmd::sys
