#include "server/store/grant_record.h"

#include "absl/strings/str_cat.h"
#include "server/store/journal_file.h"
#include "server/store/record.pb.h"
#include "server/store/record_bytes.h"

namespace shmd {

Change PutOf(const Grant& grant) {
  store::GrantRecord record;
  record.set_id(grant.id);
  record.set_segment(ToBytes(grant.segment));
  record.set_access(static_cast<uint32_t>(grant.access));
  if (grant.expire_time.has_value()) {
    record.set_expire_time_ns(absl::ToUnixNanos(*grant.expire_time));
  }
  record.set_max_uses(grant.max_uses);
  record.set_uses(grant.uses);
  if (grant.uid.has_value()) record.set_uid(*grant.uid);
  record.set_create_time_ns(absl::ToUnixNanos(grant.create_time));
  record.set_roles(grant.roles);
  return {RecordKind::kGrant, ToBytes(grant.key), record.SerializeAsString()};
}

Change RemovalOf(const Grant& grant) {
  return {RecordKind::kGrant, ToBytes(grant.key), std::nullopt};
}

absl::StatusOr<Grant> ParseGrantRecord(absl::string_view key,
                                       absl::string_view value) {
  Grant grant;
  store::GrantRecord record;
  const auto is_access = [](uint32_t number) {
    return number == static_cast<uint32_t>(Access::kRead) ||
           number == static_cast<uint32_t>(Access::kReadWrite);
  };
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size())) ||
      !FromBytes(key, &grant.key) ||
      !FromBytes(record.segment(), &grant.segment) || record.id().empty() ||
      !is_access(record.access()) || record.roles() > kAllGrantRoles) {
    return StoreFailed("read a grant's record", "it is damaged");
  }
  grant.id = record.id();
  grant.access = static_cast<Access>(record.access());
  grant.roles = record.roles();
  if (record.has_expire_time_ns()) {
    grant.expire_time = absl::FromUnixNanos(record.expire_time_ns());
  }
  grant.max_uses = record.max_uses();
  grant.uses = record.uses();
  if (record.has_uid()) grant.uid = record.uid();
  grant.create_time = absl::FromUnixNanos(record.create_time_ns());
  return grant;
}

}  // namespace shmd
