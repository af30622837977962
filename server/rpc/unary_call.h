#ifndef SHMD_SERVER_RPC_UNARY_CALL_H_
#define SHMD_SERVER_RPC_UNARY_CALL_H_

#include <google/protobuf/arena.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_unary_call.h>

#include <functional>

#include "base/failpoint.h"
#include "server/rpc/call_queue.h"

namespace shmd {

// A method with one request and one reply. Lives longer than its calls.
template <typename Request, typename Reply>
struct UnaryMethod {
  // The generated Request... of the service.
  std::function<void(grpc::ServerContext*, Request*,
                     grpc::ServerAsyncResponseWriter<Reply>*,
                     grpc::ServerCompletionQueue*, void* tag)>
      request_call;
  // Optional, and tried first: serves a call that takes no longer than a few
  // system calls; false, and nothing done, leaves it to `serve`.
  std::function<bool(const grpc::ServerContext&, const Request&, Reply*)>
      serve_at_once;
  // Whether `serve` may wait for longer than a few system calls take; it then
  // has a thread for itself.
  std::function<bool(const Request&)> may_wait;
  std::function<grpc::Status(const grpc::ServerContext&, const Request&,
                             Reply*)>
      serve;
};

// One call of such a method. Owns itself.
template <typename Request, typename Reply>
class UnaryCall final : public CallEvent {
 public:
  using Method = UnaryMethod<Request, Reply>;

  // Takes the next call, and after it those that follow.
  static void Await(const Method* method, CallQueue* queue) {
    auto* const call = new UnaryCall(method, queue);
    method->request_call(&call->context_, call->request_, &call->writer_,
                         queue->completions(), call);
  }

  void Over(bool ok) override {
    // `ok` is false when the server stops, and when the caller has gone before
    // its reply went out.
    if (!ok || served_) {
      SHMD_FAILPOINT("rpc.sent");
      delete this;
      return;
    }
    Await(method_, queue_);
    served_ = true;
    if (method_->serve_at_once != nullptr &&
        method_->serve_at_once(context_, *request_, reply_)) {
      writer_.Finish(*reply_, grpc::Status::OK, this);
    } else if (method_->may_wait(*request_)) {
      queue_->RunApart([this] { Serve(); });
    } else {
      Serve();
    }
  }

 private:
  UnaryCall(const Method* method, CallQueue* queue)
      : method_(method),
        queue_(queue),
        arena_(first_block_, sizeof(first_block_)),
        request_(google::protobuf::Arena::CreateMessage<Request>(&arena_)),
        reply_(google::protobuf::Arena::CreateMessage<Reply>(&arena_)),
        writer_(&context_) {}

  void Serve() {
    const grpc::Status status = method_->serve(context_, *request_, reply_);
    if (status.ok()) {
      writer_.Finish(*reply_, status, this);
    } else {
      writer_.FinishWithError(status, this);
    }
  }

  const Method* const method_;
  CallQueue* const queue_;
  grpc::ServerContext context_;
  // Enough for a segment in request and reply.
  alignas(8) char first_block_[3072];
  google::protobuf::Arena arena_;
  Request* const request_;
  Reply* const reply_;
  grpc::ServerAsyncResponseWriter<Reply> writer_;
  bool served_ = false;
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_UNARY_CALL_H_
