#ifndef SHMD_SERVER_RPC_METHOD_SET_H_
#define SHMD_SERVER_RPC_METHOD_SET_H_

#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "server/access/connection_table.h"
#include "server/rpc/call_queue.h"
#include "server/rpc/find_caller.h"
#include "server/rpc/serve_caller.h"
#include "server/rpc/unary_call.h"

namespace shmd {

// The unary methods of one service, each served by a member of `Handler`:
//
//   absl::Status Method(const Caller&, const Request&, Reply*);
//
// Built first, then read by many threads.
template <typename Handler>
class MethodSet {
 public:
  MethodSet(const ConnectionTable* connections, Handler* handler)
      : connections_(connections), handler_(handler) {}

  // `service` and its Request... of the method; the member that serves it; and
  // whether that may wait; the member that may serve it at once (UnaryMethod).
  template <typename Service, typename RequestCall, typename Request,
            typename Reply, typename MayWait>
  void Add(const char* name, Service* service, RequestCall request_call,
           absl::Status (Handler::*serve)(const Caller&, const Request&,
                                          Reply*),
           MayWait may_wait,
           bool (Handler::*serve_at_once)(const Caller&, const Request&,
                                          Reply*) = nullptr) {
    auto method = std::make_shared<UnaryMethod<Request, Reply>>();
    method->request_call = [service, request_call](
                               auto* context, auto* request, auto* writer,
                               auto* completions, void* tag) {
      (service->*request_call)(context, request, writer, completions,
                               completions, tag);
    };
    method->may_wait = std::move(may_wait);
    method->serve = [this, name, serve](const grpc::ServerContext& context,
                                        const Request& request, Reply* reply) {
      return ServeCaller(*connections_, context, name,
                         [&](const Caller& caller) {
                           return (handler_->*serve)(caller, request, reply);
                         });
    };
    if (serve_at_once != nullptr) {
      method->serve_at_once = [this, serve_at_once](
                                  const grpc::ServerContext& context,
                                  const Request& request, Reply* reply) {
        const auto caller = FindCaller(*connections_, context);
        return caller.ok() &&
               (handler_->*serve_at_once)(**caller, request, reply);
      };
    }
    awaits_.push_back([method](CallQueue* queue) {
      UnaryCall<Request, Reply>::Await(method.get(), queue);
    });
  }

  void Await(CallQueue* queue) const {
    for (const auto& await : awaits_) await(queue);
  }

 private:
  const ConnectionTable* const connections_;
  Handler* const handler_;
  std::vector<std::function<void(CallQueue*)>> awaits_;
};

// For methods that always may wait.
template <typename Request>
bool MayAlwaysWait(const Request&) {
  return true;
}

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_METHOD_SET_H_
