#include "server/rpc/options_from_proto.h"

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "gtest/gtest.h"

namespace shmd {
namespace {

Caller OwnerAlice() {
  Caller caller;
  caller.uid = 1001;
  caller.gid = 1002;
  return caller;
}

v1::Segment Sample(v1::Segment::Backend backend = v1::Segment::MEMFD) {
  v1::Segment segment;
  segment.set_size_bytes(4096);
  segment.set_backend(backend);
  if (backend == v1::Segment::MAPPED_FILE) segment.set_file_path("a");
  return segment;
}

TEST(OptionsFromProtoTest, DefaultsAreThoseOfTheProto) {
  v1::Segment segment;
  segment.set_size_bytes(5);
  const SegmentOptions options =
      OptionsFromProto(segment, OwnerAlice()).value();
  EXPECT_EQ(options.backend, BackendKind::kMemfd);
  EXPECT_EQ(options.size_bytes, 5u);
  EXPECT_EQ(options.page_size_bytes, BasePageSizeBytes());
  EXPECT_EQ(options.allocation, Allocation::kLazy);
  EXPECT_EQ(options.mode, 0600u);
  EXPECT_EQ(options.owner, 1001u);
  EXPECT_EQ(options.group, 1002u);
  EXPECT_EQ(options.numa.mode, NumaMode::kNone);
  EXPECT_EQ(options.seal_policy, SealPolicy::kSealable);
  EXPECT_FALSE(options.resizable || options.populate || options.lock_in_memory);
}

TEST(OptionsFromProtoTest, PagesAreReservedWhereATouchCouldFail) {
  const struct {
    std::function<void(v1::Segment&)> change;
    Allocation expected;
  } kCases[] = {
      {[](v1::Segment&) {}, Allocation::kLazy},
      {[](v1::Segment& s) { s.set_backend(v1::Segment::SYSV); },
       Allocation::kLazy},
      {[](v1::Segment& s) { s.set_backend(v1::Segment::POSIX); },
       Allocation::kReserved},
      {[](v1::Segment& s) { s = Sample(v1::Segment::MAPPED_FILE); },
       Allocation::kReserved},
      {[](v1::Segment& s) {
         s.set_page_size_bytes(2 << 20);
         s.set_size_bytes(2 << 20);
       },
       Allocation::kReserved},
      {[](v1::Segment& s) { s.set_populate(true); }, Allocation::kReserved},
      {[](v1::Segment& s) { s.set_lock_in_memory(true); },
       Allocation::kReserved},
      {[](v1::Segment& s) {
         s.set_backend(v1::Segment::POSIX);
         s.set_allocation(v1::Segment::LAZY);
       },
       Allocation::kLazy},
      {[](v1::Segment& s) { s.set_allocation(v1::Segment::RESERVED); },
       Allocation::kReserved},
  };
  for (size_t i = 0; i < std::size(kCases); ++i) {
    v1::Segment segment = Sample();
    kCases[i].change(segment);
    const auto options = OptionsFromProto(segment, OwnerAlice());
    ASSERT_TRUE(options.ok()) << i << ": " << options.status();
    EXPECT_EQ(options->allocation, kCases[i].expected) << i;
    EXPECT_EQ(options->populate,
              segment.populate() || segment.lock_in_memory());
  }
}

struct WrongField {
  std::function<void(v1::Segment&)> change;
  const char* reason;
  const char* field;
};

void ExpectRefusals(const std::vector<WrongField>& cases) {
  for (size_t i = 0; i < cases.size(); ++i) {
    v1::Segment segment = Sample();
    cases[i].change(segment);
    const absl::Status status =
        OptionsFromProto(segment, OwnerAlice()).status();
    EXPECT_EQ(GetErrorReason(status), cases[i].reason) << i << ": " << status;
    EXPECT_EQ(GetErrorDetail(status).field, cases[i].field) << i;
  }
}

TEST(OptionsFromProtoTest, WrongSizesAndBackendsAreNamed) {
  using S = v1::Segment;
  ExpectRefusals({
      {[](S& s) { s.set_size_bytes(0); }, "SIZE_INVALID", "segment.size_bytes"},
      {[](S& s) { s.set_size_bytes(kMaxSegmentSizeBytes + 1); }, "SIZE_INVALID",
       "segment.size_bytes"},
      {[](S& s) { s.set_size_bytes(UINT64_MAX); }, "SIZE_INVALID",
       "segment.size_bytes"},
      {[](S& s) { s.set_page_size_bytes(8192); }, "PAGE_SIZE_MISMATCH",
       "segment.page_size_bytes"},
      {[](S& s) { s.set_page_size_bytes(1); }, "PAGE_SIZE_MISMATCH",
       "segment.page_size_bytes"},
      {[](S& s) { s.set_page_size_bytes(2 << 20); }, "PAGE_SIZE_MISMATCH",
       "segment.size_bytes"},
      {[](S& s) { s.set_backend(static_cast<S::Backend>(5)); },
       "BACKEND_INVALID", "segment.backend"},
      {[](S& s) { s.set_backend(static_cast<S::Backend>(-1)); },
       "BACKEND_INVALID", "segment.backend"},
      {[](S& s) { s.set_posix_name("/x"); }, "BACKEND_INVALID",
       "segment.posix_name"},
      {[](S& s) { s.set_sysv_key(1); }, "BACKEND_INVALID", "segment.sysv_key"},
      {[](S& s) { s.set_file_path("x"); }, "BACKEND_INVALID",
       "segment.file_path"},
      {[](S& s) { s.set_backend(S::MAPPED_FILE); }, "FILE_PATH_INVALID",
       "segment.file_path"},
      {[](S& s) {
         s = Sample(S::SYSV);
         s.set_seal_policy(S::SEALABLE);
       },
       "BACKEND_INVALID", "segment.seal_policy"},
      {[](S& s) {
         s = Sample(S::SYSV);
         s.set_resizable(true);
       },
       "BACKEND_UNSUPPORTED", "segment.resizable"},
  });
}

TEST(OptionsFromProtoTest, OtherWrongFieldsAreNamed) {
  using S = v1::Segment;
  ExpectRefusals({
      {[](S& s) { s.set_allocation(static_cast<S::Allocation>(3)); },
       "FIELD_INVALID", "segment.allocation"},
      {[](S& s) {
         s.set_populate(true);
         s.set_allocation(S::LAZY);
       },
       "FIELD_INVALID", "segment.allocation"},
      {[](S& s) { s.set_mode(0667); }, "MODE_INVALID", "segment.mode"},
      {[](S& s) { s.set_mode(04600); }, "MODE_INVALID", "segment.mode"},
      {[](S& s) { s.set_mode(UINT32_MAX); }, "MODE_INVALID", "segment.mode"},
      {[](S& s) { s.set_owner(UINT32_MAX); }, "FIELD_INVALID", "segment.owner"},
      {[](S& s) { s.set_group(UINT32_MAX); }, "FIELD_INVALID", "segment.group"},
      {[](S& s) { s.mutable_numa_policy()->add_nodes(0); }, "FIELD_INVALID",
       "segment.numa_policy.mode"},
      {[](S& s) {
         s.mutable_numa_policy()->set_mode(
             static_cast<v1::NumaPolicy::Mode>(9));
       },
       "FIELD_INVALID", "segment.numa_policy.mode"},
      {[](S& s) { s.mutable_numa_policy()->set_mode(v1::NumaPolicy::BIND); },
       "FIELD_INVALID", "segment.numa_policy.nodes"},
      {[](S& s) {
         s.mutable_numa_policy()->set_mode(v1::NumaPolicy::BIND);
         s.mutable_numa_policy()->add_nodes(1024);
       },
       "FIELD_INVALID", "segment.numa_policy.nodes"},
      {[](S& s) {
         s.mutable_numa_policy()->set_mode(v1::NumaPolicy::INTERLEAVE);
         for (int i = 0; i < 1025; ++i) s.mutable_numa_policy()->add_nodes(0);
       },
       "FIELD_INVALID", "segment.numa_policy.nodes"},
      {[](S& s) { s.set_huge_page_advice(static_cast<S::HugePageAdvice>(3)); },
       "FIELD_INVALID", "segment.huge_page_advice"},
      {[](S& s) { s.set_seal_policy(static_cast<S::SealPolicy>(3)); },
       "FIELD_INVALID", "segment.seal_policy"},
  });
}

TEST(OptionsFromProtoTest, LimitsThemselvesAreAllowed) {
  v1::Segment segment = Sample();
  segment.set_size_bytes(kMaxSegmentSizeBytes);
  segment.set_page_size_bytes(1 << 30);
  segment.set_mode(0666);
  segment.set_owner(UINT32_MAX - 1);
  segment.mutable_numa_policy()->set_mode(v1::NumaPolicy::PREFERRED);
  segment.mutable_numa_policy()->add_nodes(1023);
  const auto options = OptionsFromProto(segment, OwnerAlice());
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->mode, 0666u);
  EXPECT_EQ(options->owner, UINT32_MAX - 1);
}

TEST(TtlFromProtoTest, FromAMillisecondToTwoHundredYears) {
  const struct {
    int64_t seconds;
    int nanos;
    bool ok;
  } kCases[] = {
      {0, 1000000, true},
      {0, 999999, false},
      {0, 0, false},
      {1, 0, true},
      {6311519999, 999999999, true},
      {6311520000, 0, false},
      {-1, 0, false},
      {1, -1, false},
      {0, 1000000000, false},
      {1, std::numeric_limits<int>::min(), false},
      {std::numeric_limits<int64_t>::max(), 0, false},
      {std::numeric_limits<int64_t>::min(), 0, false},
  };
  for (const auto& one : kCases) {
    google::protobuf::Duration ttl;
    ttl.set_seconds(one.seconds);
    ttl.set_nanos(one.nanos);
    const auto duration = TtlFromProto("ttl", ttl);
    EXPECT_EQ(duration.ok(), one.ok) << one.seconds << " " << one.nanos;
    if (one.ok) continue;
    EXPECT_EQ(GetErrorReason(duration.status()), "FIELD_INVALID");
    EXPECT_EQ(GetErrorDetail(duration.status()).field, "ttl");
  }
}

TEST(ExpirationFromProtoTest, MomentOrTimeOrNever) {
  v1::Segment segment;
  Expiration expiration = ExpirationFromProto(segment).value();
  EXPECT_FALSE(expiration.time.has_value() || expiration.ttl.has_value());
  segment.mutable_expire_time()->set_seconds(1800000000);
  segment.mutable_expire_time()->set_nanos(5);
  expiration = ExpirationFromProto(segment).value();
  EXPECT_EQ(expiration.time,
            absl::FromUnixSeconds(1800000000) + absl::Nanoseconds(5));
  segment.mutable_ttl()->set_seconds(3);  // takes its place in the oneof
  expiration = ExpirationFromProto(segment).value();
  EXPECT_FALSE(expiration.time.has_value());
  EXPECT_EQ(expiration.ttl, absl::Seconds(3));
}

TEST(ExpirationFromProtoTest, MomentOutOfRangeIsRefused) {
  const struct {
    int64_t seconds;
    int nanos;
  } kCases[] = {{-1, 0},
                {9223372037, 0},
                {1, -1},
                {1, 1000000000},
                {std::numeric_limits<int64_t>::max(), 0},
                {std::numeric_limits<int64_t>::min(), 0}};
  for (const auto& one : kCases) {
    v1::Segment segment;
    segment.mutable_expire_time()->set_seconds(one.seconds);
    segment.mutable_expire_time()->set_nanos(one.nanos);
    const absl::Status status = ExpirationFromProto(segment).status();
    EXPECT_EQ(GetErrorReason(status), "FIELD_INVALID") << one.seconds;
    EXPECT_EQ(GetErrorDetail(status).field, "segment.expire_time");
  }
}

}  // namespace
}  // namespace shmd
