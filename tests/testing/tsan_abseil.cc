// Tells the thread sanitizer what Abseil's locks order. The host's Abseil is
// compiled without it, so its own annotations are not there; these functions
// stand in front of the library's (the first definition that the dynamic linker
// finds counts), say what they do, and call them.
//
// The library's forms with a timeout call those with a deadline.
//
// Conditions of Await are evaluated within the library, also by other threads
// on the waiter's behalf. The sanitizer is told to look away there: always with
// the lock held.

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

#include <cstdlib>
#include <type_traits>

#include "absl/base/config.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

namespace {

// The library's function that a function of this file stands for.
template <typename Function>
Function TheirOwn(Function mine) {
  // SAFETY: a member function that is not virtual is its address and 0.
  void* address = nullptr;
  __builtin_memcpy(&address, &mine, sizeof(address));
  Dl_info symbol = {};
  if (dladdr(address, &symbol) == 0 || symbol.dli_sname == nullptr) abort();
  void* const found = dlsym(RTLD_NEXT, symbol.dli_sname);
  if (found == nullptr) abort();
  Function theirs = mine;
  __builtin_memcpy(&theirs, &found, sizeof(found));
  return theirs;
}

constexpr unsigned kRead = __tsan_mutex_read_lock;

// What `wait` does to a mutex that is held before and after, and not meanwhile.
template <typename Wait>
auto WhileReleased(absl::Mutex* mutex, const Wait& wait) {
  __tsan_mutex_pre_unlock(mutex, 0);
  __tsan_mutex_post_unlock(mutex, 0);
  __tsan_mutex_pre_lock(mutex, 0);
  if constexpr (std::is_void_v<decltype(wait())>) {
    wait();
    __tsan_mutex_post_lock(mutex, 0, 0);
  } else {
    const auto result = wait();
    __tsan_mutex_post_lock(mutex, 0, 0);
    return result;
  }
}

}  // namespace

namespace absl {
ABSL_NAMESPACE_BEGIN

void Mutex::Lock() {
  static const auto theirs = TheirOwn(&Mutex::Lock);
  __tsan_mutex_pre_lock(this, 0);
  (this->*theirs)();
  __tsan_mutex_post_lock(this, 0, 0);
}

bool Mutex::TryLock() {
  static const auto theirs = TheirOwn(&Mutex::TryLock);
  __tsan_mutex_pre_lock(this, __tsan_mutex_try_lock);
  const bool is_locked = (this->*theirs)();
  __tsan_mutex_post_lock(
      this,
      __tsan_mutex_try_lock | (is_locked ? 0 : __tsan_mutex_try_lock_failed),
      0);
  return is_locked;
}

void Mutex::Unlock() {
  static const auto theirs = TheirOwn(&Mutex::Unlock);
  __tsan_mutex_pre_unlock(this, 0);
  (this->*theirs)();
  __tsan_mutex_post_unlock(this, 0);
}

void Mutex::ReaderLock() {
  static const auto theirs = TheirOwn(&Mutex::ReaderLock);
  __tsan_mutex_pre_lock(this, kRead);
  (this->*theirs)();
  __tsan_mutex_post_lock(this, kRead, 0);
}

void Mutex::ReaderUnlock() {
  static const auto theirs = TheirOwn(&Mutex::ReaderUnlock);
  __tsan_mutex_pre_unlock(this, kRead);
  (this->*theirs)();
  __tsan_mutex_post_unlock(this, kRead);
}

void Mutex::LockWhen(const Condition& condition) {
  static const auto theirs = TheirOwn(&Mutex::LockWhen);
  __tsan_mutex_pre_lock(this, 0);
  (this->*theirs)(condition);
  __tsan_mutex_post_lock(this, 0, 0);
}

void Mutex::Await(const Condition& condition) {
  static const auto theirs = TheirOwn(&Mutex::Await);
  WhileReleased(this, [&] { (this->*theirs)(condition); });
}

bool Mutex::LockWhenWithDeadline(const Condition& condition, Time deadline) {
  static const auto theirs = TheirOwn(&Mutex::LockWhenWithDeadline);
  __tsan_mutex_pre_lock(this, 0);
  const bool is_true = (this->*theirs)(condition, deadline);
  __tsan_mutex_post_lock(this, 0, 0);
  return is_true;
}

bool Mutex::AwaitWithDeadline(const Condition& condition, Time deadline) {
  static const auto theirs = TheirOwn(&Mutex::AwaitWithDeadline);
  return WhileReleased(this,
                       [&] { return (this->*theirs)(condition, deadline); });
}

void CondVar::Wait(Mutex* mutex) {
  static const auto theirs = TheirOwn(&CondVar::Wait);
  WhileReleased(mutex, [&] { (this->*theirs)(mutex); });
}

bool CondVar::WaitWithDeadline(Mutex* mutex, Time deadline) {
  static const auto theirs = TheirOwn(&CondVar::WaitWithDeadline);
  return WhileReleased(mutex, [&] { return (this->*theirs)(mutex, deadline); });
}

bool BlockingCounter::DecrementCount() {
  static const auto theirs = TheirOwn(&BlockingCounter::DecrementCount);
  __tsan_release(this);
  return (this->*theirs)();
}

void BlockingCounter::Wait() {
  static const auto theirs = TheirOwn(&BlockingCounter::Wait);
  (this->*theirs)();
  __tsan_acquire(this);
}

void Notification::Notify() {
  static const auto theirs = TheirOwn(&Notification::Notify);
  __tsan_release(this);
  (this->*theirs)();
}

bool Notification::WaitForNotificationWithDeadline(Time deadline) const {
  static const auto theirs =
      TheirOwn(&Notification::WaitForNotificationWithDeadline);
  const bool is_notified = (this->*theirs)(deadline);
  if (is_notified) __tsan_acquire(const_cast<Notification*>(this));
  return is_notified;
}

void Notification::WaitForNotification() const {
  static const auto theirs = TheirOwn(&Notification::WaitForNotification);
  (this->*theirs)();
  __tsan_acquire(const_cast<Notification*>(this));
}

ABSL_NAMESPACE_END
}  // namespace absl
