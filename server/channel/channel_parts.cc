#include "server/channel/channel_parts.h"

#include <utility>
#include <variant>
#include <vector>

#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "server/channel/channel_access.h"
#include "server/registry/commands.h"
#include "shm/channel/channel_format.h"

namespace shmd {
namespace {

SegmentOptions OptionsOf(const Ownership& ownership, uint64_t size_bytes) {
  SegmentOptions options;
  options.backend = BackendKind::kMemfd;
  options.size_bytes = size_bytes;
  options.page_size_bytes = BasePageSizeBytes();
  options.mode = ownership.mode;
  options.owner = ownership.owner;
  options.group = ownership.group;
  options.seal_policy = SealPolicy::kNeverSealed;
  return options;
}

// Who has the descriptor open for writing formats it, before anybody else sees
// that it is there.
template <typename Format>
absl::Status FormatPart(SegmentRegistry* segments, const SegmentView& part,
                        Format format) {
  ASSIGN_OR_RETURN(const ObjectRef object,
                   segments->OpenObject(part, Access::kReadWrite));
  return format(std::get<UniqueFd>(object).get());
}

}  // namespace

absl::StatusOr<SegmentView> MakeChannelPage(SegmentRegistry* segments,
                                            const Caller& caller,
                                            const ChannelCommand& command) {
  Ownership ownership = OwnershipOf(command.fields);
  ownership.mode = PageMode(ownership.mode);
  CreateCommand create;
  create.name_space = command.name.name_space;
  create.id = ChannelSegmentId(command.name.id);
  create.options = OptionsOf(ownership, kChannelPageBytes);
  create.role = SegmentRole::kChannel;
  return segments->CreateOne(caller, std::move(create));
}

absl::StatusOr<MemberParts> MakeMemberParts(SegmentRegistry* segments,
                                            const Caller& caller,
                                            const LiveChannel& channel,
                                            const MemberView& member) {
  const ChannelFields& fields = channel.fields();
  const bool publishes = member.kind == MemberKind::kPublisher;
  const auto command = [&](SegmentRole role, uint64_t size_bytes) {
    CreateCommand create;
    create.name_space = channel.name().name_space;
    create.id = PartSegmentId(
        role, {fields.generation, member.index, member.generation});
    create.options = OptionsOf({caller.uid, caller.gid, 0600}, size_bytes);
    create.lifetime = Lifetime::kSession;
    create.owner_session = member.session;
    create.role = role;
    create.is_let_in = true;  // by Join
    return create;
  };
  std::vector<CreateCommand> commands;
  commands.push_back(
      publishes ? command(SegmentRole::kRing,
                          RingBytes(fields.slots, fields.payload_bytes))
                : command(SegmentRole::kReaderPage, kReaderPageBytes));
  if (publishes && HasClaims(fields.kind, member.role)) {
    commands.push_back(
        command(SegmentRole::kClaims, ClaimsBytes(fields.slots)));
  }
  ASSIGN_OR_RETURN(std::vector<SegmentView> made,
                   segments->Create(caller, std::move(commands)));
  MemberParts parts;
  parts.part = std::move(made.front());
  if (made.size() > 1) parts.claims = std::move(made.back());
  return parts;
}

absl::Status FormatMemberParts(SegmentRegistry* segments,
                               const LiveChannel& channel,
                               const MemberView& member,
                               const MemberParts& parts) {
  const ChannelFields& fields = channel.fields();
  if (member.kind == MemberKind::kSubscriber) {
    return FormatPart(segments, parts.part, [&](int fd) {
      return InitReaderPage(fd, member.generation);
    });
  }
  RETURN_IF_ERROR(FormatPart(segments, parts.part, [&](int fd) {
    return InitRing(fd, fields, member.generation);
  }));
  if (!parts.claims.has_value()) return absl::OkStatus();
  return FormatPart(segments, *parts.claims, [&](int fd) {
    return InitClaims(fd, fields, member.generation);
  });
}

}  // namespace shmd
