#include "gtest/gtest.h"
#include "tests/testing/program.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {
namespace {

TEST(ParentChildExample, BothAddToOneSumAndLeaveNothingBehind) {
  auto server = ScopedServer::Start();
  ASSERT_TRUE(server.ok()) << server.status();
  const KernelLedger before = (*server)->Ledger();
  const ProgramEnd end =
      RunProgram({Runfile("examples/parent_child/parent_child")},
                 {{"SHMD_SOCKET_DIR", (*server)->socket_dir()}});
  EXPECT_EQ(end.exit_code, 0) << end.err;
  EXPECT_EQ(end.out, "sum 1001000\n");
  EXPECT_EQ(DiffLedgers(before, (*server)->Ledger()), "");
}

}  // namespace
}  // namespace shmd::testing
