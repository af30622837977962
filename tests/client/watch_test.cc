#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/client.h"
#include "gtest/gtest.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

using Type = WatchEvent::Type;

// What a watch has told so far, in words; to be awaited.
class Diary {
 public:
  void Add(const WatchEvent& event) {
    absl::MutexLock lock(&mutex_);
    entries_.push_back(absl::StrCat(
        WatchEventTypeName(event.type),
        event.segment.has_value() ? " " + event.segment->id() : ""));
    if (!event.resume_token.empty()) token_ = event.resume_token;
  }

  // The watch has ended: nothing more will come.
  void End(const absl::Status& end) {
    absl::MutexLock lock(&mutex_);
    entries_.push_back(absl::StrCat("ended: ", end.ToString()));
    ended_ = true;
  }

  // Waits for `count` entries, or the end; returns what there is.
  std::vector<std::string> Await(size_t count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [this, count] {
      return ended_ || entries_.size() >= count;
    };
    mutex_.AwaitWithTimeout(absl::Condition(&enough), absl::Minutes(1));
    return entries_;
  }

  std::string token() {
    absl::MutexLock lock(&mutex_);
    return token_;
  }

 private:
  absl::Mutex mutex_;
  std::vector<std::string> entries_;
  std::string token_;
  bool ended_ = false;
};

class WatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = ScopedServer::Start();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ConnectOptions options;
    options.socket_dir = server_->socket_dir();
    auto client = Client::Connect(options);
    ASSERT_TRUE(client.ok()) << client.status();
    client_.emplace(*std::move(client));
  }

  void TearDown() override { StopWatching(); }

  void StartWatching(const WatchOptions& options = {}) {
    cancel_ = options.cancel;
    watcher_ = std::thread([this, options] {
      end_ = client_->Watch(options, [this](const WatchEvent& event) {
        diary_.Add(event);
        return true;
      });
      diary_.End(end_);
    });
  }

  void StopWatching() {
    if (!watcher_.joinable()) return;
    cancel_.Cancel();
    watcher_.join();
  }

  void Create(const std::string& id, BackendKind backend) {
    SegmentSpec spec;
    spec.id = id;
    spec.size_bytes = 4096;
    spec.backend = backend;
    if (backend == BackendKind::kMappedFile) spec.file_path = id;
    const auto made = client_->Create(spec);
    ASSERT_TRUE(made.ok()) << made.status();
  }

  std::unique_ptr<ScopedServer> server_;
  std::optional<Client> client_;
  CancelToken cancel_;
  Diary diary_;
  std::thread watcher_;
  absl::Status end_;
};

TEST_F(WatchTest, TellsWhatExistsThenWhatChanges) {
  Create("old", BackendKind::kMemfd);
  StartWatching();
  diary_.Await(2);
  Create("new", BackendKind::kMemfd);
  SegmentUpdate update;
  update.mode = 0644;
  ASSERT_TRUE(client_->Update("new", update).ok());
  ASSERT_TRUE(client_->Delete("old").ok());
  const std::vector<std::string> expected = {
      "EXISTING old", "SYNCED", "CREATED new", "UPDATED new", "DELETED old"};
  EXPECT_EQ(diary_.Await(5), expected);
  StopWatching();
  EXPECT_EQ(end_.code(), absl::StatusCode::kCancelled);
}

TEST_F(WatchTest, EndsWhenTheCallerHasSeenEnough) {
  Create("old", BackendKind::kMemfd);
  int seen = 0;
  EXPECT_TRUE(
      client_->Watch({}, [&](const WatchEvent&) { return ++seen < 2; }).ok());
  EXPECT_EQ(seen, 2);
}

TEST_F(WatchTest, ResumesBehindAToken) {
  StartWatching();
  diary_.Await(1);
  const std::string token = diary_.token();
  ASSERT_FALSE(token.empty());
  Create("missed", BackendKind::kMemfd);
  WatchEvent first;
  WatchOptions resumed;
  resumed.resume_token = token;
  ASSERT_TRUE(client_
                  ->Watch(resumed,
                          [&](const WatchEvent& event) {
                            first = event;
                            return false;
                          })
                  .ok());
  EXPECT_EQ(first.type, Type::kCreated);
  EXPECT_EQ(first.segment->id(), "missed");
}

TEST_F(WatchTest, TellsAnewAfterTheDaemonWasRestarted) {
  Create("kept", BackendKind::kMappedFile);
  StartWatching();
  diary_.Await(2);
  ASSERT_TRUE(server_->Stop().ok()) << server_->Log();
  ASSERT_TRUE(server_->Restart().ok()) << server_->Log();
  const std::vector<std::string> expected = {
      "EXISTING kept", "SYNCED", "RELISTED", "EXISTING kept", "SYNCED"};
  EXPECT_EQ(diary_.Await(5), expected);
}

TEST_F(WatchTest, PatienceWithAnAbsentDaemonEnds) {
  WatchOptions options;
  options.patience = absl::Milliseconds(50);
  StartWatching(options);
  diary_.Await(1);
  server_->Kill();
  watcher_.join();
  EXPECT_EQ(GetErrorReason(end_), reason::kServerUnreachable) << end_;
}

TEST_F(WatchTest, BadFiltersEndItAtOnce) {
  WatchOptions options;
  options.filter = "colour ~ red";
  EXPECT_EQ(GetErrorReason(client_->Watch(
                options, [](const WatchEvent&) { return true; })),
            reason::kFilterInvalid);
}

}  // namespace
}  // namespace shmd::testing
