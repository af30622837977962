#include "client/cpp/attached.h"

#include <fcntl.h>

#include "client/cpp/attach_socket.h"

namespace shmd {
inline namespace client {

Attachment::Attachment(std::shared_ptr<AttachSocket> connection, Facts facts)
    : connection_(std::move(connection)), facts_(std::move(facts)) {}

Attachment& Attachment::operator=(Attachment&& other) noexcept {
  if (this != &other) {
    End();
    connection_ = std::move(other.connection_);
    facts_ = std::move(other.facts_);
  }
  return *this;
}

Attachment::~Attachment() { End(); }

void Attachment::End() {
  if (connection_ != nullptr) connection_->Detach(facts_.id);
  connection_.reset();
}

bool Attachment::cannot_shrink() const {
  // The kernel has no call that shrinks a SysV segment.
  return facts_.sysv || (facts_.seals & F_SEAL_SHRINK) != 0;
}

}  // namespace client
}  // namespace shmd
