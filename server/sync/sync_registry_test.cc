#include "server/sync/sync_registry.h"

#include <string>
#include <thread>

#include "absl/time/clock.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "server/registry/registry_fixture.h"
#include "shm/mapping.h"

namespace shmd {
namespace {

class SyncRegistryTest : public RegistryTest {
 protected:
  // The head of what Get has found, which is not 0 where there is a primitive.
  uint32_t HeadOf(const SegmentView& view) {
    const auto object = registry().OpenObject(view, Access::kRead);
    EXPECT_TRUE(object.ok()) << object.status();
    MapOptions options;
    options.size_bytes = view.segment->options.size_bytes;
    const auto mapped = ReadOnlyMapping::Map(*object, options);
    EXPECT_TRUE(mapped.ok()) << mapped.status();
    return mapped->As<uint32_t>()[0];
  }
};

TEST_F(SyncRegistryTest, APrimitiveIsFoundWhenItIsOne) {
  // No session opens its page, whose number is stored.
  SyncRegistry sync(&registry(), &sessions(), /*store=*/nullptr);
  ASSERT_TRUE(ArmFailpoints("sync.made=sleep:50").ok());
  SyncRegistry::PrimitiveCommand command;
  command.name_space = "default";
  command.id = "door";
  command.spec.kind = layout::SyncKind::kMutex;
  std::thread creating([&] {
    const auto made = sync.CreatePrimitive(Root(), command);
    EXPECT_TRUE(made.ok()) << made.status();
  });
  const SegmentName name = {"default", SyncSegmentId("door")};
  absl::StatusOr<SegmentView> found = absl::UnknownError("not looked yet");
  const absl::Time give_up = absl::Now() + absl::Seconds(20);
  while (!found.ok() && absl::Now() < give_up) {
    found = sync.GetPrimitive(Root(), name);
    if (found.ok()) break;
    EXPECT_EQ(ReasonOf(found), reason::kSyncPrimitiveNotFound);
  }
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_NE(HeadOf(*found), 0u);
  creating.join();
  ASSERT_TRUE(ArmFailpoints("").ok());
  EXPECT_TRUE(sync.DeletePrimitive(Root(), name).ok());
}

}  // namespace
}  // namespace shmd
