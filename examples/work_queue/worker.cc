// Hashes files as they are queued, until it is killed. A file is done when the
// collector has the result: a worker that dies before has its file hashed by
// another one, and one that dies between the two has it hashed twice.
//
//   worker
#include <openssl/evp.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/cpp/channels.h"
#include "examples/work_queue/job.h"

namespace work_queue {
namespace {

// In hexadecimal; empty when the file cannot be read.
std::string HashOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return "";
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(
      EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  char piece[65536];
  while (file.read(piece, sizeof(piece)) || file.gcount() > 0) {
    EVP_DigestUpdate(context.get(), piece, static_cast<size_t>(file.gcount()));
  }
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned int size_bytes = 0;
  EVP_DigestFinal_ex(context.get(), hash, &size_bytes);
  // SAFETY: bytes.
  return absl::BytesToHexString(
      absl::string_view(reinterpret_cast<const char*>(hash), size_bytes));
}

absl::Status Work(shmd::ReceivedMessage job, shmd::Publisher& results) {
  const std::string path(job.data(), job.size_bytes());
  const std::string line = absl::StrCat(HashOf(path), "  ", path);
  absl::Status status = results.Publish(absl::MakeConstSpan(line)).status();
  // The collector has it, whatever becomes of this worker.
  if (status.ok()) status = results.Drain();
  return status.ok() ? job.Acknowledge() : status;
}

absl::Status Run() {
  absl::StatusOr<shmd::Client> client = shmd::Client::Connect();
  if (!client.ok()) return client.status();
  shmd::PublisherOptions result_options;
  result_options.create = ResultChannel();
  absl::StatusOr<shmd::Publisher> results =
      shmd::Publisher::Open(*client, kResults, result_options);
  if (!results.ok()) return results.status();
  // Without a collector the results would go nowhere.
  absl::Status status = results->AwaitSubscribers(1);
  if (!status.ok()) return status;
  shmd::ConsumerOptions job_options;
  job_options.create = JobChannel();
  absl::StatusOr<shmd::Consumer> jobs =
      shmd::Consumer::Open(*client, kJobs, job_options);
  if (!jobs.ok()) return jobs.status();
  for (int files = 0;; ++files) {
    absl::StatusOr<shmd::ReceivedMessage> job = jobs->Receive();
    if (!job.ok()) return job.status();
    status = Work(*std::move(job), *results);
    if (!status.ok()) return status;
    if (files == 0) {
      printf("hashes files\n");
      fflush(stdout);
    }
  }
}

}  // namespace
}  // namespace work_queue

int main() {
  const absl::Status status = work_queue::Run();
  fprintf(stderr, "%s\n", status.ToString().c_str());
  return 1;
}
