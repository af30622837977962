// Sessions that write anything anywhere into their own pages, beside a program
// that puts and gets: the daemon stays up, the program is not kept waiting, and
// reads nothing but what it has put. 10^8 words are written
// (tests/testing/effort.h).
//
// What the daemon makes of each single word is tested where it is read
// (shm/lane/scribble_test.cc); here the whole daemon runs, and does what it is
// asked for as long as the rules of the ring are kept.

#include <grpcpp/grpcpp.h>
#include <sys/socket.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/cpp/objects.h"
#include "gtest/gtest.h"
#include "shm/layout/memory_word.h"
#include "shm/layout/session_layout.h"
#include "shm/sys/memory.h"
#include "shm/sys/socket.h"
#include "shmd/v1/attach.pb.h"
#include "shmd/v1/object.grpc.pb.h"
#include "tests/testing/effort.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

using layout::HostMemory;
using layout::Submission;

constexpr absl::Duration kDeadline = absl::Seconds(60);
constexpr uint64_t kFlips = 100000000;
constexpr uint64_t kSessions = 200;
constexpr uint64_t kArenaBytes = 1 << 20;
constexpr char kNamespace[] = "namespaces/default";
constexpr uint64_t kPageWords = sizeof(layout::SessionPage) / sizeof(uint64_t);

// xorshift64: a flip is to cost less than what the daemon does with it.
class Random {
 public:
  uint64_t Below(uint64_t end) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ % end;
  }

 private:
  uint64_t state_ = 0x9E3779B97F4A7C15;
};

// A session by the protocol alone, with an arena, which has its page mapped.
class HostileSession {
 public:
  explicit HostileSession(const ScopedServer& server)
      : socket_(*sys::ConnectUnix(server.attach_socket(),
                                  sys::SocketType::kSeqpacket, kDeadline)) {
    v1::AttachRequest hello;
    hello.mutable_hello();
    const std::string session = Ask(hello).first.welcome().session();
    const auto stub = v1::ObjectService::NewStub(
        grpc::CreateChannel(absl::StrCat("unix:", server.grpc_socket()),
                            grpc::InsecureChannelCredentials()));
    v1::OpenDirectoryRequest open;
    v1::Directory directory;
    open.set_parent(kNamespace);
    open.set_session(session);
    grpc::ClientContext opening, creating;
    EXPECT_TRUE(stub->OpenDirectory(&opening, open, &directory).ok());
    v1::CreateArenaRequest create;
    v1::Arena arena;
    create.set_parent(kNamespace);
    create.set_session(session);
    create.mutable_arena()->set_size_bytes(kArenaBytes);
    EXPECT_TRUE(stub->CreateArena(&creating, create, &arena).ok());
    arena_ = arena.number();
    page_ = Map(directory.session_page_handle(), true);
    answers_ = Map(directory.answers_handle(), false);
  }

  // Its ring is what it should be, and what is in it anything at all.
  void Submit(Random& random) {
    auto* const header = &page()->header;
    const uint64_t submitted =
        HostMemory::Load(&header->submitted, std::memory_order_relaxed);
    const uint64_t taken =
        HostMemory::Load(&answers()->header.taken, std::memory_order_acquire);
    HostMemory::Store(&header->answers_read,
                      HostMemory::Load(&answers()->header.produced,
                                       std::memory_order_acquire),
                      std::memory_order_release);
    if (submitted - taken >= layout::kSubmissions / 2) return Ring();
    Submission submission = {};
    // Up to one kind that is not known, and one arena that is not its own.
    submission.kind = static_cast<uint32_t>(random.Below(6));
    submission.flags = static_cast<uint32_t>(random.Below(4));
    submission.arena = arena_ - static_cast<uint32_t>(random.Below(4) == 0);
    submission.offset_bytes = random.Below(kArenaBytes + 4096) / 8 * 8;
    submission.size_bytes = random.Below(1 << random.Below(20));
    submission.metadata_bytes = static_cast<uint32_t>(random.Below(100));
    submission.ttl_ns = 1 + random.Below(1'000'000);
    submission.name_length = 2;
    submission.name[0] =
        'a' + random.Below(26) + (('a' + random.Below(26)) << 8);
    // Now and then a word of it is something else.
    if (random.Below(4) == 0) {
      auto* const words = reinterpret_cast<uint64_t*>(&submission);
      words[random.Below(sizeof(submission) / 8)] ^= uint64_t{1}
                                                     << random.Below(64);
    }
    memcpy(&page()->submissions[submitted % layout::kSubmissions], &submission,
           sizeof(submission));
    HostMemory::Store(&header->submitted, submitted + 1,
                      std::memory_order_release);
  }

  void Pin(Random& random) {
    HostMemory::Store(&page()->header.pins_used, random.Below(20000),
                      std::memory_order_release);
    HostMemory::Store(&page()->pins[random.Below(layout::kMaxPins)],
                      random.Below(1 << 16), std::memory_order_release);
  }

  void Flip(Random& random) {
    uint64_t* const word =
        static_cast<uint64_t*>(page_.data()) + random.Below(kPageWords);
    HostMemory::Store(word,
                      HostMemory::Load(word, std::memory_order_relaxed) ^
                          uint64_t{1} << random.Below(64),
                      std::memory_order_relaxed);
  }

  uint64_t answered() const {
    return HostMemory::Load(&answers()->header.produced,
                            std::memory_order_acquire);
  }

  void Ring() {
    v1::AttachRequest wake;
    wake.mutable_wake();
    // The daemon's queue may be full: then it has been told.
    sys::SendDatagram(socket_.get(), wake.SerializeAsString(), -1)
        .IgnoreError();
  }

 private:
  layout::SessionPage* page() {
    return static_cast<layout::SessionPage*>(page_.data());
  }
  const layout::AnswersPage* answers() const {
    return static_cast<const layout::AnswersPage*>(answers_.data());
  }

  std::pair<v1::AttachReply, UniqueFd> Ask(const v1::AttachRequest& request) {
    EXPECT_TRUE(
        sys::SendDatagram(socket_.get(), request.SerializeAsString(), -1).ok());
    char buffer[4096];
    auto got = sys::ReceiveDatagram(socket_.get(), absl::MakeSpan(buffer), 0);
    EXPECT_TRUE(got.ok()) << got.status();
    v1::AttachReply reply;
    EXPECT_TRUE(
        reply.ParseFromArray(buffer, static_cast<int>(got->size_bytes)));
    EXPECT_FALSE(reply.has_error()) << reply.DebugString();
    return {reply, got->fds.empty() ? UniqueFd() : std::move(got->fds[0])};
  }

  sys::ScopedMmap Map(const std::string& handle, bool writable) {
    v1::AttachRequest attach;
    attach.mutable_attach()->set_handle_string(handle);
    attach.mutable_attach()->set_access(writable ? v1::READ_WRITE : v1::READ);
    const auto [reply, fd] = Ask(attach);
    sys::MmapRequest request;
    request.fd = fd.get();
    request.length_bytes = reply.attachment().size_bytes();
    request.writable = writable;
    return *sys::ScopedMmap::Map(request);
  }

  UniqueFd socket_;
  uint32_t arena_ = 0;
  sys::ScopedMmap page_, answers_;
};

// Puts, gets and deletes, and checks what it gets.
class Bystander {
 public:
  explicit Bystander(const ScopedServer& server) {
    ConnectOptions options;
    options.socket_dir = server.socket_dir();
    client_.emplace(*Client::Connect(options));
    ObjectStoreOptions store;
    store.arena_bytes = kArenaBytes;
    store_.emplace(*ObjectStore::Open(*client_, store));
    thread_ = std::thread([this] { Run(); });
  }
  ~Bystander() {
    stopping_ = true;
    thread_.join();
  }

  uint64_t turns() const { return turns_; }

 private:
  void Run() {
    for (uint64_t turn = 0; !stopping_ && !::testing::Test::HasFailure();
         ++turn) {
      const std::string id = absl::StrCat("bystander-", turn % 8);
      const std::string data(1 + turn % 5000,
                             static_cast<char>('a' + turn % 26));
      ObjectOptions options;
      options.replace_existing = true;
      const auto put = store_->Put(id, absl::MakeConstSpan(data), options);
      ASSERT_TRUE(put.ok()) << put.status();
      const auto got = store_->Get(id);
      ASSERT_TRUE(got.ok()) << got.status();
      ASSERT_TRUE(absl::string_view(got->data(), got->size_bytes()) == data);
      if (turn % 3 == 0) {
        const absl::Status deleted = store_->Delete(id);
        ASSERT_TRUE(deleted.ok()) << deleted;
      }
      ++turns_;
    }
  }

  std::optional<Client> client_;
  std::optional<ObjectStore> store_;
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> turns_{0};
  std::thread thread_;
};

TEST(HostileSessionTest, HarmsNobodyButItself) {
  const auto server = *ScopedServer::Start();
  const KernelLedger before = server->Ledger();
  const uint64_t flips = Effort(kFlips) / kSessions;
  Random random;
  uint64_t answered = 0;
  {
    const Bystander bystander(*server);
    for (uint64_t i = 0; i < kSessions && !::testing::Test::HasFailure(); ++i) {
      HostileSession session(*server);
      // First within the rules of the ring, so that what is asked is done.
      for (uint64_t turn = 0; turn < flips / 64; ++turn) {
        session.Submit(random);
        session.Pin(random);
        if (turn % 64 == 0) session.Ring();
      }
      answered += session.answered();
      for (uint64_t flip = 0; flip < flips; ++flip) {
        session.Flip(random);
        if (flip % 4096 == 0) session.Ring();
      }
      const uint64_t turns = bystander.turns();
      const absl::Time give_up = absl::Now() + kDeadline;
      while (bystander.turns() < turns + 3 && !::testing::Test::HasFailure()) {
        ASSERT_LT(absl::Now(), give_up) << "a bystander stands still";
      }
    }
  }
  EXPECT_GT(answered, flips / 64);
  EXPECT_TRUE(server->Stop().ok());
  ASSERT_TRUE(server->Restart().ok());
  EXPECT_EQ(DiffLedgers(before, server->Ledger()), "");
}

}  // namespace
}  // namespace shmd::testing
