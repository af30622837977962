// Keeps values by their keys, for whoever calls: `set KEY VALUE`, `get KEY`,
// and `await KEY`, which is answered once somebody has set it.
//
//   server
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "client/cpp/calls.h"

namespace key_value {
namespace {

constexpr char kChannel[] = "values";

// How long a client may take to make room for a response.
constexpr absl::Duration kPatience = absl::Seconds(10);

class Server {
 public:
  void Answer(shmd::IncomingCall call) {
    // Its own: what the client may yet change is not looked at twice.
    const std::string request(call.payload().data(), call.payload().size());
    const std::vector<std::string> words =
        absl::StrSplit(request, absl::MaxSplits(' ', 2));
    const std::string key = words.size() > 1 ? words[1] : "";
    if (words[0] == "set" && words.size() == 3) {
      values_[key] = words[2];
      Finish(std::move(call), "");
      const auto range = waiting_.equal_range(key);
      for (auto at = range.first; at != range.second; ++at) {
        Finish(std::move(at->second), words[2]);
      }
      waiting_.erase(range.first, range.second);
      return;
    }
    const auto found = values_.find(key);
    if (found != values_.end()) {
      Finish(std::move(call), found->second);
    } else if (words[0] == "await") {
      waiting_.emplace(key, std::move(call));
    } else {
      Note(call.Fail(absl::NotFoundError(absl::StrCat("no value: ", key)),
                     absl::Now() + kPatience));
    }
  }

 private:
  static void Finish(shmd::IncomingCall call, const std::string& response) {
    Note(call.Finish(absl::MakeConstSpan(response), absl::Now() + kPatience));
  }
  static void Note(const absl::Status& sent) {
    if (sent.ok()) return;
    fprintf(stderr, "a client has gone: %s\n", sent.ToString().c_str());
  }

  std::map<std::string, std::string> values_;
  std::multimap<std::string, shmd::IncomingCall> waiting_;
};

absl::Status Run() {
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) return client.status();
  shmd::CallOptions options;
  options.create.emplace();
  options.create->kind = shmd::ChannelKind::kCall;
  absl::StatusOr<shmd::Responder> responder =
      shmd::Responder::Open(*client, kChannel, options);
  if (!responder.ok()) return responder.status();
  // Ends before the responder: calls that it holds are its.
  Server server;
  printf("serves\n");
  fflush(stdout);
  for (;;) {
    absl::StatusOr<shmd::IncomingCall> call = responder->Next();
    if (!call.ok()) return call.status();
    server.Answer(*std::move(call));
  }
}

}  // namespace
}  // namespace key_value

int main() {
  const absl::Status status = key_value::Run();
  fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
