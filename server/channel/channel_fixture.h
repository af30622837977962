#ifndef SHMD_SERVER_CHANNEL_CHANNEL_FIXTURE_H_
#define SHMD_SERVER_CHANNEL_CHANNEL_FIXTURE_H_

#include <sys/resource.h>

#include <memory>
#include <string>
#include <vector>

#include "server/channel/channel_registry.h"
#include "server/registry/registry_fixture.h"
#include "shm/layout/channel_layout.h"
#include "shm/mapping.h"

namespace shmd {

// The channels of a daemon without anything else.
class ChannelRegistryTest : public RegistryTest {
 protected:
  void SetUp() override {
    rlimit descriptors = {};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &descriptors), 0);
    descriptors.rlim_cur = descriptors.rlim_max;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &descriptors), 0);
    limits_.memory_descriptors = 20000;
    default_namespace_.quota = Amounts::Unlimited();
    default_namespace_.uid_quota = Amounts::Unlimited();
    Restart();
    StartChannels();
  }

  void TearDown() override {
    for (const auto& session : begun_) sessions().End(session);
    registry().CleanUpSessions();
    registry().RemoveExpired();
    for (const SegmentView& view : registry().ListReserved()) {
      EXPECT_TRUE(registry().RemoveReserved(view.entry).ok());
    }
    channels_.reset();
  }

  // As at a start, over the segments that there are.
  void StartChannels() {
    channels_ = std::make_unique<ChannelRegistry>(&registry());
    channels_->TakeUp();
    registry().NotifySessionEnd(
        [this](const SessionId& session) { channels_->EndSession(session); });
    registry().NotifyCleanUp([this] { channels_->LookAfterDeparted(); });
  }
  ChannelRegistry& channels() { return *channels_; }

  SessionId Begin(const Caller& caller = Root()) {
    Process process;
    process.pid = caller.pid;
    begun_.push_back(sessions().Begin(caller, process, "default").id);
    return begun_.back();
  }
  void End(const SessionId& session) {
    sessions().End(session);
    registry().CleanUpSessions();
    registry().RemoveExpired();
  }

  static ChannelCommand Command(
      const std::string& id,
      layout::ChannelKind kind = layout::ChannelKind::kPublish) {
    ChannelCommand command;
    command.name = {"default", id};
    command.fields.kind = kind;
    command.fields.slots = 16;
    command.fields.payload_bytes = 4096;
    command.fields.owner = Root().uid;
    command.fields.group = Root().gid;
    return command;
  }
  void MakeChannel(const std::string& id,
                   layout::ChannelKind kind = layout::ChannelKind::kPublish) {
    const auto made = channels().Create(Root(), Command(id, kind));
    ASSERT_TRUE(made.ok()) << made.status();
  }
  absl::StatusOr<ChannelRegistry::Joined> Join(
      const std::string& id, const SessionId& session,
      MemberKind kind = MemberKind::kPublisher) {
    JoinCommand command;
    command.channel = {"default", id};
    command.session = session;
    command.kind = kind;
    command.policy = layout::SlowPolicy::kBlock;
    return channels().Join(Root(), command);
  }
  ChannelSnapshot Get(const std::string& id) {
    const auto found = channels().Get(Root(), {"default", id});
    EXPECT_TRUE(found.ok()) << found.status();
    return found.ok() ? *found : ChannelSnapshot();
  }
  static MemberName NameOf(const std::string& id, const MemberView& member) {
    return {{"default", id}, member.kind, member.index, member.generation};
  }

  // As only a test may: the daemon's own page, to write.
  WritableMapping Map(const SegmentView& view) {
    const auto object = registry().OpenObject(view, Access::kReadWrite);
    EXPECT_TRUE(object.ok());
    MapOptions options;
    options.size_bytes = view.segment->options.size_bytes;
    auto mapped = WritableMapping::Map(*object, options);
    EXPECT_TRUE(mapped.ok()) << mapped.status();
    return *std::move(mapped);
  }

 private:
  std::unique_ptr<ChannelRegistry> channels_;
  std::vector<SessionId> begun_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_CHANNEL_CHANNEL_FIXTURE_H_
