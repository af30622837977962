// Flags, then the parts of the daemon wired together, until it is told to stop.

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/access/policy.h"
#include "server/attach/attach_server.h"
#include "server/census/orphan_census.h"
#include "server/channel/channel_registry.h"
#include "server/flags.h"
#include "server/keeper/descriptor_store.h"
#include "server/keeper/keeper.h"
#include "server/object/lane_server.h"
#include "server/object/object_registry.h"
#include "server/registry/namespace_registry.h"
#include "server/registry/reaper.h"
#include "server/registry/segment_registry.h"
#include "server/rpc/grpc_server.h"
#include "server/store/store.h"
#include "server/sync/sync_registry.h"
#include "server/version.h"
#include "shm/backend.h"
#include "shm/sys/file.h"
#include "shm/sys/socket.h"

namespace shmd {
namespace {

constexpr size_t kKeptEvents = 16384;
constexpr absl::Duration kGrace = absl::Seconds(5);
// Listeners, the store, gRPC's own, and those in flight to programs.
constexpr uint64_t kOtherDescriptors = 256;

// Half of all descriptors are for connections (ConnectionTable), the rest for
// memfd segments and ourselves.
uint64_t RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

absl::Status MakeFolder(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0) {
    // The umask does not decide who can reach the sockets.
    return chmod(path.c_str(), mode) == 0 ? absl::OkStatus()
                                          : ErrnoStatus(errno, "chmod");
  }
  if (errno == EEXIST) return absl::OkStatus();
  return ErrnoStatus(errno, absl::StrCat("mkdir of ", path));
}

// Debian builds Abseil with its search for deadlocks on, which costs every lock
// of ours and of gRPC's a look into a global graph.
void StopLookingForDeadlocks() {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
}

void IgnoreSignals() {
  // A write beyond RLIMIT_FSIZE, or to a program that has gone, is an error of
  // that call and not the end of the daemon.
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
}

sigset_t BlockStopSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

absl::Status MakeFolders(const Flags& flags) {
  RETURN_IF_ERROR(MakeFolder(flags.socket_dir, 0755));
  return MakeFolder(flags.state_dir, 0700);
}

Budget::Limits LimitsOf(const Flags& flags, uint64_t descriptors,
                        const DescriptorStore& kept) {
  Budget::Limits limits;
  limits.memory_bytes = flags.budget_bytes;
  limits.memory_descriptors = descriptors / 2 > kOtherDescriptors
                                  ? descriptors / 2 - kOtherDescriptors
                                  : 0;
  if (kept.available()) {
    limits.memory_descriptors =
        std::min(limits.memory_descriptors, kept.max_descriptors());
  }
  return limits;
}

DescriptorStore::Settings KeptSettingsOf(const Flags& flags) {
  DescriptorStore::Settings settings;
  settings.max_descriptors = flags.descriptor_store_max;
  return settings;
}

BackendSettings BackendSettingsOf(const Flags& flags,
                                  const DescriptorStore& kept) {
  BackendSettings settings;
  settings.file_roots = flags.file_roots;
  settings.identify_memfds = kept.available();
  settings.memory_reserve_bytes = flags.memory_reserve_bytes;
  return settings;
}

// A root may come later, as what is mounted does; until then its files are
// refused.
void LogMissingRoots(const Flags& flags) {
  for (const std::string& root : flags.file_roots) {
    const absl::Status found = sys::OpenFolder(root).status();
    if (!found.ok()) {
      Log(LogLevel::kError,
          absl::StrCat("--file_root=", root, ": ", found.message()));
    }
  }
}

// `default` until an administrator changes it.
Namespace DefaultNamespace(const Flags& flags, const Budget::Limits& limits,
                           uint64_t descriptors) {
  Namespace name_space;
  name_space.quota.bytes = flags.quota_bytes;
  name_space.quota.segments = flags.quota_segments;
  name_space.uid_quota = FairShare(limits.memory_descriptors, descriptors / 2);
  name_space.revision = RandomEpoch();
  return name_space;
}

// The daemon's command line for its keeper: ours, without --keeper.
std::vector<std::string> DaemonCommand(int argc, const char* const* argv) {
  char program[PATH_MAX] = {};
  // The path itself, so that a start finds a newer program there.
  if (readlink("/proc/self/exe", program, sizeof(program) - 1) < 0) {
    std::snprintf(program, sizeof(program), "/proc/self/exe");
  }
  std::vector<std::string> command = {program};
  for (int i = 1; i < argc; ++i) {
    const absl::string_view argument = argv[i];
    if (argument != "--keeper" && !absl::StartsWith(argument, "--keeper=")) {
      command.emplace_back(argument);
    }
  }
  return command;
}

// Returns the exit status.
absl::StatusOr<int> KeepDaemon(const Flags& flags, int argc,
                               const char* const* argv) {
  RETURN_IF_ERROR(MakeFolders(flags));
  Keeper::Settings settings;
  settings.command = DaemonCommand(argc, argv);
  settings.folder = flags.state_dir;
  return Keeper(settings).Run();
}

void LogTakeUp(const SegmentRegistry::TakeUpResult& found,
               const Budget::Limits& limits, uint64_t descriptors,
               const DescriptorStore& descriptor_store) {
  if (limits.memory_descriptors == 0) {
    Log(LogLevel::kError,
        absl::StrCat("RLIMIT_NOFILE of ", descriptors,
                     " leaves no descriptor for memfd segments; 1024 is the "
                     "least that does"));
  }
  Log(LogLevel::kNotice,
      absl::StrCat("shmd ", kVersion, ": took up ", found.taken_up,
                   " recorded segments; ", found.gone, " are gone, ",
                   found.out_of_reach, " out of reach"));
  if (!descriptor_store.available()) {
    Log(LogLevel::kNotice,
        "nobody keeps memfd segments: they end with this daemon, whatever ends "
        "it (--keeper)");
  }
}

OrphanCensus::Settings CensusSettings(const Flags& flags) {
  OrphanCensus::Settings settings;
  settings.min_age =
      absl::Seconds(static_cast<int64_t>(flags.orphan_age_seconds));
  return settings;
}

// Empty address: no TCP.
TcpSettings TcpOf(const Flags& flags) {
  TcpSettings tcp;
  tcp.address = flags.tcp_address;
  tcp.certificate_file = flags.tls_certificate;
  tcp.key_file = flags.tls_key;
  tcp.client_ca_file = flags.tls_client_ca;
  tcp.reflection = flags.tcp_reflection;
  return tcp;
}

// For what the daemon makes for itself.
Caller Self() {
  Caller self;
  self.uid = geteuid();
  self.gid = getegid();
  self.pid = getpid();
  self.is_administrator = true;
  return self;
}

std::string GrpcPath(const Flags& flags) {
  return absl::StrCat(flags.socket_dir, "/grpc.sock");
}

std::string AttachPath(const Flags& flags) {
  return absl::StrCat(flags.socket_dir, "/attach.sock");
}

void RemoveSockets(const Flags& flags) {
  unlink(GrpcPath(flags).c_str());
  unlink(AttachPath(flags).c_str());
}

struct Listeners {
  UniqueFd attach;
  UniqueFd grpc;
};

absl::StatusOr<Listeners> Listen(const Flags& flags) {
  Listeners listeners;
  ASSIGN_OR_RETURN(
      listeners.attach,
      sys::ListenUnix(AttachPath(flags), sys::SocketType::kSeqpacket,
                      flags.socket_mode));
  ASSIGN_OR_RETURN(listeners.grpc,
                   sys::ListenUnix(GrpcPath(flags), sys::SocketType::kStream,
                                   flags.socket_mode));
  return listeners;
}

// As far as it may enter any namespace.
CallerPolicy PolicyOf(const Flags& flags, const NamespaceTable& namespaces) {
  CallerPolicy policy(flags.admin_uids, flags.admin_certificates);
  policy.LetIn([&namespaces](const Caller& caller) {
    return !namespaces.List(caller, /*after=*/"", /*limit=*/1).empty();
  });
  return policy;
}

void TellReady(const Flags& flags, DescriptorStore& descriptor_store) {
  SHMD_FAILPOINT("start.listening");
  std::printf("ready %s\n", flags.socket_dir.c_str());
  std::fflush(stdout);
  descriptor_store.NotifyReady();
  SHMD_FAILPOINT("start.ready");
}

void AwaitStop(const sigset_t& stop_signals,
               DescriptorStore& descriptor_store) {
  int signal_number = 0;
  sigwait(&stop_signals, &signal_number);
  Log(LogLevel::kNotice, "stopping");
  descriptor_store.NotifyStopping();
  // A second signal ends us at once.
  pthread_sigmask(SIG_UNBLOCK, &stop_signals, nullptr);
}

// What is to be done for sessions that end.
void CleanUpAfterSessions(SegmentRegistry& registry, ObjectRegistry& objects,
                          ChannelRegistry& channels, SyncRegistry& sync) {
  registry.NotifyCleanUp([&] {
    sync.MendUnfinished();
    channels.LookAfterDeparted();
  });
  registry.NotifySessionClosing(
      [&sync](const SessionTable::Ended& ended) { sync.EndSession(ended); });
  registry.NotifySessionEnd([&](const SessionId& session) {
    objects.EndSession(session);
    channels.EndSession(session);
  });
}

absl::Status Run(const Flags& flags) {
  // Before anything is opened.
  ASSIGN_OR_RETURN(std::vector<KeptDescriptor> kept, TakeListedDescriptors());
  DescriptorStore descriptor_store(KeptSettingsOf(flags), kept);
  const sigset_t stop_signals = BlockStopSignals();
  const absl::Time start_time = Clock::Real()->WallTime();
  const uint64_t descriptors = RaiseDescriptorLimit();
  RETURN_IF_ERROR(MakeFolders(flags));
  ASSIGN_OR_RETURN(const std::unique_ptr<Store> store,
                   Store::Open(flags.state_dir));
  LogMissingRoots(flags);
  const BackendSet backends(BackendSettingsOf(flags, descriptor_store));
  const Budget::Limits limits = LimitsOf(flags, descriptors, descriptor_store);
  // Generations start anew, as far from those of any other run: an etag of an
  // earlier run fits no segment of this one.
  EventLog events(RandomEpoch(), kKeptEvents, Clock::Real(),
                  store->identity().first_generation);
  const Namespace initial = DefaultNamespace(flags, limits, descriptors);
  NamespaceTable namespaces(initial);
  NamespaceRegistry namespace_registry(&namespaces, store.get(), Clock::Real(),
                                       initial.uid_quota);
  RETURN_IF_ERROR(namespace_registry.TakeUp());
  SessionTable sessions(Clock::Real(), &namespaces);
  SegmentRegistry registry({&backends, store.get(), &events, &namespaces,
                            &sessions, &descriptor_store, Clock::Real()},
                           limits);
  sessions.NotifyEnded([&registry] { registry.expiries().Wake(); });
  ASSIGN_OR_RETURN(const SegmentRegistry::TakeUpResult found,
                   registry.TakeUpStored(std::move(kept)));
  LogTakeUp(found, limits, descriptors, descriptor_store);
  ObjectRegistry objects(&registry, Self());
  RETURN_IF_ERROR(objects.TakeUp());
  ChannelRegistry channels(&registry);
  channels.TakeUp();
  SyncRegistry sync(&registry, &sessions, store.get());
  RETURN_IF_ERROR(sync.TakeUp());
  SHMD_FAILPOINT("start.taken_up");
  LaneServer lanes(&objects);
  objects.SetWake([&lanes] { lanes.Wake(); });
  CleanUpAfterSessions(registry, objects, channels, sync);
  const Reaper reaper(&registry);
  OrphanCensus census(
      [&registry](const ObjectName& name) { return registry.IsSegment(name); },
      Clock::Real(), CensusSettings(flags));
  const CallerPolicy policy = PolicyOf(flags, namespaces);
  const TcpSettings tcp = TcpOf(flags);
  ASSIGN_OR_RETURN(Listeners listeners, Listen(flags));
  ASSIGN_OR_RETURN(
      std::unique_ptr<AttachServer> attach,
      AttachServer::Start(
          std::move(listeners.attach),
          {&policy, &registry, &sessions, Clock::Real(), flags.session_grace,
           [&lanes](const SessionId& session) { lanes.Rang(session); },
           &channels}));
  ASSIGN_OR_RETURN(
      const std::unique_ptr<GrpcServer> grpc,
      GrpcServer::Start(std::move(listeners.grpc),
                        {&policy, &registry, &objects, &channels,
                         &namespace_registry, &sessions, &census, &sync,
                         start_time, tcp.address.empty() ? nullptr : &tcp}));
  TellReady(flags, descriptor_store);
  AwaitStop(stop_signals, descriptor_store);
  objects.Drain();
  grpc->Stop(kGrace);
  channels.Drain();
  attach.reset();
  RemoveSockets(flags);
  return absl::OkStatus();
}

}  // namespace
}  // namespace shmd

int main(int argc, char** argv) {
  const shmd::Flags flags = shmd::ParseFlags(argc, argv);
  if (!flags.text.empty()) {
    std::fputs(flags.text.c_str(), flags.exit_code == 0 ? stdout : stderr);
    return flags.exit_code;
  }
  shmd::SetLogLevel(flags.log_level);
  shmd::StopLookingForDeadlocks();
  shmd::IgnoreSignals();
  absl::Status status;
  if (flags.keeper) {
    const absl::StatusOr<int> code = shmd::KeepDaemon(flags, argc, argv);
    if (code.ok()) return *code;
    status = code.status();
  } else {
    status = shmd::ArmFailpoints(flags.failpoints);
    if (status.ok()) status = shmd::Run(flags);
    if (status.ok()) return 0;
  }
  std::fprintf(stderr, "shmd: %s\n", std::string(status.message()).c_str());
  return 1;
}
