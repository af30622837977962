// Datagrams on the attach socket, as any program may send them: over a real
// registry with one segment that everybody may read.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "server/attach/attach_connection.h"
#include "server/attach/handle_proto.h"
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
        events_(1, 1024, store_->identity().first_generation),
        namespaces_(Namespace{}),
        sessions_(Clock::Real(), &namespaces_),
        registry_({&backends_, store_.get(), &events_, &namespaces_, &sessions_,
                   /*descriptors=*/nullptr, Clock::Real()},
                  Limits()) {
    Expect(registry_.TakeUpStored({}).ok());
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
  }

  // Serves `input`: each piece is a datagram. A byte before it may ask for the
  // handle to be put behind it as a field of its own, as nobody guesses one.
  void Serve(FuzzInput input) {
    int pair[2];
    Expect(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
                      pair) == 0);
    const UniqueFd client(pair[0]);
    Caller caller;
    caller.uid = caller.gid = 1000;
    AttachConnection connection(
        UniqueFd(pair[1]), caller,
        sessions_.Begin(caller, Process(), kDefaultNamespace), &registry_,
        &sessions_);
    bool alive = true;
    while (alive && !input.empty()) {
      const bool with_handle = input.TakeByte() % 2 == 1;
      std::string datagram(input.TakePiece());
      if (with_handle) AddHandle(&datagram);
      if (datagram.empty()) continue;
      send(client.get(), datagram.data(), datagram.size(), MSG_DONTWAIT);
      alive = connection.ServeWaiting();
      ReadAnswers(client.get());
    }
    sessions_.End(connection.session());
    registry_.CleanUpSessions();
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
    limits.memory_descriptors = 10;
    return limits;
  }

  void AddHandle(std::string* datagram) const {
    // Messages one behind another are merged.
    v1::AttachRequest request;
    HandleToProto(handle_, request.mutable_attach()->mutable_handle());
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
  Handle handle_;
};

}  // namespace
}  // namespace shmd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const daemon = new shmd::Daemon();
  daemon->Serve(shmd::FuzzInput(data, size));
  return 0;
}
