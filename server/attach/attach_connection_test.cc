#include "server/attach/attach_connection.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "google/rpc/error_details.pb.h"
#include "server/attach/handle_proto.h"
#include "server/registry/registry_fixture.h"
#include "shm/sys/socket.h"

namespace shmd {
namespace {

// A connection served by hand: what is sent is answered when Serve is called.
class AttachConnectionTest : public RegistryTest {
 protected:
  void SetUp() override { Connect(Root()); }

  void Connect(const Caller& caller) {
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    client_.Reset(pair[0]);
    UniqueFd server(pair[1]);
    server_ = server.get();
    ASSERT_EQ(fcntl(server.get(), F_SETFL, O_NONBLOCK), 0);
    connection_ = std::make_unique<AttachConnection>(
        std::move(server), caller,
        sessions().Begin(caller, Process(), kDefaultNamespace), &registry(),
        &sessions());
  }
  void TearDown() override { Disconnect(); }
  // As the server does when the program has gone.
  void Disconnect() {
    if (connection_ == nullptr) return;
    sessions().End(connection_->session());
    connection_.reset();
    registry().CleanUpSessions();
  }

  bool Serve() { return connection_->ServeWaiting(); }
  void Send(const std::string& bytes, int fd = -1) {
    const absl::Status sent = sys::SendDatagram(client_.get(), bytes, fd);
    EXPECT_TRUE(sent.ok()) << sent;
  }
  void Send(const v1::AttachRequest& request) {
    Send(request.SerializeAsString());
  }

  // The one answer that is waiting, and its passenger.
  v1::AttachReply Receive(UniqueFd* passenger = nullptr) {
    v1::AttachReply reply;
    char buffer[8192];
    auto datagram = sys::ReceiveDatagram(client_.get(), absl::MakeSpan(buffer),
                                         MSG_DONTWAIT);
    EXPECT_TRUE(datagram.ok()) << datagram.status();
    if (!datagram.ok()) return reply;
    EXPECT_FALSE(datagram->truncated);
    EXPECT_TRUE(
        reply.ParseFromArray(buffer, static_cast<int>(datagram->size_bytes)));
    EXPECT_LE(datagram->fds.size(), 1u);
    if (passenger != nullptr && !datagram->fds.empty()) {
      *passenger = std::move(datagram->fds[0]);
    }
    return reply;
  }
  bool IsQuiet() {
    char buffer[16];
    return !sys::ReceiveDatagram(client_.get(), absl::MakeSpan(buffer),
                                 MSG_DONTWAIT)
                .ok();
  }

  v1::AttachRequest AttachTo(const SegmentView& view,
                             v1::Access access = v1::READ) {
    v1::AttachRequest request;
    request.set_sequence(++sequence_);
    request.mutable_attach()->set_handle_string(
        EncodeHandle(registry().WholeHandle(Root(), *view.segment)));
    request.mutable_attach()->set_access(access);
    return request;
  }
  static v1::AttachRequest DetachFrom(uint64_t attachment_id) {
    v1::AttachRequest request;
    request.mutable_detach()->set_attachment_id(attachment_id);
    return request;
  }
  v1::AttachRequest Deletion(const std::string& id) {
    v1::AttachRequest request;
    request.set_sequence(++sequence_);
    request.mutable_delete_()->set_name(
        absl::StrCat("namespaces/default/segments/", id));
    return request;
  }
  v1::AttachReply AskToDelete(const v1::AttachRequest& request) {
    Send(request);
    EXPECT_TRUE(Serve());
    if (connection_->is_deferred()) {
      EXPECT_TRUE(connection_->ServeDeferred());
    }
    return Receive();
  }
  v1::AttachReply Ask(const v1::AttachRequest& request,
                      UniqueFd* passenger = nullptr) {
    Send(request);
    EXPECT_TRUE(Serve());
    return Receive(passenger);
  }
  static std::string ReasonIn(const v1::AttachReply& reply) {
    google::rpc::ErrorInfo error;
    if (reply.error().details_size() == 0) return "";
    EXPECT_TRUE(reply.error().details(0).UnpackTo(&error));
    EXPECT_EQ(error.domain(), "shmd");
    EXPECT_FALSE(reply.has_attachment());
    return error.reason();
  }
  uint64_t Attachments(const std::string& id) {
    return registry().Get(Root(), Name(id))->attachments;
  }

  UniqueFd client_;
  int server_ = -1;  // the connection's own
  std::unique_ptr<AttachConnection> connection_;
  uint64_t sequence_ = 0;
};

TEST_F(AttachConnectionTest, GrantTellsWhatIsNeededToMap) {
  CreateCommand command = Memfd("a");
  command.options.size_bytes = 5000;
  command.options.huge_page_advice = HugePageAdvice::kWanted;
  const SegmentView view = Made(command);
  UniqueFd fd;
  const v1::AttachReply reply = Ask(AttachTo(view, v1::READ_WRITE), &fd);
  ASSERT_EQ(ReasonIn(reply), "") << reply.ShortDebugString();
  EXPECT_EQ(reply.sequence(), 1u);
  const v1::Attachment& attachment = reply.attachment();
  EXPECT_EQ(attachment.name(), "namespaces/default/segments/a");
  EXPECT_EQ(attachment.generation(), view.segment->generation);
  EXPECT_EQ(attachment.size_bytes(), 5000u);
  EXPECT_EQ(attachment.page_size_bytes(), BasePageSizeBytes());
  EXPECT_EQ(attachment.access(), v1::READ_WRITE);
  EXPECT_EQ(attachment.length_bytes(), 5000u);
  EXPECT_TRUE(attachment.advise_huge_pages());
  EXPECT_FALSE(attachment.has_sysv_id());
  ASSERT_TRUE(fd.valid());
  EXPECT_EQ(fcntl(fd.get(), F_GETFL) & O_ACCMODE, O_RDWR);
  EXPECT_EQ(Attachments("a"), 1u);
}

TEST_F(AttachConnectionTest, ReadersDescriptorCannotWrite) {
  for (const SegmentView& view : {Made(Memfd("m")), Made(Posix("p"))}) {
    UniqueFd fd;
    ASSERT_EQ(ReasonIn(Ask(AttachTo(view), &fd)), "");
    ASSERT_TRUE(fd.valid());
    EXPECT_EQ(fcntl(fd.get(), F_GETFL) & O_ACCMODE, O_RDONLY);
    EXPECT_EQ(mmap(nullptr, 4096, PROT_WRITE, MAP_SHARED, fd.get(), 0),
              MAP_FAILED);
  }
}

TEST_F(AttachConnectionTest, SysvSegmentComesAsItsId) {
  const SegmentView view = Made(Sysv("a"));
  UniqueFd fd;
  const v1::AttachReply reply = Ask(AttachTo(view), &fd);
  ASSERT_TRUE(reply.attachment().has_sysv_id());
  EXPECT_EQ(reply.attachment().sysv_id(), view.entry->object.name.sysv_id);
  EXPECT_FALSE(fd.valid());
}

TEST_F(AttachConnectionTest, HandleAsMessageIsAsGoodAsText) {
  const SegmentView view = Made(Memfd("a"));
  v1::AttachRequest request;
  HandleToProto(registry().WholeHandle(Root(), *view.segment),
                request.mutable_attach()->mutable_handle());
  EXPECT_EQ(ReasonIn(Ask(request)), "");
  request.mutable_attach()->mutable_handle()->set_offset_bytes(1);
  EXPECT_EQ(ReasonIn(Ask(request)), "HANDLE_INVALID");
  request.mutable_attach()->mutable_handle()->set_uid("short");
  EXPECT_EQ(ReasonIn(Ask(request)), "HANDLE_INVALID");
}

TEST_F(AttachConnectionTest, RefusalsAreToldAndTheConnectionGoesOn) {
  const SegmentView view = Made(Memfd("a"));
  v1::AttachRequest request;
  request.set_sequence(77);
  v1::AttachReply reply = Ask(request);
  EXPECT_EQ(ReasonIn(reply), "REQUEST_INVALID");
  EXPECT_EQ(reply.sequence(), 77u);
  request.mutable_attach();
  EXPECT_EQ(ReasonIn(Ask(request)), "REQUEST_INVALID");
  request.mutable_attach()->set_handle_string("shm1.AAAA");
  EXPECT_EQ(ReasonIn(Ask(request)), "HANDLE_INVALID");
  request = AttachTo(view, static_cast<v1::Access>(3));
  EXPECT_EQ(ReasonIn(Ask(request)), "REQUEST_INVALID");
  ASSERT_TRUE(
      registry().Seal(Root(), Name("a"), "", SealExtent::kAllWrites).ok());
  EXPECT_EQ(ReasonIn(Ask(AttachTo(view, v1::READ_WRITE))), "SEGMENT_SEALED");
  ASSERT_TRUE(Delete("a").ok());
  EXPECT_EQ(ReasonIn(Ask(AttachTo(view))), "HANDLE_STALE");
}

TEST_F(AttachConnectionTest, CallerIsWhoTheKernelSays) {
  const SegmentView view = Made(Memfd("a"));
  Connect(Alice());
  EXPECT_EQ(ReasonIn(Ask(AttachTo(view))), "CALLER_NOT_ALLOWED");
  EXPECT_EQ(Attachments("a"), 0u);
}

TEST_F(AttachConnectionTest, GarbageEndsTheConnection) {
  for (const std::string& bytes :
       {std::string("\xff\xff\xff\xff"), std::string("\x12\x7f", 2),
        std::string("\0", 1), std::string(4096, '\x0a')}) {
    Connect(Root());
    Send(bytes);
    EXPECT_FALSE(Serve());
    EXPECT_TRUE(IsQuiet());
  }
}

TEST_F(AttachConnectionTest, DatagramOfExactly4096BytesIsRead) {
  v1::AttachRequest request;
  request.mutable_attach()->set_handle_string("");
  const size_t overhead = 6;  // tags and lengths of both levels
  request.mutable_attach()->set_handle_string(
      std::string(kMaxAttachRequestBytes - overhead, 'x'));
  ASSERT_EQ(request.ByteSizeLong(), kMaxAttachRequestBytes);
  EXPECT_EQ(ReasonIn(Ask(request)), "HANDLE_INVALID");
  request.mutable_attach()->mutable_handle_string()->push_back('x');
  Send(request);
  EXPECT_FALSE(Serve());
}

TEST_F(AttachConnectionTest, DescriptorsFromTheClientEndTheConnection) {
  const SegmentView view = Made(Memfd("a"));
  UniqueFd pipe_ends[2];
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
  pipe_ends[0].Reset(ends[0]);
  pipe_ends[1].Reset(ends[1]);
  Send(AttachTo(view).SerializeAsString(), pipe_ends[1].get());
  pipe_ends[1].Reset();
  EXPECT_FALSE(Serve());
  EXPECT_EQ(Attachments("a"), 0u);
  // The daemon has not kept it: no writer is left.
  char byte;
  EXPECT_EQ(read(pipe_ends[0].get(), &byte, 1), 0);
}

TEST_F(AttachConnectionTest, HangUpEndsTheConnectionAndReleasesAll) {
  const SegmentView view = Made(Memfd("a"));
  Ask(AttachTo(view));
  Ask(AttachTo(view));
  EXPECT_EQ(Attachments("a"), 2u);
  client_.Reset();
  EXPECT_FALSE(Serve());
  Disconnect();
  EXPECT_EQ(Attachments("a"), 0u);
}

TEST_F(AttachConnectionTest, DetachReleasesOnceAndIsSilent) {
  const SegmentView view = Made(Memfd("a"));
  const uint64_t id = Ask(AttachTo(view)).attachment().attachment_id();
  for (const uint64_t wrong : {uint64_t{0}, id + 1, UINT64_MAX}) {
    Send(DetachFrom(wrong));
    EXPECT_TRUE(Serve());
  }
  EXPECT_EQ(Attachments("a"), 1u);
  Send(DetachFrom(id));
  Send(DetachFrom(id));
  EXPECT_TRUE(Serve());
  EXPECT_TRUE(IsQuiet());
  EXPECT_EQ(Attachments("a"), 0u);
  // Numbers are not dealt again.
  EXPECT_NE(Ask(AttachTo(view)).attachment().attachment_id(), id);
}

TEST_F(AttachConnectionTest, DetachAfterTheSegmentWasRemovedByForce) {
  const SegmentView view = Made(Memfd("a"));
  const uint64_t id = Ask(AttachTo(view)).attachment().attachment_id();
  ASSERT_TRUE(Delete("a", Root(), /*force=*/true).ok());
  EXPECT_EQ(registry().budget().used().descriptors, 1u);
  Send(DetachFrom(id));
  EXPECT_TRUE(Serve());
  EXPECT_EQ(registry().budget().used().descriptors, 0u);
}

TEST_F(AttachConnectionTest, AttachmentsOfOneConnectionAreLimited) {
  const SegmentView view = Made(Sysv("a"));  // no descriptors on the way
  const v1::AttachRequest request = AttachTo(view);
  uint64_t id = 0;
  for (size_t i = 0; i < kMaxHoldings; ++i) {
    id = Ask(request).attachment().attachment_id();
    ASSERT_NE(id, 0u);
  }
  EXPECT_EQ(ReasonIn(Ask(request)), "ATTACHMENT_LIMIT");
  Send(DetachFrom(id));
  EXPECT_EQ(ReasonIn(Ask(request)), "");
  Disconnect();
  EXPECT_EQ(Attachments("a"), 0u);
}

TEST_F(AttachConnectionTest, ProgramThatDoesNotReadIsCutOff) {
  const SegmentView view = Made(Sysv("a"));
  const std::string request = AttachTo(view).SerializeAsString();
  int served = 0;
  do {
    Send(request);
    ASSERT_LT(++served, 100000);
  } while (Serve());
  EXPECT_GT(served, 1);
  Disconnect();
  EXPECT_EQ(Attachments("a"), 0u);
}

TEST_F(AttachConnectionTest, DeletesAfterWhatWasDetached) {
  const SegmentView view = Made(Memfd("a"));
  const uint64_t attachment = Ask(AttachTo(view)).attachment().attachment_id();
  EXPECT_EQ(ReasonIn(AskToDelete(Deletion("a"))), "SEGMENT_IN_USE");
  Send(DetachFrom(attachment));
  const v1::AttachReply reply = Ask(Deletion("a"));
  EXPECT_FALSE(reply.has_error()) << reply.ShortDebugString();
  EXPECT_EQ(reply.sequence(), sequence_);
  EXPECT_FALSE(registry().Get(Root(), Name("a")).ok());
}

TEST_F(AttachConnectionTest, WhatMayWaitIsDeletedOnAnotherThread) {
  Made(Posix("p"));
  Send(Deletion("p"));
  EXPECT_TRUE(Serve());
  ASSERT_TRUE(connection_->is_deferred());
  EXPECT_TRUE(IsQuiet());
  EXPECT_TRUE(connection_->ServeDeferred());
  EXPECT_FALSE(Receive().has_error());
  EXPECT_FALSE(registry().Get(Root(), Name("p")).ok());
}

TEST_F(AttachConnectionTest, RefusalsOfDeletionsLeaveTheSegment) {
  CreateCommand large = Memfd("large");
  large.options.size_bytes = (1 << 20) + 1;
  Made(large);
  Made(Memfd("a"));
  v1::AttachRequest other_state = Deletion("a");
  other_state.mutable_delete_()->set_etag("another");
  const std::pair<v1::AttachRequest, const char*> cases[] = {
      {Deletion("large"), "REQUEST_INVALID"},
      {Deletion("none"), "SEGMENT_NOT_FOUND"},
      {Deletion("a/b"), "NAME_INVALID"},
      {other_state, "ETAG_MISMATCH"},
  };
  for (const auto& [request, reason] : cases) {
    EXPECT_EQ(ReasonIn(AskToDelete(request)), reason);
  }
  Connect(Alice());
  EXPECT_EQ(ReasonIn(AskToDelete(Deletion("a"))), "CALLER_NOT_ALLOWED");
  EXPECT_TRUE(registry().Get(Root(), Name("a")).ok());
  EXPECT_TRUE(registry().Get(Root(), Name("large")).ok());
}

TEST_F(AttachConnectionTest, WhoAsksAgainAndAgainIsBusy) {
  const SegmentView view = Made(Sysv("a"));
  EXPECT_FALSE(connection_->is_busy());
  // A tick of the clock may fall among them.
  for (int i = 0; i < 10000 && !connection_->is_busy(); ++i) {
    Send(DetachFrom(Ask(AttachTo(view)).attachment().attachment_id()));
  }
  EXPECT_TRUE(connection_->is_busy());
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  Ask(AttachTo(view));
  EXPECT_FALSE(connection_->is_busy());
}

TEST_F(AttachConnectionTest, AttendedIsServedUntilItIsIdle) {
  ASSERT_TRUE(sys::LimitWaits(server_, kAttendedIdle).ok());
  const SegmentView view = Made(Memfd("a"));
  Made(Posix("p"));
  const std::atomic<bool> stop{false};
  Send(AttachTo(view));
  // What may wait is served here, too.
  Send(Deletion("p"));
  EXPECT_TRUE(connection_->Attend(stop));
  EXPECT_EQ(ReasonIn(Receive()), "");
  EXPECT_FALSE(Receive().has_error());
  EXPECT_FALSE(registry().Get(Root(), Name("p")).ok());
  EXPECT_TRUE(IsQuiet());
}

TEST_F(AttachConnectionTest, AttendedEndsWithItsProgramAndWhenItIsToldTo) {
  ASSERT_TRUE(sys::LimitWaits(server_, absl::Hours(1)).ok());
  const SegmentView view = Made(Sysv("a"));
  std::atomic<bool> stop{false};
  Send(AttachTo(view));
  std::thread later([&] {
    while (IsQuiet()) std::this_thread::yield();
    stop = true;
    Send(AttachTo(view));
  });
  EXPECT_TRUE(connection_->Attend(stop));
  later.join();
  Receive();
  stop = false;
  client_.Reset();
  EXPECT_FALSE(connection_->Attend(stop));
}

TEST_F(AttachConnectionTest, HelloTellsWhoTheSessionIs) {
  v1::AttachRequest request;
  request.mutable_hello();
  const v1::AttachReply reply = Ask(request);
  const SessionSnapshot session =
      *sessions().Get(Root(), connection_->session());
  EXPECT_EQ(reply.welcome().session(), SessionName(session.identity.id));
  EXPECT_EQ(reply.welcome().resume_token().size(), 16u);
  EXPECT_FALSE(reply.welcome().resumed());
  EXPECT_EQ(reply.welcome().node(), registry().node());
  EXPECT_EQ(ReasonIn(Ask(request)), "REQUEST_INVALID") << "not the first";
}

TEST_F(AttachConnectionTest, HelloOfAnEarlierSessionResumesIt) {
  SessionIdentity earlier;
  earlier.id = RandomUid();
  earlier.token.fill(3);
  earlier.uid = Root().uid;
  sessions().Await(earlier);
  v1::AttachRequest request;
  v1::Hello& hello = *request.mutable_hello();
  hello.set_resume_session(SessionName(earlier.id));
  hello.set_resume_token(std::string(16, '\x03'));
  const v1::AttachReply reply = Ask(request);
  EXPECT_TRUE(reply.welcome().resumed());
  EXPECT_EQ(reply.welcome().session(), SessionName(earlier.id));
  EXPECT_EQ(connection_->session(), earlier.id);
  const SegmentView view = Made(Memfd("a"));
  EXPECT_EQ(ReasonIn(Ask(AttachTo(view))), "");
  EXPECT_EQ(sessions().Get(Root(), earlier.id)->holding_count, 1u);
}

TEST_F(AttachConnectionTest, HelloOfNoSessionIsANewOne) {
  v1::AttachRequest request;
  v1::Hello& hello = *request.mutable_hello();
  hello.set_resume_session(SessionName(RandomUid()));
  hello.set_resume_token(std::string(16, 'x'));
  const v1::AttachReply reply = Ask(request);
  EXPECT_FALSE(reply.welcome().resumed());
  EXPECT_EQ(reply.welcome().session(), SessionName(connection_->session()));
}

TEST_F(AttachConnectionTest, HelloThatIsWrongSaysWhy) {
  struct Case {
    const char* name_space;
    const char* session;
    const char* token;
    const char* reason;
  };
  const std::string valid = SessionName(RandomUid());
  for (const Case& wrong : {
           Case{"nowhere", "", "", "NAME_INVALID"},
           Case{"namespaces/nowhere", "", "", "NAMESPACE_NOT_FOUND"},
           Case{"", "sessions/1", "0123456789abcdef", "NAME_INVALID"},
           Case{"", valid.c_str(), "short", "REQUEST_INVALID"},
       }) {
    Disconnect();
    Connect(Root());
    v1::AttachRequest request;
    request.mutable_hello()->set_namespace_(wrong.name_space);
    request.mutable_hello()->set_resume_session(wrong.session);
    request.mutable_hello()->set_resume_token(wrong.token);
    EXPECT_EQ(ReasonIn(Ask(request)), wrong.reason);
  }
}

}  // namespace
}  // namespace shmd
