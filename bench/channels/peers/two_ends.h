#ifndef SHMD_BENCH_CHANNELS_PEERS_TWO_ENDS_H_
#define SHMD_BENCH_CHANNELS_PEERS_TWO_ENDS_H_

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

// How every program of bench/channels measures: a process on each of two CPUs,
// and the median of batches. Of this repository's own it includes nothing, for
// peers are compiled without Bazel.

namespace shmd::bench {

constexpr int kHere = 0;
constexpr int kThere = 1;
// An end that waits for a dead one ends by SIGALRM.
constexpr unsigned kPatienceSeconds = 60;

inline int64_t NowNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Prints why, and ends the process.
[[noreturn]] inline void Fail(const char* what) {
  std::perror(what);
  std::_Exit(1);
}

// Only a wish: a container may allow other CPUs than these.
inline void StayOn(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  (void)sched_setaffinity(0, sizeof set, &set);
  alarm(kPatienceSeconds);
}

// The CPU of the other end, where both use one or two.
constexpr int Other(size_t cpus) { return cpus == 1 ? kHere : kThere; }

// A process that does `run` on `cpu` until this object ends.
class OtherEnd {
 public:
  template <typename Run>
  explicit OtherEnd(Run run, int cpu = kThere) {
    int moved[2];
    if (pipe(moved) != 0) Fail("pipe");
    pid_ = fork();
    if (pid_ < 0) Fail("fork");
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      StayOn(cpu);
      close(moved[0]);
      close(moved[1]);
      run();
      std::_Exit(0);
    }
    // It begins on this CPU, which this process may soon keep from it.
    close(moved[1]);
    char byte = 0;
    if (read(moved[0], &byte, 1) < 0) Fail("read");
    close(moved[0]);
    StayOn(kHere);
  }
  OtherEnd(const OtherEnd&) = delete;
  OtherEnd& operator=(const OtherEnd&) = delete;
  ~OtherEnd() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

// A batch is long beside the clock, and short beside a time slice.
constexpr int64_t kBatchNs = 200'000;
// Where several processes share a CPU it has to be longer.
constexpr int64_t kLongBatchNs = 20'000'000;
constexpr int64_t kWarmNs = 20'000'000;
constexpr int64_t kWarmRounds = 8;
constexpr int64_t kSeriesNs = 150'000'000;
constexpr size_t kMinBatches = 5;

inline double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Runs batches for a while; the median of their means in nanoseconds.
template <typename Run>
double MedianNs(Run run, int64_t batch_ns = kBatchNs) {
  int64_t rounds = 0;
  const int64_t warm = NowNs();
  int64_t warm_ns = 0;
  for (; rounds < kWarmRounds || warm_ns < kWarmNs; ++rounds) {
    run();
    warm_ns = NowNs() - warm;
  }
  const int64_t batch = std::max<int64_t>(1, rounds * batch_ns / warm_ns);
  std::vector<double> means_ns;
  int64_t total_ns = 0;
  while (total_ns < kSeriesNs || means_ns.size() < kMinBatches) {
    const int64_t begin = NowNs();
    for (int64_t i = 0; i < batch; ++i) run();
    const int64_t took_ns = NowNs() - begin;
    total_ns += took_ns;
    means_ns.push_back(static_cast<double>(took_ns) /
                       static_cast<double>(batch));
  }
  return Median(std::move(means_ns));
}

// For so long another end has to have been asleep: longer than it may spin.
constexpr int64_t kAsleepNs = 100'000;

// Returns when a process of one thread has slept for a while. This one runs
// meanwhile.
class SleepWatch {
 public:
  explicit SleepWatch(pid_t pid) {
    char path[64];
    std::snprintf(path, sizeof path, "/proc/%d/stat", static_cast<int>(pid));
    fd_ = open(path, O_RDONLY | O_CLOEXEC);
    if (fd_ < 0) Fail(path);
  }
  SleepWatch(const SleepWatch&) = delete;
  SleepWatch& operator=(const SleepWatch&) = delete;
  ~SleepWatch() { close(fd_); }

  void Await() const {
    do {
      while (!IsAsleep()) sched_yield();
      const int64_t until = NowNs() + kAsleepNs;
      while (NowNs() < until) {
      }
    } while (!IsAsleep());
  }

 private:
  bool IsAsleep() const {
    char text[64] = {};
    if (pread(fd_, text, sizeof text - 1, 0) <= 0) Fail("/proc/PID/stat");
    const char* const name_end = std::strrchr(text, ')');
    return name_end != nullptr && name_end[1] == ' ' && name_end[2] == 'S';
  }

  int fd_ = -1;
};

// The median of single rounds, each after `prepare`, which is not timed.
template <typename Prepare, typename Run>
double MedianAfterNs(Prepare prepare, Run run) {
  std::vector<double> all_ns;
  int64_t total_ns = 0;
  for (int64_t round = 0; total_ns < kSeriesNs; ++round) {
    const int64_t start = NowNs();
    prepare();
    const int64_t begin = NowNs();
    run();
    const int64_t end = NowNs();
    if (round < kWarmRounds) continue;
    total_ns += end - start;
    all_ns.push_back(static_cast<double>(end - begin));
  }
  return Median(std::move(all_ns));
}

inline void Print(double ns) { std::printf("%.2f\n", ns); }

// Reads every byte, by the same code of the C library in all languages: looks
// for a byte that a fill never writes.
constexpr int kAbsent = 0xFF;
inline void ReadAll(const void* data, size_t size_bytes) {
  if (std::memchr(data, kAbsent, size_bytes) != nullptr) Fail("payload");
}
// Another one each time.
inline int FillByte(uint64_t round) { return static_cast<int>(round & 0x7F); }

}  // namespace shmd::bench

#endif  // SHMD_BENCH_CHANNELS_PEERS_TWO_ENDS_H_
