// What the same costs with Plasma, the object store that Apache Arrow had until
// version 12. ../compare compiles and runs it against the wheel of pyarrow 11:
//
//   plasma SOCKET

#include <plasma/client.h>
#include <plasma/common.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "rounds.h"

namespace shmd::bench {
namespace {

using plasma::ObjectBuffer;
using plasma::ObjectID;
using plasma::PlasmaClient;

void Require(const arrow::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "plasma: %s\n", status.ToString().c_str());
  std::exit(1);
}

ObjectID NewId() {
  static std::mt19937_64 random(static_cast<uint64_t>(NowNs()));
  std::string id(plasma::kUniqueIDSize, '\0');
  for (char& c : id) c = static_cast<char>(random());
  return ObjectID::from_binary(id);
}

// Written and sealed; the writer has let go of it.
template <typename Write>
void Make(PlasmaClient& client, const ObjectID& id, size_t size_bytes,
          Write write) {
  std::shared_ptr<arrow::Buffer> buffer;
  Require(
      client.Create(id, static_cast<int64_t>(size_bytes), nullptr, 0, &buffer));
  write(buffer->mutable_data());
  buffer.reset();
  Require(client.Seal(id));
  Require(client.Release(id));
}

// Gets the object and lets go of it.
void Get(PlasmaClient& client, const ObjectID& id) {
  std::vector<ObjectBuffer> found;
  Require(client.Get({id}, -1, &found));
}

void PutAndGet(PlasmaClient& writer, PlasmaClient& reader, size_t size_bytes) {
  const std::string data(size_bytes, 'x');
  ObjectID id = NewId();
  const auto remove = [&] {
    Require(writer.Delete(id));
    id = NewId();
  };
  const auto copy = [&](uint8_t* to) {
    std::memcpy(to, data.data(), size_bytes);
  };
  Rounds(
      "plasma_put", size_bytes, [&] { Make(writer, id, size_bytes, copy); },
      remove);
  int value = 0;
  const auto fill = [&](uint8_t* to) { std::memset(to, ++value, size_bytes); };
  Rounds(
      "plasma_create_fill_seal", size_bytes,
      [&] { Make(writer, id, size_bytes, fill); }, remove);
  // Bytes through the socket, one message instead of two.
  if (size_bytes <= 65536) {
    Rounds(
        "plasma_create_and_seal", size_bytes,
        [&] { Require(writer.CreateAndSeal(id, data, "")); }, remove);
  }

  Make(writer, id, size_bytes, copy);
  Rounds(
      "plasma_get_not_held", size_bytes, [&] { Get(reader, id); }, [] {});
  std::vector<ObjectBuffer> held;
  Require(reader.Get({id}, -1, &held));
  Rounds(
      "plasma_get_held", size_bytes, [&] { Get(reader, id); }, [] {});
  held.clear();
  Require(writer.Delete(id));
}

void PutBatch(PlasmaClient& writer) {
  const std::vector<std::string> data(kBatch, std::string(64, 'x'));
  const std::vector<std::string> metadata(kBatch);
  std::vector<ObjectID> ids;
  const auto renew = [&] {
    ids.clear();
    for (size_t i = 0; i < kBatch; ++i) ids.push_back(NewId());
  };
  renew();
  Rounds(
      "plasma_put_batch_of_64", 64,
      [&] { Require(writer.CreateAndSealBatch(ids, data, metadata)); },
      [&] {
        Require(writer.Delete(ids));
        renew();
      });
}

int Main(int argc, char** argv) {
  if (argc != 2) return 2;
  PlasmaClient writer;
  PlasmaClient reader;
  Require(writer.Connect(argv[1], "", 0));
  Require(reader.Connect(argv[1], "", 0));
  for (const size_t size_bytes : kSizes) PutAndGet(writer, reader, size_bytes);
  PutBatch(writer);
  const ObjectID absent = NewId();
  bool has = false;
  Rounds(
      "plasma_get_absent", 0, [&] { Require(reader.Contains(absent, &has)); },
      [] {});
  return 0;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
