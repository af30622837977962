#include "bench/objects/store/read_operations.h"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/unique_fd.h"
#include "bench/child.h"
#include "bench/objects/store/require.h"
#include "shm/sys/memory.h"

namespace shmd::bench {
namespace {

std::string NewObject(ObjectStore& store, std::string id, size_t size_bytes) {
  Require(store.Put(id, std::vector<char>(size_bytes, 'x')).status());
  return id;
}

// Found by name, pinned, and released.
void GetOne(ObjectStore& store, const std::string& id) {
  const absl::StatusOr<PinnedObject> object = store.Get(id);
  Observe(object->data());
}

Timer Get(ObjectStore& store, const std::string& id, size_t size_bytes) {
  NewObject(store, id, size_bytes);
  return Timed([&store, id] { GetOne(store, id); });
}

// Each thread its own object; the mean is over what both have got.
Timer GetByTwo(ObjectStore& store, int other_cpu) {
  const std::string mine = NewObject(store, "beside-0", 64);
  const std::string others = NewObject(store, "beside-1", 64);
  return [&store, mine, others, other_cpu](int64_t runs) {
    std::atomic<int64_t> got{0};
    std::atomic<bool> stop{false};
    std::thread other([&] {
      PinTo(other_cpu);
      constexpr int64_t kAtOnce = 64;
      while (!stop.load(std::memory_order_relaxed)) {
        for (int64_t i = 0; i < kAtOnce; ++i) GetOne(store, others);
        got.store(got.load(std::memory_order_relaxed) + kAtOnce,
                  std::memory_order_relaxed);
      }
    });
    while (got.load(std::memory_order_relaxed) == 0) std::this_thread::yield();
    const int64_t got_before = got.load(std::memory_order_relaxed);
    const int64_t begin = NowNs();
    for (int64_t i = 0; i < runs; ++i) GetOne(store, mine);
    const int64_t total_ns = NowNs() - begin;
    const int64_t by_other = got.load(std::memory_order_relaxed) - got_before;
    stop.store(true, std::memory_order_relaxed);
    other.join();
    return total_ns * runs / (runs + by_other);
  };
}

// A store that has used an arena, but not the one that it is about to.
class FirstGetter {
 public:
  explicit FirstGetter(const ConnectOptions& connect)
      : writer_client_(Require(Client::Connect(connect))),
        other_client_(Require(Client::Connect(connect))),
        client_(Require(Client::Connect(connect))),
        writer_(Require(ObjectStore::Open(writer_client_))),
        other_(Require(ObjectStore::Open(other_client_))) {
    NewObject(writer_, "first", 64);
    NewObject(other_, "second", 64);
  }

  void Renew() {
    store_.reset();
    store_.emplace(Require(ObjectStore::Open(client_)));
    GetOne(*store_, "second");
  }
  void Get() { GetOne(*store_, "first"); }

 private:
  Client writer_client_;
  Client other_client_;
  Client client_;
  ObjectStore writer_;
  ObjectStore other_;
  std::optional<ObjectStore> store_;
};

sys::ScopedMmap PassAndMap(Passer& passer) {
  const UniqueFd fd = Require(passer.Get());
  sys::MmapRequest request;
  request.fd = fd.get();
  request.length_bytes = ObjectStoreOptions().arena_bytes;
  return Require(sys::ScopedMmap::Map(request));
}

}  // namespace

void AddReads(Operations& operations, ObjectStore& store, int other_cpu) {
  for (const size_t size_bytes : kSizes) {
    operations.Add("get", size_bytes, [&store, size_bytes] {
      // Of one length, so that nothing but the size differs.
      return Get(store,
                 absl::StrCat("get-", absl::Dec(size_bytes, absl::kZeroPad8)),
                 size_bytes);
    });
  }
  operations.Add("get_by_one", [&store] { return Get(store, "beside-2", 64); });
  operations.Add("get_by_two",
                 [&store, other_cpu] { return GetByTwo(store, other_cpu); });
  operations.Add("get_absent", [&store] {
    return Timed([&store] {
      const bool is_there = store.Contains("absent");
      Observe(&is_there);
    });
  });
}

void AddFirstGets(Operations& operations, const ConnectOptions& connect,
                  const Passers& passers) {
  const auto getter = std::make_shared<std::unique_ptr<FirstGetter>>();
  const auto ready = [getter, &connect] {
    if (*getter == nullptr) *getter = std::make_unique<FirstGetter>(connect);
    (*getter)->Renew();
  };
  operations.Add("first_get", [ready, getter] {
    ready();
    return Timed([getter] { (*getter)->Get(); }, ready);
  });
  // After the same: each was used once just before, and the same went before
  // that.
  const auto add_floor = [&](const char* name, Passer& passer) {
    operations.Add(name, [ready, &passer] {
      const auto mapped = std::make_shared<sys::ScopedMmap>();
      return Timed(
          [mapped, &passer] {
            *mapped = PassAndMap(passer);
            Observe(mapped->data());
          },
          [mapped, ready, &passer] {
            ready();
            *mapped = PassAndMap(passer);
            *mapped = sys::ScopedMmap();
          });
    });
  };
  add_floor("first_get_floor", *passers[0]);
  add_floor("first_get_floor_same", *passers[1]);
}

}  // namespace shmd::bench
