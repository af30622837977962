#include "shm/sys/socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/error.h"
#include "gtest/gtest.h"

namespace shmd::sys {
namespace {

struct Pair {
  UniqueFd a, b;
};

Pair MakePair() {
  int fds[2] = {-1, -1};
  EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

std::string SocketPath(const std::string& name) {
  std::string pattern = "/tmp/shmd-socket-XXXXXX";
  return absl::StrCat(mkdtemp(pattern.data()), "/", name);
}

TEST(DatagramTest, CarriesBytesAndOneDescriptor) {
  Pair pair = MakePair();
  UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(SendDatagram(pair.a.get(), "hello", null.get()).ok());
  char buffer[16];
  absl::StatusOr<Datagram> got =
      ReceiveDatagram(pair.b.get(), absl::MakeSpan(buffer), 0);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(std::string(buffer, got->size_bytes), "hello");
  EXPECT_FALSE(got->truncated);
  ASSERT_EQ(got->fds.size(), 1u);
  EXPECT_NE(fcntl(got->fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
}

TEST(DatagramTest, CarriesSeveralDescriptorsInTheirOrder) {
  Pair pair = MakePair();
  std::vector<UniqueFd> sent;
  for (size_t i = 0; i < kMaxPassengers; ++i) {
    sent.emplace_back(fcntl(pair.a.get(), F_DUPFD_CLOEXEC, 0));
    if (i % 2 == 0) sent.back().Reset(open("/dev/null", O_RDONLY | O_CLOEXEC));
  }
  ASSERT_TRUE(SendDatagram(pair.a.get(), "x", sent).ok());
  char buffer[16];
  absl::StatusOr<Datagram> got =
      ReceiveDatagram(pair.b.get(), absl::MakeSpan(buffer), 0);
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_FALSE(got->truncated);
  ASSERT_EQ(got->fds.size(), sent.size());
  for (size_t i = 0; i < sent.size(); ++i) {
    struct stat theirs = {};
    struct stat ours = {};
    ASSERT_EQ(fstat(got->fds[i].get(), &theirs), 0);
    ASSERT_EQ(fstat(sent[i].get(), &ours), 0);
    EXPECT_EQ(theirs.st_ino, ours.st_ino) << i;
  }
  sent.emplace_back(fcntl(pair.a.get(), F_DUPFD_CLOEXEC, 0));
  EXPECT_EQ(GetErrorReason(SendDatagram(pair.a.get(), "x", sent)),
            "INVARIANT_BROKEN");
}

TEST(DatagramTest, TooLongForTheBufferIsTold) {
  Pair pair = MakePair();
  ASSERT_TRUE(SendDatagram(pair.a.get(), std::string(100, 'x'), -1).ok());
  char buffer[16];
  absl::StatusOr<Datagram> got =
      ReceiveDatagram(pair.b.get(), absl::MakeSpan(buffer), 0);
  ASSERT_TRUE(got.ok());
  EXPECT_TRUE(got->truncated);
}

TEST(DatagramTest, SendToAClosedPeerIsAnErrorAndNoSignal) {
  Pair pair = MakePair();
  pair.b.Reset();
  const absl::Status status = SendDatagram(pair.a.get(), "x", -1);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(GetErrorReason(status), "SERVER_UNREACHABLE");
}

TEST(DatagramTest, IsLookedForUntilItIsThere) {
  Pair pair = MakePair();
  const auto in = [](uint64_t ns) { return ReadClockNs(CLOCK_MONOTONIC) + ns; };
  const uint64_t begin_ns = in(0);
  EXPECT_FALSE(SpinForDatagram(pair.b.get(), in(1'000'000)));
  EXPECT_GE(in(0) - begin_ns, 1'000'000u);
  ASSERT_TRUE(SendDatagram(pair.a.get(), "x", -1).ok());
  EXPECT_TRUE(SpinForDatagram(pair.b.get(), 0));
  char buffer[2];
  ASSERT_TRUE(ReceiveDatagram(pair.b.get(), absl::MakeSpan(buffer), 0).ok());
  EXPECT_FALSE(SpinForDatagram(pair.b.get(), 0));
  pair.a.Reset();
  EXPECT_TRUE(SpinForDatagram(pair.b.get(), 0));
}

TEST(DatagramTest, WaitsAreLimited) {
  Pair pair = MakePair();
  ASSERT_EQ(fcntl(pair.b.get(), F_SETFL, O_NONBLOCK), 0);
  ASSERT_TRUE(LimitWaits(pair.b.get(), absl::Milliseconds(20)).ok());
  const uint64_t begin_ns = ReadClockNs(CLOCK_MONOTONIC);
  char buffer[2];
  EXPECT_FALSE(ReceiveDatagram(pair.b.get(), absl::MakeSpan(buffer), 0).ok());
  EXPECT_GE(ReadClockNs(CLOCK_MONOTONIC) - begin_ns, 10'000'000u);
}

TEST(ListenUnixTest, ReplacesADeadSocketAndRefusesALiveOne) {
  const std::string path = SocketPath("s.sock");
  {
    absl::StatusOr<UniqueFd> dead =
        ListenUnix(path, SocketType::kSeqpacket, 0600);
    ASSERT_TRUE(dead.ok()) << dead.status();
  }
  absl::StatusOr<UniqueFd> live =
      ListenUnix(path, SocketType::kSeqpacket, 0640);
  ASSERT_TRUE(live.ok()) << live.status();
  struct stat file {};
  ASSERT_EQ(stat(path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0640u);
  EXPECT_EQ(ListenUnix(path, SocketType::kSeqpacket, 0600).status().code(),
            absl::StatusCode::kAlreadyExists);
  unlink(path.c_str());
  rmdir(path.substr(0, path.rfind('/')).c_str());
}

TEST(ListenUnixTest, PathBeyondTheKernelsLimitIsRefused) {
  EXPECT_EQ(
      ListenUnix("/tmp/" + std::string(200, 'p'), SocketType::kStream, 0600)
          .status()
          .code(),
      absl::StatusCode::kInvalidArgument);
}

TEST(PeerCredentialsTest, AreOurs) {
  Pair pair = MakePair();
  absl::StatusOr<PeerCredentials> peer = ReadPeerCredentials(pair.a.get());
  ASSERT_TRUE(peer.ok()) << peer.status();
  EXPECT_EQ(peer->uid, geteuid());
  EXPECT_EQ(peer->pid, getpid());
}

}  // namespace
}  // namespace shmd::sys
