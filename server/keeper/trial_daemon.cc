// What a keeper's daemon can do, one command per line of standard input and
// one line of answer each. The test is at the other end.

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "server/keeper/descriptor_store.h"
#include "shm/sys/memfd.h"

namespace shmd {
namespace {

constexpr uint64_t kPageBytes = 4096;

int Number(const std::string& text) {
  int number = 0;
  return absl::SimpleAtoi(text, &number) ? number : -1;
}

class Daemon {
 public:
  explicit Daemon(std::vector<KeptDescriptor> listed)
      : listed_(std::move(listed)) {}

  std::string Answer(const std::string& line) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    const std::string& verb = words[0];
    const std::vector<std::string> rest(words.begin() + 1, words.end());
    if (verb == "pid") return absl::StrCat(getpid());
    if (verb == "address") {
      const char* const address = getenv("NOTIFY_SOCKET");
      return address == nullptr ? "" : address;
    }
    if (verb == "open") return Open();
    if (verb == "listed") return Listed();
    if (verb == "exit") _exit(Number(rest[0]));
    if (store_ == nullptr) return "not open";
    if (verb == "store") return Store(Number(rest[0]));
    if (verb == "remove") return Text(store_->Remove(rest));
    if (verb == "barrier") return Text(store_->Barrier(absl::Seconds(60)));
    if (verb == "ready") return store_->NotifyReady(), "OK";
    if (verb == "state") {
      return absl::StrCat(store_->available() ? "available" : "unavailable",
                          " ", store_->stored(), " ",
                          store_->max_descriptors());
    }
    if (verb == "store_and_die") {
      Store(Number(rest[0]));
      kill(getpid(), SIGKILL);
    }
    return "unknown";
  }

 private:
  static std::string Text(const absl::Status& status) {
    return status.ok() ? "OK" : status.ToString();
  }

  std::string Open() {
    store_ =
        std::make_unique<DescriptorStore>(DescriptorStore::Settings(), listed_);
    return "OK";
  }

  std::string Listed() const {
    std::vector<std::string> parts;
    for (const KeptDescriptor& kept : listed_) {
      if ((fcntl(kept.fd.get(), F_GETFD) & FD_CLOEXEC) == 0) return "open";
      parts.push_back(absl::StrCat(kept.name, "=", Inode(kept.fd.get())));
    }
    return absl::StrJoin(parts, " ");
  }

  static uint64_t Inode(int fd) {
    struct stat file {};
    fstat(fd, &file);
    return file.st_ino;
  }

  std::string Store(int count) {
    std::vector<UniqueFd> memfds;
    std::vector<int> fds;
    for (int i = 0; i < count; ++i) {
      memfds.push_back(sys::MemfdCreate(kPageBytes).value());
      fds.push_back(memfds.back().get());
    }
    const absl::StatusOr<std::vector<std::string>> names = store_->Store(fds);
    if (!names.ok()) return names.status().ToString();
    std::vector<std::string> parts;
    for (size_t i = 0; i < fds.size(); ++i) {
      parts.push_back(absl::StrCat((*names)[i], "=", Inode(fds[i])));
    }
    return absl::StrJoin(parts, " ");
  }

  std::vector<KeptDescriptor> listed_;
  std::unique_ptr<DescriptorStore> store_;
};

int Run() {
  absl::StatusOr<std::vector<KeptDescriptor>> listed = TakeListedDescriptors();
  if (!listed.ok()) {
    std::cerr << listed.status() << std::endl;
    return 1;
  }
  Daemon daemon(*std::move(listed));
  std::string line;
  while (std::getline(std::cin, line)) {
    std::cout << daemon.Answer(line) << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace shmd

// The argument is a file; while there is one, no start succeeds.
int main(int argc, char** argv) {
  if (argc > 1 && access(argv[1], F_OK) == 0) return 3;
  return shmd::Run();
}
