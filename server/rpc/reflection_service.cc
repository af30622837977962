#include "server/rpc/reflection_service.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <utility>

#include "absl/container/flat_hash_set.h"
#include "server/rpc/find_caller.h"

namespace shmd {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using grpc::reflection::v1alpha::FileDescriptorResponse;
using grpc::reflection::v1alpha::ServerReflectionResponse;

// `file` and, each once, all that it imports.
void AddFile(const FileDescriptor& file,
             absl::flat_hash_set<const FileDescriptor*>* seen,
             FileDescriptorResponse* out) {
  if (!seen->insert(&file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file.CopyTo(&proto);
  proto.SerializeToString(out->add_file_descriptor_proto());
  for (int i = 0; i < file.dependency_count(); ++i) {
    AddFile(*file.dependency(i), seen, out);
  }
}

void AnswerNotFound(ServerReflectionResponse* response) {
  response->mutable_error_response()->set_error_code(
      static_cast<int>(grpc::StatusCode::NOT_FOUND));
  response->mutable_error_response()->set_error_message("is not known here");
}

void AnswerFile(const FileDescriptor* file,
                ServerReflectionResponse* response) {
  if (file == nullptr) {
    AnswerNotFound(response);
    return;
  }
  absl::flat_hash_set<const FileDescriptor*> seen;
  AddFile(*file, &seen, response->mutable_file_descriptor_response());
}

void AnswerExtensions(const std::string& type,
                      ServerReflectionResponse* response) {
  const DescriptorPool* const pool = DescriptorPool::generated_pool();
  const auto* const message = pool->FindMessageTypeByName(type);
  if (message == nullptr) {
    AnswerNotFound(response);
    return;
  }
  auto* const out = response->mutable_all_extension_numbers_response();
  out->set_base_type_name(type);
  std::vector<const FieldDescriptor*> extensions;
  pool->FindAllExtensions(message, &extensions);
  for (const FieldDescriptor* const extension : extensions) {
    out->add_extension_number(extension->number());
  }
}

}  // namespace

// One stream: reads, answers, reads again. Owns itself.
class ReflectionService::Call final : public CallEvent {
 public:
  static void Await(ReflectionService* service, CallQueue* queue) {
    auto* const call = new Call(service, queue);
    service->service_.RequestServerReflectionInfo(
        &call->context_, &call->stream_, queue->completions(),
        queue->completions(), call);
  }

  void Over(bool ok) override {
    switch (awaited_) {
      case Awaited::kStart:
        if (!ok) break;
        Await(service_, queue_);
        if (!service_->over_tcp_ && IsOverTcp(context_)) {
          awaited_ = Awaited::kEnd;
          stream_.Finish(grpc::Status(grpc::StatusCode::UNIMPLEMENTED,
                                      "there is no reflection over TCP"),
                         this);
          return;
        }
        Read();
        return;
      case Awaited::kRequest:
        if (!ok) {  // that was the last
          awaited_ = Awaited::kEnd;
          stream_.Finish(grpc::Status::OK, this);
          return;
        }
        response_.Clear();
        service_->Answer(request_, &response_);
        awaited_ = Awaited::kAnswer;
        stream_.Write(response_, this);
        return;
      case Awaited::kAnswer:
        // The next one tells when the caller has gone.
        Read();
        return;
      case Awaited::kEnd:
        break;
    }
    delete this;
  }

 private:
  enum class Awaited { kStart, kRequest, kAnswer, kEnd };

  Call(ReflectionService* service, CallQueue* queue)
      : service_(service), queue_(queue), stream_(&context_) {}

  void Read() {
    awaited_ = Awaited::kRequest;
    stream_.Read(&request_, this);
  }

  ReflectionService* const service_;
  CallQueue* const queue_;
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<Response, Request> stream_;
  Request request_;
  Response response_;
  Awaited awaited_ = Awaited::kStart;
};

ReflectionService::ReflectionService(std::vector<std::string> services,
                                     bool over_tcp)
    : services_(std::move(services)), over_tcp_(over_tcp) {}

void ReflectionService::Await(CallQueue* queue) { Call::Await(this, queue); }

void ReflectionService::Answer(const Request& request,
                               Response* response) const {
  response->set_valid_host(request.host());
  *response->mutable_original_request() = request;
  const DescriptorPool* const pool = DescriptorPool::generated_pool();
  switch (request.message_request_case()) {
    case Request::kFileByFilename:
      return AnswerFile(pool->FindFileByName(request.file_by_filename()),
                        response);
    case Request::kFileContainingSymbol:
      return AnswerFile(
          pool->FindFileContainingSymbol(request.file_containing_symbol()),
          response);
    case Request::kFileContainingExtension: {
      const auto& asked = request.file_containing_extension();
      const auto* const message =
          pool->FindMessageTypeByName(asked.containing_type());
      const FieldDescriptor* const extension =
          message == nullptr
              ? nullptr
              : pool->FindExtensionByNumber(message, asked.extension_number());
      return AnswerFile(extension == nullptr ? nullptr : extension->file(),
                        response);
    }
    case Request::kAllExtensionNumbersOfType:
      return AnswerExtensions(request.all_extension_numbers_of_type(),
                              response);
    case Request::kListServices:
      for (const std::string& name : services_) {
        response->mutable_list_services_response()->add_service()->set_name(
            name);
      }
      return;
    case Request::MESSAGE_REQUEST_NOT_SET:
      break;
  }
  response->mutable_error_response()->set_error_code(
      static_cast<int>(grpc::StatusCode::INVALID_ARGUMENT));
  response->mutable_error_response()->set_error_message("asks for nothing");
}

}  // namespace shmd
