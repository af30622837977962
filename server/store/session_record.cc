#include "server/store/session_record.h"

#include "absl/strings/str_cat.h"
#include "server/store/journal_file.h"
#include "server/store/record.pb.h"
#include "server/store/record_bytes.h"

namespace shmd {

Change PutOf(const SessionIdentity& session) {
  store::SessionRecord record;
  record.set_token(ToBytes(session.token));
  record.set_uid(session.uid);
  record.set_gid(session.gid);
  record.set_pid(session.process.pid);
  record.set_start_ticks(session.process.start_ticks);
  record.set_command(session.process.command);
  record.set_boot_id(ToBytes(session.boot_id));
  record.set_name_space(session.name_space);
  record.set_create_time_ns(absl::ToUnixNanos(session.create_time));
  return {RecordKind::kSession, ToBytes(session.id),
          record.SerializeAsString()};
}

Change RemovalOfSession(const SessionId& id) {
  return {RecordKind::kSession, ToBytes(id), std::nullopt};
}

absl::StatusOr<SessionIdentity> ParseSessionRecord(absl::string_view key,
                                                   absl::string_view value) {
  SessionIdentity session;
  store::SessionRecord record;
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size())) ||
      !FromBytes(key, &session.id) ||
      !FromBytes(record.token(), &session.token) ||
      !FromBytes(record.boot_id(), &session.boot_id)) {
    return StoreFailed("read a session's record", "it is damaged");
  }
  session.uid = record.uid();
  session.gid = record.gid();
  session.process.pid = record.pid();
  session.process.start_ticks = record.start_ticks();
  session.process.command = record.command();
  session.name_space = record.name_space();
  session.create_time = absl::FromUnixNanos(record.create_time_ns());
  return session;
}

}  // namespace shmd
