// Prints the results as they come, until the producer says that there are no
// more.
//
//   collector
#include <cstdio>

#include "client/cpp/channels.h"
#include "examples/work_queue/job.h"

namespace work_queue {
namespace {

absl::Status Run() {
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) return client.status();
  shmd::SubscriberOptions options;
  options.create = ResultChannel();
  absl::StatusOr<shmd::Subscriber> results =
      shmd::Subscriber::Open(*client, kResults, options);
  if (!results.ok()) return results.status();
  for (;;) {
    const absl::StatusOr<shmd::ReceivedMessage> result = results->Receive();
    if (!result.ok()) return result.status();
    if (result->size_bytes() == 0) return absl::OkStatus();
    fwrite(result->data(), 1, result->size_bytes(), stdout);
    printf("\n");
    fflush(stdout);
  }
}

}  // namespace
}  // namespace work_queue

int main() {
  const absl::Status status = work_queue::Run();
  if (status.ok()) return 0;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
