#include "server/session/session_table.h"

#include <sodium.h>

#include <algorithm>
#include <utility>

#include "base/status_macros.h"

namespace shmd {
namespace {

bool MaySee(const Caller& caller, const SessionIdentity& identity) {
  return caller.is_administrator || caller.uid == identity.uid;
}

Amounts OneSession() {
  Amounts amounts;
  amounts.sessions = 1;
  return amounts;
}

}  // namespace

SessionIdentity SessionTable::Begin(const Caller& caller, Process process,
                                    const std::string& name_space) {
  auto session = std::make_unique<Session>();
  SessionIdentity& identity = session->identity;
  identity.id = RandomUid();
  randombytes_buf(identity.token.data(), identity.token.size());
  identity.uid = caller.uid;
  identity.gid = caller.gid;
  identity.process = std::move(process);
  identity.boot_id = boot_id_;
  if (namespaces_->CheckEntry(caller, name_space).ok() &&
      namespaces_->Take(name_space, caller.uid, OneSession()).ok()) {
    identity.name_space = name_space;
  }
  identity.create_time = clock_->WallTime();
  SessionIdentity copy = identity;
  absl::MutexLock lock(&mutex_);
  sessions_[copy.id] = std::move(session);
  return copy;
}

void SessionTable::Await(SessionIdentity identity) {
  auto session = std::make_unique<Session>();
  session->identity = std::move(identity);
  session->awaited = true;
  session->recorded = true;
  namespaces_->TakeAnyway(session->identity.name_space, session->identity.uid,
                          OneSession());
  absl::MutexLock lock(&mutex_);
  sessions_[session->identity.id] = std::move(session);
}

bool SessionTable::Resume(const SessionId& fresh, const SessionId& awaited,
                          const ResumeToken& token) {
  absl::MutexLock lock(&mutex_);
  Session* const now = Find(fresh);
  Session* const earlier = Find(awaited);
  if (now == nullptr || earlier == nullptr || !earlier->awaited ||
      now->identity.uid != earlier->identity.uid ||
      sodium_memcmp(token.data(), earlier->identity.token.data(),
                    token.size()) != 0) {
    return false;
  }
  earlier->awaited = false;
  earlier->identity.gid = now->identity.gid;
  // The program may be another process now: one that was handed the token.
  earlier->identity.process = now->identity.process;
  LeaveNamespace(now->identity);
  sessions_.erase(fresh);
  return true;
}

bool SessionTable::SetRecorded(const SessionId& id) {
  absl::MutexLock lock(&mutex_);
  Session* const session = Find(id);
  if (session == nullptr) return false;
  session->recorded = true;
  return true;
}

absl::Status SessionTable::Enter(const SessionId& id,
                                 const std::string& name_space) {
  absl::MutexLock lock(&mutex_);
  Session* const session = Find(id);
  if (session == nullptr) return SessionNotFound(id);
  SessionIdentity& identity = session->identity;
  if (identity.name_space == name_space) return absl::OkStatus();
  RETURN_IF_ERROR(namespaces_->Take(name_space, identity.uid, OneSession()));
  LeaveNamespace(identity);
  identity.name_space = name_space;
  return absl::OkStatus();
}

void SessionTable::LeaveNamespace(const SessionIdentity& identity) {
  if (identity.name_space.empty()) return;
  namespaces_->GiveBack(identity.name_space, identity.uid, OneSession());
}

SessionTable::Session* SessionTable::Find(const SessionId& id) {
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : found->second.get();
}

void SessionTable::EndLocked(const SessionId& id) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  Session& session = *found->second;
  LeaveNamespace(session.identity);
  Ended ended;
  ended.identity = std::move(session.identity);
  ended.recorded = session.recorded;
  ended.holdings.reserve(session.holdings.size());
  for (auto& [number, holding] : session.holdings) {
    ended.holdings.push_back(std::move(holding));
  }
  ended.owned.assign(session.owned.begin(), session.owned.end());
  sessions_.erase(found);
  ended_.push_back(std::move(ended));
}

void SessionTable::End(const SessionId& id) {
  {
    absl::MutexLock lock(&mutex_);
    EndLocked(id);
  }
  on_ended_();
}

std::vector<SessionIdentity> SessionTable::Awaited() const {
  std::vector<SessionIdentity> awaited;
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, session] : sessions_) {
    if (session->awaited) awaited.push_back(session->identity);
  }
  return awaited;
}

void SessionTable::EndIfAwaited(const SessionId& id) {
  {
    absl::MutexLock lock(&mutex_);
    const Session* const session = Find(id);
    if (session == nullptr || !session->awaited) return;
    EndLocked(id);
  }
  on_ended_();
}

void SessionTable::EndAwaited() {
  for (const SessionIdentity& identity : Awaited()) EndIfAwaited(identity.id);
}

std::optional<uint64_t> SessionTable::Hold(const SessionId& id,
                                           Holding holding) {
  holding.attach_time = clock_->WallTime();
  absl::MutexLock lock(&mutex_);
  Session* const session = Find(id);
  if (session == nullptr || session->holdings.size() >= kMaxHoldings) {
    return std::nullopt;
  }
  const uint64_t number = ++session->last_attachment_id;
  holding.attachment_id = number;
  session->held_bytes += holding.segment->options.size_bytes;
  session->holdings.emplace(number, std::move(holding));
  return number;
}

EntryPtr SessionTable::LetGo(const SessionId& id, uint64_t attachment_id) {
  absl::MutexLock lock(&mutex_);
  Session* const session = Find(id);
  if (session == nullptr) return nullptr;
  const auto found = session->holdings.find(attachment_id);
  if (found == session->holdings.end()) return nullptr;
  EntryPtr entry = std::move(found->second.entry);
  session->held_bytes -= found->second.segment->options.size_bytes;
  session->holdings.erase(found);
  return entry;
}

absl::Status SessionTable::Own(const Caller& caller, const SessionId& id,
                               const Uid& segment) {
  absl::MutexLock lock(&mutex_);
  Session* const session = Find(id);
  if (session == nullptr || session->awaited ||
      session->identity.uid != caller.uid ||
      session->identity.process.pid != caller.pid) {
    return SessionNotFound(id);
  }
  session->owned.insert(segment);
  return absl::OkStatus();
}

bool SessionTable::OwnAgain(const SessionId& id, const Uid& segment) {
  absl::MutexLock lock(&mutex_);
  Session* const session = Find(id);
  if (session == nullptr) return false;
  session->owned.insert(segment);
  return true;
}

void SessionTable::Disown(const SessionId& id, const Uid& segment) {
  absl::MutexLock lock(&mutex_);
  Session* const session = Find(id);
  if (session != nullptr) session->owned.erase(segment);
}

bool SessionTable::Exists(const SessionId& id) const {
  absl::MutexLock lock(&mutex_);
  return sessions_.contains(id);
}

SessionSnapshot SessionTable::Snapshot(const Session& session) {
  SessionSnapshot snapshot;
  snapshot.identity = session.identity;
  snapshot.awaited = session.awaited;
  snapshot.holding_count = session.holdings.size();
  snapshot.held_bytes = session.held_bytes;
  snapshot.owned_count = session.owned.size();
  return snapshot;
}

void SessionTable::CopyHoldings(const Session& session, const Uid* only,
                                SessionSnapshot* snapshot) {
  for (const auto& [number, holding] : session.holdings) {
    if (only != nullptr && holding.segment->uid != *only) continue;
    snapshot->holdings.push_back(holding);
  }
  std::sort(snapshot->holdings.begin(), snapshot->holdings.end(),
            [](const Holding& a, const Holding& b) {
              return a.attachment_id < b.attachment_id;
            });
}

absl::StatusOr<SessionSnapshot> SessionTable::Get(const Caller& caller,
                                                  const SessionId& id) const {
  absl::MutexLock lock(&mutex_);
  const auto found = sessions_.find(id);
  if (found == sessions_.end() || !MaySee(caller, found->second->identity)) {
    return SessionNotFound(id);
  }
  SessionSnapshot snapshot = Snapshot(*found->second);
  CopyHoldings(*found->second, nullptr, &snapshot);
  return snapshot;
}

std::vector<SessionSnapshot> SessionTable::List(const Caller& caller,
                                                const ListQuery& query) const {
  std::vector<SessionSnapshot> snapshots;
  absl::MutexLock lock(&mutex_);
  auto next = query.after.has_value() ? sessions_.upper_bound(*query.after)
                                      : sessions_.begin();
  for (; next != sessions_.end() && snapshots.size() < query.limit; ++next) {
    const Session& session = *next->second;
    if (!query.holding.has_value()) {
      if (MaySee(caller, session.identity)) {
        snapshots.push_back(Snapshot(session));
      }
      continue;
    }
    SessionSnapshot snapshot = Snapshot(session);
    CopyHoldings(session, &*query.holding, &snapshot);
    if (!snapshot.holdings.empty()) snapshots.push_back(std::move(snapshot));
  }
  return snapshots;
}

std::vector<SessionId> SessionTable::OfProcess(pid_t pid) const {
  std::vector<SessionId> ids;
  absl::MutexLock lock(&mutex_);
  for (const auto& [id, session] : sessions_) {
    if (!session->awaited && session->identity.process.pid == pid) {
      ids.push_back(id);
    }
  }
  return ids;
}

size_t SessionTable::size() const {
  absl::MutexLock lock(&mutex_);
  return sessions_.size();
}

std::vector<SessionTable::Ended> SessionTable::TakeEnded() {
  std::vector<Ended> ended;
  absl::MutexLock lock(&mutex_);
  ended.swap(ended_);
  return ended;
}

}  // namespace shmd
