#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "bench/ipc/transport.h"
#include "payload.grpc.pb.h"

namespace shmd::bench {
namespace {

class SummingService final : public PayloadService::Service {
 public:
  grpc::Status PutPayload(grpc::ServerContext*,
                          const PutPayloadRequest* request,
                          PutPayloadResponse* response) override {
    response->set_sum(SumWords(request->data().data(), request->data().size()));
    return grpc::Status::OK;
  }
};

// The payload as a bytes field of a unary call over a Unix socket. Making the
// message is part of the round: that is where the payload has to go.
class GrpcTransport : public Transport {
 public:
  explicit GrpcTransport(const TransportSettings& settings)
      : address_(absl::StrCat("unix:", settings.folder, "/payload.sock")) {}

  std::string name() const override { return "gRPC bytes field"; }

  absl::Status Receive() override {
    SummingService service;
    grpc::ServerBuilder builder;
    builder.SetMaxReceiveMessageSize(-1);
    builder.AddListeningPort(address_, grpc::InsecureServerCredentials());
    builder.RegisterService(&service);
    const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    if (server == nullptr) return absl::UnavailableError("no server");
    RETURN_IF_ERROR(bell_.Reply(0));
    server->Wait();
    return absl::OkStatus();
  }

  absl::Status Connect() override {
    RETURN_IF_ERROR(bell_.Answer().status());
    stub_ = PayloadService::NewStub(
        grpc::CreateChannel(address_, grpc::InsecureChannelCredentials()));
    return absl::OkStatus();
  }

  absl::StatusOr<uint64_t> Send(const Payload& payload) override {
    grpc::ClientContext context;
    PutPayloadRequest request;
    request.set_data(payload.data(), payload.size_bytes());
    PutPayloadResponse response;
    const grpc::Status status = stub_->PutPayload(&context, request, &response);
    if (!status.ok()) return absl::UnavailableError(status.error_message());
    return response.sum();
  }

 private:
  const std::string address_;
  std::unique_ptr<PayloadService::Stub> stub_;
};

}  // namespace

std::unique_ptr<Transport> MakeGrpcTransport(
    const TransportSettings& settings) {
  return std::make_unique<GrpcTransport>(settings);
}

}  // namespace shmd::bench
