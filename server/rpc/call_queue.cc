#include "server/rpc/call_queue.h"

#include <utility>

namespace shmd {
namespace {

// A large reservation may hold a thread for seconds; others go on.
constexpr size_t kMaxWorkers = 64;

}  // namespace

CallQueue::CallQueue(std::unique_ptr<grpc::ServerCompletionQueue> completions)
    : completions_(std::move(completions)),
      workers_(std::make_unique<WorkerPool>(kMaxWorkers)) {}

CallQueue::~CallQueue() { Stop(); }

void CallQueue::Start() {
  thread_ = std::thread([this] {
    void* tag = nullptr;
    bool ok = false;
    while (completions_->Next(&tag, &ok))
      static_cast<CallEvent*>(tag)->Over(ok);
  });
}

void CallQueue::Stop() {
  if (workers_ == nullptr) return;
  // Work ends with an operation, which the queue must still take.
  workers_.reset();
  completions_->Shutdown();
  if (thread_.joinable()) {
    thread_.join();
    return;
  }
  void* tag = nullptr;
  bool ok = false;
  while (completions_->Next(&tag, &ok)) static_cast<CallEvent*>(tag)->Over(ok);
}

}  // namespace shmd
