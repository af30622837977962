#include "server/registry/commands.h"

#include "absl/strings/str_cat.h"
#include "base/error.h"

namespace shmd {

absl::Status AtIndex(const absl::Status& status, absl::string_view members,
                     size_t index) {
  ErrorDetail detail = GetErrorDetail(status);
  detail.metadata["index"] = absl::StrCat(index);
  const std::string member = absl::StrCat(members, "[", index, "]");
  if (detail.field == members) {
    detail.field = member;
  } else if (!detail.field.empty()) {
    detail.field = absl::StrCat(member, ".", detail.field);
  }
  return WithErrorDetail(status, detail);
}

}  // namespace shmd
