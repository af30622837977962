// The rows of ../compare by gRPC over a Unix socket, where the payload is
// bytes of a message:
//
//   echo unary|stream|fill BYTES
//
// prints the nanoseconds of one round: a message there, 8 bytes back.

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "bench/channels/peers/two_ends.h"
#include "echo.grpc.pb.h"

namespace shmd::bench {
namespace {

constexpr std::chrono::seconds kPatience(kPatienceSeconds);

class Echo final : public EchoService::Service {
 public:
  grpc::Status Send(grpc::ServerContext*, const SendRequest* request,
                    SendResponse* response) override {
    Answer(*request, response);
    return grpc::Status::OK;
  }
  grpc::Status SendStream(
      grpc::ServerContext*,
      grpc::ServerReaderWriter<SendResponse, SendRequest>* stream) override {
    SendRequest request;
    SendResponse response;
    while (stream->Read(&request)) {
      Answer(request, &response);
      stream->Write(response);
    }
    return grpc::Status::OK;
  }

 private:
  static void Answer(const SendRequest& request, SendResponse* response) {
    const std::string& payload = request.payload();
    if (request.read()) ReadAll(payload.data(), payload.size());
    response->set_size_bytes(payload.size());
  }
};

void Serve(const std::string& address) {
  Echo echo;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(-1);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.RegisterService(&echo);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) Fail("serving");
  server->Wait();
}

double Unary(EchoService::Stub& stub, size_t size_bytes, bool fill) {
  SendRequest request;
  request.set_read(fill);
  request.mutable_payload()->resize(size_bytes);
  uint64_t round = 0;
  return MedianNs([&] {
    if (fill) {
      std::memset(&(*request.mutable_payload())[0], FillByte(++round),
                  size_bytes);
    }
    grpc::ClientContext context;
    SendResponse response;
    if (!stub.Send(&context, request, &response).ok()) Fail("Send");
  });
}

double Stream(EchoService::Stub& stub, size_t size_bytes) {
  SendRequest request;
  request.mutable_payload()->resize(size_bytes);
  SendResponse response;
  grpc::ClientContext context;
  const auto stream = stub.SendStream(&context);
  const double ns = MedianNs([&] {
    if (!stream->Write(request) || !stream->Read(&response)) Fail("SendStream");
  });
  stream->WritesDone();
  if (!stream->Finish().ok()) Fail("SendStream");
  return ns;
}

int Main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string operation = argv[1];
  const size_t size_bytes = std::strtoull(argv[2], nullptr, 10);
  // One that is in no file system, and ends with the server.
  const std::string address =
      absl::StrCat("unix-abstract:shmd-echo-", getpid());
  // A process that has used gRPC cannot fork.
  const OtherEnd other([&] { Serve(address); });
  const auto channel =
      grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
  if (!channel->WaitForConnected(std::chrono::system_clock::now() +
                                 kPatience)) {
    Fail("connecting");
  }
  const auto stub = EchoService::NewStub(channel);
  if (operation == "stream") {
    Print(Stream(*stub, size_bytes));
  } else if (operation == "unary" || operation == "fill") {
    Print(Unary(*stub, size_bytes, operation == "fill"));
  } else {
    return 2;
  }
  return 0;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
