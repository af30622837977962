// Objects by the many, and what their writers say of them.

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/objects.h"
#include "gtest/gtest.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(60);

std::string TextOf(const PinnedObject& object) {
  return std::string(object.data(), object.size_bytes());
}

absl::Span<const char> Bytes(const std::string& text) {
  return absl::MakeConstSpan(text);
}

class ObjectBatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = ScopedServer::Start({});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    ConnectOptions options;
    options.socket_dir = server_->socket_dir();
    auto client = Client::Connect(options);
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = std::make_unique<Client>(*std::move(client));
    store_ = NewStore();
  }

  std::unique_ptr<ObjectStore> NewStore() {
    auto store = ObjectStore::Open(*client_);
    EXPECT_TRUE(store.ok()) << store.status();
    return std::make_unique<ObjectStore>(*std::move(store));
  }

  ObjectDraft Draft(ObjectStore& store, const std::string& id) {
    auto draft = store.Create(id, id.size());
    EXPECT_TRUE(draft.ok()) << draft.status();
    id.copy(draft->span().data(), id.size());
    return *std::move(draft);
  }

  absl::Status PutWith(const ObjectMetadata& metadata) {
    ObjectOptions options;
    options.metadata = metadata;
    return store_->Put("described", Bytes("x"), options).status();
  }

  std::unique_ptr<ScopedServer> server_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<ObjectStore> store_;
};

TEST_F(ObjectBatchTest, AreOfAnySize) {
  std::vector<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.push_back(absl::StrCat("object-", i));
  std::vector<PutItem> items;
  std::vector<absl::string_view> names;
  for (const std::string& id : ids) {
    items.push_back({id, absl::MakeConstSpan(id)});
    names.push_back(id);
  }
  const absl::Status put = store_->PutAll(items);
  ASSERT_TRUE(put.ok()) << put;
  const auto got = store_->GetAll(names);
  ASSERT_TRUE(got.ok()) << got.status();
  for (size_t i = 0; i < ids.size(); ++i) {
    ASSERT_TRUE((*got)[i].has_value());
    EXPECT_EQ(TextOf(*(*got)[i]), ids[i]);
  }
  EXPECT_EQ(store_->List().size(), ids.size());
  EXPECT_EQ(GetErrorReason(store_->PutAll(items)), reason::kObjectExists);
  EXPECT_TRUE(store_->DeleteAll(names).ok());
  EXPECT_TRUE(store_->List().empty());
}

TEST_F(ObjectBatchTest, OneThatIsRefusedKeepsNoOtherOut) {
  const std::string data = "x";
  const PutItem items[] = {
      {"before", Bytes(data)}, {"no id", Bytes(data)}, {"after", Bytes(data)}};
  EXPECT_EQ(GetErrorReason(store_->PutAll(items)), reason::kObjectIdInvalid);
  EXPECT_TRUE(store_->Contains("before"));
  EXPECT_TRUE(store_->Contains("after"));
}

TEST_F(ObjectBatchTest, DraftsAreSealedTogether) {
  ASSERT_TRUE(store_->Put("taken", Bytes("x")).ok());
  std::vector<ObjectDraft> drafts;
  for (const char* id : {"a", "taken", "b"}) {
    drafts.push_back(Draft(*store_, id));
  }
  EXPECT_EQ(GetErrorReason(store_->SealAll(absl::MakeSpan(drafts))),
            reason::kObjectExists);
  EXPECT_TRUE(store_->Contains("a"));
  EXPECT_TRUE(store_->Contains("b"));
  // Those two are no drafts any more, and the other one is.
  EXPECT_EQ(GetErrorReason(store_->SealAll(absl::MakeSpan(drafts))),
            reason::kSegmentSealed);
  ASSERT_TRUE(store_->Delete("taken").ok());
  EXPECT_TRUE(drafts[1].Seal().ok());
  EXPECT_EQ(TextOf(*store_->Get("taken")), "taken");
}

TEST_F(ObjectBatchTest, DraftsOfAnotherStoreAreRefused) {
  const std::unique_ptr<ObjectStore> other = NewStore();
  std::vector<ObjectDraft> drafts;
  drafts.push_back(Draft(*store_, "mine"));
  drafts.push_back(Draft(*other, "other"));
  EXPECT_EQ(GetErrorReason(store_->SealAll(absl::MakeSpan(drafts))),
            reason::kFieldInvalid);
  EXPECT_TRUE(store_->List().empty());
}

TEST_F(ObjectBatchTest, AllAreWaitedFor) {
  ASSERT_TRUE(store_->Put("there", Bytes("1")).ok());
  std::vector<std::string> got;
  std::thread reader([&] {
    const absl::string_view ids[] = {"late", "there", "later"};
    const auto all = store_->GetAll(ids, kDeadline);
    ASSERT_TRUE(all.ok()) << all.status();
    for (const auto& one : *all) {
      ASSERT_TRUE(one.has_value());
      got.push_back(TextOf(*one));
    }
  });
  EXPECT_TRUE(store_->Put("later", Bytes("3")).ok());
  EXPECT_TRUE(store_->Put("late", Bytes("2")).ok());
  reader.join();
  EXPECT_EQ(got, std::vector<std::string>({"2", "1", "3"}));
  const absl::string_view absent[] = {"there", "never"};
  const auto some = store_->GetAll(absent, absl::Milliseconds(1));
  ASSERT_TRUE(some.ok()) << some.status();
  EXPECT_TRUE((*some)[0].has_value());
  EXPECT_FALSE((*some)[1].has_value());
}

TEST_F(ObjectBatchTest, LargeObjectsBeginAtHugePages) {
  constexpr uint64_t kHuge = 2 << 20;
  ObjectStoreOptions options;
  options.page_size_bytes = kHuge;
  options.arena_bytes = 3 * kHuge;
  auto store = ObjectStore::Open(*client_, options);
  ASSERT_TRUE(store.ok()) << store.status();
  uint64_t free_pages = 0;
  std::ifstream("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") >>
      free_pages;
  const absl::StatusOr<uint64_t> small = store->Put("small", Bytes("x"));
  if (!small.ok()) {
    // Other tests use the pool as well.
    EXPECT_LT(free_pages, 64u);
    EXPECT_EQ(GetErrorReason(small.status()), reason::kObjectsInUse);
    EXPECT_NE(small.status().message().find("vm.nr_hugepages"),
              absl::string_view::npos)
        << small.status();
    return;
  }
  std::vector<ObjectDraft> drafts;
  for (const char* id : {"first", "second"}) {
    auto draft = store->Create(id, kHuge);
    ASSERT_TRUE(draft.ok()) << draft.status();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(draft->span().data()) % kHuge, 0u);
    std::fill(draft->span().begin(), draft->span().end(), *id);
    drafts.push_back(*std::move(draft));
  }
  const absl::Status sealed = store->SealAll(absl::MakeSpan(drafts));
  ASSERT_TRUE(sealed.ok()) << sealed;
  const auto found = store_->Get("second");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ(TextOf(*found), std::string(kHuge, 's'));
  // A page that is given back may not come again.
  ASSERT_TRUE(store->Delete("first").ok());
  EXPECT_EQ(*store->Trim(), 0u);
  EXPECT_TRUE(store->Put("third", Bytes(std::string(kHuge, 't'))).ok());
}

TEST_F(ObjectBatchTest, WhatReadersCouldNotReadIsRefused) {
  ObjectMetadata metadata;
  metadata.schema = "\xff";
  EXPECT_EQ(GetErrorReason(PutWith(metadata)), reason::kFieldInvalid);
  metadata.schema = std::string(65536, 's');
  EXPECT_EQ(GetErrorReason(PutWith(metadata)), reason::kFieldInvalid);
  metadata.schema = std::string(65532, 's');
  EXPECT_TRUE(PutWith(metadata).ok());
  const auto found = store_->Get("described");
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_TRUE(found->has_metadata());
  EXPECT_EQ(found->metadata()->schema, metadata.schema);
}

}  // namespace
}  // namespace shmd::testing
