#ifndef SHMD_SERVER_REGISTRY_REGISTRY_FIXTURE_H_
#define SHMD_SERVER_REGISTRY_REGISTRY_FIXTURE_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "gtest/gtest.h"
#include "server/registry/namespace_registry.h"
#include "server/registry/segment_registry.h"

namespace shmd {

// A registry over the real backends and a store in a folder of its own, with a
// clock that the test moves. At its end every segment is removed, and the
// budget must be back at its start.
class RegistryTest : public ::testing::Test {
 protected:
  RegistryTest();
  ~RegistryTest() override;

  // Ends the registry as kill -9 would and starts another over the same store.
  void Restart();
  // The same with other roots for mapped files.
  void RestartWithRoots(const std::vector<std::string>& roots);

  // Until MendStore, every change of the store fails as on a full disk.
  void BreakStore();
  void MendStore();

  // An administrator with this process's uid; and two others.
  static Caller Root();
  static Caller Alice();  // 1001:1001
  static Caller Bob();    // 1002:1002, in group 1001 too

  static SegmentName Name(const std::string& id) { return {"default", id}; }
  // A word that no other run of a test has.
  static std::string Unique(const std::string& word);

  // One page, owned by `owner`.
  static CreateCommand Memfd(const std::string& id,
                             const Caller& owner = Root());
  static CreateCommand Posix(const std::string& id);
  static CreateCommand Sysv(const std::string& id);
  static CreateCommand File(const std::string& id);
  // One of each backend, with ids "memfd", "posix", "sysv", "file".
  static std::vector<CreateCommand> OneOfEach();

  static CreateCommand WithRequestId(CreateCommand command,
                                     const std::string& request_id);

  // Records the intent to make such an object, and nothing more.
  void IntendOnly(const SegmentOptions& options);

  // Loses the record of a namespace, as damage would.
  void ForgetNamespace(const std::string& name);

  absl::StatusOr<SegmentView> Create(CreateCommand command,
                                     const Caller& caller = Root());
  // Create that succeeds, or fails the test.
  SegmentView Made(CreateCommand command, const Caller& caller = Root());

  absl::Status Delete(const std::string& id, const Caller& caller = Root(),
                      bool force = false);
  absl::StatusOr<SegmentView> Update(
      const std::string& id, const std::function<void(UpdateCommand&)>& change,
      const Caller& caller = Root());
  std::vector<std::string> Ids(const Caller& caller = Root());

  const std::string& folder() const { return folder_; }
  const BackendSet& backends() const { return *backends_; }
  SegmentRegistry& registry() { return *registry_; }
  SessionTable& sessions() { return *sessions_; }
  NamespaceTable& namespaces() { return *namespaces_; }
  NamespaceRegistry& namespace_registry() { return *namespace_registry_; }

  FakeClock clock_;
  Budget::Limits limits_;
  Namespace default_namespace_;  // of the next start
  SegmentRegistry::TakeUpResult taken_up_;

 private:
  void Start(const std::vector<std::string>& roots);

  std::string folder_;
  std::unique_ptr<BackendSet> backends_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<EventLog> events_;
  std::unique_ptr<NamespaceTable> namespaces_;
  std::unique_ptr<NamespaceRegistry> namespace_registry_;
  std::unique_ptr<SessionTable> sessions_;
  std::unique_ptr<SegmentRegistry> registry_;
};

// The reason of a failure; empty for success.
template <typename T>
std::string ReasonOf(const absl::StatusOr<T>& result) {
  return GetErrorReason(result.status());
}
inline std::string ReasonOf(const absl::Status& status) {
  return GetErrorReason(status);
}

}  // namespace shmd

#endif  // SHMD_SERVER_REGISTRY_REGISTRY_FIXTURE_H_
