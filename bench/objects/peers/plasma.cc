// What the same costs with Plasma, the object store that Apache Arrow had until
// version 12. ../compare compiles and runs it against the wheel of pyarrow 11:
//
//   plasma SOCKET

#include <plasma/client.h>
#include <plasma/common.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "operations.h"

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
          Write& write) {
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

struct Clients {
  PlasmaClient writer;
  PlasmaClient reader;
};

// Made by the writer under an id of its own each time, and removed again.
template <typename Write>
Timer Making(Clients& clients, size_t size_bytes, Write write) {
  const auto id = std::make_shared<ObjectID>(NewId());
  return Timed(
      [&clients, id, size_bytes, write]() mutable {
        Make(clients.writer, *id, size_bytes, write);
      },
      [&clients, id] {
        Require(clients.writer.Delete(*id));
        *id = NewId();
      });
}

void AddPuts(Operations& operations, Clients& clients, size_t size_bytes) {
  operations.Add("plasma_put", size_bytes, [&clients, size_bytes] {
    return Making(clients, size_bytes,
                  [data = std::string(size_bytes, 'x')](uint8_t* to) {
                    std::memcpy(to, data.data(), data.size());
                  });
  });
  operations.Add("plasma_create_fill_seal", size_bytes, [&clients, size_bytes] {
    return Making(clients, size_bytes,
                  [size_bytes, value = 0](uint8_t* to) mutable {
                    std::memset(to, ++value, size_bytes);
                  });
  });
  // Bytes through the socket, one message instead of two.
  if (size_bytes > 65536) return;
  operations.Add("plasma_create_and_seal", size_bytes, [&clients, size_bytes] {
    const auto id = std::make_shared<ObjectID>(NewId());
    return Timed(
        [&clients, id, data = std::string(size_bytes, 'x')] {
          Require(clients.writer.CreateAndSeal(*id, data, ""));
        },
        [&clients, id] {
          Require(clients.writer.Delete(*id));
          *id = NewId();
        });
  });
}

ObjectID NewObject(Clients& clients, size_t size_bytes) {
  const ObjectID id = NewId();
  const auto fill = [size_bytes](uint8_t* to) {
    std::memset(to, 'x', size_bytes);
  };
  Make(clients.writer, id, size_bytes, fill);
  return id;
}

void AddGets(Operations& operations, Clients& clients, size_t size_bytes) {
  operations.Add("plasma_get_not_held", size_bytes, [&clients, size_bytes] {
    const ObjectID id = NewObject(clients, size_bytes);
    return Timed([&clients, id] { Get(clients.reader, id); });
  });
  operations.Add("plasma_get_held", size_bytes, [&clients, size_bytes] {
    const ObjectID id = NewObject(clients, size_bytes);
    const auto held = std::make_shared<std::vector<ObjectBuffer>>();
    Require(clients.reader.Get({id}, -1, held.get()));
    return Timed([&clients, id, held] { Get(clients.reader, id); });
  });
}

void AddPutBatch(Operations& operations, Clients& clients) {
  operations.Add("plasma_put_batch_of_64", 64, [&clients] {
    const auto ids = std::make_shared<std::vector<ObjectID>>();
    const auto renew = [ids] {
      ids->clear();
      for (size_t i = 0; i < kBatch; ++i) ids->push_back(NewId());
    };
    renew();
    return Timed(
        [&clients, ids,
         data = std::vector<std::string>(kBatch, std::string(64, 'x')),
         metadata = std::vector<std::string>(kBatch)] {
          Require(clients.writer.CreateAndSealBatch(*ids, data, metadata));
        },
        [&clients, ids, renew] {
          Require(clients.writer.Delete(*ids));
          renew();
        });
  });
}

int Main(int argc, char** argv) {
  if (argc != 2) return 2;
  Clients clients;
  Require(clients.writer.Connect(argv[1], "", 0));
  Require(clients.reader.Connect(argv[1], "", 0));
  Operations operations;
  for (const size_t size_bytes : kSizes) {
    AddPuts(operations, clients, size_bytes);
    AddGets(operations, clients, size_bytes);
  }
  AddPutBatch(operations, clients);
  operations.Add("plasma_get_absent", [&clients] {
    return Timed([&clients, absent = NewId()] {
      bool has = false;
      Require(clients.reader.Contains(absent, &has));
    });
  });
  return operations.Serve() ? 0 : 1;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
