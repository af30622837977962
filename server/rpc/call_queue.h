#ifndef SHMD_SERVER_RPC_CALL_QUEUE_H_
#define SHMD_SERVER_RPC_CALL_QUEUE_H_

#include <grpcpp/completion_queue.h>

#include <functional>
#include <memory>
#include <thread>

#include "base/worker_pool.h"

namespace shmd {

// An operation of a call; gRPC has its address for a tag.
class CallEvent {
 public:
  virtual ~CallEvent() = default;

  // The operation is over; not `ok` when it, or its call, came to nothing. On
  // the queue's thread, which must not wait.
  virtual void Over(bool ok) = 0;
};

// All calls of the daemon pass through one queue with one thread, which reads
// the sockets, and runs what is short on the spot. gRPC wakes another thread
// that could read whenever one goes to work, also one of another queue, and
// that wake costs more than the work: hence nothing in the daemon may use
// gRPC's synchronous or callback services, which bring threads of their own.
class CallQueue {
 public:
  explicit CallQueue(std::unique_ptr<grpc::ServerCompletionQueue> completions);

  // Stop, if that has not been.
  ~CallQueue();

  grpc::ServerCompletionQueue* completions() { return completions_.get(); }

  // Lets work that may wait run on another thread.
  void RunApart(std::function<void()> work) { workers_->Run(std::move(work)); }

  // Begins to hand out events.
  void Start();

  // Ends when every event has been. After the server's Shutdown.
  void Stop();

 private:
  const std::unique_ptr<grpc::ServerCompletionQueue> completions_;
  std::unique_ptr<WorkerPool> workers_;
  std::thread thread_;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_CALL_QUEUE_H_
