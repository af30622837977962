#include "client/cpp/attached.h"

#include <fcntl.h>

#include "client/cpp/session_link.h"

namespace shmd {
inline namespace client {

Attachment::Attachment(std::shared_ptr<SessionLink> link, uint64_t hold,
                       Facts facts)
    : link_(std::move(link)), hold_(hold), facts_(std::move(facts)) {}

Attachment& Attachment::operator=(Attachment&& other) noexcept {
  if (this != &other) {
    End();
    link_ = std::move(other.link_);
    hold_ = other.hold_;
    facts_ = std::move(other.facts_);
  }
  return *this;
}

Attachment::~Attachment() { End(); }

void Attachment::End() {
  if (link_ != nullptr) link_->Detach(hold_);
  link_.reset();
}

bool Attachment::is_attached() const {
  return link_ != nullptr && link_->IsAttached(hold_);
}

std::shared_ptr<const std::atomic<bool>> Attachment::lost_flag() const {
  if (link_ != nullptr) return link_->LostFlag(hold_);
  return std::make_shared<std::atomic<bool>>(true);
}

bool Attachment::cannot_shrink() const {
  // The kernel has no call that shrinks a SysV segment.
  return facts_.sysv || (facts_.seals & F_SEAL_SHRINK) != 0;
}

}  // namespace client
}  // namespace shmd
