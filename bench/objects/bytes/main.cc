// What the same costs with the bytes in a unary call of gRPC, over a Unix
// socket. ../compare runs both ends:
//
//   bytes --serve SOCKET
//   bytes SOCKET

#include <grpcpp/grpcpp.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "bench/objects/peers/operations.h"
#include "bytes.grpc.pb.h"

namespace shmd::bench {
namespace {

class Store final : public BytesService::Service {
 public:
  grpc::Status PutBytes(grpc::ServerContext*, const PutBytesRequest* request,
                        PutBytesResponse*) override {
    absl::MutexLock lock(&mutex_);
    blobs_[request->name()] = request->data();
    return grpc::Status::OK;
  }
  grpc::Status GetBytes(grpc::ServerContext*, const GetBytesRequest* request,
                        GetBytesResponse* response) override {
    absl::MutexLock lock(&mutex_);
    const auto found = blobs_.find(request->name());
    if (found == blobs_.end()) return {grpc::StatusCode::NOT_FOUND, "none"};
    response->set_data(found->second);
    return grpc::Status::OK;
  }

 private:
  absl::Mutex mutex_;
  std::map<std::string, std::string> blobs_ ABSL_GUARDED_BY(mutex_);
};

void Require(const grpc::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "bytes: %s\n", status.error_message().c_str());
  std::exit(1);
}

int Serve(const std::string& address) {
  Store store;
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(-1);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.RegisterService(&store);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  server->Wait();
  return 0;
}

// The payload is put into the request each time, because a put has to copy it
// too.
void AddPutAndGet(Operations& operations, BytesService::Stub& stub,
                  size_t size_bytes) {
  const std::string name = absl::StrCat("bytes-", size_bytes);
  const auto put = [&stub, name, data = std::string(size_bytes, 'x')] {
    grpc::ClientContext context;
    PutBytesRequest request;
    PutBytesResponse response;
    request.set_name(name);
    request.set_data(data);
    Require(stub.PutBytes(&context, request, &response));
  };
  operations.Add("grpc_put", size_bytes, [put] { return Timed(put); });
  operations.Add("grpc_get", size_bytes, [&stub, put, name] {
    put();
    return Timed([&stub, name] {
      grpc::ClientContext context;
      GetBytesRequest request;
      GetBytesResponse response;
      request.set_name(name);
      Require(stub.GetBytes(&context, request, &response));
    });
  });
}

int Measure(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  const std::unique_ptr<BytesService::Stub> stub =
      BytesService::NewStub(grpc::CreateCustomChannel(
          address, grpc::InsecureChannelCredentials(), arguments));
  Operations operations;
  for (const size_t size_bytes : kSizes) {
    AddPutAndGet(operations, *stub, size_bytes);
  }
  return operations.Serve() ? 0 : 1;
}

int Main(int argc, char** argv) {
  const bool serves = argc == 3 && std::string(argv[1]) == "--serve";
  if (argc != 2 && !serves) return 2;
  const std::string address = absl::StrCat("unix:", argv[argc - 1]);
  return serves ? Serve(address) : Measure(address);
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
