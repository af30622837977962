// What it costs to ask the daemon for something through a session's rings, and
// to find a place in an arena. The other end of the rings is a process of its
// own, which spins, or sleeps as the daemon does.

#include <benchmark/benchmark.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "shm/arena/extent_allocator.h"
#include "shm/lane/session_lane.h"
#include "shm/lane/session_pages.h"
#include "tests/testing/made_pages.h"

namespace shmd::bench {
namespace {

// Answers everything, for ever.
[[noreturn]] void Serve(const SessionPages& pages, int bell, bool sleeps) {
  const UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
  epoll_event wanted = {};
  wanted.events = EPOLLIN | EPOLLET;
  epoll_ctl(epoll.get(), EPOLL_CTL_ADD, bell, &wanted);
  SessionLane lane(pages.session(), pages.answers());
  LaneSet set;
  set.Add(&lane);
  std::vector<layout::Submission> taken(64);
  for (;;) {
    const TakeResult took = lane.Take(absl::MakeSpan(taken));
    for (size_t i = 0; i < took.count; ++i) {
      layout::Answer answer = {};
      answer.cookie = taken[i].cookie;
      lane.Done(answer);
    }
    if (lane.Publish()) pages.WakeProgram();
    if (took.count == 0 && sleeps && set.FallAsleep()) {
      epoll_event got = {};
      epoll_wait(epoll.get(), &got, 1, -1);
      set.Rang(&lane);
    }
  }
}

// The program's end; the daemon's is a child that ends with this.
class Session {
 public:
  explicit Session(bool daemon_sleeps) {
    child_ = fork();
    if (child_ == 0) Serve(made_.daemon(), bell_.get(), daemon_sleeps);
  }
  ~Session() {
    kill(child_, SIGKILL);
    waitpid(child_, nullptr, 0);
  }

  const MappedSessionPages& pages() const { return pages_; }
  void Ring() const {
    const uint64_t one = 1;
    if (write(bell_.get(), &one, sizeof(one)) < 0) std::abort();
  }

 private:
  const MadePages made_;
  const MappedSessionPages pages_ = made_.Map();
  // In place of the attach socket, which costs as much.
  const UniqueFd bell_{eventfd(0, EFD_CLOEXEC)};
  pid_t child_ = -1;
};

// As many submissions as the argument says at once, then all their answers.
void RoundTrip(benchmark::State& state, bool daemon_sleeps) {
  const Session session(daemon_sleeps);
  const MappedSessionPages& pages = session.pages();
  SubmissionProducer producer(pages.session(), pages.answers());
  AnswerConsumer consumer(pages.answers(), pages.session());
  const uint64_t batch = static_cast<uint64_t>(state.range(0));
  layout::Submission submission = {};
  std::vector<layout::Answer> answers(64);
  for (auto _ : state) {
    for (uint64_t i = 0; i < batch; ++i) {
      ++submission.cookie;
      producer.Submit(submission);
    }
    if (producer.NeedsDoorbell()) session.Ring();
    for (uint64_t read = 0; read < batch;) {
      const size_t count = consumer.Poll(absl::MakeSpan(answers));
      if (count == 0) consumer.Wait(absl::InfiniteFuture());
      read += count;
    }
    producer.Answered(batch);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK_CAPTURE(RoundTrip, daemon_spins, false)
    ->Arg(1)
    ->Arg(16)
    ->Arg(64)
    ->UseRealTime();
BENCHMARK_CAPTURE(RoundTrip, daemon_sleeps, true)->Arg(1)->UseRealTime();

// The program's own part of a submission, with nobody at the other end.
void SubmitAlone(benchmark::State& state) {
  const MadePages made;
  const SessionPages* const pages = &made.daemon();
  auto page = std::make_unique<layout::SessionPage>();
  SubmissionProducer producer(page.get(), pages->answers());
  const layout::Submission submission = {};
  for (auto _ : state) {
    producer.Submit(submission);
    benchmark::DoNotOptimize(producer.NeedsDoorbell());
    producer.Answered();
    pages->answers()->header.taken = producer.position();
  }
}
BENCHMARK(SubmitAlone);

// One size again and again: what a loop that publishes and deletes does.
void AllocateAndFree(benchmark::State& state) {
  ExtentAllocator allocator(uint64_t{1} << 30);
  const uint64_t size = static_cast<uint64_t>(state.range(0));
  for (auto _ : state) {
    const auto extent = allocator.Allocate(size);
    benchmark::DoNotOptimize(extent);
    allocator.Free(extent->offset_bytes);
  }
}
BENCHMARK(AllocateAndFree)->Arg(64)->Arg(4096)->Arg(1 << 20);

// Among as many live extents of mixed sizes as the argument says, one at
// random is freed and another made.
void ReplaceAmongMany(benchmark::State& state) {
  const size_t live = static_cast<size_t>(state.range(0));
  ExtentAllocator allocator(uint64_t{64} << 30);
  std::mt19937_64 random(1);
  std::vector<uint64_t> offsets(live);
  const auto size = [&] { return 64 + random() % 4096; };
  for (uint64_t& offset : offsets) {
    offset = allocator.Allocate(size())->offset_bytes;
  }
  for (auto _ : state) {
    uint64_t& offset = offsets[random() % live];
    allocator.Free(offset);
    offset = allocator.Allocate(size())->offset_bytes;
  }
}
BENCHMARK(ReplaceAmongMany)->Arg(100)->Arg(10000)->Arg(1000000);

}  // namespace
}  // namespace shmd::bench

BENCHMARK_MAIN();
