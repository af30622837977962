// A daemon is killed at every store into a directory, and the next one takes
// the directory up.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "shm/directory/directory_reader.h"
#include "shm/directory/directory_writer.h"
#include "shm/sys/file.h"

namespace shmd {
namespace {

// Memory of a process that is killed before one of its stores.
struct MortalMemory : public layout::HostMemory {
  template <typename Word>
  static void Store(Word* word, Word value, std::memory_order order) {
    if (stores_left == 0) {
      kill(getpid(), SIGKILL);
      for (;;) pause();
    }
    --stores_left;
    HostMemory::Store(word, value, order);
  }
  static inline uint64_t stores_left = 0;
};

using MortalWriter = BasicDirectoryWriter<MortalMemory>;
// Names and their generations; 0 for none.
using Contents = std::map<std::string, uint64_t>;

NameKey Key(const std::string& id) { return *NameKey::Of(id); }

EntryFields Fields(uint64_t generation) {
  EntryFields fields;
  fields.arena = 1;
  fields.generation = generation;
  fields.offset_bytes = generation * 3;
  fields.size_bytes = generation * 5;
  return fields;
}

template <typename Writer>
bool Put(Writer& writer, const std::string& id, uint64_t generation) {
  uint32_t position = 0;
  return writer.Publish(Key(id), Fields(generation), &position).ok();
}

// A change of a directory, in one process or the other.
struct Change {
  std::string name;
  uint64_t names_before;
  std::function<void(MortalWriter&)> make;
  // What it does to the contents, once it is acknowledged.
  std::function<void(Contents&)> effect;
};

std::string Id(uint64_t i) {
  return "an object with a name of two lines " + std::to_string(i);
}

class DirectoryCrashTest : public testing::TestWithParam<Change> {
 protected:
  // A directory with some names, some that were deleted, and its contents.
  void Fill(uint64_t names) {
    auto made = DirectoryWriter::Create(DirectoryOptions());
    ASSERT_TRUE(made.ok()) << made.status();
    for (uint64_t i = 0; i < names; ++i) {
      ASSERT_TRUE(Put(*made, Id(i), i + 1));
      before_[Id(i)] = i + 1;
      if (i != 2) continue;
      ASSERT_TRUE(made->Unlink(made->Find(Key(Id(2)))));
      before_.erase(Id(2));
    }
    fd_ = *sys::Duplicate(made->fd());
  }

  // Whether the change came to its end with so many stores.
  bool ChangeAndDie(const Change& change, uint64_t stores) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(60);
      MortalMemory::stores_left = ~uint64_t{0};
      auto writer =
          MortalWriter::TakeUp(*sys::Duplicate(fd_.get()), DirectoryOptions());
      if (!writer.ok()) _exit(2);
      MortalMemory::stores_left = stores;
      change.make(*writer);
      _exit(0);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
      EXPECT_EQ(WTERMSIG(status), SIGKILL);
      return false;
    }
    EXPECT_EQ(WEXITSTATUS(status), 0);
    return true;
  }

  // What readers find, and that it is whole.
  Contents Read(const std::set<std::string>& ids) {
    sys::MmapRequest request;
    request.fd = fd_.get();
    request.length_bytes =
        *MaxDirectorySizeBytes(DirectoryOptions().max_entries);
    const auto mapping = *sys::ScopedMmap::Map(request);
    const DirectoryReader reader =
        *DirectoryReader::Open(mapping.data(), mapping.size_bytes());
    Contents contents;
    for (const std::string& id : ids) {
      FoundObject found;
      const Lookup lookup = reader.Find(Key(id), &found);
      EXPECT_NE(lookup, Lookup::kTryAgain) << id;
      if (lookup != Lookup::kFound) continue;
      EXPECT_EQ(found.offset_bytes, found.generation * 3) << id;
      EXPECT_EQ(found.size_bytes, found.generation * 5) << id;
      contents[id] = found.generation;
    }
    return contents;
  }

  void CheckTakenUp(const Contents& expected) {
    auto writer =
        DirectoryWriter::TakeUp(*sys::Duplicate(fd_.get()), DirectoryOptions());
    ASSERT_TRUE(writer.ok()) << writer.status();
    EXPECT_EQ(writer->live(), expected.size());
    EXPECT_EQ(
        writer->live() + writer->retired().size() + writer->free_entries(),
        writer->ready());
    std::set<std::string> listed;
    writer->ForEach([&](uint32_t position) {
      listed.insert(std::string(writer->key(position).id()));
    });
    EXPECT_EQ(listed.size(), expected.size());
    // Everything that is retired can be freed, and used again.
    const std::vector<uint32_t> retired(writer->retired().begin(),
                                        writer->retired().end());
    for (const uint32_t position : retired) {
      EXPECT_TRUE(writer->Free(position));
    }
    EXPECT_EQ(writer->live() + writer->free_entries(), writer->ready());
    CheckCounts();
    for (const std::string& id : listed) {
      EXPECT_TRUE(writer->Unlink(writer->Find(Key(id)))) << id;
    }
    EXPECT_EQ(writer->live(), 0u);
    CheckNothingIsLeft();
    EXPECT_TRUE(Put(*writer, "new", writer->NextGeneration()));
  }

  // Each bucket's count is that of the names which went past it.
  void CheckCounts() {
    WithIndex([](const BasicDirectoryTable<layout::HostMemory>& table,
                 const IndexSpan& span) {
      std::vector<uint64_t> passed_by(span.buckets);
      for (uint64_t i = 0; i < span.buckets; ++i) {
        for (const uint64_t cell : table.Bucket(span, i)->cells) {
          if (cell == 0) continue;
          uint64_t at = table.Hash(table.KeyOf(PositionOf(cell)));
          for (; (at & (span.buckets - 1)) != i; ++at) {
            ++passed_by[at & (span.buckets - 1)];
          }
        }
      }
      for (uint64_t i = 0; i < span.buckets; ++i) {
        EXPECT_EQ(table.Bucket(span, i)->passed_by, passed_by[i]) << i;
      }
    });
  }
  void CheckNothingIsLeft() {
    WithIndex([](const BasicDirectoryTable<layout::HostMemory>& table,
                 const IndexSpan& span) {
      for (uint64_t i = 0; i < span.buckets; ++i) {
        for (const uint64_t cell : table.Bucket(span, i)->cells) {
          EXPECT_EQ(cell, 0u);
        }
        EXPECT_EQ(table.Bucket(span, i)->passed_by, 0u);
      }
    });
  }
  template <typename Look>
  void WithIndex(Look look) {
    sys::MmapRequest request;
    request.fd = fd_.get();
    request.writable = true;
    request.length_bytes =
        *MaxDirectorySizeBytes(DirectoryOptions().max_entries);
    const auto mapping = *sys::ScopedMmap::Map(request);
    const BasicDirectoryTable<layout::HostMemory> table(mapping.data());
    look(table, table.index());
  }

  UniqueFd fd_;
  Contents before_;
};

TEST_P(DirectoryCrashTest, NothingIsLostOrTornOrLeakedAtAnyStore) {
  const Change& change = GetParam();
  for (uint64_t stores = 0;; ++stores) {
    SCOPED_TRACE(stores);
    before_.clear();
    Fill(change.names_before);
    Contents after = before_;
    change.effect(after);
    const bool complete = ChangeAndDie(change, stores);
    std::set<std::string> ids = {"never there"};
    for (const Contents* contents : {&before_, &after}) {
      for (const auto& [id, generation] : *contents) ids.insert(id);
    }
    // Those who were reading see the one state or the other, also before
    // there is another daemon.
    const Contents seen = Read(ids);
    if (complete) {
      EXPECT_EQ(seen, after);
    } else {
      EXPECT_TRUE(seen == before_ || seen == after);
    }
    CheckTakenUp(seen);
    if (HasFailure() || complete) {
      // One store is the least that a change can be.
      EXPECT_GT(stores, 0u);
      return;
    }
  }
}

// With the one that was deleted, as many as the first index takes.
constexpr uint64_t kNamesBeforeGrowth = 321;

INSTANTIATE_TEST_SUITE_P(
    Changes, DirectoryCrashTest,
    testing::Values(
        Change{"FirstName", 0,
               [](MortalWriter& writer) { Put(writer, Id(0), 1000); },
               [](Contents& contents) { contents[Id(0)] = 1000; }},
        Change{"Publish", 10,
               [](MortalWriter& writer) { Put(writer, Id(50), 1000); },
               [](Contents& contents) { contents[Id(50)] = 1000; }},
        Change{"Replace", 10,
               [](MortalWriter& writer) { Put(writer, Id(5), 1000); },
               [](Contents& contents) { contents[Id(5)] = 1000; }},
        Change{"Delete", 10,
               [](MortalWriter& writer) {
                 writer.Unlink(writer.Find(Key(Id(5))));
               },
               [](Contents& contents) { contents.erase(Id(5)); }},
        Change{"DeleteOfAFullIndex", 319,
               [](MortalWriter& writer) {
                 writer.Unlink(writer.Find(Key(Id(5))));
               },
               [](Contents& contents) { contents.erase(Id(5)); }},
        Change{"Free", 10,
               [](MortalWriter& writer) {
                 writer.Free(*writer.retired().begin());
               },
               [](Contents&) {}},
        Change{"Grow", kNamesBeforeGrowth,
               [](MortalWriter& writer) {
                 const uint64_t buckets = writer.buckets();
                 Put(writer, Id(500), 1000);
                 if (writer.buckets() != 2 * buckets) _exit(3);
               },
               [](Contents& contents) { contents[Id(500)] = 1000; }}),
    [](const testing::TestParamInfo<Change>& change) {
      return change.param.name;
    });

// A run that takes a directory up may be killed as well.
TEST_F(DirectoryCrashTest, TakingUpCanBeKilledAtAnyStore) {
  for (uint64_t stores = 0;; ++stores) {
    SCOPED_TRACE(stores);
    before_.clear();
    Fill(20);
    // An entry that is written to, and a name whose old object is not retired.
    const Change half = {
        "", 0, [](MortalWriter& writer) { Put(writer, Id(5), 1000); }, nullptr};
    ASSERT_FALSE(ChangeAndDie(half, 18));
    const pid_t child = fork();
    if (child == 0) {
      alarm(60);
      MortalMemory::stores_left = stores;
      _exit(MortalWriter::TakeUp(*sys::Duplicate(fd_.get()), DirectoryOptions())
                    .ok()
                ? 0
                : 2);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    std::set<std::string> ids;
    for (const auto& [id, generation] : before_) ids.insert(id);
    CheckTakenUp(Read(ids));
    if (WIFEXITED(status)) {
      EXPECT_EQ(WEXITSTATUS(status), 0);
      EXPECT_GT(stores, 0u);
      return;
    }
    ASSERT_FALSE(HasFailure());
  }
}

}  // namespace
}  // namespace shmd
