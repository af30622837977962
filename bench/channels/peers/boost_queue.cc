// A message_queue of Boost.Interprocess each way: a payload there, 8 bytes
// back. ../compare compiles and runs it:
//
//   boost_queue trip BYTES
//
// prints the nanoseconds of one round.

#include <boost/interprocess/ipc/message_queue.hpp>
#include <string>

#include "two_ends.h"

namespace shmd::bench {
namespace {

namespace ipc = boost::interprocess;

constexpr size_t kMessages = 4;
constexpr size_t kAnswerBytes = 8;

// Whose name goes as soon as both ends have it.
class Queue {
 public:
  Queue(const std::string& name, size_t size_bytes)
      : queue_(ipc::create_only, name.c_str(), kMessages, size_bytes) {
    ipc::message_queue::remove(name.c_str());
  }

  void Send(const std::vector<char>& data) {
    queue_.send(data.data(), data.size(), 0);
  }
  void Receive(std::vector<char>* out) {
    size_t got = 0;
    unsigned priority = 0;
    queue_.receive(out->data(), out->size(), got, priority);
  }

 private:
  ipc::message_queue queue_;
};

int Main(int argc, char** argv) {
  if (argc != 3 || argv[1] != std::string("trip")) return 2;
  const size_t size_bytes = std::strtoull(argv[2], nullptr, 10);
  const std::string name = "shmd-bench-" + std::to_string(getpid());
  Queue there(name + "-there", size_bytes);
  Queue back(name + "-back", kAnswerBytes);
  std::vector<char> payload(size_bytes);
  std::vector<char> answer(kAnswerBytes);
  const OtherEnd other([&] {
    for (;;) {
      there.Receive(&payload);
      back.Send(answer);
    }
  });
  Print(MedianNs([&] {
    there.Send(payload);
    back.Receive(&answer);
  }));
  return 0;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
