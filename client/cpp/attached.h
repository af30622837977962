#ifndef SHMD_CLIENT_CPP_ATTACHED_H_
#define SHMD_CLIENT_CPP_ATTACHED_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "shm/kernel_object.h"
#include "shm/mapping.h"
#include "shm/types.h"

namespace shmd {
inline namespace client {

class SessionLink;

// This program's registered use of a segment. At its end the daemon is told,
// without waiting, if the connection still lives; it knows a program that
// died by itself. Keeps the session alive and so outlives the Client. A daemon
// that is restarted is told of it anew.
// Move-only. Not thread-safe. A child after fork(2) ends only its own copy:
// the attachment is its parent's.
class Attachment {
 public:
  // What the daemon said of the segment when it granted it.
  struct Facts {
    uint64_t id = 0;
    std::string name;
    uint64_t generation = 0;
    uint64_t segment_size_bytes = 0;
    uint64_t page_size_bytes = 0;
    Access access = Access::kRead;
    uint64_t offset_bytes = 0;  // the handle's range
    uint64_t length_bytes = 0;
    uint32_t seals = 0;
    bool sysv = false;
    bool advise_huge_pages = false;
    bool revocable = false;  // its memory can be taken away while mapped
  };

  Attachment() = default;
  Attachment(std::shared_ptr<SessionLink> link, uint64_t hold, Facts facts);
  Attachment(Attachment&& other) noexcept = default;
  Attachment& operator=(Attachment&& other) noexcept;
  ~Attachment();

  const std::string& segment_name() const { return facts_.name; }
  uint64_t generation() const { return facts_.generation; }
  const Facts& facts() const { return facts_; }

  // Whether the daemon counts it. False for good once a restarted daemon no
  // longer has the segment, or does not grant it again because the handle or
  // its grant has ended; the mapping stays what it is.
  bool is_attached() const;

  // True once is_attached() is false; looking costs a load.
  std::shared_ptr<const std::atomic<bool>> lost_flag() const;

  // Whether the kernel guarantees that nobody shrinks the object, so that
  // reading it can never raise SIGBUS.
  bool cannot_shrink() const;

 private:
  void End();

  std::shared_ptr<SessionLink> link_;
  uint64_t hold_ = 0;
  Facts facts_;
};

// A mapping together with its attachment: use it as the mapping that it is.
// Unmapped first, then detached. Move-only.
template <typename Mapping>
class Attached : public Attachment, public Mapping {
 public:
  Attached() = default;
  Attached(Attachment attachment, Mapping mapping)
      : Attachment(std::move(attachment)), Mapping(std::move(mapping)) {}
  Attached(Attached&& other) noexcept = default;
  Attached& operator=(Attached&& other) noexcept {
    // The mapping goes before the attachment that it belongs to.
    Mapping::operator=(std::move(static_cast<Mapping&>(other)));
    Attachment::operator=(std::move(static_cast<Attachment&>(other)));
    return *this;
  }
};

using ReadOnlyAttached = Attached<ReadOnlyMapping>;
using WritableAttached = Attached<WritableMapping>;
using PrivateAttached = Attached<CopyOnWriteMapping>;

// A segment's descriptor, or its shmid, for programs that map by themselves.
struct OpenedSegment {
  Attachment attachment;
  ObjectRef object;
};

}  // namespace client
}  // namespace shmd

#endif  // SHMD_CLIENT_CPP_ATTACHED_H_
