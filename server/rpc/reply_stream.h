#ifndef SHMD_SERVER_RPC_REPLY_STREAM_H_
#define SHMD_SERVER_RPC_REPLY_STREAM_H_

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/async_stream.h>

#include <atomic>
#include <functional>

#include "server/rpc/call_queue.h"

namespace shmd {

// Sends the replies of one call: one StartWrite at a time, and one Finish,
// after which comes nothing. Thread-safe in so far as that is kept.
template <typename Reply>
class ReplyWriter {
 public:
  // `reply` must stay until OnWriteDone.
  void StartWrite(const Reply& reply) {
    under_way_.fetch_add(1);
    writer_.Write(reply, written_);
  }

  void Finish(const grpc::Status& status) { writer_.Finish(status, finished_); }

 protected:
  ReplyWriter(CallEvent* written, CallEvent* finished)
      : writer_(&context_), written_(written), finished_(finished) {}
  ~ReplyWriter() = default;

  grpc::ServerContext context_;
  grpc::ServerAsyncWriter<Reply> writer_;
  // The end and the Finish that every call has, and writes.
  std::atomic<int> under_way_{2};

 private:
  CallEvent* const written_;
  CallEvent* const finished_;
};

// What a stream of replies tells the one that fills it. On the queue's thread,
// which must not wait.
class ReplySource {
 public:
  virtual ~ReplySource() = default;
  virtual void OnWriteDone(bool ok) = 0;
  // The caller has gone. Must lead to a Finish, if there was none.
  virtual void OnCancel() = 0;
  // After Finish, when nothing is under way any more: the last call.
  virtual void OnDone() = 0;
};

// A method with one request and many replies. Lives longer than its calls.
template <typename Request, typename Reply>
struct ReplyStreamMethod {
  // The generated Request... of the service.
  std::function<void(grpc::ServerContext*, Request*,
                     grpc::ServerAsyncWriter<Reply>*,
                     grpc::ServerCompletionQueue*, void* tag)>
      request_call;
  // Begins to fill the stream; both live until OnDone.
  std::function<ReplySource*(const grpc::ServerContext&, const Request&,
                             ReplyWriter<Reply>*)>
      start;
};

// One call of such a method. Owns itself.
template <typename Request, typename Reply>
class ReplyStream final : public ReplyWriter<Reply> {
 public:
  using Method = ReplyStreamMethod<Request, Reply>;

  // Takes the next call, and after it those that follow.
  static void Await(const Method* method, CallQueue* queue) {
    auto* const call = new ReplyStream(method, queue);
    call->context_.AsyncNotifyWhenDone(&call->end_);
    method->request_call(&call->context_, &call->request_, &call->writer_,
                         queue->completions(), &call->start_);
  }

 private:
  struct Event final : CallEvent {
    Event(ReplyStream* stream, void (ReplyStream::*method)(bool ok))
        : call(stream), then(method) {}
    void Over(bool ok) override { (call->*then)(ok); }

    ReplyStream* const call;
    void (ReplyStream::*const then)(bool ok);
  };

  ReplyStream(const Method* method, CallQueue* queue)
      : ReplyWriter<Reply>(&wrote_, &finish_), method_(method), queue_(queue) {}

  void OnStarted(bool ok) {
    if (!ok) {  // the server stops
      delete this;
      return;
    }
    Await(method_, queue_);
    source_ = method_->start(this->context_, request_, this);
  }

  void OnWritten(bool ok) {
    source_->OnWriteDone(ok);
    EndOne();
  }

  void OnEnded(bool) {
    if (this->context_.IsCancelled()) source_->OnCancel();
    EndOne();
  }

  void OnFinished(bool) { EndOne(); }

  void EndOne() {
    if (this->under_way_.fetch_sub(1) > 1) return;
    source_->OnDone();
    delete this;
  }

  const Method* const method_;
  CallQueue* const queue_;
  Request request_;
  ReplySource* source_ = nullptr;
  Event start_{this, &ReplyStream::OnStarted};
  Event wrote_{this, &ReplyStream::OnWritten};
  Event finish_{this, &ReplyStream::OnFinished};
  Event end_{this, &ReplyStream::OnEnded};
};

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_REPLY_STREAM_H_
