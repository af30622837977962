// Programs that use objects, one of which is killed: object_actor ROLE
// SOCKET_DIR. What it tells goes to standard output, a line each.
//
//   writer   puts, replaces and deletes, and tells what was acknowledged
//   reader   gets all objects over and over
//   owner    does what its standard input says, and answers
//   checker  gets all objects over and over, and compares each byte
//   bystander puts and gets what is its own, and keeps the time
//
// The last two go on until their standard input ends; a line on it makes them
// tell how far they are.

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "client/cpp/objects.h"
#include "tests/crash/actor.h"

namespace shmd {
namespace {

constexpr uint64_t kArenaBytes = uint64_t{1} << 20;
constexpr uint64_t kMagic = 0x6465646C41634221;

// What is at the start of each object: all that follows from it.
struct Head {
  uint64_t magic = kMagic;
  uint64_t serial = 0;  // of all objects of all writers
  uint64_t size_bytes = 0;
  uint64_t checksum = 0;  // of the words behind
};

uint64_t Mixed(uint64_t word) {
  word *= 0x9E3779B97F4A7C15;
  return word ^ (word >> 29);
}

uint64_t Serial() {
  static uint64_t count = 0;
  return static_cast<uint64_t>(getpid()) << 32 | ++count;
}

// The words behind the head are all different, and of this object alone.
void WriteWords(absl::Span<char> span, uint64_t serial, size_t from, size_t to,
                uint64_t* checksum) {
  for (size_t i = from; i < to; ++i) {
    const uint64_t word = Mixed(serial + i);
    std::memcpy(span.data() + i * 8, &word, 8);
    *checksum = Mixed(*checksum ^ word);
  }
}

// The head comes first, so that one that was published half written is found.
void Fill(absl::Span<char> span) {
  Head head;
  head.serial = Serial();
  head.size_bytes = span.size();
  std::memcpy(span.data(), &head, sizeof(head));
  const size_t first = sizeof(Head) / 8;
  const size_t words = span.size() / 8;
  const size_t middle = (first + words) / 2;
  WriteWords(span, head.serial, first, middle, &head.checksum);
  Pass("actor.half_written");
  WriteWords(span, head.serial, middle, words, &head.checksum);
  std::memcpy(span.data(), &head, sizeof(head));
}

// Why an object is not whole; nothing when it is.
std::optional<std::string> Torn(const PinnedObject& object, uint64_t* serial) {
  Head head;
  if (object.size_bytes() < sizeof(head)) return "too short";
  std::memcpy(&head, object.data(), sizeof(head));
  *serial = head.serial;
  if (head.magic != kMagic || head.size_bytes != object.size_bytes()) {
    return "another head";
  }
  uint64_t checksum = 0;
  const size_t words = object.size_bytes() / 8;
  for (size_t i = sizeof(head) / 8; i < words; ++i) {
    uint64_t word = 0;
    std::memcpy(&word, object.data() + i * 8, 8);
    if (word != Mixed(head.serial + i)) {
      return absl::StrCat("another word at ", i, " of ", words);
    }
    checksum = Mixed(checksum ^ word);
    if (i == words / 2) Pass("actor.half_read");
  }
  if (checksum != head.checksum) return "another checksum";
  // Its head was not written over meanwhile.
  if (std::memcmp(&head, object.data(), sizeof(head)) != 0) return "changed";
  return std::nullopt;
}

struct Program {
  Client client;
  ObjectStore store;
};

Program Open(const std::string& socket_dir) {
  ConnectOptions connect;
  connect.socket_dir = socket_dir;
  Client client = Check(Client::Connect(connect), "Connect");
  ObjectStoreOptions options;
  options.arena_bytes = kArenaBytes;
  options.mode = 0644;
  ObjectStore store = Check(ObjectStore::Open(client, options), "Open");
  return {std::move(client), std::move(store)};
}

ObjectOptions Replacing() {
  ObjectOptions options;
  options.replace_existing = true;
  return options;
}

void Put(ObjectStore& store, const std::string& id, uint64_t size_bytes,
         bool replace = false) {
  ObjectOptions options;
  options.replace_existing = replace;
  options.metadata.emplace();
  options.metadata->media_type = "application/octet-stream";
  Tell(absl::StrCat("putting ", id));
  ObjectDraft draft = Check(store.Create(id, size_bytes, options), "Create");
  Fill(draft.span());
  const uint64_t generation = Check(draft.Seal(), "Seal");
  Tell(absl::StrCat("put ", id, " ", generation));
}

void Remove(ObjectStore& store, const std::string& id) {
  Tell(absl::StrCat("removing ", id));
  Check(store.Delete(id), "Delete");
  Tell(absl::StrCat("removed ", id));
}

// Many at once: all of the names are in doubt until all are there.
void PutMany(ObjectStore& store) {
  std::vector<std::string> ids;
  std::vector<std::string> data;
  std::vector<PutItem> items;
  for (int i = 0; i < 8; ++i) {
    ids.push_back(absl::StrCat("c-batch-", i));
    data.emplace_back(1000 * static_cast<size_t>(i + 1), '\0');
    Fill(absl::MakeSpan(data.back()));
  }
  for (size_t i = 0; i < ids.size(); ++i) items.push_back({ids[i], data[i]});
  for (const std::string& id : ids) Tell(absl::StrCat("putting ", id));
  Check(store.PutAll(items), "PutAll");
  for (const std::string& id : ids) Tell(absl::StrCat("put ", id, " 0"));
  std::vector<absl::string_view> names(ids.begin(), ids.end());
  for (const std::string& id : ids) Tell(absl::StrCat("removing ", id));
  Check(store.DeleteAll(names), "DeleteAll");
  for (const std::string& id : ids) Tell(absl::StrCat("removed ", id));
}

int Write(Program program) {
  ObjectStore& store = program.store;
  constexpr uint64_t kSizes[] = {64, 5000, 100000, 700000, 1500000};
  for (int round = 0; round < 2 || IsForEver(); ++round) {
    for (size_t i = 0; i < std::size(kSizes); ++i) {
      Put(store, absl::StrCat("c-size-", i), kSizes[i], round > 0);
    }
    // Places that were just freed are used again, while others still look: it
    // takes them long enough.
    for (uint64_t i = 0; i < 30; ++i) {
      Put(store, "c-hot", 200000 + 997 * i, true);
    }
    PutMany(store);
    Remove(store, "c-hot");
    Remove(store, "c-size-1");
    Remove(store, "c-size-3");
    Check(store.Trim().status(), "Trim");
  }
  return 0;
}

// Gets all there are once; how many there were.
size_t ReadAll(ObjectStore& store) {
  size_t count = 0;
  for (const ObjectSummary& one : store.List()) {
    if (!absl::StartsWith(one.id, "c-")) continue;
    const auto got = store.Get(one.id);
    if (GetErrorReason(got.status()) == reason::kObjectNotFound) continue;
    Check(got.status(), "Get");
    Pass("actor.pinned");
    uint64_t serial = 0;
    if (const auto why = Torn(*got, &serial)) {
      Check(absl::DataLossError(absl::StrCat(one.id, ": ", *why)), "torn");
    }
    Pass("actor.unpin");
    ++count;
  }
  Pass("actor.unpinned");
  return count;
}

int Read(Program program) {
  Tell("reading");
  for (int i = 0; i < 20 || IsForEver(); ++i) {
    ReadAll(program.store);
  }
  return 0;
}

int Own(Program program) {
  for (std::string line; std::getline(std::cin, line);) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    if (words[0] == "put") {
      Put(program.store, words[1], std::stoul(words[2]), true);
    } else if (words[0] == "remove") {
      Remove(program.store, words[1]);
    } else {
      Tell(absl::StrCat("trimmed ", Check(program.store.Trim(), "Trim")));
    }
  }
  return 0;
}

// True when a line came; ends the program's work when there will be none.
bool IsAsked(bool* go_on) {
  pollfd input = {STDIN_FILENO, POLLIN, 0};
  if (poll(&input, 1, 0) == 0) return false;
  char line[64];
  *go_on = read(STDIN_FILENO, line, sizeof(line)) > 0;
  return *go_on;
}

int CheckAll(Program program) {
  uint64_t checks = 0;
  // By id: the last generation, and its serial.
  std::map<std::string, std::pair<uint64_t, uint64_t>> last;
  for (bool go_on = true; go_on;) {
    for (const ObjectSummary& one : program.store.List()) {
      if (!absl::StartsWith(one.id, "c-")) continue;
      const auto got = program.store.Get(one.id);
      if (GetErrorReason(got.status()) == reason::kObjectNotFound) continue;
      Check(got.status(), "Get");
      uint64_t serial = 0;
      if (const auto why = Torn(*got, &serial)) {
        Check(absl::DataLossError(absl::StrCat(one.id, ": ", *why)), "torn");
      }
      // A name's generations only grow, and each is one payload.
      auto& [generation, its_serial] = last[one.id];
      if (got->generation() < generation ||
          (got->generation() == generation) != (serial == its_serial)) {
        Check(absl::DataLossError(absl::StrCat(one.id, ": ", got->generation(),
                                               " after ", generation)),
              "generation");
      }
      generation = got->generation();
      its_serial = serial;
      ++checks;
    }
    if (IsAsked(&go_on)) Tell(absl::StrCat("checks ", checks));
  }
  return 0;
}

std::string Percentiles(absl::string_view what, std::vector<int64_t>& ns) {
  std::sort(ns.begin(), ns.end());
  const auto us = [&](double part) {
    const auto at = static_cast<size_t>(part * static_cast<double>(ns.size()));
    return static_cast<double>(ns[std::min(at, ns.size() - 1)]) / 1000;
  };
  return absl::StrFormat("%s of %d: median %.2f us, p99 %.1f us, max %.0f us",
                         what, ns.size(), us(0.5), us(0.99), us(1));
}

int Stand(Program program) {
  constexpr size_t kMost = 10000000;
  std::vector<int64_t> puts;
  std::vector<int64_t> gets;
  const std::string id = absl::StrCat("bystander-", getpid());
  const std::string data(4096, 'b');
  for (bool go_on = true; go_on;) {
    const int64_t begin = absl::GetCurrentTimeNanos();
    Check(program.store.Put(id, data, Replacing()).status(), "Put");
    const int64_t put = absl::GetCurrentTimeNanos();
    Check(program.store.Get(id).status(), "Get");
    const int64_t got = absl::GetCurrentTimeNanos();
    if (puts.size() < kMost) {
      puts.push_back(put - begin);
      gets.push_back(got - put);
    }
    // So that it is a bystander, and no load.
    absl::SleepFor(absl::Milliseconds(1));
    if (IsAsked(&go_on)) {
      Tell(absl::StrCat(Percentiles("put", puts), "; ",
                        Percentiles("get", gets)));
    }
  }
  return 0;
}

int Run(const std::string& role, const std::string& socket_dir) {
  if (role == "writer") return Write(Open(socket_dir));
  if (role == "reader") return Read(Open(socket_dir));
  if (role == "owner") return Own(Open(socket_dir));
  if (role == "checker") return CheckAll(Open(socket_dir));
  if (role == "bystander") return Stand(Open(socket_dir));
  return 2;
}

}  // namespace
}  // namespace shmd

int main(int argc, char** argv) {
  return argc == 3 ? shmd::Run(argv[1], argv[2]) : 2;
}
