#include "server/registry/request_log.h"

#include <utility>

namespace shmd {

std::optional<RequestLog::Entry> RequestLog::Find(
    uid_t caller, const std::string& request_id) const {
  const auto found = entries_.find(Key(caller, request_id));
  if (found == entries_.end()) return std::nullopt;
  return found->second.entry;
}

std::optional<RequestLog::Key> RequestLog::Record(uid_t caller,
                                                  const std::string& request_id,
                                                  Entry entry) {
  Forget(caller, request_id);
  Key key(caller, request_id);
  by_age_.push_back(key);
  entries_.insert({std::move(key), {std::move(entry), --by_age_.end()}});
  if (by_age_.size() <= capacity_) return std::nullopt;
  Key oldest = std::move(by_age_.front());
  by_age_.pop_front();
  entries_.erase(oldest);
  return oldest;
}

void RequestLog::Forget(uid_t caller, const std::string& request_id) {
  const auto found = entries_.find(Key(caller, request_id));
  if (found == entries_.end()) return;
  by_age_.erase(found->second.age);
  entries_.erase(found);
}

}  // namespace shmd
