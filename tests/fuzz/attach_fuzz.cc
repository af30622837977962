// Datagrams on the attach socket, as any program may send them: over a real
// registry with one segment that everybody may read, and a queue that the
// program takes part in.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "server/attach/attach_connection.h"
#include "server/attach/handle_proto.h"
#include "server/channel/channel_registry.h"
#include "server/registry/segment_registry.h"
#include "shm/sys/socket.h"
#include "tests/fuzz/fuzz_input.h"

namespace shmd {
namespace {

// Lives as long as the process.
class Daemon {
 public:
  Daemon()
      : folder_(MakeFolder()),
        backends_(BackendSettings()),
        store_(Store::Open(folder_).value()),
        events_(1, 1024, Clock::Real(), store_->identity().first_generation),
        namespaces_(Namespace{}),
        sessions_(Clock::Real(), &namespaces_),
        registry_({&backends_, store_.get(), &events_, &namespaces_, &sessions_,
                   /*descriptors=*/nullptr, Clock::Real()},
                  Limits()),
        channels_(&registry_) {
    Expect(registry_.TakeUpStored({}).ok());
    registry_.NotifySessionEnd(
        [this](const SessionId& session) { channels_.EndSession(session); });
    registry_.NotifyCleanUp([this] { channels_.LookAfterDeparted(); });
    CreateCommand command;
    command.name_space = kDefaultNamespace;
    command.id = "segment";
    command.options.size_bytes = command.options.page_size_bytes =
        BasePageSizeBytes();
    command.options.mode = 0666;
    Caller root;
    root.is_administrator = true;
    const auto made = registry_.Create(root, {command});
    Expect(made.ok());
    handle_ = registry_.WholeHandle(root, *made->front().segment);
    ChannelCommand channel;
    channel.name = channel_;
    channel.fields.kind = layout::ChannelKind::kQueue;
    channel.fields.slots = 2;
    channel.fields.payload_bytes = kMinPayloadBytes;
    channel.fields.mode = 0666;
    Expect(channels_.Create(root, channel).ok());
  }

  // Serves `input`: each piece is a datagram. A byte before it may ask for the
  // handle, or for what names a part of the channel, to be put behind it as a
  // field of its own, as nobody guesses one.
  void Serve(FuzzInput input) {
    int pair[2];
    Expect(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                      pair) == 0);
    const UniqueFd client(pair[0]);
    Caller caller;
    caller.uid = caller.gid = 1000;
    const SessionIdentity session =
        sessions_.Begin(caller, Process(), kDefaultNamespace);
    const uint64_t members[] = {
        Join(caller, session.id, MemberKind::kPublisher),
        Join(caller, session.id, MemberKind::kSubscriber)};
    AttachConnection connection(
        UniqueFd(pair[1]), caller, session, &registry_, &sessions_,
        [](const SessionId&) {}, &channels_);
    bool alive = true;
    while (alive && !input.empty()) {
      const uint8_t added = input.TakeByte() % 4;
      std::string datagram(input.TakePiece());
      if (added == 1) AddHandle(&datagram);
      if (added > 1) AddPart(members[added - 2], &datagram);
      if (datagram.empty()) continue;
      send(client.get(), datagram.data(), datagram.size(), MSG_DONTWAIT);
      alive = connection.ServeWaiting();
      ReadAnswers(client.get());
    }
    sessions_.End(connection.session());
    registry_.CleanUpSessions();
    registry_.RemoveExpired();
  }

 private:
  static std::string MakeFolder() {
    const char* const temporary = getenv("TEST_TMPDIR");
    std::string folder =
        std::string(temporary == nullptr ? "/tmp" : temporary) +
        "/attach_fuzz.XXXXXX";
    Expect(mkdtemp(folder.data()) != nullptr);
    return folder;
  }

  static Budget::Limits Limits() {
    Budget::Limits limits;
    limits.memory_bytes = uint64_t{1} << 20;
    limits.memory_descriptors = 20;
    return limits;
  }

  void AddHandle(std::string* datagram) const {
    // Messages one behind another are merged.
    v1::AttachRequest request;
    HandleToProto(handle_, request.mutable_attach()->mutable_handle());
    datagram->append(request.SerializeAsString());
  }

  // The generation of a new member; each session is one publisher and one
  // subscriber, of index 0.
  uint64_t Join(const Caller& caller, const SessionId& session,
                MemberKind kind) {
    JoinCommand command;
    command.channel = channel_;
    command.session = session;
    command.kind = kind;
    if (kind == MemberKind::kSubscriber) {
      command.policy = layout::SlowPolicy::kBlock;
    }
    const auto joined = channels_.Join(caller, command);
    Expect(joined.ok() && joined->member.index == 0);
    return joined->member.generation;
  }

  // What is missing is the kind of the part.
  void AddPart(uint64_t generation, std::string* datagram) const {
    v1::AttachRequest request;
    v1::ChannelPart* const part =
        request.mutable_attach()->mutable_channel_part();
    part->set_channel(channel_.ToString());
    part->set_generation(generation);
    datagram->append(request.SerializeAsString());
  }

  static void ReadAnswers(int socket) {
    char buffer[8192];
    for (;;) {
      const auto answer =
          sys::ReceiveDatagram(socket, absl::MakeSpan(buffer), MSG_DONTWAIT);
      if (!answer.ok() || answer->size_bytes == 0) return;
      v1::AttachReply reply;
      Expect(
          reply.ParseFromArray(buffer, static_cast<int>(answer->size_bytes)));
      Expect(answer->fds.empty() || reply.has_attachment());
    }
  }

  const std::string folder_;
  const BackendSet backends_;
  const std::unique_ptr<Store> store_;
  EventLog events_;
  NamespaceTable namespaces_;
  SessionTable sessions_;
  SegmentRegistry registry_;
  ChannelRegistry channels_;
  Handle handle_;
  const ChannelName channel_ = {kDefaultNamespace, "channel"};
};

}  // namespace
}  // namespace shmd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const daemon = new shmd::Daemon();
  daemon->Serve(shmd::FuzzInput(data, size));
  return 0;
}
