#include "bench/objects/store/write_operations.h"

#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "bench/objects/store/floor_operations.h"
#include "bench/objects/store/require.h"

namespace shmd::bench {
namespace {

// Objects of one size that take turns: the oldest goes, and a new one is
// written, at the same place when no other writes meanwhile.
class Turns {
 public:
  Turns(ObjectStore& store, size_t size_bytes, size_t count)
      : store_(store), data_(size_bytes, 'x'), places_(count) {
    for (size_t i = 0; i < count; ++i) {
      ids_.push_back(absl::StrCat("turn-", size_bytes, "-", count, "-", i));
    }
    for (size_t i = 0; i < count; ++i) {
      FillInPlace();
      Next();
    }
    // Memory that was never used before is another matter.
    for (size_t i = 0; i < count; ++i) {
      RemoveOldest();
      FillInPlace();
      Next();
    }
  }

  void RemoveOldest() { Require(store_.Delete(ids_[oldest_])); }
  // What memset of the same memory costs, and the seal.
  void FillInPlace() {
    ObjectDraft draft = Require(store_.Create(ids_[oldest_], data_.size()));
    places_[oldest_] = draft.span().data();
    std::memset(places_[oldest_], ++value_, data_.size());
    Require(draft.Seal().status());
  }
  // Copied in and published, until any reader can see it.
  void Put() { Require(store_.Put(ids_[oldest_], data_).status()); }
  // Past the store, which this program alone may do with what it has written.
  void Fill() {
    std::memset(places_[oldest_], ++value_, data_.size());
    Observe(places_[oldest_]);
  }
  void Copy() {
    std::memcpy(places_[oldest_], data_.data(), data_.size());
    Observe(places_[oldest_]);
  }
  void Next() {
    if (++oldest_ == ids_.size()) oldest_ = 0;
  }

 private:
  ObjectStore& store_;
  const std::vector<char> data_;
  std::vector<char*> places_;  // of those that were written in place last
  std::vector<std::string> ids_;
  size_t oldest_ = 0;
  int value_ = 0;
};

Timer Putting(const std::shared_ptr<Turns>& turns, void (Turns::*put)()) {
  return [turns, put](int64_t runs) {
    int64_t total_ns = 0;
    for (int64_t i = 0; i < runs; ++i) {
      turns->RemoveOldest();
      const int64_t begin = NowNs();
      (*turns.*put)();
      total_ns += NowNs() - begin;
      turns->Next();
    }
    return total_ns;
  };
}

Timer Writing(const std::shared_ptr<Turns>& turns, void (Turns::*write)()) {
  return Timed([turns, write] {
    (*turns.*write)();
    turns->Next();
  });
}

void AddTurns(Operations& operations, ObjectStore& store,
              const std::string& suffix, size_t size_bytes, size_t count) {
  using Made = std::shared_ptr<Turns>;
  const auto made = std::make_shared<Made>();
  const auto turns = [&store, size_bytes, count, made] {
    if (*made == nullptr) {
      *made = std::make_shared<Turns>(store, size_bytes, count);
    }
    return *made;
  };
  operations.Add("put" + suffix, size_bytes,
                 [turns] { return Putting(turns(), &Turns::Put); });
  operations.Add("create_fill_seal" + suffix, size_bytes,
                 [turns] { return Putting(turns(), &Turns::FillInPlace); });
  operations.Add("memset" + suffix + "_same", size_bytes,
                 [turns] { return Writing(turns(), &Turns::Fill); });
  operations.Add("memcpy" + suffix + "_same", size_bytes,
                 [turns] { return Writing(turns(), &Turns::Copy); });
}

struct Batch {
  std::string data = std::string(64, 'x');
  std::vector<std::string> ids;
  std::vector<PutItem> items;
  std::vector<absl::string_view> names;
};

Timer PutBatch(ObjectStore& store) {
  const auto batch = std::make_shared<Batch>();
  for (size_t i = 0; i < kBatch; ++i) {
    batch->ids.push_back(absl::StrCat("batch-", i));
  }
  for (const std::string& id : batch->ids) {
    batch->items.push_back({id, absl::MakeConstSpan(batch->data)});
    batch->names.push_back(id);
  }
  return Timed([&store, batch] { Require(store.PutAll(batch->items)); },
               [&store, batch] { Require(store.DeleteAll(batch->names)); });
}

}  // namespace

void AddWrites(Operations& operations, ObjectStore& store) {
  for (const size_t size_bytes : kSizes) {
    AddTurns(operations, store, "", size_bytes, 1);
  }
  AddTurns(operations, store, "_in_turn", kTurnBytes, kPlaces);
  operations.Add("put_batch_of_64", 64, [&store] { return PutBatch(store); });
}

}  // namespace shmd::bench
