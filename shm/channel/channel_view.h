#ifndef SHMD_SHM_CHANNEL_CHANNEL_VIEW_H_
#define SHMD_SHM_CHANNEL_CHANNEL_VIEW_H_

#include <atomic>
#include <cstdint>
#include <optional>

#include "shm/layout/channel_layout.h"
#include "shm/layout/memory_word.h"

namespace shmd {

enum class MemberKind { kPublisher, kSubscriber };

// Which publisher or subscriber.
struct MemberId {
  uint32_t index = 0;
  uint64_t generation = 0;
};

inline bool operator==(const MemberId& a, const MemberId& b) {
  return a.index == b.index && a.generation == b.generation;
}

// What the channel's page says about one.
struct MemberFields {
  layout::MemberRole role = layout::MemberRole::kPeer;
  layout::SlowPolicy policy = layout::SlowPolicy::kNone;  // of subscribers
  uint64_t part_bytes = 0;
  uint64_t session[2] = {};
  uint32_t uid = 0;
  int32_t pid = 0;
  uint64_t join_time_ns = 0;
  uint64_t request = 0;
  bool has_left = false;  // of publishers: layout::kHasLeft
};

struct Member {
  MemberId id;
  MemberFields fields;
};

// A channel's page as everybody but the daemon sees it. Does not own the
// mapping. Thread-safe.
template <typename Memory>
class BasicChannelView {
 public:
  explicit BasicChannelView(const layout::ChannelPage* page) : page_(page) {}

  // Another value each time that somebody has joined or left, or the channel
  // was closed. Sequentially consistent.
  uint32_t change() const {
    return Memory::Load(&page_->header.change, std::memory_order_seq_cst);
  }
  const uint32_t* change_word() const { return &page_->header.change; }

  bool closed() const {
    return Memory::Load(&page_->header.closed, std::memory_order_acquire) != 0;
  }

  // 0 for nobody.
  uint64_t generation(MemberKind kind, uint32_t index) const {
    return Memory::Load(&At(kind, index)->generation,
                        std::memory_order_acquire);
  }

  // Whether a publisher takes part, and has not left.
  bool HasPublisher(const MemberId& id) const {
    const layout::ChannelMember* const member =
        At(MemberKind::kPublisher, id.index);
    return generation(MemberKind::kPublisher, id.index) == id.generation &&
           Word(&member->policy) != layout::kHasLeft;
  }

  // All of one generation, or nullopt for nobody; `index` is below 64.
  std::optional<Member> Get(MemberKind kind, uint32_t index) const {
    const layout::ChannelMember* const from = At(kind, index);
    for (;;) {
      Member member;
      member.id.index = index;
      member.id.generation =
          Memory::Load(&from->generation, std::memory_order_acquire);
      if (member.id.generation == 0) return std::nullopt;
      member.fields.role = static_cast<layout::MemberRole>(Word(&from->role));
      member.fields.policy =
          static_cast<layout::SlowPolicy>(Word(&from->policy));
      member.fields.part_bytes = Word(&from->part_bytes);
      member.fields.session[0] = Word(&from->session[0]);
      member.fields.session[1] = Word(&from->session[1]);
      member.fields.uid = Word(&from->uid);
      member.fields.pid = Word(&from->pid);
      member.fields.join_time_ns = Word(&from->join_time_ns);
      member.fields.request = Word(&from->request);
      if (kind == MemberKind::kPublisher) {
        member.fields.has_left = Word(&from->policy) == layout::kHasLeft;
        member.fields.policy = layout::SlowPolicy::kNone;
      }
      // What a daemon leaves open means this.
      if (member.fields.role == layout::MemberRole::kNone) {
        member.fields.role = layout::MemberRole::kPeer;
      }
      if (member.fields.policy == layout::SlowPolicy::kNone) {
        member.fields.policy = layout::SlowPolicy::kBlock;
      }
      // Another one's words were stored after a generation of 0.
      if (Memory::Load(&from->generation, std::memory_order_relaxed) ==
          member.id.generation) {
        return member;
      }
    }
  }

 private:
  const layout::ChannelMember* At(MemberKind kind, uint32_t index) const {
    return kind == MemberKind::kPublisher ? &page_->publishers[index]
                                          : &page_->subscribers[index];
  }
  template <typename T>
  static T Word(const T* word) {
    return Memory::Load(word, std::memory_order_acquire);
  }

  const layout::ChannelPage* page_;
};

using ChannelView = BasicChannelView<layout::HostMemory>;

}  // namespace shmd

#endif  // SHMD_SHM_CHANNEL_CHANNEL_VIEW_H_
