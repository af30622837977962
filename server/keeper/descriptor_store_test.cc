#include "server/keeper/descriptor_store.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "gtest/gtest.h"
#include "server/keeper/notification.h"

namespace shmd {
namespace {

// This process is keeper and daemon at once; the queue is between them.
class DescriptorStoreTest : public ::testing::Test {
 protected:
  DescriptorStoreTest() {
    char folder[] = "/tmp/shmd-store-XXXXXX";
    folder_ = mkdtemp(folder);
    path_ = folder_ + "/notify";
    auto socket = BindNotifySocket(path_);
    EXPECT_TRUE(socket.ok()) << socket.status();
    keeper_ = *std::move(socket);
    setenv("NOTIFY_SOCKET", path_.c_str(), 1);
    setenv("FDSTORE", "1000", 1);
    settings_.deadline = absl::Milliseconds(20);
  }

  ~DescriptorStoreTest() override {
    unlink(path_.c_str());
    rmdir(folder_.c_str());
  }

  IncomingNotification Receive() {
    auto message = ReceiveNotification(keeper_.get(), absl::MakeSpan(buffer_));
    EXPECT_TRUE(message.ok()) << message.status();
    return message.ok() ? *std::move(message) : IncomingNotification();
  }

  std::string folder_, path_;
  UniqueFd keeper_;
  DescriptorStore::Settings settings_;
  char buffer_[kMaxNotificationBytes];
};

TEST_F(DescriptorStoreTest, MessagesCarryOneDescriptorAndItsName) {
  DescriptorStore store(settings_, {});
  EXPECT_EQ(getenv("NOTIFY_SOCKET"), nullptr);
  EXPECT_EQ(getenv("FDSTORE"), nullptr);
  EXPECT_TRUE(store.available());
  EXPECT_EQ(store.max_descriptors(), 1000u);
  EXPECT_EQ(Receive().text, "STATUS=starting");
  const UniqueFd memfd(memfd_create("kept", MFD_CLOEXEC));
  const auto names = store.Store({memfd.get(), memfd.get()});
  ASSERT_TRUE(names.ok()) << names.status();
  for (const std::string& name : *names) {
    const IncomingNotification message = Receive();
    EXPECT_EQ(message.text, StoreNotification(name));
    EXPECT_EQ(message.pid, getpid());
    EXPECT_EQ(message.uid, getuid());
    EXPECT_FALSE(message.truncated);
    ASSERT_EQ(message.fds.size(), 1u);
    EXPECT_EQ(fcntl(message.fds[0].get(), F_GETFD), FD_CLOEXEC);
  }
  EXPECT_EQ(store.stored(), 2u);
  EXPECT_TRUE(store.Remove(*names).ok());
  EXPECT_EQ(Receive().text, RemoveNotification((*names)[0]));
  EXPECT_EQ(store.stored(), 0u);
}

TEST_F(DescriptorStoreTest, AFullQueueIsAnErrorAfterTheDeadline) {
  DescriptorStore store(settings_, {});
  const UniqueFd memfd(memfd_create("kept", MFD_CLOEXEC));
  // Nobody connects back: the queue holds net.unix.max_dgram_qlen datagrams.
  const std::vector<int> fds(900, memfd.get());
  const absl::Status status = store.Store(fds).status();
  EXPECT_EQ(GetErrorReason(status), reason::kKeeperUnreachable);
  EXPECT_TRUE(store.available()) << "it may only be slow";
  // What had gone could not be taken back: it counts until it can.
  const uint64_t went = store.stored();
  EXPECT_GT(went, 0u);
  EXPECT_LT(went, 900u);
  const std::string address = Receive().address;
  ASSERT_TRUE(ConnectBack(keeper_.get(), address).ok());
  for (uint64_t i = 0; i < went; ++i) Receive();
  ASSERT_TRUE(store.Store({memfd.get()}).ok());
  EXPECT_EQ(store.stored(), 1u);
  for (uint64_t i = 0; i < went; ++i) {
    EXPECT_EQ(std::string(Receive().text).substr(0, 15), "FDSTOREREMOVE=1");
  }
  EXPECT_EQ(std::string(Receive().text).substr(0, 9), "FDSTORE=1");
}

TEST_F(DescriptorStoreTest, AConnectedQueueIsAsDeepAsTheBuffer) {
  DescriptorStore store(settings_, {});
  const IncomingNotification first = Receive();
  ASSERT_EQ(first.address.substr(0, 1), "@");
  ASSERT_TRUE(ConnectBack(keeper_.get(), first.address).ok());
  const UniqueFd memfd(memfd_create("kept", MFD_CLOEXEC));
  // By default wmem_max is enough for some two hundred.
  const std::vector<int> fds(150, memfd.get());
  const auto names = store.Store(fds);
  ASSERT_TRUE(names.ok()) << names.status();
  for (size_t i = 0; i < fds.size(); ++i) {
    EXPECT_EQ(Receive().text, StoreNotification((*names)[i]));
  }
}

TEST_F(DescriptorStoreTest, ABadDescriptorIsToldAndNothingIsStored) {
  DescriptorStore store(settings_, {});
  const UniqueFd memfd(memfd_create("kept", MFD_CLOEXEC));
  const absl::Status status = store.Store({memfd.get(), 1 << 20}).status();
  EXPECT_EQ(GetErrorReason(status), reason::kKernelRefused);
  EXPECT_EQ(store.stored(), 0u);
  EXPECT_TRUE(store.available());
}

TEST_F(DescriptorStoreTest, AGoneKeeperIsNoticedAndStoresNothing) {
  DescriptorStore store(settings_, {});
  const UniqueFd memfd(memfd_create("kept", MFD_CLOEXEC));
  const auto names = store.Store({memfd.get()});
  ASSERT_TRUE(names.ok()) << names.status();
  keeper_.Reset();
  EXPECT_TRUE(store.available());
  EXPECT_EQ(GetErrorReason(store.Store({memfd.get()}).status()),
            reason::kKeeperUnreachable);
  EXPECT_FALSE(store.available());
  EXPECT_FALSE(store.Remove(*names).ok());
  EXPECT_EQ(store.stored(), 0u) << "it went with the keeper";
}

TEST_F(DescriptorStoreTest, WithoutALimitNothingIsStored) {
  // As under systemd before 254, or without FileDescriptorStoreMax=.
  unsetenv("FDSTORE");
  const DescriptorStore none(settings_, {});
  EXPECT_FALSE(none.available());
  setenv("NOTIFY_SOCKET", path_.c_str(), 1);
  settings_.max_descriptors = 7;
  const DescriptorStore told(settings_, {});
  EXPECT_TRUE(told.available());
  EXPECT_EQ(told.max_descriptors(), 7u);
}

TEST_F(DescriptorStoreTest, WithoutAKeeperNothingIsStored) {
  unsetenv("NOTIFY_SOCKET");
  DescriptorStore store(settings_, {});
  EXPECT_FALSE(store.available());
  store.NotifyReady();
  const UniqueFd memfd(memfd_create("kept", MFD_CLOEXEC));
  const absl::Status status = store.Store({memfd.get()}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(GetErrorReason(status), reason::kKeeperUnreachable);
}

TEST(TakeListedDescriptorsTest, WhatIsMeantForAnotherProcessIsLeftAlone) {
  setenv("LISTEN_PID", absl::StrCat(getppid()).c_str(), 1);
  setenv("LISTEN_FDS", "1", 1);
  const auto listed = TakeListedDescriptors();
  ASSERT_TRUE(listed.ok()) << listed.status();
  EXPECT_TRUE(listed->empty());
  EXPECT_EQ(getenv("LISTEN_PID"), nullptr);
  EXPECT_EQ(getenv("LISTEN_FDS"), nullptr);
}

TEST(TakeListedDescriptorsTest, BadVariablesAreTold) {
  for (const char* const count : {"", "x", "-1", "99999999999", "2000000"}) {
    setenv("LISTEN_PID", absl::StrCat(getpid()).c_str(), 1);
    setenv("LISTEN_FDS", count, 1);
    EXPECT_EQ(GetErrorReason(TakeListedDescriptors().status()),
              reason::kFieldInvalid)
        << count;
  }
}

}  // namespace
}  // namespace shmd
