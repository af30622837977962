#ifndef SHMD_CLI_OBJECTS_H_
#define SHMD_CLI_OBJECTS_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/context.h"
#include "client/cpp/objects.h"
#include "nlohmann/json.hpp"

namespace shmd::cli {

// What the verbs do with --object.

struct PutObjectOptions {
  std::string file;
  std::string id;
  mode_t mode = 0600;
  ObjectOptions object;
};

nlohmann::ordered_json ObjectToJson(const ObjectSummary& object);

absl::Status PutObject(Context& context, const PutObjectOptions& options);
absl::Status GetObject(Context& context, const std::string& id,
                       const std::string& file);
absl::Status StatObject(Context& context, const std::string& id);
absl::Status ListObjects(Context& context, bool quiet);
absl::Status RemoveObjects(Context& context,
                           const std::vector<std::string>& ids);

}  // namespace shmd::cli

#endif  // SHMD_CLI_OBJECTS_H_
