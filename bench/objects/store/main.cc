// What it costs to put an object and to get it, and to write memory that is
// warm. bench/README.md has the method and the figures.

#include <CLI/CLI.hpp>
#include <memory>

#include "bench/child.h"
#include "bench/objects/peers/operations.h"
#include "bench/objects/store/floor_operations.h"
#include "bench/objects/store/read_operations.h"
#include "bench/objects/store/require.h"
#include "bench/objects/store/write_operations.h"
#include "bench/segments/passer.h"
#include "client/cpp/client.h"
#include "client/cpp/objects.h"

namespace shmd::bench {
namespace {

int Main(int argc, char** argv) {
  CLI::App app("Times puts and gets of objects, as ../compare asks.");
  ConnectOptions connect;
  int cpu = 0;
  int server_cpu = 1;
  app.add_option("--socket_dir", connect.socket_dir,
                 "Of the daemon; else $SHMD_SOCKET_DIR.");
  app.add_option("--cpu", cpu, "Where to run; the daemon should be elsewhere.");
  app.add_option("--server_cpu", server_cpu,
                 "Where the daemon runs; what passes descriptors and a second "
                 "reader run there too.");
  CLI11_PARSE(app, argc, argv);
  PinTo(cpu);
  // Before there are threads.
  Passers passers;
  for (const Passer::Gives gives :
       {Passer::Gives::kReopened, Passer::Gives::kSame}) {
    passers.push_back(
        Require(Passer::Start(gives, ObjectStoreOptions().arena_bytes)));
    PinProcessTo(passers.back()->pid(), server_cpu);
  }
  Client client = Require(Client::Connect(connect));
  ObjectStore store = Require(ObjectStore::Open(client));
  Operations operations;
  AddFloors(operations);
  AddWrites(operations, store);
  AddReads(operations, store, server_cpu);
  AddFirstGets(operations, connect, passers);
  return operations.Serve() ? 0 : 1;
}

}  // namespace
}  // namespace shmd::bench

int main(int argc, char** argv) { return shmd::bench::Main(argc, argv); }
