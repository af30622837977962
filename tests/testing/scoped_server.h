#ifndef SHMD_TESTS_TESTING_SCOPED_SERVER_H_
#define SHMD_TESTS_TESTING_SCOPED_SERVER_H_

#include <sys/types.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace shmd::testing {

// What one daemon has taken from the kernel, as the kernel tells it. Nothing
// in it changes because other tests run at the same time.
struct KernelLedger {
  std::multiset<std::string> descriptors;  // of the daemon: memfds, files, maps
  size_t descriptor_count = 0;             // all of them, sockets included
  std::multiset<std::string>
      sysv_segments;                     // made by this ScopedServer's daemons
  std::multiset<std::string> shm_names;  // in /dev/shm: see ScopedServer::token
  std::multiset<std::string> root_files;  // below file_root
};

// What is in `after` and not in `before`, and the other way round, one per
// line; empty when nothing was leaked or lost. Sockets are not compared: a
// client's connection closes a moment after the client.
std::string DiffLedgers(const KernelLedger& before, const KernelLedger& after);

// A daemon (//server:shmd) of a test's own, with fresh folders for sockets,
// state and mapped files. Dies with the thread that started it. At its end it
// is stopped, its folders are removed, and what it left in the kernel is
// removed too; to see leaks, compare ledgers. Not thread-safe.
class ScopedServer {
 public:
  struct Options {
    std::vector<std::string> flags;  // further ones
    bool with_file_root = true;
    // Under another uid and gid than the test's; the test runs as root.
    uid_t uid = 0;
    gid_t gid = 0;
    absl::Duration deadline = absl::Seconds(60);  // to be ready, and to stop
  };

  // Returns when the daemon has said that it is ready. Where a test needs
  // several programs: $SHMD_SOCKET_DIR of those is socket_dir().
  static absl::StatusOr<std::unique_ptr<ScopedServer>> Start(Options options);
  static absl::StatusOr<std::unique_ptr<ScopedServer>> Start() {
    return Start(Options());
  }

  ScopedServer(const ScopedServer&) = delete;
  ScopedServer& operator=(const ScopedServer&) = delete;
  ~ScopedServer();

  const std::string& socket_dir() const { return socket_dir_; }
  const std::string& state_dir() const { return state_dir_; }
  const std::string& file_root() const { return file_root_; }
  std::string grpc_socket() const { return socket_dir_ + "/grpc.sock"; }
  std::string attach_socket() const { return socket_dir_ + "/attach.sock"; }
  pid_t pid() const { return pid_; }

  // A word that no other test has: begin POSIX names with "/" and it, so that
  // the ledger sees them and the end of the test removes them.
  const std::string& token() const { return token_; }

  // SIGTERM, then waits: an error unless it ends by itself with status 0.
  absl::Status Stop();
  // SIGKILL, then waits.
  void Kill();
  // Starts it again over the same folders, after Stop or Kill.
  absl::Status Restart();

  // What it has written to standard error so far.
  std::string Log() const;

  KernelLedger Ledger() const;

 private:
  explicit ScopedServer(Options options) : options_(std::move(options)) {}

  absl::Status MakeFolders();
  absl::Status Spawn();
  absl::Status AwaitReady(int out);
  // Waits for its end; -1 when that takes longer than the deadline.
  int AwaitExit();
  void RemoveKernelObjects() const;

  const Options options_;
  std::string token_;
  std::string folder_;
  std::string socket_dir_;
  std::string state_dir_;
  std::string file_root_;
  std::string log_path_;
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  UniqueFd out_;          // its standard output, kept open until it ends
  std::set<pid_t> pids_;  // of all daemons so far
};

// The path of a file of this repository among a test's runfiles, for example
// Runfile("server/shmd").
std::string Runfile(const std::string& path);

}  // namespace shmd::testing

#endif  // SHMD_TESTS_TESTING_SCOPED_SERVER_H_
