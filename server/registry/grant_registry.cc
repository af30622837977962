#include "server/registry/grant_registry.h"

#include <sodium.h>

#include "absl/strings/escaping.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "server/store/grant_record.h"

namespace shmd {
namespace {

std::string RandomGrantId() {
  uint8_t bytes[8];
  randombytes_buf(bytes, sizeof(bytes));
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(bytes), sizeof(bytes)));
}

}  // namespace

absl::Status GrantRegistry::TakeUp(
    const std::function<bool(const Uid&)>& exists) {
  ASSIGN_OR_RETURN(const std::vector<shmd::Record> records,
                   store_->Load(RecordKind::kGrant));
  std::vector<Change> gone;
  for (const shmd::Record& record : records) {
    ASSIGN_OR_RETURN(Grant grant, ParseGrantRecord(record.key, record.value));
    if (!exists(grant.segment)) {
      gone.push_back(RemovalOf(grant));
      continue;
    }
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(table_.Add(std::move(grant)));
  }
  if (gone.empty()) return absl::OkStatus();
  return store_->Commit(gone, Durability::kDaemonDeath);
}

absl::StatusOr<GrantRegistry::Made> GrantRegistry::Make(
    const Uid& segment, const GrantCommand& command) {
  Made made;
  Grant& grant = made.grant;
  randombytes_buf(made.secret.data(), made.secret.size());
  grant.key = KeyOf(made.secret);
  grant.id = RandomGrantId();
  grant.segment = segment;
  grant.access = command.access;
  grant.roles = command.roles;
  grant.max_uses = command.max_uses;
  grant.uid = command.uid;
  grant.create_time = clock_->WallTime();
  grant.expire_time = command.expiration.time;
  if (command.expiration.ttl.has_value()) {
    grant.expire_time = grant.create_time + *command.expiration.ttl;
  }
  if (grant.expire_time.value_or(absl::InfiniteFuture()) <= grant.create_time) {
    return InvalidField("grant.expire_time", reason::kFieldInvalid,
                        "has passed");
  }
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(table_.Add(grant));
  return made;
}

absl::Status GrantRegistry::Record(const Grant& grant) {
  SHMD_FAILPOINT("grant.create");
  const absl::Status recorded = Commit(PutOf(grant));
  SHMD_FAILPOINT("grant.created");
  if (recorded.ok()) return recorded;
  absl::MutexLock lock(&mutex_);
  table_.Remove(grant.segment, grant.id);
  return recorded;
}

std::vector<Grant> GrantRegistry::Of(const Uid& segment) const {
  absl::MutexLock lock(&mutex_);
  return table_.Of(segment);
}

absl::Status GrantRegistry::Delete(const Uid& segment, const std::string& id) {
  Grant grant;
  {
    absl::MutexLock lock(&mutex_);
    const Grant* const found = table_.Find(segment, id);
    if (found == nullptr) {
      return Error(absl::StatusCode::kNotFound, reason::kGrantNotFound,
                   "there is no such grant")
          .With("grant", Excerpt(id, 64));
    }
    grant = *found;
  }
  // Recorded first: a grant that was said to be revoked must not come back.
  SHMD_FAILPOINT("grant.remove");
  RETURN_IF_ERROR(Commit(RemovalOf(grant)));
  SHMD_FAILPOINT("grant.removed");
  absl::MutexLock lock(&mutex_);
  table_.Remove(segment, id);
  return absl::OkStatus();
}

void GrantRegistry::ForgetAll(const Uid& segment) {
  absl::MutexLock lock(&mutex_);
  table_.RemoveOf(segment);
}

absl::StatusOr<GrantRegistry::Use> GrantRegistry::Redeem(
    const GrantSecret& secret, const Uid& segment, const Caller& caller,
    const GrantWish& wish) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Grant grant, table_.Redeem(secret, segment, caller, wish,
                                              clock_->WallTime()));
  return wish.is_counted ? Use(this, std::move(grant)) : Use();
}

GrantRegistry::Use::~Use() {
  if (grants_ == nullptr) return;
  absl::MutexLock lock(&grants_->mutex_);
  grants_->table_.Unredeem(grant_);
}

absl::Status GrantRegistry::Use::Keep() {
  if (grants_ == nullptr) return absl::OkStatus();
  if (grant_.max_uses != 0) {
    SHMD_FAILPOINT("grant.redeem");
    RETURN_IF_ERROR(grants_->Commit(PutOf(grant_)));
    SHMD_FAILPOINT("grant.redeemed");
  }
  grants_ = nullptr;
  return absl::OkStatus();
}

absl::Status GrantRegistry::Commit(const Change& change) {
  RETURN_IF_ERROR(SHMD_FAILPOINT_STATUS("grant.record"));
  return store_->Commit(absl::MakeConstSpan(&change, 1),
                        Durability::kDaemonDeath);
}

}  // namespace shmd
