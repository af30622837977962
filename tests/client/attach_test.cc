#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/client.h"
#include "gtest/gtest.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

class AttachTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = ScopedServer::Start();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    auto client = NewClient();
    ASSERT_TRUE(client.ok()) << client.status();
    client_.emplace(*std::move(client));
  }

  absl::StatusOr<Client> NewClient(
      absl::Duration reconnect_timeout = absl::Seconds(30)) {
    ConnectOptions options;
    options.reconnect_timeout = reconnect_timeout;
    options.socket_dir = server_->socket_dir();
    return Client::Connect(options);
  }

  // A segment of two pages of the given kind.
  absl::StatusOr<Segment> Make(BackendKind backend,
                               const std::string& id = "it") {
    SegmentSpec spec;
    spec.id = id;
    spec.size_bytes = 8192;
    spec.backend = backend;
    if (backend == BackendKind::kPosix)
      spec.posix_name = "/" + server_->token();
    if (backend == BackendKind::kMappedFile) spec.file_path = id;
    return client_->Create(spec);
  }

  uint64_t Attachments(const std::string& name) {
    const absl::StatusOr<Segment> segment = client_->Get(name);
    return segment.ok() ? segment->status->attachment_count : UINT64_MAX;
  }

  std::unique_ptr<ScopedServer> server_;
  std::optional<Client> client_;
};

class AttachEveryBackendTest
    : public AttachTest,
      public ::testing::WithParamInterface<BackendKind> {};

TEST_P(AttachEveryBackendTest, WhatIsWrittenIsRead) {
  const KernelLedger before = server_->Ledger();
  const auto segment = Make(GetParam());
  ASSERT_TRUE(segment.ok()) << segment.status();
  {
    auto writable = client_->MapWritable(segment->handle);
    ASSERT_TRUE(writable.ok()) << writable.status();
    strcpy(writable->bytes().data(), "hello");
    auto other = NewClient();
    ASSERT_TRUE(other.ok());
    const auto readable = other->MapReadOnly(segment->handle);
    ASSERT_TRUE(readable.ok()) << readable.status();
    EXPECT_EQ(readable->size_bytes(), 8192u);
    EXPECT_STREQ(readable->bytes().data(), "hello");
    EXPECT_EQ(readable->segment_name(), segment->name);
  }
  // The other client's detach may not have been seen yet.
  DeleteOptions force;
  force.force = true;
  EXPECT_TRUE(client_->Delete("it", force).ok());
  EXPECT_EQ(DiffLedgers(before, server_->Ledger()), "");
}

TEST_P(AttachEveryBackendTest, TheKernelRefusesAReadersWrites) {
  const auto segment = Make(GetParam());
  ASSERT_TRUE(segment.ok()) << segment.status();
  const auto readable = client_->MapReadOnly(segment->handle);
  ASSERT_TRUE(readable.ok()) << readable.status();
  const pid_t child = fork();
  if (child == 0) {
    // Not even gtest's death handler may hide the signal.
    signal(SIGSEGV, SIG_DFL);
    *const_cast<volatile char*>(readable->bytes().data()) = 1;
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

INSTANTIATE_TEST_SUITE_P(
    Backends, AttachEveryBackendTest,
    ::testing::Values(BackendKind::kMemfd, BackendKind::kPosix,
                      BackendKind::kSysv, BackendKind::kMappedFile),
    [](const auto& test) { return std::string(BackendName(test.param)); });

TEST_F(AttachTest, DroppingAMappingEndsItsAttachment) {
  const auto segment = Make(BackendKind::kMemfd);
  ASSERT_TRUE(segment.ok()) << segment.status();
  {
    const auto first = client_->MapReadOnly(segment->handle);
    const auto second = client_->MapReadOnly(segment->handle);
    ASSERT_TRUE(first.ok() && second.ok());
    EXPECT_EQ(Attachments("it"), 2u);
    EXPECT_EQ(GetErrorReason(client_->Delete("it")), reason::kSegmentInUse);
  }
  EXPECT_TRUE(client_->Delete("it").ok());
}

TEST_F(AttachTest, MappingsOutliveTheirClientAndTheirSegment) {
  const auto segment = Make(BackendKind::kMemfd);
  ASSERT_TRUE(segment.ok()) << segment.status();
  auto other = NewClient();
  ASSERT_TRUE(other.ok());
  auto writable = other->MapWritable(segment->handle);
  ASSERT_TRUE(writable.ok());
  { const Client gone = *std::move(other); }
  EXPECT_EQ(Attachments("it"), 1u);
  DeleteOptions force;
  force.force = true;
  ASSERT_TRUE(client_->Delete("it", force).ok());
  writable->bytes()[8191] = 'x';
  EXPECT_EQ(writable->bytes()[8191], 'x');
}

TEST_F(AttachTest, PrivateViewsKeepTheirWritesToThemselves) {
  const auto segment = Make(BackendKind::kMemfd);
  ASSERT_TRUE(segment.ok()) << segment.status();
  auto writable = client_->MapWritable(segment->handle);
  auto own = client_->MapPrivate(segment->handle);
  ASSERT_TRUE(writable.ok() && own.ok());
  writable->bytes()[0] = 'a';
  EXPECT_EQ(own->bytes()[0], 'a');
  own->bytes()[0] = 'b';
  EXPECT_EQ(writable->bytes()[0], 'a');
}

TEST_F(AttachTest, HandlesOfARangeMapThatRange) {
  const auto segment = Make(BackendKind::kMemfd);
  ASSERT_TRUE(segment.ok()) << segment.status();
  auto writable = client_->MapWritable(segment->handle);
  ASSERT_TRUE(writable.ok());
  strcpy(writable->bytes().data() + 128, "inside");
  HandleOptions range;
  range.offset_bytes = 128;
  range.length_bytes = 64;
  const auto handle = client_->CreateHandle("it", range);
  ASSERT_TRUE(handle.ok()) << handle.status();
  const auto readable = client_->MapReadOnly(*handle);
  ASSERT_TRUE(readable.ok()) << readable.status();
  EXPECT_EQ(readable->size_bytes(), 64u);
  EXPECT_STREQ(readable->bytes().data(), "inside");
  EXPECT_EQ(GetErrorReason(client_->MapWritable(*handle).status()),
            reason::kCallerNotAllowed);
  AttachOptions outside;
  outside.offset_bytes = 65;
  EXPECT_EQ(GetErrorReason(client_->MapReadOnly(*handle, outside).status()),
            reason::kRangeOutsideSegment);
}

TEST_F(AttachTest, FixedAddressesReplaceNothing) {
  const auto segment = Make(BackendKind::kMemfd);
  ASSERT_TRUE(segment.ok()) << segment.status();
  void* const taken = mmap(nullptr, 8192, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(taken, MAP_FAILED);
  AttachOptions fixed;
  fixed.fixed_address = taken;
  EXPECT_EQ(
      GetErrorReason(client_->MapReadOnly(segment->handle, fixed).status()),
      reason::kAddressInUse);
  munmap(taken, 8192);
  const auto mapping = client_->MapReadOnly(segment->handle, fixed);
  ASSERT_TRUE(mapping.ok()) << mapping.status();
  EXPECT_EQ(mapping->data(), taken);
  // The refused one has left no attachment.
  EXPECT_EQ(Attachments("it"), 1u);
}

TEST_F(AttachTest, WhatCanBeTakenAwayIsMappedOnlyByThoseWhoAgree) {
  for (const BackendKind backend :
       {BackendKind::kMemfd, BackendKind::kPosix, BackendKind::kMappedFile}) {
    SegmentSpec spec;
    spec.id = absl::StrCat("it", static_cast<int>(backend));
    spec.size_bytes = 8192;
    spec.backend = backend;
    if (backend == BackendKind::kMappedFile) spec.file_path = "revocable";
    spec.revocable = true;
    const auto segment = client_->Create(spec);
    ASSERT_TRUE(segment.ok()) << segment.status();
    EXPECT_TRUE(segment->revocable);
    EXPECT_EQ(GetErrorReason(client_->MapReadOnly(segment->handle).status()),
              reason::kSegmentRevocable);
    EXPECT_EQ(GetErrorReason(client_->MapWritable(segment->handle).status()),
              reason::kSegmentRevocable);
    AttachOptions ready;
    ready.allow_revocable = true;
    const auto mapping = client_->MapReadOnly(segment->handle, ready);
    ASSERT_TRUE(mapping.ok()) << mapping.status();
    EXPECT_FALSE(mapping->cannot_shrink());
    // The refused ones have left none.
    EXPECT_EQ(Attachments(segment->name), 1u);

    DeleteOptions revoke;
    revoke.revoke_memory = true;
    ASSERT_TRUE(client_->Delete(segment->name, revoke).ok());
    char first = 0;
    EXPECT_EQ(GetErrorReason(mapping->Read(0, absl::MakeSpan(&first, 1))),
              reason::kSegmentTruncated);
  }
}

TEST_F(AttachTest, OnlyWhatIsRevocableIsRevoked) {
  const auto segment = Make(BackendKind::kMemfd);
  ASSERT_TRUE(segment.ok()) << segment.status();
  DeleteOptions revoke;
  revoke.revoke_memory = true;
  EXPECT_EQ(GetErrorReason(client_->Delete("it", revoke)),
            reason::kNotRevocable);
}

TEST_F(AttachTest, RefusalsNameTheirReason) {
  EXPECT_EQ(GetErrorReason(client_->MapReadOnly("shm1.nonsense").status()),
            reason::kHandleInvalid);
  const auto old = Make(BackendKind::kMemfd);
  ASSERT_TRUE(old.ok());
  ASSERT_TRUE(client_->Delete("it").ok());
  ASSERT_TRUE(Make(BackendKind::kMemfd).ok());
  EXPECT_EQ(GetErrorReason(client_->MapReadOnly(old->handle).status()),
            reason::kHandleStale);
}

TEST_F(AttachTest, WithoutRoomForADescriptorItSaysSo) {
  const auto segment = Make(BackendKind::kMemfd);
  ASSERT_TRUE(segment.ok());
  ASSERT_TRUE(client_->MapReadOnly(segment->handle).ok());
  rlimit old;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
  // Every number below the limit is taken.
  std::vector<UniqueFd> fill;
  const rlimit low = {64, old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  int fd;
  while ((fd = open("/dev/null", O_RDONLY)) >= 0) fill.emplace_back(fd);
  const absl::Status status = client_->MapReadOnly(segment->handle).status();
  setrlimit(RLIMIT_NOFILE, &old);
  EXPECT_EQ(GetErrorReason(status), reason::kDescriptorsExhausted) << status;
  fill.clear();
  EXPECT_TRUE(client_->MapReadOnly(segment->handle).ok());
}

TEST_F(AttachTest, ManyThreadsShareOneClient) {
  const auto segment = Make(BackendKind::kMemfd);
  ASSERT_TRUE(segment.ok());
  std::vector<std::thread> threads;
  std::atomic<int> good = 0;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        const auto mapping = client_->MapReadOnly(segment->handle);
        if (mapping.ok() && mapping->size_bytes() == 8192) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 400);
  EXPECT_TRUE(client_->Delete("it").ok());
}

// Each is made on a connection of its own, or by a call while another one is.
TEST_F(AttachTest, ManyThreadsMakeFiles) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this, i] {
      for (int turn = 0; turn < 25; ++turn) {
        SegmentSpec spec;
        spec.backend = BackendKind::kMappedFile;
        spec.id = absl::StrCat("file", i);
        spec.file_path = spec.id;
        spec.size_bytes = 4096;
        spec.lifetime = Lifetime::kSession;
        const auto made = client_->Create(spec);
        ASSERT_TRUE(made.ok()) << made.status();
        EXPECT_EQ(made->owner_session, client_->session_name());
        {
          const auto mapping = client_->MapWritable(made->handle);
          ASSERT_TRUE(mapping.ok()) << mapping.status();
        }
        const absl::Status removed = client_->Delete(made->name);
        ASSERT_TRUE(removed.ok()) << removed;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(AttachTest, AForkedChildLeavesItsParentsAttachmentAlone) {
  const auto segment = Make(BackendKind::kMemfd);
  ASSERT_TRUE(segment.ok());
  auto mapping = client_->MapWritable(segment->handle);
  ASSERT_TRUE(mapping.ok());
  const pid_t child = fork();
  if (child == 0) {
    mapping->bytes()[0] = 'c';
    *mapping = WritableAttached();
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(mapping->bytes()[0], 'c');
  // Another attach comes behind whatever the child may have sent.
  ASSERT_TRUE(client_->MapReadOnly(segment->handle).ok());
  EXPECT_EQ(GetErrorReason(client_->Delete("it")), reason::kSegmentInUse);
}

TEST_F(AttachTest, TheSameClientGoesOnAfterARestart) {
  const auto segment = Make(BackendKind::kMappedFile);
  ASSERT_TRUE(segment.ok()) << segment.status();
  auto before = client_->MapWritable(segment->handle);
  ASSERT_TRUE(before.ok());
  before->bytes()[0] = 'k';
  auto impatient = NewClient(absl::ZeroDuration());
  ASSERT_TRUE(impatient.ok()) << impatient.status();
  server_->Kill();
  before->bytes()[1] = 'l';  // no daemon, no harm
  EXPECT_EQ(GetErrorReason(impatient->MapReadOnly(segment->handle).status()),
            reason::kServerUnreachable);
  SegmentSpec file;
  file.backend = BackendKind::kMappedFile;
  file.file_path = "late";
  file.size_bytes = 4096;
  EXPECT_EQ(GetErrorReason(impatient->Create(file).status()),
            reason::kServerUnreachable);
  ASSERT_TRUE(server_->Restart().ok()) << server_->Log();
  const auto after = client_->MapReadOnly(segment->handle);
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->bytes()[0], 'k');
  EXPECT_EQ(after->bytes()[1], 'l');
  // On the connection for what takes long, which has ended too.
  const auto again = Make(BackendKind::kMappedFile, "again");
  ASSERT_TRUE(again.ok()) << again.status();
  const absl::Status removed = client_->Delete("again");
  EXPECT_TRUE(removed.ok()) << removed;
}

TEST(ConnectTest, WithoutADaemonTheErrorNamesTheFolder) {
  ConnectOptions options;
  options.socket_dir = "/nowhere/shmd";
  const absl::Status status = Client::Connect(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(GetErrorReason(status), reason::kServerUnreachable);
  EXPECT_NE(status.message().find("/nowhere/shmd"), std::string::npos);
  options.socket_dir = std::string(200, 'x');
  EXPECT_EQ(Client::Connect(options).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace shmd::testing
