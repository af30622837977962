// Sends each line of standard input to the server and prints its response, or
// the error; says `calling` before it waits for an `await`. A server that dies
// in the middle is an error at once, and the next line finds the next server.
//
//   client
#include <cstdio>
#include <iostream>
#include <string>

#include "absl/strings/match.h"
#include "client/cpp/calls.h"

namespace key_value {
namespace {

constexpr char kChannel[] = "values";

std::string Ask(shmd::Requester& requester, const std::string& line) {
  absl::Status status = requester.AwaitServer();
  if (status.ok()) {
    if (absl::StartsWith(line, "await ")) {
      printf("calling\n");
      fflush(stdout);
    }
    const absl::StatusOr<shmd::ReceivedMessage> response =
        requester.Call(absl::MakeConstSpan(line));
    if (response.ok()) {
      return "= " + std::string(response->data(), response->size_bytes());
    }
    status = response.status();
  }
  return status.ToString();
}

absl::Status Run() {
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) return client.status();
  shmd::CallOptions options;
  options.create.emplace();
  options.create->kind = shmd::ChannelKind::kCall;
  absl::StatusOr<shmd::Requester> requester =
      shmd::Requester::Open(*client, kChannel, options);
  if (!requester.ok()) return requester.status();
  for (std::string line; std::getline(std::cin, line);) {
    printf("%s\n", Ask(*requester, line).c_str());
    fflush(stdout);
  }
  return absl::OkStatus();
}

}  // namespace
}  // namespace key_value

int main() {
  const absl::Status status = key_value::Run();
  if (status.ok()) return 0;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
