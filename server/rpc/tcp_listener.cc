#include "server/rpc/tcp_listener.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>

#include <cerrno>
#include <fstream>
#include <iterator>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace shmd {
namespace {

// Who connects and says nothing is cut off.
constexpr int kHandshakeMilliseconds = 10000;

absl::StatusOr<std::string> ReadPem(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (file && !text.empty()) return text;
  return absl::StatusOr<std::string>(
      Error(absl::StatusCode::kFailedPrecondition, reason::kFileError,
            absl::StrCat("cannot read ", path))
          .With("path", path));
}

}  // namespace

absl::Status AddTcp(const TcpSettings& settings, grpc::ServerBuilder* builder,
                    int* port) {
  // gRPC offers TLS 1.2 and 1.3 only.
  grpc::SslServerCredentialsOptions options(
      GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  ASSIGN_OR_RETURN(options.pem_root_certs, ReadPem(settings.client_ca_file));
  grpc::SslServerCredentialsOptions::PemKeyCertPair pair;
  ASSIGN_OR_RETURN(pair.cert_chain, ReadPem(settings.certificate_file));
  ASSIGN_OR_RETURN(pair.private_key, ReadPem(settings.key_file));
  options.pem_key_cert_pairs.push_back(std::move(pair));
  // No other program may share the port.
  builder->AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder->AddChannelArgument(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS,
                              kHandshakeMilliseconds);
  builder->AddListeningPort(settings.address,
                            grpc::SslServerCredentials(options), port);
  return absl::OkStatus();
}

absl::Status TcpFailed(const TcpSettings& settings) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kAddressInUse,
               absl::StrCat("cannot serve ", settings.address,
                            ": the address is not to be had, or certificate "
                            "and key are no pair"));
}

void LogTcp(const TcpSettings& settings, int port) {
  const std::string host =
      settings.address.substr(0, settings.address.rfind(':'));
  Log(LogLevel::kNotice, absl::StrCat("serves TCP on ", host, ":", port));
}

}  // namespace shmd
