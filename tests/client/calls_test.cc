#include <set>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/client.h"
#include "gtest/gtest.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

class CallsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = ScopedServer::Start();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ConnectOptions options;
    options.reconnect_timeout = absl::ZeroDuration();
    options.socket_dir = server_->socket_dir();
    auto client = Client::Connect(options);
    ASSERT_TRUE(client.ok()) << client.status();
    client_.emplace(*std::move(client));
  }

  static SegmentSpec Spec(const std::string& id, uint64_t size_bytes = 4096) {
    SegmentSpec spec;
    spec.id = id;
    spec.size_bytes = size_bytes;
    return spec;
  }

  std::unique_ptr<ScopedServer> server_;
  std::optional<Client> client_;
};

TEST_F(CallsTest, EveryCreateOptionArrives) {
  SegmentSpec spec = Spec("all", 8192);
  spec.backend = BackendKind::kPosix;
  spec.posix_name = "/" + server_->token();
  spec.allocation = Allocation::kReserved;
  spec.populate = true;
  spec.resizable = true;
  spec.mode = 0640;
  spec.labels = {{"team", "blue"}, {"rack", "7"}};
  spec.ttl = absl::Hours(1);
  spec.huge_page_advice = HugePageAdvice::kUnwanted;
  const absl::Time before = absl::Now();
  const auto made = client_->Create(spec);
  ASSERT_TRUE(made.ok()) << made.status();
  const auto segment = client_->Get("all");
  ASSERT_TRUE(segment.ok()) << segment.status();
  EXPECT_EQ(segment->name, "namespaces/default/segments/all");
  EXPECT_EQ(segment->id(), "all");
  EXPECT_EQ(segment->uid.size(), 32u);
  EXPECT_EQ(segment->uid, made->uid);
  EXPECT_EQ(segment->size_bytes, 8192u);
  EXPECT_EQ(segment->backend, BackendKind::kPosix);
  EXPECT_EQ(segment->posix_name, spec.posix_name);
  EXPECT_EQ(segment->allocation, Allocation::kReserved);
  EXPECT_TRUE(segment->populate);
  EXPECT_TRUE(segment->resizable);
  EXPECT_EQ(segment->mode, 0640u);
  EXPECT_EQ(segment->labels, spec.labels);
  EXPECT_EQ(segment->huge_page_advice, HugePageAdvice::kUnwanted);
  EXPECT_EQ(segment->state, SegmentState::kActive);
  ASSERT_TRUE(segment->expire_time.has_value());
  EXPECT_GE(*segment->expire_time, before + absl::Hours(1));
  EXPECT_LE(*segment->expire_time, absl::Now() + absl::Hours(1));
  ASSERT_TRUE(segment->status.has_value());
  EXPECT_EQ(segment->status->resident_bytes, 8192u);
}

TEST_F(CallsTest, ErrorsCarryReasonMetadataAndField) {
  const absl::Status zero = client_->Create(Spec("zero", 0)).status();
  EXPECT_EQ(zero.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(GetErrorReason(zero), reason::kSizeInvalid);
  EXPECT_EQ(GetErrorDetail(zero).field, "segment.size_bytes");
  const absl::Status huge =
      client_->Create(Spec("huge", uint64_t{1} << 45)).status();
  EXPECT_EQ(huge.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(GetErrorDetail(huge).metadata.at("requested"),
            absl::StrCat(uint64_t{1} << 45));
  EXPECT_EQ(GetErrorReason(client_->Get("absent").status()),
            reason::kSegmentNotFound);
}

TEST_F(CallsTest, ListsReachBeyondOnePage) {
  std::vector<SegmentSpec> specs;
  std::set<std::string> ids;
  for (int i = 0; i < 1500; ++i) {
    SegmentSpec spec = Spec(absl::StrCat("s", i));
    spec.labels["parity"] = i % 2 == 0 ? "even" : "odd";
    ids.insert(spec.id);
    specs.push_back(spec);
  }
  const absl::Span<const SegmentSpec> all = specs;
  const auto first = client_->BatchCreate(all.subspan(0, 1000));
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->at(999).id(), "s999");
  ASSERT_TRUE(client_->BatchCreate(all.subspan(1000)).ok());

  const auto listed = client_->List();
  ASSERT_TRUE(listed.ok()) << listed.status();
  std::set<std::string> seen;
  for (const Segment& segment : *listed) seen.insert(segment.id());
  EXPECT_EQ(listed->size(), 1500u);
  EXPECT_EQ(seen, ids);
  ListOptions odd;
  odd.filter = "labels.parity = \"odd\"";
  odd.limit = 700;
  EXPECT_EQ(client_->List(odd)->size(), 700u);
  int visited = 0;
  ASSERT_TRUE(
      client_->ForEach({}, [&](const Segment&) { return ++visited < 3; }).ok());
  EXPECT_EQ(visited, 3);

  const std::vector<std::string> names = {"s1", "s2"};
  EXPECT_EQ(client_->BatchGet(names)->at(1).id(), "s2");
  const std::vector<std::string> with_absent = {"s1", "absent"};
  EXPECT_EQ(GetErrorReason(client_->BatchDelete(with_absent)),
            reason::kSegmentNotFound);
  EXPECT_TRUE(client_->Get("s1").ok());
  EXPECT_TRUE(client_->BatchDelete(names).ok());
  EXPECT_FALSE(client_->Get("s1").ok());
}

TEST_F(CallsTest, ManyAreMadeOfOneSpec) {
  SegmentSpec spec = Spec("");
  spec.labels["of"] = "many";
  // By the attach socket; and, where much has to be reserved, by a call.
  for (const uint64_t size_bytes : {4096, 2 << 20}) {
    spec.size_bytes = size_bytes;
    spec.allocation =
        size_bytes > 4096 ? Allocation::kReserved : Allocation::kLazy;
    const int count = size_bytes > 4096 ? 3 : 1000;
    const auto handles = client_->CreateMany(spec, count);
    ASSERT_TRUE(handles.ok()) << handles.status();
    EXPECT_EQ(std::set<std::string>(handles->begin(), handles->end()).size(),
              static_cast<size_t>(count));
    const auto mapped = client_->MapWritable(handles->back());
    ASSERT_TRUE(mapped.ok()) << mapped.status();
    EXPECT_EQ(mapped->size_bytes(), size_bytes);
  }
  EXPECT_EQ(client_->List()->size(), 1003u);
  EXPECT_EQ(client_->List()->front().labels, spec.labels);
  for (const int count : {0, -1, 1001}) {
    EXPECT_EQ(GetErrorReason(client_->CreateMany(spec, count).status()),
              reason::kBatchTooLarge);
  }
  EXPECT_EQ(client_->List()->size(), 1003u);
}

TEST_F(CallsTest, ARequestMayBeTooLargeForTheAttachSocket) {
  SegmentSpec spec = Spec("it");
  for (int i = 0; i < 64; ++i) {
    spec.labels[absl::StrCat("label", i)] = std::string(200, 'x');
  }
  const auto made = client_->Create(spec);
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->labels, spec.labels);
}

TEST_F(CallsTest, UpdatesChangeWhatTheyName) {
  SegmentSpec spec = Spec("it");
  spec.labels = {{"a", "1"}, {"b", "2"}};
  spec.ttl = absl::Hours(1);
  ASSERT_TRUE(client_->Create(spec).ok());
  SegmentUpdate update;
  update.label_changes = {{"a", std::nullopt}, {"c", "3"}};
  update.mode = 0644;
  update.clear_expiration = true;
  const auto updated = client_->Update("it", update);
  ASSERT_TRUE(updated.ok()) << updated.status();
  const std::map<std::string, std::string> labels = {{"b", "2"}, {"c", "3"}};
  EXPECT_EQ(updated->labels, labels);
  EXPECT_EQ(updated->mode, 0644u);
  EXPECT_FALSE(updated->expire_time.has_value());
  SegmentUpdate stale;
  stale.labels = std::map<std::string, std::string>{};
  stale.etag = "stale";
  EXPECT_EQ(GetErrorReason(client_->Update("it", stale).status()),
            reason::kEtagMismatch);
  stale.etag = updated->etag;
  EXPECT_TRUE(client_->Update("it", stale)->labels.empty());
}

TEST_F(CallsTest, SealsAndSizesChange) {
  SegmentSpec spec = Spec("it");
  spec.resizable = true;
  ASSERT_TRUE(client_->Create(spec).ok());
  const auto larger = client_->Resize("it", 65536);
  ASSERT_TRUE(larger.ok()) << larger.status();
  EXPECT_EQ(larger->size_bytes, 65536u);
  {
    auto mapping = client_->MapWritable(larger->handle);
    ASSERT_TRUE(mapping.ok());
    EXPECT_EQ(mapping->size_bytes(), 65536u);
    EXPECT_EQ(GetErrorReason(client_->Seal("it").status()),
              reason::kSegmentInUse);
  }
  const auto sealed = client_->Seal("it");
  ASSERT_TRUE(sealed.ok()) << sealed.status();
  EXPECT_EQ(sealed->state, SegmentState::kSealed);
  EXPECT_EQ(GetErrorReason(client_->Write("it", 0, "x")),
            reason::kSegmentSealed);
}

TEST_F(CallsTest, PeeksReadWhatPokesWrote) {
  ASSERT_TRUE(client_->Create(Spec("it")).ok());
  const std::string data("a\0b", 3);
  ASSERT_TRUE(client_->Write("it", 100, data).ok());
  EXPECT_EQ(*client_->Read("it", 100, 3), data);
  EXPECT_EQ(GetErrorReason(client_->Read("it", 4097, 1).status()),
            reason::kRangeOutsideSegment);
}

TEST_F(CallsTest, DisownedMemoryCanBeAdoptedAgain) {
  SegmentSpec spec = Spec("it");
  spec.backend = BackendKind::kPosix;
  spec.posix_name = "/" + server_->token();
  ASSERT_TRUE(client_->Create(spec).ok());
  ASSERT_TRUE(client_->Write("it", 0, "kept").ok());
  ASSERT_TRUE(client_->Disown("it").ok());
  EXPECT_FALSE(client_->Get("it").ok());
  AdoptSpec adopt;
  adopt.id = "again";
  adopt.posix_name = spec.posix_name;
  const auto adopted = client_->Adopt(adopt);
  ASSERT_TRUE(adopted.ok()) << adopted.status();
  EXPECT_TRUE(adopted->adopted);
  EXPECT_EQ(*client_->Read("again", 0, 4), "kept");
  EXPECT_EQ(GetErrorReason(client_->Delete("again")), reason::kSegmentAdopted);
}

TEST_F(CallsTest, FlushesReachTheFile) {
  SegmentSpec spec = Spec("it");
  spec.backend = BackendKind::kMappedFile;
  spec.file_path = "it.dat";
  ASSERT_TRUE(client_->Create(spec).ok());
  for (const FlushMode mode :
       {FlushMode::kSynchronous, FlushMode::kAsynchronous,
        FlushMode::kInvalidate}) {
    EXPECT_TRUE(client_->Flush("it", mode, 0, 100).ok());
  }
  EXPECT_EQ(
      GetErrorReason(client_->Flush("it", FlushMode::kSynchronous, 4000, 1000)),
      reason::kRangeOutsideSegment);
}

TEST_F(CallsTest, TheNodeCountsItsSegments) {
  ASSERT_TRUE(client_->Create(Spec("it", 12288)).ok());
  const auto node = client_->GetNode();
  ASSERT_TRUE(node.ok()) << node.status();
  EXPECT_EQ(node->segment_count, 1u);
  EXPECT_EQ(node->segment_bytes, 12288u);
  EXPECT_FALSE(node->version.empty());
  EXPECT_GT(node->memory_available_bytes, 0u);
}

TEST_F(CallsTest, CallsAfterTheDaemonHasGoneSaySo) {
  ASSERT_TRUE(client_->GetNode().ok());
  server_->Kill();
  const absl::Status status = client_->GetNode().status();
  EXPECT_EQ(GetErrorReason(status), reason::kServerUnreachable) << status;
}

}  // namespace
}  // namespace shmd::testing
