#include "server/rpc/find_caller.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/security/auth_context.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"

namespace shmd {
namespace {

// gRPC's names for the ends of TCP connections. Those of ours are "fd:N"
// (ConnectionTable); both come from the transport, never from the peer.
bool IsTcpPeer(const std::string& peer) {
  return absl::StartsWith(peer, "ipv4:") || absl::StartsWith(peer, "ipv6:");
}

std::vector<std::string> ValuesOf(const grpc::AuthContext& auth,
                                  const char* property) {
  std::vector<std::string> values;
  for (const grpc::string_ref& value : auth.FindPropertyValues(property)) {
    if (!value.empty()) values.emplace_back(value.data(), value.size());
  }
  return values;
}

// The DNS names; the subject's common name counts only where there are none,
// as in RFC 6125.
absl::StatusOr<std::vector<std::string>> CertificateNames(
    const grpc::ServerContextBase& context) {
  const auto auth = context.auth_context();
  std::vector<std::string> names;
  if (auth != nullptr && auth->IsPeerAuthenticated() &&
      ValuesOf(*auth, GRPC_TRANSPORT_SECURITY_TYPE_PROPERTY_NAME) ==
          std::vector<std::string>{GRPC_SSL_TRANSPORT_SECURITY_TYPE}) {
    names = ValuesOf(*auth, GRPC_PEER_DNS_PROPERTY_NAME);
    if (names.empty()) names = ValuesOf(*auth, GRPC_X509_CN_PROPERTY_NAME);
  }
  if (!names.empty()) return names;
  return absl::StatusOr<std::vector<std::string>>(
      Error(absl::StatusCode::kUnauthenticated, reason::kCallerUnknown,
            "there is no client certificate with a name"));
}

}  // namespace

bool IsOverTcp(const grpc::ServerContextBase& context) {
  return IsTcpPeer(context.peer());
}

absl::StatusOr<std::shared_ptr<const Caller>> FindCaller(
    const ConnectionTable& connections,
    const grpc::ServerContextBase& context) {
  const std::string peer = context.peer();
  if (!IsTcpPeer(peer)) return connections.Find(peer);
  ASSIGN_OR_RETURN(std::vector<std::string> names, CertificateNames(context));
  ASSIGN_OR_RETURN(Caller caller,
                   connections.policy().IdentifyCertificate(std::move(names)));
  return std::make_shared<const Caller>(std::move(caller));
}

}  // namespace shmd
