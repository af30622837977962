#ifndef SHMD_SERVER_RPC_GRANT_NAMES_H_
#define SHMD_SERVER_RPC_GRANT_NAMES_H_

#include <string>
#include <variant>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "server/channel/channel_names.h"
#include "server/registry/names.h"

namespace shmd {

// What a grant is of.
using GrantParent = std::variant<SegmentName, ChannelName>;

// {parent}/grants/{id}, parsed.
struct GrantName {
  GrantParent parent;
  std::string id;

  std::string ToString() const;
};

// NAME_INVALID naming `field`.
absl::StatusOr<GrantParent> ParseGrantParent(absl::string_view field,
                                             absl::string_view name);
absl::StatusOr<GrantName> ParseGrantName(absl::string_view field,
                                         absl::string_view name);

}  // namespace shmd

#endif  // SHMD_SERVER_RPC_GRANT_NAMES_H_
