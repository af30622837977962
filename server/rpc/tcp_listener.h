#ifndef SHMD_SERVER_RPC_TCP_LISTENER_H_
#define SHMD_SERVER_RPC_TCP_LISTENER_H_

#include <string>

#include "absl/status/status.h"

namespace grpc {
class ServerBuilder;
}

namespace shmd {

// TCP for administration from elsewhere: TLS, and both ends have to show a
// certificate. The attach socket has no counterpart, as memory has none.
struct TcpSettings {
  std::string address;           // HOST:PORT; port 0: a free one
  std::string certificate_file;  // PEM, the chain of the daemon's own
  std::string key_file;
  std::string client_ca_file;  // who signs clients' certificates
  bool reflection = false;
};

// Adds the listener; `port` is the one it has got once the server has started,
// 0 if it has not. FILE_ERROR when a file cannot be read.
absl::Status AddTcp(const TcpSettings& settings, grpc::ServerBuilder* builder,
                    int* port);

// Why the server has not started, as far as gRPC lets us know.
absl::Status TcpFailed(const TcpSettings& settings);

void LogTcp(const TcpSettings& settings, int port);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_TCP_LISTENER_H_
