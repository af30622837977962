#include "server/keeper/descriptor_store.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/keeper/notification.h"

namespace shmd {
namespace {

constexpr int kFirstListedFd = 3;  // SD_LISTEN_FDS_START
// What a file of 20,000 descriptors has room for, many times over.
constexpr int kMaxListed = 1 << 20;

std::string TakeFromEnvironment(const char* name) {
  const char* const value = getenv(name);
  const std::string text = value == nullptr ? "" : value;
  unsetenv(name);
  return text;
}

uint64_t MaxDescriptors(const DescriptorStore::Settings& settings,
                        const std::string& told) {
  uint64_t number = 0;
  if (absl::SimpleAtoi(told, &number)) return number;
  return settings.max_descriptors;
}

}  // namespace

absl::StatusOr<std::vector<KeptDescriptor>> TakeListedDescriptors() {
  const std::string pid = TakeFromEnvironment("LISTEN_PID");
  const std::string count = TakeFromEnvironment("LISTEN_FDS");
  const std::string names = TakeFromEnvironment("LISTEN_FDNAMES");
  std::vector<KeptDescriptor> listed;
  int64_t listed_pid = 0;
  // Meant for another process, whose environment we have inherited.
  if (!absl::SimpleAtoi(pid, &listed_pid) || listed_pid != getpid()) {
    return listed;
  }
  int number = 0;
  if (!absl::SimpleAtoi(count, &number) || number < 0 || number > kMaxListed) {
    return InvalidField("LISTEN_FDS", reason::kFieldInvalid,
                        "is no number of descriptors");
  }
  if (number == 0) return listed;
  // Before they may be lost on the way of an error.
  listed.resize(static_cast<size_t>(number));
  for (int i = 0; i < number; ++i) {
    const int fd = kFirstListedFd + i;
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
      return ErrnoStatus(
          errno, absl::StrCat("fcntl of descriptor ", fd, " of LISTEN_FDS"));
    }
    listed[static_cast<size_t>(i)].fd.Reset(fd);
  }
  if (names.empty()) {
    for (KeptDescriptor& kept : listed) kept.name = std::string(kUnnamedFd);
    return listed;
  }
  ASSIGN_OR_RETURN(std::vector<std::string> split,
                   SplitFdNames(names, listed.size()));
  for (size_t i = 0; i < listed.size(); ++i) {
    listed[i].name = std::move(split[i]);
  }
  return listed;
}

DescriptorStore::DescriptorStore(const Settings& settings,
                                 absl::Span<const KeptDescriptor> listed)
    : deadline_(settings.deadline),
      names_(MaxDescriptors(settings, TakeFromEnvironment("FDSTORE"))) {
  std::vector<absl::string_view> names;
  names.reserve(listed.size());
  for (const KeptDescriptor& kept : listed) names.push_back(kept.name);
  names_.Reserve(names);
  const std::string address = TakeFromEnvironment("NOTIFY_SOCKET");
  if (address.empty()) return;
  absl::StatusOr<UniqueFd> socket = ConnectNotifySocket(address);
  if (!socket.ok()) {
    Log(LogLevel::kError,
        absl::StrCat("no notifications: ", socket.status().message()));
    return;
  }
  socket_ = *std::move(socket);
  // Lets a keeper know this socket, before there is much to send.
  NotifyStatus("starting");
}

bool DescriptorStore::available() const {
  return socket_.valid() && !gone_ && max_descriptors() > 0;
}

uint64_t DescriptorStore::max_descriptors() const {
  absl::MutexLock lock(&mutex_);
  return names_.max_names();
}

uint64_t DescriptorStore::stored() const {
  absl::MutexLock lock(&mutex_);
  return names_.in_use();
}

absl::Status DescriptorStore::Send(
    absl::Span<const OutgoingNotification> notifications, size_t* sent) {
  *sent = 0;
  if (!socket_.valid()) {
    return Error(absl::StatusCode::kFailedPrecondition,
                 reason::kKeeperUnreachable,
                 "nobody keeps descriptors: neither systemd nor --keeper");
  }
  bool gone = false;
  const absl::Status status =
      SendNotifications(socket_.get(), notifications, deadline_, sent, &gone);
  if (gone && !gone_.exchange(true)) {
    Log(LogLevel::kError,
        absl::StrCat(status.message(),
                     "; memfd segments end with this daemon from now on"));
  }
  return status;
}

absl::StatusOr<std::vector<std::string>> DescriptorStore::Store(
    absl::Span<const int> fds) {
  std::vector<std::string> names;
  bool is_clean = true;
  {
    absl::MutexLock lock(&mutex_);
    ASSIGN_OR_RETURN(names, names_.Take(fds.size()));
    is_clean = doomed_.empty();
  }
  std::vector<OutgoingNotification> notifications(fds.size());
  for (size_t i = 0; i < fds.size(); ++i) {
    notifications[i] = {StoreNotification(names[i]), fds[i]};
  }
  size_t sent = 0;
  absl::Status status;
  if (!is_clean) status = RemoveWithDoomed({});
  if (status.ok()) status = SHMD_FAILPOINT_STATUS("keeper.store");
  if (status.ok()) status = Send(notifications, &sent);
  SHMD_FAILPOINT("keeper.stored");
  if (status.ok()) return names;
  const auto all = absl::MakeConstSpan(names);
  GiveBack(all.subspan(sent));
  RemoveWithDoomed(all.first(sent)).IgnoreError();
  return status;
}

absl::Status DescriptorStore::Remove(absl::Span<const std::string> names) {
  for (const std::string& name : names) {
    if (!IsFdName(name)) {
      return InvalidField("name", reason::kFieldInvalid,
                          "no descriptor has this name");
    }
  }
  return RemoveWithDoomed(names);
}

absl::Status DescriptorStore::RemoveWithDoomed(
    absl::Span<const std::string> names) {
  std::vector<std::string> all;
  {
    absl::MutexLock lock(&mutex_);
    all.swap(doomed_);
  }
  all.insert(all.end(), names.begin(), names.end());
  std::vector<OutgoingNotification> notifications(all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    notifications[i].text = RemoveNotification(all[i]);
  }
  size_t sent = 0;
  SHMD_FAILPOINT("keeper.remove");
  const absl::Status status = Send(notifications, &sent);
  SHMD_FAILPOINT("keeper.removed");
  // Only now may another thread store under these names. With the keeper
  // everything that it kept has gone.
  if (gone_) sent = all.size();
  GiveBack(absl::MakeConstSpan(all).first(sent));
  absl::MutexLock lock(&mutex_);
  doomed_.insert(doomed_.end(), all.begin() + static_cast<ptrdiff_t>(sent),
                 all.end());
  return status;
}

void DescriptorStore::GiveBack(absl::Span<const std::string> names) {
  absl::MutexLock lock(&mutex_);
  for (const std::string& name : names) names_.GiveBack(name);
}

absl::Status DescriptorStore::Barrier(absl::Duration deadline) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
  UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  size_t sent = 0;
  RETURN_IF_ERROR(Send({{"BARRIER=1", theirs.get()}}, &sent));
  theirs.Reset();
  // The keeper has read it when it has closed its end.
  pollfd closed{ours.get(), 0, 0};
  const absl::Duration end = Clock::Real()->SinceBoot() + deadline;
  for (;;) {
    const timespec left = absl::ToTimespec(
        std::max(end - Clock::Real()->SinceBoot(), absl::ZeroDuration()));
    const int ready = ppoll(&closed, 1, &left, nullptr);
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "ppoll");
    if (ready == 0) {
      return Error(absl::StatusCode::kUnavailable, reason::kKeeperUnreachable,
                   "the keeper of descriptors does not answer");
    }
  }
}

void DescriptorStore::Notify(std::string text) {
  if (!socket_.valid()) return;
  size_t sent = 0;
  // Send has logged it when the keeper has gone; else it matters little.
  Send({{std::move(text), -1}}, &sent).IgnoreError();
}

void DescriptorStore::NotifyReady() { Notify("READY=1"); }

void DescriptorStore::NotifyStopping() { Notify("STOPPING=1"); }

void DescriptorStore::NotifyStatus(absl::string_view text) {
  Notify(StatusNotification(text));
}

}  // namespace shmd
