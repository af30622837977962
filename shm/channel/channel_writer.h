#ifndef SHMD_SHM_CHANNEL_CHANNEL_WRITER_H_
#define SHMD_SHM_CHANNEL_CHANNEL_WRITER_H_

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/status_macros.h"
#include "shm/channel/channel_format.h"
#include "shm/channel/channel_view.h"
#include "shm/layout/channel_layout.h"
#include "shm/layout/memory_word.h"
#include "shm/sys/futex.h"

namespace shmd {

// The daemon's side of a channel's page, which is the record of who takes part
// as well: the next run opens it as it is, whatever store the last one made
// last. Not thread-safe.
template <typename Memory>
class BasicChannelWriter {
 public:
  // Makes a page of a new file of kChannelPageBytes, and opens it.
  static absl::StatusOr<BasicChannelWriter> Format(int fd,
                                                   const ChannelFields& fields);

  // Opens a page that exists, of an earlier run, say, and wakes all who wait:
  // that run may have died before it did. OBJECT_UNSUITABLE.
  static absl::StatusOr<BasicChannelWriter> Open(int fd);

  const ChannelFields& fields() const { return channel_.fields; }
  BasicChannelView<Memory> view() const {
    return BasicChannelView<Memory>(channel_.page());
  }

  // A place for one more, with a generation that nobody has had, which the
  // part is to be made with. Nobody sees it yet, and it need not be given back.
  // CHANNEL_FULL, CHANNEL_CLOSED.
  absl::StatusOr<MemberId> Reserve(MemberKind kind);

  // Lists one whose part is ready to be asked for, and wakes all who wait.
  // `id` is of the last Reserve.
  void Add(MemberKind kind, const MemberId& id, const MemberFields& fields);

  // Takes one off the list, for ever, and wakes all who wait. False, and
  // nothing changes, when it is not there.
  bool Remove(MemberKind kind, const MemberId& id);

  // Tells all that a publisher takes part no more, though it stays on the list
  // for who has yet to read it.
  void MarkLeft(const MemberId& id);

  // Tells all that the channel was deleted.
  void Close();

  // Who takes part, by index.
  std::vector<Member> List(MemberKind kind) const;
  // Whether `id` takes part.
  bool Has(MemberKind kind, const MemberId& id) const;

 private:
  explicit BasicChannelWriter(MappedChannel channel)
      : channel_(std::move(channel)) {}

  layout::ChannelMember* At(MemberKind kind, uint32_t index) {
    layout::ChannelPage* const page = channel_.page();
    return kind == MemberKind::kPublisher ? &page->publishers[index]
                                          : &page->subscribers[index];
  }
  static uint32_t MaxOf(MemberKind kind) {
    return kind == MemberKind::kPublisher ? layout::kMaxPublishers
                                          : layout::kMaxSubscribers;
  }
  template <typename Word>
  static void Set(Word* word, Word value) {
    // Release: who sees one of a later generation sees the 0 before it.
    Memory::Store(word, value, std::memory_order_release);
  }
  void Changed();

  MappedChannel channel_;
};

using ChannelWriter = BasicChannelWriter<layout::HostMemory>;

template <typename Memory>
absl::StatusOr<BasicChannelWriter<Memory>> BasicChannelWriter<Memory>::Format(
    int fd, const ChannelFields& fields) {
  RETURN_IF_ERROR(CheckChannelFields(fields));
  RETURN_IF_ERROR(InitChannelPage(fd, fields));
  return Open(fd);
}

template <typename Memory>
absl::StatusOr<BasicChannelWriter<Memory>> BasicChannelWriter<Memory>::Open(
    int fd) {
  ASSIGN_OR_RETURN(MappedChannel channel,
                   MappedChannel::Map(fd, /*writable=*/true));
  BasicChannelWriter writer(std::move(channel));
  writer.Changed();
  return writer;
}

template <typename Memory>
absl::StatusOr<MemberId> BasicChannelWriter<Memory>::Reserve(MemberKind kind) {
  if (view().closed()) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kChannelClosed,
                 "the channel was deleted");
  }
  layout::ChannelHeader& header = channel_.page()->header;
  for (uint32_t i = 0; i < MaxOf(kind); ++i) {
    if (view().generation(kind, i) != 0) continue;
    MemberId id;
    id.index = i;
    id.generation =
        1 + Memory::Load(&header.last_generation, std::memory_order_relaxed);
    Set(&header.last_generation, id.generation);
    return id;
  }
  return Exhausted(reason::kChannelFull,
                   kind == MemberKind::kPublisher ? "publishers of a channel"
                                                  : "subscribers of a channel",
                   1, 0, "members");
}

template <typename Memory>
void BasicChannelWriter<Memory>::Add(MemberKind kind, const MemberId& id,
                                     const MemberFields& fields) {
  layout::ChannelMember* const to = At(kind, id.index);
  Set(&to->role, static_cast<uint32_t>(fields.role));
  Set(&to->policy, static_cast<uint32_t>(fields.policy));
  Set(&to->part_bytes, fields.part_bytes);
  Set(&to->session[0], fields.session[0]);
  Set(&to->session[1], fields.session[1]);
  Set(&to->uid, fields.uid);
  Set(&to->pid, fields.pid);
  Set(&to->join_time_ns, fields.join_time_ns);
  Set(&to->request, fields.request);
  Set(&to->generation, id.generation);
  Changed();
}

template <typename Memory>
bool BasicChannelWriter<Memory>::Remove(MemberKind kind, const MemberId& id) {
  if (!Has(kind, id)) return false;
  Set(&At(kind, id.index)->generation, uint64_t{0});
  Changed();
  return true;
}

template <typename Memory>
void BasicChannelWriter<Memory>::MarkLeft(const MemberId& id) {
  Set(&At(MemberKind::kPublisher, id.index)->policy, layout::kHasLeft);
  Changed();
}

template <typename Memory>
void BasicChannelWriter<Memory>::Close() {
  Set(&channel_.page()->header.closed, uint32_t{1});
  Changed();
}

template <typename Memory>
std::vector<Member> BasicChannelWriter<Memory>::List(MemberKind kind) const {
  std::vector<Member> members;
  for (uint32_t i = 0; i < MaxOf(kind); ++i) {
    if (const std::optional<Member> found = view().Get(kind, i)) {
      members.push_back(*found);
    }
  }
  return members;
}

template <typename Memory>
bool BasicChannelWriter<Memory>::Has(MemberKind kind,
                                     const MemberId& id) const {
  return id.index < MaxOf(kind) && id.generation != 0 &&
         view().generation(kind, id.index) == id.generation;
}

template <typename Memory>
void BasicChannelWriter<Memory>::Changed() {
  uint32_t* const change = &channel_.page()->header.change;
  // Who takes part looks at this word after it has stored what a newcomer
  // might wait for, and a newcomer looks for that after this: all sequentially
  // consistent, so one of the two sees what the other has stored.
  Memory::Exchange(change, Memory::Load(change, std::memory_order_relaxed) + 1,
                   std::memory_order_seq_cst);
  sys::FutexWakeAll(change);
}

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_CHANNEL_WRITER_H_
