#include "server/flags.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <map>
#include <regex>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "server/version.h"

namespace shmd {
namespace {

std::string FromEnvironment(const char* variable) {
  const char* const value = getenv(variable);
  return value == nullptr ? "" : value;
}

std::string DefaultSocketDir() {
  const std::string own = FromEnvironment("SHMD_SOCKET_DIR");
  if (!own.empty()) return own;
  const std::string runtime = FromEnvironment("XDG_RUNTIME_DIR");
  return runtime.empty() ? "/run/shmd" : absl::StrCat(runtime, "/shmd");
}

std::string DefaultStateDir(const std::string& socket_dir) {
  const std::string own = FromEnvironment("SHMD_STATE_DIR");
  return own.empty() ? absl::StrCat(socket_dir, "/state") : own;
}

// 90 % of the host's memory: what the rest of it needs is not ours to promise.
uint64_t DefaultBudgetBytes() {
  const auto pages = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES));
  const auto page_bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  return pages * page_bytes / 10 * 9;
}

void AddOptions(CLI::App& app, Flags& flags, std::string& socket_mode) {
  app.set_version_flag("--version", absl::StrCat("shmd ", kVersion));
  app.add_option("--socket_dir", flags.socket_dir,
                 "Folder of grpc.sock and attach.sock; made when missing "
                 "(else $SHMD_SOCKET_DIR, $XDG_RUNTIME_DIR/shmd, /run/shmd)");
  app.add_option("--state_dir", flags.state_dir,
                 "Folder of what must outlive the daemon; made when missing "
                 "(else $SHMD_STATE_DIR, SOCKET_DIR/state)");
  app.add_option("--file_root", flags.file_roots,
                 "Folder that mapped files may lie in; repeatable")
      ->take_all();
  app.add_option("--budget_bytes", flags.budget_bytes,
                 "The most that all segments in memory may have together "
                 "(90 % of the host's memory)")
      ->check(CLI::NonNegativeNumber);
  app.add_option(
         "--quota_bytes", flags.quota_bytes,
         "The most that the namespace `default` may have (without limit)")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--quota_segments", flags.quota_segments,
                 "The most segments of the namespace `default`")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--memory_reserve_bytes", flags.memory_reserve_bytes,
                 "Left to the rest of the host when memory is reserved")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--orphan_age_seconds", flags.orphan_age_seconds,
                 "DeleteOrphan leaves alone what was used less long ago")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--admin_uid", flags.admin_uids,
                 "An administrator beside root and the daemon's own uid; "
                 "repeatable")
      ->check(CLI::NonNegativeNumber)
      ->take_all();
  app.add_option_function<double>(
         "--session_grace_seconds",
         [&flags](double seconds) {
           flags.session_grace = absl::Seconds(seconds);
         },
         "How long the programs of sessions have to come back after a restart "
         "(30)")
      ->check(CLI::Range(0.0, 86400.0));
  app.add_option("--socket_mode", socket_mode,
                 "Mode of the two sockets, octal: who may connect")
      ->capture_default_str();
  app.add_flag("--keeper", flags.keeper,
               "Start a daemon with the other flags, keep its memfd segments, "
               "and start it again when it dies");
  app.add_option("--descriptor_store_max", flags.descriptor_store_max,
                 "How many descriptors the supervisor keeps, where it does "
                 "not say so in $FDSTORE: FileDescriptorStoreMax= of systemd "
                 "before 254")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--failpoints", flags.failpoints,
                 "For tests: where the daemon dies, sleeps or fails on purpose "
                 "(docs/failpoints.md)");
  app.add_option("--log_level", flags.log_level, "debug, notice or error")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, LogLevel>{{"debug", LogLevel::kDebug},
                                          {"notice", LogLevel::kNotice},
                                          {"error", LogLevel::kError}}));
}

void AddTcpOptions(CLI::App& app, Flags& flags) {
  app.add_option("--tcp_address", flags.tcp_address,
                 "HOST:PORT to serve administration from elsewhere on, by TLS "
                 "and for those with a certificate");
  app.add_option("--tls_certificate", flags.tls_certificate,
                 "The daemon's certificate and those above it, PEM");
  app.add_option("--tls_key", flags.tls_key, "Its private key, PEM");
  app.add_option("--tls_client_ca", flags.tls_client_ca,
                 "The authorities that sign clients' certificates, PEM");
  app.add_option("--admin_certificate", flags.admin_certificates,
                 "An administrator over TCP, by a DNS name of its certificate, "
                 "or its common name where there is none; repeatable")
      ->take_all();
  app.add_flag("--tcp_reflection", flags.tcp_reflection,
               "Reflection over TCP too");
}

// A host of digits, letters, dots and dashes, or an IPv6 address in brackets,
// and a port. gRPC would take much more, such as paths of sockets.
bool IsHostAndPort(const std::string& address) {
  static const std::regex form(
      R"(([A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5}))");
  std::smatch parts;
  return std::regex_match(address, parts, form) && parts[1] != "unix" &&
         parts[1] != "unix-abstract" && std::stoul(parts[2]) <= 65535;
}

void CheckTcp(const Flags& flags) {
  if (flags.tcp_address.empty()) {
    if (!flags.tls_certificate.empty() || !flags.tls_key.empty() ||
        !flags.tls_client_ca.empty() || !flags.admin_certificates.empty() ||
        flags.tcp_reflection) {
      throw CLI::ValidationError("--tcp_address",
                                 "is missing: the other flags of TCP need it");
    }
    return;
  }
  if (!IsHostAndPort(flags.tcp_address)) {
    throw CLI::ValidationError("--tcp_address", "is no HOST:PORT");
  }
  if (flags.tls_certificate.empty() || flags.tls_key.empty() ||
      flags.tls_client_ca.empty()) {
    throw CLI::ValidationError(
        "--tcp_address",
        "there is no TCP without TLS: --tls_certificate, --tls_key and "
        "--tls_client_ca are needed with it");
  }
}

std::string UsageText(const std::string& message) {
  return "shmd: " + message + "\nRun `shmd --help` for more information.\n";
}

void FillDefaults(Flags& flags) {
  if (flags.socket_dir.empty()) flags.socket_dir = DefaultSocketDir();
  if (flags.state_dir.empty()) {
    flags.state_dir = DefaultStateDir(flags.socket_dir);
  }
  if (flags.budget_bytes == 0) flags.budget_bytes = DefaultBudgetBytes();
  // Mapped files count towards the quota but not the budget.
  if (flags.quota_bytes == 0) flags.quota_bytes = UINT64_MAX;
}

}  // namespace

Flags ParseFlags(int argc, const char* const* argv) {
  Flags flags;
  std::string socket_mode = "0666";
  CLI::App app("shmd: shared memory as a service", "shmd");
  AddOptions(app, flags, socket_mode);
  AddTcpOptions(app, flags);
  app.failure_message([](const CLI::App*, const CLI::Error& error) {
    return UsageText(error.what());
  });
  try {
    app.parse(argc, argv);
    CheckTcp(flags);
    size_t end = 0;
    const unsigned long mode = std::stoul(socket_mode, &end, 8);
    if (end != socket_mode.size() || mode > 0777) {
      throw CLI::ValidationError("--socket_mode", "is no octal mode");
    }
    flags.socket_mode = static_cast<mode_t>(mode);
  } catch (const CLI::ParseError& error) {
    std::ostringstream text;
    const int code = app.exit(error, text, text);
    flags.text = text.str();
    flags.exit_code = code == 0 ? 0 : 2;
  } catch (const std::logic_error&) {
    flags.text = UsageText("--socket_mode is no octal mode");
    flags.exit_code = 2;
  }
  FillDefaults(flags);
  return flags;
}

}  // namespace shmd
