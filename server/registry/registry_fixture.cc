#include "server/registry/registry_fixture.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "server/store/intent_record.h"
#include "server/store/namespace_record.h"

namespace shmd {
namespace {

// Of all registries in this process: one test runs at a time.
std::atomic<bool> disk_is_full{false};

ssize_t WriteUnlessFull(int fd, const void* data, size_t size, off_t offset) {
  if (!disk_is_full) return pwrite(fd, data, size, offset);
  errno = ENOSPC;
  return -1;
}

}  // namespace

RegistryTest::RegistryTest() {
  std::string pattern = absl::StrCat(::testing::TempDir(), "/registryXXXXXX");
  folder_ = mkdtemp(pattern.data());
  limits_.memory_bytes = uint64_t{1} << 30;
  default_namespace_.quota.bytes = uint64_t{1} << 30;
  default_namespace_.quota.segments = 1000;
  limits_.memory_descriptors = 100;
  Start({folder_});
}

RegistryTest::~RegistryTest() {
  MendStore();
  for (const std::string& id : Ids()) {
    const absl::Status status = Delete(id, Root(), /*force=*/true);
    EXPECT_TRUE(status.ok()) << id << ": " << status;
  }
  const Budget::Use used = registry_->budget().used();
  EXPECT_EQ(used.segments, 0u);
  EXPECT_EQ(used.bytes, 0u);
  EXPECT_EQ(used.memory_bytes, 0u);
  EXPECT_EQ(used.descriptors, 0u);
  EXPECT_EQ(used.huge_page_bytes, 0u);
  const auto left = namespaces_->Get(Root(), kDefaultNamespace);
  EXPECT_EQ(left->usage.bytes, 0u);
  EXPECT_EQ(left->usage.descriptors, 0u);
  registry_.reset();
  std::error_code error;
  std::filesystem::remove_all(folder_, error);
  EXPECT_FALSE(error) << folder_ << ": " << error.message();
}

void RegistryTest::Start(const std::vector<std::string>& roots) {
  BackendSettings settings;
  settings.file_roots = roots;
  settings.memory_reserve_bytes = 0;
  backends_ = std::make_unique<BackendSet>(settings);
  Store::Options options;
  options.calls.write = &WriteUnlessFull;
  store_ = Store::Open(folder_, options).value();
  events_ = std::make_unique<EventLog>(RandomEpoch(), 1024, &clock_,
                                       store_->identity().first_generation);
  namespaces_ = std::make_unique<NamespaceTable>(default_namespace_);
  namespace_registry_ = std::make_unique<NamespaceRegistry>(
      namespaces_.get(), store_.get(), &clock_, Amounts::Unlimited());
  const absl::Status namespaces_taken_up = namespace_registry_->TakeUp();
  EXPECT_TRUE(namespaces_taken_up.ok()) << namespaces_taken_up;
  sessions_ = std::make_unique<SessionTable>(&clock_, namespaces_.get());
  registry_ = std::make_unique<SegmentRegistry>(
      SegmentRegistry::Parts{backends_.get(), store_.get(), events_.get(),
                             namespaces_.get(), sessions_.get(),
                             /*descriptors=*/nullptr, &clock_},
      limits_);
  const auto taken_up = registry_->TakeUpStored({});
  EXPECT_TRUE(taken_up.ok()) << taken_up.status();
  if (taken_up.ok()) taken_up_ = *taken_up;
}

void RegistryTest::Restart() { RestartWithRoots({folder_}); }

void RegistryTest::RestartWithRoots(const std::vector<std::string>& roots) {
  registry_.reset();
  sessions_.reset();
  namespace_registry_.reset();
  namespaces_.reset();
  events_.reset();
  store_.reset();
  Start(roots);
}

void RegistryTest::IntendOnly(const SegmentOptions& options) {
  Intent intent;
  intent.segment = RandomUid();
  intent.object.backend = options.backend;
  intent.object.posix_name = options.posix_name;
  intent.object.file_path = options.file_path;
  const Change change = PutOf(intent);
  EXPECT_TRUE(
      store_->Commit(absl::MakeConstSpan(&change, 1), Durability::kDaemonDeath)
          .ok());
}

void RegistryTest::ForgetNamespace(const std::string& name) {
  const Change change = RemovalOfNamespace(name);
  EXPECT_TRUE(
      store_->Commit(absl::MakeConstSpan(&change, 1), Durability::kDaemonDeath)
          .ok());
}

void RegistryTest::BreakStore() { disk_is_full = true; }

void RegistryTest::MendStore() { disk_is_full = false; }

Caller RegistryTest::Root() {
  Caller caller;
  caller.uid = geteuid();
  caller.gid = getegid();
  caller.is_administrator = true;
  return caller;
}

Caller RegistryTest::Alice() {
  Caller caller;
  caller.uid = 1001;
  caller.gid = 1001;
  return caller;
}

Caller RegistryTest::Bob() {
  Caller caller;
  caller.uid = 1002;
  caller.gid = 1002;
  caller.groups = {1001};
  return caller;
}

std::string RegistryTest::Unique(const std::string& word) {
  return absl::StrCat("shmd-test-", word, "-", UidToHex(RandomUid()));
}

CreateCommand RegistryTest::Memfd(const std::string& id, const Caller& owner) {
  CreateCommand command;
  command.name_space = "default";
  command.id = id;
  command.options.size_bytes = BasePageSizeBytes();
  command.options.page_size_bytes = BasePageSizeBytes();
  command.options.owner = owner.uid;
  command.options.group = owner.gid;
  return command;
}

CreateCommand RegistryTest::Posix(const std::string& id) {
  CreateCommand command = Memfd(id);
  command.options.backend = BackendKind::kPosix;
  command.options.posix_name = absl::StrCat("/", Unique("posix"));
  return command;
}

CreateCommand RegistryTest::Sysv(const std::string& id) {
  CreateCommand command = Memfd(id);
  command.options.backend = BackendKind::kSysv;
  return command;
}

CreateCommand RegistryTest::File(const std::string& id) {
  CreateCommand command = Memfd(id);
  command.options.backend = BackendKind::kMappedFile;
  command.options.file_path = id + ".dat";
  return command;
}

std::vector<CreateCommand> RegistryTest::OneOfEach() {
  return {Memfd("memfd"), Posix("posix"), Sysv("sysv"), File("file")};
}

CreateCommand RegistryTest::WithRequestId(CreateCommand command,
                                          const std::string& request_id) {
  command.request_id = request_id;
  command.fingerprint = absl::StrCat("fingerprint of ", command.id);
  return command;
}

absl::StatusOr<SegmentView> RegistryTest::Create(CreateCommand command,
                                                 const Caller& caller) {
  std::vector<CreateCommand> commands;
  commands.push_back(std::move(command));
  absl::StatusOr<std::vector<SegmentView>> views =
      registry_->Create(caller, std::move(commands));
  if (!views.ok()) return views.status();
  return views->at(0);
}

SegmentView RegistryTest::Made(CreateCommand command, const Caller& caller) {
  absl::StatusOr<SegmentView> view = Create(std::move(command), caller);
  EXPECT_TRUE(view.ok()) << view.status();
  return view.ok() ? *std::move(view) : SegmentView();
}

absl::Status RegistryTest::Delete(const std::string& id, const Caller& caller,
                                  bool force) {
  RemoveCommand command;
  command.names = {Name(id)};
  command.force = force;
  return registry_->Delete(caller, command);
}

absl::StatusOr<SegmentView> RegistryTest::Update(
    const std::string& id, const std::function<void(UpdateCommand&)>& change,
    const Caller& caller) {
  UpdateCommand command;
  command.name = Name(id);
  change(command);
  return registry_->Update(caller, command);
}

std::vector<std::string> RegistryTest::Ids(const Caller& caller) {
  ListCommand command;
  command.name_space = "default";
  command.limit = 100000;
  const auto views = registry_->List(caller, command);
  EXPECT_TRUE(views.ok()) << views.status();
  std::vector<std::string> ids;
  for (const SegmentView& view : *views) ids.push_back(view.segment->name.id);
  return ids;
}

}  // namespace shmd
