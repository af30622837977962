#include "server/rpc/health_service.h"

#include <utility>

namespace shmd {

// Sends the status that holds at first, and the last one before its end.
class HealthService::Watch final : public ReplySource {
 public:
  Watch(HealthService* service, ReplyWriter<Response>* writer,
        Response::ServingStatus first)
      : service_(service), writer_(writer) {
    response_.set_status(first);
  }

  void Begin() {
    absl::MutexLock lock(&mutex_);
    writing_ = true;
    writer_->StartWrite(response_);
  }

  void Drain() {
    absl::MutexLock lock(&mutex_);
    draining_ = true;
    GoOn();
  }

  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    if (!ok) Finish(grpc::Status::CANCELLED);
    GoOn();
  }

  void OnCancel() override {
    absl::MutexLock lock(&mutex_);
    Finish(grpc::Status::CANCELLED);
  }

  void OnDone() override {
    service_->Forget(this);
    delete this;
  }

 private:
  void GoOn() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!draining_ || writing_ || finished_) return;
    if (response_.status() == Response::SERVING) {
      response_.set_status(Response::NOT_SERVING);
      writing_ = true;
      writer_->StartWrite(response_);
      return;
    }
    Finish(grpc::Status(grpc::StatusCode::UNAVAILABLE,
                        "the daemon is about to stop"));
  }

  void Finish(const grpc::Status& status)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!finished_) writer_->Finish(status);
    finished_ = true;
  }

  HealthService* const service_;
  ReplyWriter<Response>* const writer_;
  absl::Mutex mutex_;
  Response response_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool draining_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

HealthService::HealthService(const std::vector<std::string>& services)
    : services_(services.begin(), services.end()) {
  check_.request_call = [this](auto* context, auto* request, auto* writer,
                               auto* completions, void* tag) {
    service_.RequestCheck(context, request, writer, completions, completions,
                          tag);
  };
  check_.may_wait = [](const Request&) { return false; };
  check_.serve = [this](const grpc::ServerContext&, const Request& request,
                        Response* response) {
    return Check(request, response);
  };
  watch_.request_call = [this](auto* context, auto* request, auto* writer,
                               auto* completions, void* tag) {
    service_.RequestWatch(context, request, writer, completions, completions,
                          tag);
  };
  watch_.start = [this](const grpc::ServerContext&, const Request& request,
                        ReplyWriter<Response>* writer) {
    return StartWatch(request, writer);
  };
}

void HealthService::Await(CallQueue* queue) {
  UnaryCall<Request, Response>::Await(&check_, queue);
  ReplyStream<Request, Response>::Await(&watch_, queue);
}

grpc::Status HealthService::Check(const Request& request,
                                  Response* response) const {
  if (!Knows(request.service())) {
    return grpc::Status(grpc::StatusCode::NOT_FOUND,
                        "there is no such service");
  }
  absl::MutexLock lock(&mutex_);
  response->set_status(draining_ ? Response::NOT_SERVING : Response::SERVING);
  return grpc::Status::OK;
}

ReplySource* HealthService::StartWatch(const Request& request,
                                       ReplyWriter<Response>* writer) {
  absl::MutexLock lock(&mutex_);
  auto* const watch =
      new Watch(this, writer,
                !Knows(request.service()) ? Response::SERVICE_UNKNOWN
                : draining_               ? Response::NOT_SERVING
                                          : Response::SERVING);
  watches_.insert(watch);
  watch->Begin();
  if (draining_) watch->Drain();
  return watch;
}

void HealthService::Drain() {
  absl::MutexLock lock(&mutex_);
  draining_ = true;
  for (Watch* const watch : watches_) watch->Drain();
}

void HealthService::Forget(Watch* watch) {
  absl::MutexLock lock(&mutex_);
  watches_.erase(watch);
}

}  // namespace shmd
