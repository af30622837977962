#include "client/cpp/file_transfer.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "gtest/gtest.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

namespace fs = std::filesystem;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class FileTransferTest : public ::testing::Test {
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
    folder_ = absl::StrCat(getenv("TEST_TMPDIR"), "/", server_->token());
    ASSERT_TRUE(fs::create_directory(folder_));
  }

  void TearDown() override {
    std::error_code error;
    fs::remove_all(folder_, error);
  }

  // A file of bytes that are all different things.
  std::string MakeFile(size_t size_bytes) {
    std::mt19937 random(size_bytes);
    std::string content(size_bytes, '\0');
    for (char& c : content) c = static_cast<char>(random());
    const std::string path = folder_ + "/source";
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  size_t FilesInFolder() {
    return std::distance(fs::directory_iterator(folder_),
                         fs::directory_iterator());
  }

  std::unique_ptr<ScopedServer> server_;
  std::optional<Client> client_;
  std::string folder_;
};

class FileTransferEveryBackendTest
    : public FileTransferTest,
      public ::testing::WithParamInterface<BackendKind> {};

TEST_P(FileTransferEveryBackendTest, WhatIsPutIsGot) {
  const std::string source = MakeFile(10000001);
  SegmentSpec spec;
  spec.id = "it";
  spec.backend = GetParam();
  if (GetParam() == BackendKind::kPosix) {
    spec.posix_name = "/" + server_->token();
  }
  if (GetParam() == BackendKind::kMappedFile) spec.file_path = "it";
  uint64_t last = 0;
  const auto segment = PutFile(*client_, source, spec, /*seal=*/false,
                               [&](uint64_t done, uint64_t total) {
                                 EXPECT_GT(done, last);
                                 EXPECT_EQ(total, 10000001u);
                                 last = done;
                                 return true;
                               });
  ASSERT_TRUE(segment.ok()) << segment.status();
  EXPECT_EQ(last, 10000001u);
  EXPECT_EQ(segment->size_bytes, 10000001u);
  const std::string copy = folder_ + "/copy";
  ASSERT_TRUE(GetFile(*client_, segment->handle, copy).ok());
  EXPECT_TRUE(ReadAll(source) == ReadAll(copy));
  struct stat file;
  ASSERT_EQ(stat(copy.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  EXPECT_EQ(FilesInFolder(), 2u);
  EXPECT_TRUE(client_->Delete("it").ok());
}

INSTANTIATE_TEST_SUITE_P(
    Backends, FileTransferEveryBackendTest,
    ::testing::Values(BackendKind::kMemfd, BackendKind::kPosix,
                      BackendKind::kSysv, BackendKind::kMappedFile),
    [](const auto& test) { return std::string(BackendName(test.param)); });

TEST_F(FileTransferTest, SealedOnesAreImmutable) {
  SegmentSpec spec;
  spec.id = "it";
  const auto segment = PutFile(*client_, MakeFile(5000), spec, /*seal=*/true);
  ASSERT_TRUE(segment.ok()) << segment.status();
  EXPECT_EQ(segment->state, SegmentState::kSealed);
  EXPECT_FALSE(client_->MapWritable(segment->handle).ok());
}

TEST_F(FileTransferTest, ASealThatIsRefusedLeavesNoSegment) {
  SegmentSpec spec;
  spec.backend = BackendKind::kSysv;
  EXPECT_EQ(
      GetErrorReason(
          PutFile(*client_, MakeFile(5000), spec, /*seal=*/true).status()),
      reason::kBackendUnsupported);
  EXPECT_TRUE(client_->List()->empty());
}

TEST_F(FileTransferTest, OddSourcesAreRefusedInWords) {
  const auto put = [&](const std::string& path) {
    return PutFile(*client_, path, SegmentSpec()).status();
  };
  for (const std::string& path :
       {folder_ + "/absent", folder_, std::string("/dev/zero"), MakeFile(0)}) {
    const absl::Status status = put(path);
    EXPECT_EQ(GetErrorReason(status), reason::kFileError) << path;
    EXPECT_NE(status.message().find(path), std::string::npos) << status;
  }
  EXPECT_EQ(put(folder_ + "/absent").code(), absl::StatusCode::kNotFound);
  SegmentSpec small;
  small.size_bytes = 4999;
  EXPECT_EQ(GetErrorReason(PutFile(*client_, MakeFile(5000), small).status()),
            reason::kSizeInvalid);
  EXPECT_TRUE(client_->List()->empty());
}

TEST_F(FileTransferTest, ACopyThatIsStoppedLeavesNothing) {
  const std::string source = MakeFile(9 << 20);
  int calls = 0;
  const auto stop = [&](uint64_t, uint64_t) { return ++calls < 2; };
  const absl::Status put =
      PutFile(*client_, source, SegmentSpec(), false, stop).status();
  EXPECT_EQ(put.code(), absl::StatusCode::kCancelled) << put;
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(client_->List()->empty());

  const auto segment = PutFile(*client_, source, SegmentSpec());
  ASSERT_TRUE(segment.ok()) << segment.status();
  calls = 0;
  const absl::Status get =
      GetFile(*client_, segment->handle, folder_ + "/copy", stop);
  EXPECT_EQ(get.code(), absl::StatusCode::kCancelled) << get;
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(FileTransferTest, FilesThatChangeMeanwhileLeaveNoSegment) {
  // 9 MiB are several chunks, so the change comes between two of them.
  const std::string source = MakeFile(9 << 20);
  bool changed = false;
  const auto shrink = [&](uint64_t, uint64_t) {
    if (!std::exchange(changed, true)) fs::resize_file(source, 5 << 20);
    return true;
  };
  absl::Status status =
      PutFile(*client_, source, SegmentSpec(), false, shrink).status();
  EXPECT_EQ(GetErrorReason(status), reason::kFileError);
  EXPECT_NE(status.message().find("changed"), std::string::npos) << status;

  MakeFile(9 << 20);
  const auto grow = [&](uint64_t, uint64_t) {
    std::ofstream(source, std::ios::app) << "more";
    return true;
  };
  status = PutFile(*client_, source, SegmentSpec(), false, grow).status();
  EXPECT_EQ(GetErrorReason(status), reason::kFileError);
  EXPECT_TRUE(client_->List()->empty());
}

TEST_F(FileTransferTest, FilesThatDoNotFitLeaveTheOldOneAlone) {
  const auto segment = PutFile(*client_, MakeFile(100000), SegmentSpec());
  ASSERT_TRUE(segment.ok()) << segment.status();
  const std::string copy = folder_ + "/copy";
  std::ofstream(copy) << "old";
  signal(SIGXFSZ, SIG_IGN);
  rlimit old;
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit low = {50000, old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
  const absl::Status status = GetFile(*client_, segment->handle, copy);
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_EQ(GetErrorReason(status), reason::kFileError) << status;
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadAll(copy), "old");
  EXPECT_EQ(FilesInFolder(), 2u);
}

TEST_F(FileTransferTest, SegmentsThatOthersTruncateAreDataLoss) {
  SegmentSpec spec;
  spec.backend = BackendKind::kMappedFile;
  spec.file_path = "it";
  const auto segment = PutFile(*client_, MakeFile(9 << 20), spec);
  ASSERT_TRUE(segment.ok()) << segment.status();
  const absl::Status status = GetFile(
      *client_, segment->handle, folder_ + "/copy", [&](uint64_t, uint64_t) {
        fs::resize_file(server_->file_root() + "/it", 1 << 20);
        return true;
      });
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_EQ(GetErrorReason(status), reason::kSegmentTruncated);
  EXPECT_FALSE(fs::exists(folder_ + "/copy"));
  EXPECT_EQ(FilesInFolder(), 1u);
}

TEST_F(FileTransferTest, TargetsThatAreNoFilesAreLeftAlone) {
  const auto segment = PutFile(*client_, MakeFile(5000), SegmentSpec());
  ASSERT_TRUE(segment.ok());
  EXPECT_EQ(GetErrorReason(GetFile(*client_, segment->handle, folder_)),
            reason::kFileError);
  EXPECT_EQ(GetErrorReason(
                GetFile(*client_, segment->handle, folder_ + "/absent/copy")),
            reason::kFileError);
}

}  // namespace
}  // namespace shmd::testing
