#include "server/registry/request_log.h"

namespace shmd {

std::optional<RequestLog::Entry> RequestLog::Find(
    uid_t caller, const std::string& request_id) const {
  const auto found = entries_.find(Key(caller, request_id));
  if (found == entries_.end()) return std::nullopt;
  return found->second;
}

void RequestLog::Record(uid_t caller, const std::string& request_id,
                        Entry entry) {
  Key key(caller, request_id);
  entries_.insert_or_assign(key, std::move(entry));
  by_age_.push_back(std::move(key));
  if (by_age_.size() > capacity_) {
    entries_.erase(by_age_.front());
    by_age_.pop_front();
  }
}

void RequestLog::Forget(uid_t caller, const std::string& request_id) {
  // Its place in by_age_ ages out; until then it only counts.
  entries_.erase(Key(caller, request_id));
}

}  // namespace shmd
