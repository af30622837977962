#include "server/channel/bell.h"

#include <fcntl.h>

#include "base/status_macros.h"
#include "shm/sys/file.h"

namespace shmd {
namespace {

constexpr uint64_t kEnds = 2;

}  // namespace

absl::StatusOr<std::unique_ptr<Bell>> Bell::Make(SegmentRegistry* segments,
                                                 const std::string& name_space,
                                                 uid_t uid) {
  RETURN_IF_ERROR(segments->TakeDescriptors(name_space, uid, kEnds));
  // Gives them back at its end.
  auto bell = std::unique_ptr<Bell>(new Bell(segments, name_space, uid));
  ASSIGN_OR_RETURN(bell->pipe_, sys::CreateBellPipe());
  return bell;
}

Bell::~Bell() { segments_->GiveBackDescriptors(name_space_, uid_, kEnds); }

absl::StatusOr<UniqueFd> Bell::OpenToRead() const {
  return sys::Reopen(pipe_.read_end.get(), O_RDONLY | O_NONBLOCK);
}

absl::StatusOr<UniqueFd> Bell::OpenToWrite() const {
  return sys::Reopen(pipe_.write_end.get(), O_WRONLY | O_NONBLOCK);
}

void Bell::Ring() const { sys::RingBellPipe(pipe_.write_end.get()); }

}  // namespace shmd
