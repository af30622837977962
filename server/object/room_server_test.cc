#include "server/object/room_server.h"

#include <atomic>
#include <vector>

#include "absl/synchronization/notification.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

RoomRequest Request(absl::Duration wait) {
  RoomRequest request;
  request.size_bytes = 1;
  request.wait = wait;
  return request;
}

RoomServer::Result Ask(RoomServer& server, absl::Duration wait) {
  absl::Notification done;
  RoomServer::Result result = uint64_t{0};
  server.Push(Request(wait), [&](const RoomServer::Result& one) {
    result = one;
    done.Notify();
  });
  done.WaitForNotification();
  return result;
}

TEST(RoomServerTest, WhoDoesNotWaitIsTriedOnce) {
  std::atomic<int> attempts{0};
  RoomServer server([&](const RoomRequest&) {
    ++attempts;
    return std::optional<RoomServer::Result>();
  });
  EXPECT_EQ(GetErrorReason(Ask(server, absl::ZeroDuration()).status()),
            reason::kObjectsInUse);
  EXPECT_EQ(attempts, 1);
}

TEST(RoomServerTest, WhoWaitsIsTriedUntilItSucceeds) {
  std::atomic<int> attempts{0};
  RoomServer server([&](const RoomRequest&) {
    return ++attempts < 4 ? std::nullopt
                          : std::optional<RoomServer::Result>(uint64_t{7});
  });
  const RoomServer::Result result = Ask(server, absl::Hours(1));
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(*result, 7u);
  EXPECT_EQ(attempts, 4);
}

TEST(RoomServerTest, AWaitHasAnEnd) {
  std::atomic<int> attempts{0};
  RoomServer server([&](const RoomRequest&) {
    ++attempts;
    return std::optional<RoomServer::Result>();
  });
  EXPECT_EQ(GetErrorReason(Ask(server, absl::Milliseconds(300)).status()),
            reason::kObjectsInUse);
  EXPECT_GE(attempts, 2);
}

TEST(RoomServerTest, OneThatWaitsKeepsNobodyWaiting) {
  RoomServer server([&](const RoomRequest& request) {
    return request.wait > absl::ZeroDuration()
               ? std::nullopt
               : std::optional<RoomServer::Result>(uint64_t{1});
  });
  absl::Notification drained;
  server.Push(Request(absl::Hours(1)), [&](const RoomServer::Result& result) {
    EXPECT_EQ(GetErrorReason(result.status()), reason::kServerDraining);
    drained.Notify();
  });
  EXPECT_TRUE(Ask(server, absl::ZeroDuration()).ok());
  EXPECT_FALSE(drained.HasBeenNotified());
  server.Drain();
  EXPECT_TRUE(drained.HasBeenNotified());
  EXPECT_EQ(GetErrorReason(Ask(server, absl::ZeroDuration()).status()),
            reason::kServerDraining);
}

}  // namespace
}  // namespace shmd
