#ifndef SHMD_CLIENT_CPP_CLIENT_H_
#define SHMD_CLIENT_CPP_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "client/cpp/attached.h"
#include "client/cpp/grant.h"
#include "client/cpp/namespace.h"
#include "client/cpp/orphan.h"
#include "client/cpp/segment.h"
#include "client/cpp/session.h"
#include "client/cpp/watch.h"

namespace shmd {
inline namespace client {

struct Channel;
struct ChannelSpec;
struct ChannelStats;
struct ChannelWatchEvent;
struct ChannelWatchOptions;
struct ObjectWatchEvent;
struct ObjectWatchOptions;

struct ConnectOptions {
  // The folder of the daemon's sockets; empty: $SHMD_SOCKET_DIR, else
  // $XDG_RUNTIME_DIR/shmd, else /run/shmd.
  std::string socket_dir;
  // Where short names live.
  std::string name_space = "default";
  // The longest that connecting, or one attach, may take.
  absl::Duration attach_timeout = absl::Seconds(10);
  // How long calls wait for a daemon that has gone away to be back, before
  // they fail with SERVER_UNREACHABLE. Connect itself does not wait.
  absl::Duration reconnect_timeout = absl::Seconds(10);
  // The longest that one RPC may take. Long, because a create may populate.
  absl::Duration call_timeout = absl::Minutes(5);
};

// How a segment is mapped.
struct AttachOptions {
  uint64_t offset_bytes = 0;    // within the handle's range
  uint64_t length_bytes = 0;    // 0: to the end of the handle's range
  bool populate = false;        // fault all pages in now
  bool lock_in_memory = false;  // mlock(2)
  // Where to map; nullptr: anywhere. What is mapped there already is never
  // replaced: ADDRESS_IN_USE.
  void* fixed_address = nullptr;
  // Maps also a segment that was created as revocable. Its memory can be taken
  // away, and by a writer at any time, and then a touch is SIGBUS: use Read()
  // and Write() of the mapping. Without it: SEGMENT_REVOCABLE.
  bool allow_revocable = false;
};

struct ListOptions {
  std::string parent;  // namespaces/NAME; empty: the connection's own
  std::string filter;  // as in ListSegmentsRequest
  bool full = false;   // with pages per memory node
  size_t limit = SIZE_MAX;
};

struct DeleteOptions {
  bool force = false;  // although attached or adopted
  std::string etag;    // when set, must be the current one
  // Takes the memory away from all who have it mapped; of segments that were
  // created as revocable. Implies force.
  bool revoke_memory = false;
};

struct HandleOptions {
  Access access = Access::kRead;
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;  // 0: to the end
  std::optional<absl::Duration> ttl;
};

// A program's connection to the daemon of its host.
//
// Thread-safe: all methods but the move operations may be called from any
// thread at the same time; attaches take turns. The mappings that it returns
// outlive it. A thread of the library's own waits for the end of the
// connection: when the daemon is restarted the Client comes back to its
// session by itself, attaches again what it held, and repeats calls whose
// answer was lost where that is harmless; mappings are never disturbed. Calls
// that are not repeated (Delete, Seal, Adopt, Disown, CreateGrant and
// DeleteGrant, DeleteOrphan, and changes with an etag) can fail with
// SERVER_UNREACHABLE although they were carried out. After fork(2) a child uses
// the mappings that it has inherited and makes a Client of its own: gRPC does
// not survive a fork.
//
// Segments are named in full, `namespaces/default/segments/hello`, or by the
// last part alone.
//
// Every error carries an ErrorDetail (base/error.h) with one of the reasons of
// base/error_reason.h; docs/errors.md says what to do about each. Each
// method's codes are those of the RPC of its name in segment.proto, and
// UNAVAILABLE (SERVER_UNREACHABLE) when no daemon answers. After a restart of
// the daemon the same Client goes on working.
class Client {
 public:
  // Opens the attach socket; UNAVAILABLE (SERVER_UNREACHABLE) when no daemon
  // is there. gRPC is set up at the first RPC: attaching alone needs none.
  static absl::StatusOr<Client> Connect(const ConnectOptions& options = {});

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  // Mapping. `handle` is the text form (Segment::handle). No gRPC call is
  // made. What was received is verified before use: its size, its seals, and
  // that there is exactly one descriptor.
  absl::StatusOr<ReadOnlyAttached> MapReadOnly(
      absl::string_view handle, const AttachOptions& options = {});
  absl::StatusOr<WritableAttached> MapWritable(
      absl::string_view handle, const AttachOptions& options = {});
  // A copy-on-write view: what is written stays with this mapping.
  absl::StatusOr<PrivateAttached> MapPrivate(absl::string_view handle,
                                             const AttachOptions& options = {});
  // The object itself, for programs that map by themselves.
  absl::StatusOr<OpenedSegment> Open(absl::string_view handle, Access access);

  absl::StatusOr<Segment> Create(const SegmentSpec& spec);
  absl::StatusOr<Segment> Get(absl::string_view name, bool full = true);
  absl::StatusOr<std::vector<Segment>> List(const ListOptions& options = {});
  // As List, one by one as the pages come in, until `visit` returns false.
  absl::Status ForEach(const ListOptions& options,
                       const std::function<bool(Segment)>& visit);
  absl::StatusOr<Segment> Update(absl::string_view name,
                                 const SegmentUpdate& update);
  absl::Status Delete(absl::string_view name,
                      const DeleteOptions& options = {});
  absl::StatusOr<Segment> Seal(absl::string_view name,
                               SealExtent extent = SealExtent::kAllWrites,
                               absl::string_view etag = "");
  absl::StatusOr<Segment> Resize(absl::string_view name, uint64_t size_bytes,
                                 absl::string_view etag = "");
  // length_bytes 0: to the end.
  absl::Status Flush(absl::string_view name,
                     FlushMode mode = FlushMode::kSynchronous,
                     uint64_t offset_bytes = 0, uint64_t length_bytes = 0);
  absl::StatusOr<Segment> Adopt(const AdoptSpec& spec);
  absl::Status Disown(absl::string_view name, absl::string_view etag = "");
  // Puts the end of a segment off: to `ttl` from now, or as long as its lease
  // was made for.
  absl::StatusOr<Segment> RenewLease(
      absl::string_view name, std::optional<absl::Duration> ttl = std::nullopt);
  // A peek of at most 64 KiB; programs that want the data attach.
  absl::StatusOr<std::string> Read(absl::string_view name,
                                   uint64_t offset_bytes,
                                   uint64_t length_bytes);
  absl::Status Write(absl::string_view name, uint64_t offset_bytes,
                     absl::string_view data);
  // At most 1000 each: all of them, or none. Of deletes that the kernel
  // refused, or that were not answered, some may have happened.
  absl::StatusOr<std::vector<Segment>> BatchCreate(
      absl::Span<const SegmentSpec> specs);
  // `count` segments alike, 1 to 1000, all of them or none; their handles. The
  // spec names nothing that one segment alone can have. Takes a fraction of
  // what BatchCreate does, since nothing is said more than once.
  absl::StatusOr<std::vector<std::string>> CreateMany(const SegmentSpec& spec,
                                                      int count);
  absl::StatusOr<std::vector<Segment>> BatchGet(
      absl::Span<const std::string> names, bool full = false);
  absl::Status BatchDelete(absl::Span<const std::string> names,
                           bool force = false);
  // The text of a handle with less access, a smaller range or an end.
  absl::StatusOr<std::string> CreateHandle(absl::string_view name,
                                           const HandleOptions& options = {});
  absl::StatusOr<Node> GetNode();

  // Lets programs attach that the segment's mode would not. A grant is named
  // in full.
  absl::StatusOr<NewGrant> CreateGrant(absl::string_view segment,
                                       const GrantSpec& spec = {});
  absl::StatusOr<std::vector<Grant>> ListGrants(absl::string_view segment);
  // The same for a channel: `handle` is what the options of channels.h and
  // calls.h take as `grant`.
  absl::StatusOr<NewGrant> CreateChannelGrant(absl::string_view channel,
                                              const GrantSpec& spec);
  absl::StatusOr<std::vector<Grant>> ListChannelGrants(
      absl::string_view channel);
  // Of either.
  absl::Status DeleteGrant(absl::string_view name);

  // Trust domains; the last part of a name does. Changes are for
  // administrators: UpdateNamespace changes what the spec has.
  absl::StatusOr<Namespace> CreateNamespace(absl::string_view id,
                                            const NamespaceSpec& spec = {});
  absl::StatusOr<Namespace> GetNamespace(absl::string_view name);
  absl::StatusOr<std::vector<Namespace>> ListNamespaces();
  absl::StatusOr<Namespace> UpdateNamespace(absl::string_view name,
                                            const NamespaceSpec& spec);
  absl::Status DeleteNamespace(absl::string_view name,
                               absl::string_view etag = "");

  // Who is attached. The last part of a session's name does. With a segment,
  // those that have it attached.
  absl::StatusOr<Session> GetSession(absl::string_view name);
  absl::StatusOr<std::vector<Session>> ListSessions(
      absl::string_view segment = "");
  // Who has it mapped, also programs that never knew shmd.
  absl::StatusOr<SegmentUsers> ListSegmentUsers(absl::string_view name);

  // What leaked on this host; and its removal, unless it was used since. A
  // System V segment whose creator may live is refused unless that is allowed.
  absl::StatusOr<std::vector<Orphan>> ListOrphans();
  absl::Status DeleteOrphan(const Orphan& orphan,
                            bool allow_living_creator = false);

  // Calls `visit` for each event, on this thread, until it returns false (OK)
  // or the options' token is cancelled (CANCELLED). When the daemon goes away
  // it waits and resumes where it was; watch.h tells how the caller learns of
  // changes that were lost meanwhile.
  absl::Status Watch(const WatchOptions& options,
                     const std::function<bool(const WatchEvent&)>& visit);

  // The same for the objects of a namespace: object_watch.h. Takes no session.
  absl::Status WatchObjects(
      const ObjectWatchOptions& options,
      const std::function<bool(const ObjectWatchEvent&)>& visit);

  // Channels, in the client's namespace; the last part of a name does.
  // channel.h, and channels.h for what goes through them. A channel that exists
  // already, of the same kind and sizes, is as good when `allow_existing`. A
  // Delete although somebody takes part takes `force`.
  absl::StatusOr<Channel> CreateChannel(absl::string_view id,
                                        const ChannelSpec& spec,
                                        bool allow_existing = false);
  absl::StatusOr<Channel> GetChannel(absl::string_view name);
  absl::StatusOr<std::vector<Channel>> ListChannels();
  absl::Status DeleteChannel(absl::string_view name, bool force = false);
  absl::StatusOr<ChannelStats> GetChannelStats(absl::string_view name);
  // As Watch. Each event says of a channel how it is now.
  absl::Status WatchChannels(
      const ChannelWatchOptions& options,
      const std::function<bool(const ChannelWatchEvent&)>& visit);

  // The session that this program is to the daemon, `sessions/{session}`.
  // Changes when the daemon was away for longer than it waits for sessions;
  // what the old one owned is gone then.
  std::string session_name() const;

  const std::string& socket_dir() const;

 private:
  friend class ChannelPlace;
  friend class ObjectAccess;
  friend class ObjectStore;
  friend class SyncCalls;
  class Impl;
  explicit Client(std::shared_ptr<Impl> impl);

  template <typename Mapping>
  absl::StatusOr<Attached<Mapping>> MapAs(absl::string_view handle,
                                          Access access,
                                          const AttachOptions& options);

  std::shared_ptr<Impl> impl_;  // its object stores have it too
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_CLIENT_H_
