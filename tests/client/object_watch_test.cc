#include "client/cpp/object_watch.h"

#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "gtest/gtest.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

// What a watch has told so far, in words; to be awaited.
class Diary {
 public:
  void Add(const ObjectWatchEvent& event) {
    absl::MutexLock lock(&mutex_);
    entries_.push_back(
        absl::StrCat(WatchEventTypeName(event.type),
                     event.object.has_value() ? " " + event.object->id : ""));
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

class ObjectWatchTest : public ::testing::Test {
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
    OpenStore();
  }

  void TearDown() override { StopWatching(); }

  void OpenStore() {
    auto store = ObjectStore::Open(*client_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_.emplace(*std::move(store));
  }

  void StartWatching(const ObjectWatchOptions& options = {}) {
    cancel_ = options.cancel;
    watcher_ = std::thread([this, options] {
      end_ = client_->WatchObjects(options, [this](const auto& event) {
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

  void Put(const std::string& id) {
    ObjectOptions options;
    options.replace_existing = true;
    const auto put = store_->Put(id, absl::MakeConstSpan(id), options);
    ASSERT_TRUE(put.ok()) << put.status();
  }

  std::unique_ptr<ScopedServer> server_;
  std::optional<Client> client_;
  std::optional<ObjectStore> store_;
  CancelToken cancel_;
  Diary diary_;
  std::thread watcher_;
  absl::Status end_;
};

using Lines = std::vector<std::string>;

TEST_F(ObjectWatchTest, TellsWhatExistsThenWhatChanges) {
  Put("old");
  StartWatching();
  diary_.Await(2);
  Put("new");
  Put("new");
  ASSERT_TRUE(store_->Delete("old").ok());
  EXPECT_EQ(diary_.Await(5), (Lines{"EXISTING old", "SYNCED", "CREATED new",
                                    "CREATED new", "DELETED old"}));
  StopWatching();
  EXPECT_EQ(end_.code(), absl::StatusCode::kCancelled);
}

TEST_F(ObjectWatchTest, TellsOfThoseWithThePrefix) {
  ObjectWatchOptions options;
  options.id_prefix = "frame-";
  StartWatching(options);
  diary_.Await(1);
  Put("other");
  Put("frame-1");
  EXPECT_EQ(diary_.Await(2), (Lines{"SYNCED", "CREATED frame-1"}));
}

TEST_F(ObjectWatchTest, GoesOnBehindAToken) {
  StartWatching();
  diary_.Await(1);
  Put("seen");
  diary_.Await(2);
  StopWatching();
  Put("missed");
  Diary later;
  ObjectWatchOptions options;
  options.resume_token = diary_.token();
  const absl::Status end =
      client_->WatchObjects(options, [&](const ObjectWatchEvent& event) {
        later.Add(event);
        return false;
      });
  EXPECT_TRUE(end.ok()) << end;
  EXPECT_EQ(later.Await(1), Lines{"CREATED missed"});
}

TEST_F(ObjectWatchTest, SaysWhenChangesWereLost) {
  Put("old");
  StartWatching();
  diary_.Await(2);
  server_->Kill();
  ASSERT_TRUE(server_->Restart().ok());
  EXPECT_EQ(diary_.Await(4),
            (Lines{"EXISTING old", "SYNCED", "RELISTED", "SYNCED"}));
  OpenStore();
  Put("new");
  EXPECT_EQ(diary_.Await(5).back(), "CREATED new");
}

TEST_F(ObjectWatchTest, AMistakeEndsIt) {
  ObjectWatchOptions options;
  options.name_space = "absent";
  const absl::Status end = client_->WatchObjects(
      options, [](const ObjectWatchEvent&) { return true; });
  EXPECT_EQ(GetErrorReason(end), reason::kNamespaceNotFound);
}

// Who watches is told of each change once, in their order, while they happen.
TEST_F(ObjectWatchTest, NothingIsLostBetweenWhatExistsAndWhatChanges) {
  for (int i = 0; i < 300; ++i) Put(absl::StrCat("before-", i));
  std::thread putting([this] {
    for (int i = 0; i < 500; ++i) Put(absl::StrCat("during-", i));
  });
  StartWatching();
  putting.join();
  const Lines lines = diary_.Await(801);
  ASSERT_EQ(lines.size(), 801u);
  std::set<std::string> existing;
  std::vector<std::string> created;
  for (const std::string& line : lines) {
    if (line.rfind("EXISTING ", 0) == 0) existing.insert(line.substr(9));
    if (line.rfind("CREATED ", 0) == 0) created.push_back(line.substr(8));
  }
  EXPECT_EQ(existing.size() + created.size(), 800u);
  // The first ones existed, the others came in their order.
  const size_t first = 500 - created.size();
  for (size_t i = 0; i < created.size(); ++i) {
    EXPECT_EQ(created[i], absl::StrCat("during-", first + i));
  }
}

}  // namespace
}  // namespace shmd::testing
