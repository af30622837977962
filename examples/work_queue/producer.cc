// Queues every file below a folder, waits until all are hashed, and says so to
// the collector.
//
//   producer FOLDER
#include <cstdio>
#include <filesystem>
#include <string>

#include "client/cpp/channels.h"
#include "examples/work_queue/job.h"

namespace work_queue {
namespace {

absl::Status Run(const char* folder) {
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) return client.status();
  shmd::PublisherOptions options;
  options.create = JobChannel();
  absl::StatusOr<shmd::Publisher> jobs =
      shmd::Publisher::Open(*client, kJobs, options);
  if (!jobs.ok()) return jobs.status();
  int files = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const std::string path = entry.path();
    const absl::StatusOr<uint64_t> queued =
        jobs->Publish(absl::MakeConstSpan(path));
    if (!queued.ok()) return queued.status();
    ++files;
  }
  // Until the last one is acknowledged.
  absl::Status status = jobs->Drain();
  if (!status.ok()) return status;
  printf("queued %d files, all of them are hashed\n", files);
  options.create = ResultChannel();
  absl::StatusOr<shmd::Publisher> results =
      shmd::Publisher::Open(*client, kResults, options);
  if (!results.ok()) return results.status();
  status = results->Publish(absl::Span<const char>()).status();
  return status.ok() ? results->Drain() : status;
}

}  // namespace
}  // namespace work_queue

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: producer FOLDER\n");
    return 2;
  }
  const absl::Status status = work_queue::Run(argv[1]);
  if (status.ok()) return 0;
  fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
