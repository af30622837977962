// What it takes to make a channel with its first publisher and subscriber,
// both of one program, through a daemon, whose sockets $SHMD_SOCKET_DIR names:
//
//   creation create 0   with a new client each time
//   creation add 0      by a client that is connected
//
// prints nanoseconds. What removes it again is not timed.

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "bench/channels/peers/two_ends.h"
#include "client/cpp/channels.h"
#include "client/cpp/client.h"

namespace shmd::bench {
namespace {

// As iceoryx2_peer makes it.
constexpr uint32_t kSlots = 1024;
constexpr uint64_t kPayloadBytes = 64 * kSlots;
constexpr size_t kMinCreates = 15;

template <typename T>
T Need(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  const std::string text(value.status().message());
  std::fprintf(stderr, "creation: %s\n", text.c_str());
  std::_Exit(1);
}

void Need(const absl::Status& status) {
  if (!status.ok()) Need(absl::StatusOr<int>(status));
}

struct Ends {
  Publisher publisher;
  Subscriber subscriber;
};

Ends Create(Client& client, const std::string& name) {
  PublisherOptions options;
  options.create = ChannelSpec();
  options.create->slots = kSlots;
  options.create->payload_bytes = kPayloadBytes;
  Publisher publisher = Need(Publisher::Open(client, name, options));
  Subscriber subscriber = Need(Subscriber::Open(client, name));
  return {std::move(publisher), std::move(subscriber)};
}

double MedianCreateNs(bool connects) {
  std::vector<double> each_ns;
  int64_t total_ns = 0;
  Client client = Need(Client::Connect());
  while (total_ns < kSeriesNs || each_ns.size() < kMinCreates) {
    const std::string name =
        absl::StrCat("bench-", getpid(), "-", each_ns.size());
    const int64_t begin = NowNs();
    std::optional<Client> anew;
    if (connects) anew = Need(Client::Connect());
    std::optional<Ends> ends = Create(connects ? *anew : client, name);
    const int64_t took_ns = NowNs() - begin;
    total_ns += took_ns;
    each_ns.push_back(static_cast<double>(took_ns));
    ends.reset();
    Need(client.DeleteChannel(name));
  }
  return Median(std::move(each_ns));
}

int Main(int argc, char** argv) {
  if (argc != 3) return 2;
  const std::string operation = argv[1];
  if (operation != "create" && operation != "add") return 2;
  StayOn(kHere);
  Print(MedianCreateNs(operation == "create"));
  return 0;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
