// The least that each row of ./compare could cost, without a check of anything,
// and a Unix socket, which copies:
//
//   floors word 0
//   floors futex|wake|spin CPUS
//   floors ring|fill|socket BYTES
//   floors stream SUBSCRIBERS
//
// prints the nanoseconds of one round or of one message.

#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "bench/channels/peers/two_ends.h"
#include "shm/sys/memory.h"

namespace shmd::bench {
namespace {

// Two lines: a processor may fetch them in pairs.
constexpr size_t kApart = 128;
constexpr uint32_t kSlots = 64;
constexpr uint32_t kStreamSlots = 1024;

// Memory that both ends have.
class Shared {
 public:
  explicit Shared(size_t size_bytes) {
    sys::MmapRequest request;
    request.length_bytes = size_bytes;
    request.writable = true;
    request.anonymous = true;
    mapping_ = *sys::ScopedMmap::Map(request);
  }
  template <typename T>
  T* As() const {
    return static_cast<T*>(mapping_.data());
  }

 private:
  sys::ScopedMmap mapping_;
};

struct Descriptor {
  uint64_t offset_bytes;
  uint64_t size_bytes;
};

// From one writer to one reader, who tells only now and then how far it is: a
// message costs one line. Zeros are a valid start.
template <uint32_t slots>
struct Ring {
  bool Push(Descriptor descriptor) {
    if (pushed - seen_tail == slots) {
      seen_tail = tail.load(std::memory_order_acquire);
      if (pushed - seen_tail == slots) return false;
    }
    Slot& slot = array[pushed % slots];
    slot.descriptor = descriptor;
    slot.sequence.store(++pushed, std::memory_order_release);
    return true;
  }
  bool Pop(Descriptor* out) {
    const Slot& slot = array[popped % slots];
    if (slot.sequence.load(std::memory_order_acquire) != popped + 1) {
      return false;
    }
    *out = slot.descriptor;
    if (++popped % (slots / 2) == 0) {
      tail.store(popped, std::memory_order_release);
    }
    return true;
  }
  Descriptor Next() {
    Descriptor out;
    while (!Pop(&out)) {
    }
    return out;
  }

  struct alignas(64) Slot {
    std::atomic<uint64_t> sequence;
    Descriptor descriptor;
  };

  // The writer's own.
  alignas(kApart) uint64_t pushed;
  uint64_t seen_tail;
  // The reader's.
  alignas(kApart) uint64_t popped;
  alignas(kApart) std::atomic<uint64_t> tail;
  alignas(kApart) Slot array[slots];
};

struct TwoRings {
  Ring<kSlots> there;
  Ring<kSlots> back;
};

double Word() {
  struct Words {
    alignas(kApart) std::atomic<uint64_t> there;
    alignas(kApart) std::atomic<uint64_t> back;
  };
  const Shared memory(sizeof(Words));
  auto* const words = memory.As<Words>();
  const OtherEnd other([&] {
    for (uint64_t round = 1;; ++round) {
      while (words->there.load(std::memory_order_acquire) != round) {
      }
      words->back.store(round, std::memory_order_release);
    }
  });
  uint64_t round = 0;
  return MedianNs([&] {
    words->there.store(++round, std::memory_order_release);
    while (words->back.load(std::memory_order_acquire) != round) {
    }
  });
}

// A word each way. Who answers always sleeps, and has done so for a while if
// `asleep`; who asks sleeps as well, or spins.
double Futex(size_t cpus, bool asleep, bool spins) {
  struct Words {
    alignas(kApart) std::atomic<uint32_t> there;
    alignas(kApart) std::atomic<uint32_t> back;
  };
  const Shared memory(sizeof(Words));
  auto* const words = memory.As<Words>();
  const auto store = [](std::atomic<uint32_t>* word, uint32_t round) {
    word->store(round);
    syscall(SYS_futex, word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  };
  const auto sleep = [](std::atomic<uint32_t>* word, uint32_t round) {
    while (word->load() != round) {
      syscall(SYS_futex, word, FUTEX_WAIT, round - 1, nullptr, nullptr, 0);
    }
  };
  const auto answer = [&] {
    for (uint32_t round = 1;; ++round) {
      sleep(&words->there, round);
      store(&words->back, round);
    }
  };
  const OtherEnd other(answer, Other(cpus));
  uint32_t round = 0;
  const auto ask = [&] {
    store(&words->there, ++round);
    while (spins && words->back.load(std::memory_order_acquire) != round) {
    }
    sleep(&words->back, round);
  };
  if (!asleep) return MedianNs(ask);
  const SleepWatch watch(other.pid());
  return MedianAfterNs([&] { watch.Await(); }, ask);
}

double RoundTrip(size_t size_bytes) {
  const Shared memory(sizeof(TwoRings));
  auto* const rings = memory.As<TwoRings>();
  const OtherEnd other([&] {
    for (;;) rings->back.Push({rings->there.Next().offset_bytes, 8});
  });
  return MedianNs([&] {
    rings->there.Push({0, size_bytes});
    rings->back.Next();
  });
}

double Fill(size_t size_bytes) {
  const Shared memory(sizeof(TwoRings));
  const Shared payload(size_bytes);
  auto* const rings = memory.As<TwoRings>();
  const OtherEnd other([&] {
    for (;;) {
      const Descriptor got = rings->there.Next();
      ReadAll(payload.As<char>() + got.offset_bytes, got.size_bytes);
      rings->back.Push({0, 8});
    }
  });
  uint64_t round = 0;
  return MedianNs([&] {
    std::memset(payload.As<char>(), FillByte(++round), size_bytes);
    rings->there.Push({0, size_bytes});
    rings->back.Next();
  });
}

// A ring for each reader; who finds nothing lets the next one run.
double Stream(size_t subscribers) {
  using Queue = Ring<kStreamSlots>;
  const Shared memory(sizeof(Queue) * subscribers);
  auto* const queues = memory.As<Queue>();
  std::vector<std::unique_ptr<OtherEnd>> others;
  for (size_t i = 0; i < subscribers; ++i) {
    others.push_back(std::make_unique<OtherEnd>([&, i] {
      for (Descriptor out;;) {
        if (!queues[i].Pop(&out) && subscribers > 1) sched_yield();
      }
    }));
  }
  return MedianNs(
      [&] {
        for (size_t i = 0; i < subscribers; ++i) {
          while (!queues[i].Push({0, 64})) {
          }
        }
      },
      kLongBatchNs);
}

void WriteFully(int fd, const char* data, size_t left) {
  while (left != 0) {
    const ssize_t n = write(fd, data, left);
    if (n <= 0) Fail("write");
    data += n;
    left -= static_cast<size_t>(n);
  }
}

void ReadFully(int fd, char* data, size_t left) {
  while (left != 0) {
    const ssize_t n = read(fd, data, left);
    if (n <= 0) Fail("read");
    data += n;
    left -= static_cast<size_t>(n);
  }
}

double Socket(size_t size_bytes) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) Fail("socketpair");
  std::vector<char> payload(size_bytes);
  char answer[8] = {};
  const OtherEnd other([&] {
    for (;;) {
      ReadFully(ends[1], payload.data(), size_bytes);
      WriteFully(ends[1], answer, sizeof answer);
    }
  });
  return MedianNs([&] {
    WriteFully(ends[0], payload.data(), size_bytes);
    ReadFully(ends[0], answer, sizeof answer);
  });
}

int Main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string operation = argv[1];
  const size_t argument = std::strtoull(argv[2], nullptr, 10);
  if (operation == "word") {
    Print(Word());
  } else if (operation == "futex") {
    Print(Futex(argument, /*asleep=*/false, /*spins=*/false));
  } else if (operation == "wake" || operation == "spin") {
    Print(Futex(argument, /*asleep=*/true, operation == "spin"));
  } else if (operation == "ring") {
    Print(RoundTrip(argument));
  } else if (operation == "fill") {
    Print(Fill(argument));
  } else if (operation == "stream") {
    Print(Stream(argument));
  } else if (operation == "socket") {
    Print(Socket(argument));
  } else {
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
