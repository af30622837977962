// Looking a name up, and pinning what it names, against the bare floor.
//
//   bazel run -c opt //bench/objects:lookup [-- ROUNDS]
//
// A round is a few short batches of each, one kind after the other, so that a
// machine that others use is as busy for each; prints medians over all batches
// and how they compare. Repeat for the spread.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "bench/objects/floor_index.h"
#include "shm/directory/directory_reader.h"
#include "shm/directory/directory_writer.h"
#include "shm/directory/pins.h"

namespace shmd::bench {
namespace {

constexpr uint64_t kSizes[] = {100, 10000, 1000000};

void Require(const absl::Status& status) {
  if (status.ok()) return;
  absl::FPrintF(stderr, "%s\n", status.ToString());
  std::exit(1);
}

template <typename T>
T Require(absl::StatusOr<T> value) {
  Require(value.status());
  return *std::move(value);
}

struct Name {
  char text[32];
  uint32_t length;

  absl::string_view view() const { return absl::string_view(text, length); }
};

// The same names in an index of each kind.
class Subject {
 public:
  explicit Subject(uint64_t names)
      : names_(Names("service/segment-", names)),
        absent_(Names("nothing/segment-", names)),
        floor_(names),
        writer_(Require(DirectoryWriter::Create(DirectoryOptions()))),
        page_(std::make_unique<layout::SessionPage>()),
        pins_(page_.get()) {
    // In an order of chance, as names come: entries one behind the other would
    // be at a stride that processors learn.
    std::vector<uint64_t> order(names);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937_64(names));
    for (const uint64_t i : order) {
      floor_.Put(names_[i].view(), i + 1);
      EntryFields fields;
      fields.generation = i + 1;
      uint32_t position = 0;
      Require(
          writer_.Publish(*NameKey::Of(names_[i].view()), fields, &position));
    }
    fd_ = Require(writer_.ReadOnlyFd());
    sys::MmapRequest request;
    request.fd = fd_.get();
    request.length_bytes = writer_.max_size_bytes();
    mapping_ = Require(sys::ScopedMmap::Map(request));
    reader_ = std::make_unique<DirectoryReader>(
        Require(DirectoryReader::Open(mapping_.data(), mapping_.size_bytes())));
    // Once, so that everything is mapped.
    for (const Name& name : names_) {
      floor_.Find(name.view());
      FindOnce(name);
    }
  }

  const std::vector<Name>& names() const { return names_; }
  const std::vector<Name>& absent() const { return absent_; }
  const FloorIndex& floor() const { return floor_; }
  uint64_t memory_bytes() const { return Require(writer_.MemoryBytes()); }

  uint64_t FindOnce(const Name& name) const {
    FoundObject found;
    const std::optional<NameKey> key = NameKey::Of(name.view());
    if (reader_->Find(*key, &found) != Lookup::kFound) return 0;
    return found.generation;
  }
  uint64_t PinOnce(const Name& name) {
    FoundObject found;
    const std::optional<NameKey> key = NameKey::Of(name.view());
    const PinResult pin = pins_.Pin(*reader_, *key, &found);
    if (pin.outcome != PinOutcome::kPinned) return 0;
    pins_.Unpin(pin.slot);
    return found.generation;
  }

 private:
  static std::vector<Name> Names(const char* prefix, uint64_t count) {
    std::vector<Name> names(count);
    for (uint64_t i = 0; i < count; ++i) {
      names[i].length = static_cast<uint32_t>(absl::SNPrintF(
          names[i].text, sizeof(names[i].text), "%s%d", prefix, i));
    }
    return names;
  }

  std::vector<Name> names_;
  std::vector<Name> absent_;
  FloorIndex floor_;
  DirectoryWriter writer_;
  std::unique_ptr<layout::SessionPage> page_;
  PinSet pins_;
  UniqueFd fd_;
  sys::ScopedMmap mapping_;
  std::unique_ptr<DirectoryReader> reader_;
};

enum Kind : size_t { kFloor, kFind, kPin, kFloorMiss, kMiss, kKinds };

// Nanoseconds a look-up, of each batch.
using Samples = std::array<std::vector<double>, kKinds>;

// One thread's walk over the names, one after another, far from each other.
class Walker {
 public:
  Walker(Subject* subject, uint64_t start) : subject_(subject), at_(start) {}

  // Appends to the samples of a kind; false when something was found that is
  // not there, or the reverse.
  bool Run(Kind kind, Samples* samples) {
    switch (kind) {
      case kFloor:
        return Batches(kind, subject_->names(), true, samples,
                       [this](const Name& name) {
                         return subject_->floor().Find(name.view());
                       });
      case kFind:
        return Batches(
            kind, subject_->names(), true, samples,
            [this](const Name& name) { return subject_->FindOnce(name); });
      case kPin:
        return Batches(
            kind, subject_->names(), true, samples,
            [this](const Name& name) { return subject_->PinOnce(name); });
      case kFloorMiss:
        return Batches(kind, subject_->absent(), false, samples,
                       [this](const Name& name) {
                         return subject_->floor().Find(name.view());
                       });
      case kMiss:
        return Batches(
            kind, subject_->absent(), false, samples,
            [this](const Name& name) { return subject_->FindOnce(name); });
      case kKinds:
        break;
    }
    return false;
  }

 private:
  static constexpr int kBatches = 20;
  static constexpr int kBatch = 100;

  template <typename Get>
  bool Batches(Kind kind, const std::vector<Name>& names, bool expected,
               Samples* samples, Get get) {
    int hits = 0;
    for (int batch = 0; batch < kBatches; ++batch) {
      const auto start = std::chrono::steady_clock::now();
      for (int i = 0; i < kBatch; ++i) {
        at_ = (at_ + 7919) % names.size();
        hits += get(names[at_]) != 0;
      }
      const std::chrono::duration<double, std::nano> took =
          std::chrono::steady_clock::now() - start;
      (*samples)[kind].push_back(took.count() / kBatch);
    }
    return hits == (expected ? kBatches * kBatch : 0);
  }

  Subject* const subject_;
  uint64_t at_;
};

// By so many threads at once, each kind by all of them at the same time.
Samples Measure(Subject& subject, int threads, int rounds) {
  std::vector<Samples> samples(threads);
  std::atomic<int> begun{0};
  std::vector<std::thread> running;
  for (int thread = 0; thread < threads; ++thread) {
    running.emplace_back([&, thread] {
      Walker walker(&subject, thread * subject.names().size() / 2);
      for (int i = 0; i < rounds * static_cast<int>(kKinds); ++i) {
        ++begun;
        while (begun < (i + 1) * threads) {
        }
        if (walker.Run(static_cast<Kind>(i % kKinds), &samples[thread])) {
          continue;
        }
        absl::FPrintF(stderr, "found what is not there, or the reverse\n");
        std::exit(1);
      }
    });
  }
  for (std::thread& thread : running) thread.join();
  for (int thread = 1; thread < threads; ++thread) {
    for (size_t kind = 0; kind < kKinds; ++kind) {
      samples[0][kind].insert(samples[0][kind].end(),
                              samples[thread][kind].begin(),
                              samples[thread][kind].end());
    }
  }
  return samples[0];
}

double Median(std::vector<double>& values) {
  const auto middle = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void PrintRow(uint64_t names, int threads, Samples samples) {
  std::array<double, kKinds> at;
  for (size_t kind = 0; kind < kKinds; ++kind) at[kind] = Median(samples[kind]);
  absl::PrintF(
      "%10d %7d | %6.1f ns | %6.1f ns %5.2f | %6.1f ns %5.2f | %6.1f ns |"
      " %6.1f ns %5.2f\n",
      names, threads, at[kFloor], at[kFind], at[kFind] / at[kFloor], at[kPin],
      at[kPin] / at[kFloor], at[kFloorMiss], at[kMiss],
      at[kMiss] / at[kFloorMiss]);
}

int Main(int argc, char** argv) {
  int rounds = 200;
  if (argc > 2 ||
      (argc == 2 && (!absl::SimpleAtoi(argv[1], &rounds) || rounds < 1))) {
    absl::FPrintF(stderr, "usage: lookup [ROUNDS]\n");
    return 1;
  }
  std::vector<std::unique_ptr<Subject>> subjects;
  for (const uint64_t names : kSizes) {
    subjects.push_back(std::make_unique<Subject>(names));
    absl::PrintF("%d names: %.1f bytes of shared memory each\n", names,
                 static_cast<double>(subjects.back()->memory_bytes()) /
                     static_cast<double>(names));
  }
  absl::PrintF("\n%10s %7s | %9s | %9s %5s | %9s %5s | %9s | %9s %5s\n",
               "names", "threads", "floor", "find", "x", "pin+unpin", "x",
               "floor", "miss", "x");
  for (size_t i = 0; i < subjects.size(); ++i) {
    for (const int threads : {1, 2}) {
      PrintRow(kSizes[i], threads, Measure(*subjects[i], threads, rounds));
    }
  }
  return 0;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
