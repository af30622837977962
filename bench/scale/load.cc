#include "bench/scale/load.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <algorithm>
#include <random>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace shmd::bench {
namespace {

constexpr int kThreads = 2;
constexpr int kKindsOfCalls = 5;

// The calls of one thread over one connection.
class Caller {
 public:
  Caller(const std::string& socket_dir, const Population& population,
         unsigned seed)
      : population_(population), random_(seed) {
    grpc::ChannelArguments own;
    // Else equal channels share a connection.
    own.SetInt("shmd.thread", static_cast<int>(seed));
    stub_ = v1::SegmentService::NewStub(grpc::CreateCustomChannel(
        absl::StrCat("unix:", socket_dir, "/grpc.sock"),
        grpc::InsecureChannelCredentials(), own));
  }

  void Call(int number) {
    grpc::ClientContext context;
    const grpc::Status status = Make(number % kKindsOfCalls, &context);
    if (!status.ok()) Fail(status.error_message());
  }

  // What the last create has left.
  void CleanUp() {
    grpc::ClientContext context;
    if (!created_.empty()) Delete(&context);
  }

 private:
  grpc::Status Make(int kind, grpc::ClientContext* context) {
    if (kind == 3) return Relabel(context);
    if (kind == 4) return created_.empty() ? Create(context) : Delete(context);
    v1::GetSegmentRequest request;
    request.set_name(Any());
    request.set_view(v1::BASIC);
    v1::Segment reply;
    return stub_->GetSegment(context, request, &reply);
  }

  grpc::Status Relabel(grpc::ClientContext* context) {
    v1::UpdateSegmentRequest request;
    request.mutable_segment()->set_name(Any());
    (*request.mutable_segment()->mutable_labels())["seen"] =
        absl::StrCat(random_() % 100);
    request.mutable_update_mask()->add_paths("labels");
    v1::Segment reply;
    return stub_->UpdateSegment(context, request, &reply);
  }

  grpc::Status Create(grpc::ClientContext* context) {
    v1::CreateSegmentRequest request;
    request.set_parent("namespaces/default");
    request.mutable_segment()->set_size_bytes(4096);
    v1::Segment reply;
    const grpc::Status status = stub_->CreateSegment(context, request, &reply);
    created_ = reply.name();
    return status;
  }

  grpc::Status Delete(grpc::ClientContext* context) {
    v1::DeleteSegmentRequest request;
    request.set_name(created_);
    created_.clear();
    google::protobuf::Empty reply;
    return stub_->DeleteSegment(context, request, &reply);
  }

  const std::string& Any() {
    return population_.name(random_() % population_.segments());
  }

  const Population& population_;
  std::mt19937 random_;
  std::unique_ptr<v1::SegmentService::Stub> stub_;
  std::string created_;
};

void RunThread(Caller& caller, int calls, absl::Duration period,
               std::vector<double>* latencies_us) {
  const absl::Time start = absl::Now();
  for (int i = 0; i < calls; ++i) {
    const absl::Time due = start + i * period;
    absl::SleepFor(due - absl::Now());
    caller.Call(i);
    latencies_us->push_back(absl::ToDoubleMicroseconds(absl::Now() - due));
  }
  caller.CleanUp();
}

}  // namespace

Latencies RunLoad(const std::string& socket_dir, const Population& population,
                  int rate, absl::Duration duration) {
  const int calls =
      static_cast<int>(absl::ToDoubleSeconds(duration) * rate / kThreads);
  const absl::Duration period = absl::Seconds(1) * kThreads / rate;
  std::vector<std::vector<double>> parts(kThreads);
  const absl::Time start = absl::Now();
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      Caller caller(socket_dir, population, static_cast<unsigned>(t + 1));
      caller.Call(0);  // connects
      RunThread(caller, calls, period, &parts[static_cast<size_t>(t)]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::vector<double> all;
  for (const auto& part : parts)
    all.insert(all.end(), part.begin(), part.end());
  std::sort(all.begin(), all.end());
  Latencies result;
  result.calls_per_second = static_cast<double>(all.size()) /
                            absl::ToDoubleSeconds(absl::Now() - start);
  result.p50_us = all[all.size() / 2];
  result.p99_us = all[all.size() * 99 / 100];
  result.max_us = all.back();
  return result;
}

}  // namespace shmd::bench
