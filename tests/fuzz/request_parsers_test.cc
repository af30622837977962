// The fuzz target `requests` knows the request of every method, also of one
// that is new.

#include "tests/fuzz/request_parsers.h"

#include <filesystem>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

// By the descriptors of the files that the services are in.
std::set<std::string> ServedRequests() {
  std::set<std::string> served;
  for (const auto& entry :
       std::filesystem::directory_iterator("protos/shmd/v1")) {
    if (entry.path().extension() != ".proto") continue;
    const auto* const file =
        google::protobuf::DescriptorPool::generated_pool()->FindFileByName(
            absl::StrCat("shmd/v1/", entry.path().filename().string()));
    // One that is new has to be linked in.
    EXPECT_NE(file, nullptr) << entry.path();
    if (file == nullptr) continue;
    for (int i = 0; i < file->service_count(); ++i) {
      const auto* const service = file->service(i);
      for (int j = 0; j < service->method_count(); ++j) {
        served.insert(service->method(j)->input_type()->full_name());
      }
    }
  }
  return served;
}

TEST(RequestParsersTest, EveryRequestIsKnown) {
  const std::set<std::string> served = ServedRequests();
  const std::set<std::string> known = KnownRequests();
  EXPECT_GT(served.size(), 60u);
  for (const std::string& request : served) {
    EXPECT_EQ(known.count(request), 1u) << request;
  }
}

}  // namespace
}  // namespace shmd
