#include "server/registry/grant_table.h"

#include <sodium.h>

#include <utility>

#include "base/error.h"
#include "base/error_reason.h"

namespace shmd {
namespace {

Error GrantInvalid(absl::string_view why) {
  return Error(absl::StatusCode::kPermissionDenied, reason::kGrantInvalid, why);
}

// Why a grant is not for this; nullptr when it is.
const char* WhyNotFor(const Grant& grant, const GrantWish& wish) {
  if (wish.role.has_value()) {
    return (grant.roles & static_cast<uint32_t>(*wish.role)) == 0
               ? "the grant is not for this role"
               : nullptr;
  }
  if (grant.roles != 0) return "the grant is for taking part in a channel";
  if (wish.access == Access::kReadWrite && grant.access != Access::kReadWrite) {
    return "the grant is for reading only";
  }
  return nullptr;
}

// Why a grant does not let somebody in; nullptr when it does.
const char* WhyNot(const Grant& grant, const Caller& caller,
                   const GrantWish& wish, absl::Time now) {
  if (grant.expire_time.has_value() && *grant.expire_time <= now) {
    return "the grant has ended";
  }
  if (wish.is_counted && grant.max_uses != 0 && grant.uses >= grant.max_uses) {
    return "the grant is used up";
  }
  if (grant.uid.has_value() && *grant.uid != caller.uid) {
    return "the grant is for another user";
  }
  return WhyNotFor(grant, wish);
}

}  // namespace

GrantKey KeyOf(const GrantSecret& secret) {
  GrantKey key;
  crypto_generichash(key.data(), key.size(), secret.data(), secret.size(),
                     nullptr, 0);
  return key;
}

absl::Status GrantTable::Add(Grant grant) {
  auto& of_segment = of_segment_[grant.segment];
  if (of_segment.size() >= kMaxGrantsOfSegment) {
    return Exhausted(reason::kGrantLimitExceeded, "grants of one", 1, 0,
                     "grants");
  }
  of_segment[grant.id] = grant.key;
  grants_[grant.key] = std::move(grant);
  return absl::OkStatus();
}

std::vector<Grant> GrantTable::Of(const Uid& segment) const {
  std::vector<Grant> grants;
  const auto found = of_segment_.find(segment);
  if (found == of_segment_.end()) return grants;
  for (const auto& [id, key] : found->second) {
    grants.push_back(grants_.find(key)->second);
  }
  return grants;
}

const Grant* GrantTable::Find(const Uid& segment, absl::string_view id) const {
  const auto found = of_segment_.find(segment);
  if (found == of_segment_.end()) return nullptr;
  const auto key = found->second.find(id);
  if (key == found->second.end()) return nullptr;
  return &grants_.find(key->second)->second;
}

absl::StatusOr<Grant> GrantTable::Redeem(const GrantSecret& secret,
                                         const Uid& segment,
                                         const Caller& caller,
                                         const GrantWish& wish,
                                         absl::Time now) {
  const auto found = grants_.find(KeyOf(secret));
  if (found == grants_.end() || found->second.segment != segment) {
    return absl::StatusOr<Grant>(GrantInvalid("the grant was revoked"));
  }
  Grant& grant = found->second;
  const char* const why = WhyNot(grant, caller, wish, now);
  if (why != nullptr) return absl::StatusOr<Grant>(GrantInvalid(why));
  if (wish.is_counted) ++grant.uses;
  return grant;
}

void GrantTable::Unredeem(const Grant& grant) {
  const auto found = grants_.find(grant.key);
  if (found != grants_.end()) --found->second.uses;
}

void GrantTable::Remove(const Uid& segment, absl::string_view id) {
  const auto found = of_segment_.find(segment);
  if (found == of_segment_.end()) return;
  const auto key = found->second.find(id);
  if (key == found->second.end()) return;
  grants_.erase(key->second);
  found->second.erase(key);
  if (found->second.empty()) of_segment_.erase(found);
}

std::vector<Grant> GrantTable::RemoveOf(const Uid& segment) {
  std::vector<Grant> removed = Of(segment);
  for (const Grant& grant : removed) grants_.erase(grant.key);
  of_segment_.erase(segment);
  return removed;
}

}  // namespace shmd
