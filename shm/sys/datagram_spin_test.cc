#include "shm/sys/datagram_spin.h"

#include <sys/socket.h>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace shmd::sys {
namespace {

class DatagramSpinTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    ours_.Reset(ends[0]);
    theirs_.Reset(ends[1]);
  }

  UniqueFd ours_, theirs_;
};

TEST_F(DatagramSpinTest, WhatIsThereAlreadyTeachesNothing) {
  DatagramSpin spin(1'000'000);
  SpinEstimate before = spin.estimate();
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(send(theirs_.get(), "x", 1, 0), 1);
    spin.Look(ours_.get());
    char byte = 0;
    ASSERT_EQ(recv(ours_.get(), &byte, 1, 0), 1);
    spin.NoteEnd();
  }
  SpinEstimate after = spin.estimate();
  EXPECT_EQ(after.NextNs(), before.NextNs());
}

TEST_F(DatagramSpinTest, WhatDoesNotComeDoes) {
  DatagramSpin spin(1'000);
  SpinEstimate before = spin.estimate();
  spin.Look(ours_.get());
  spin.NoteEnd();
  SpinEstimate after = spin.estimate();
  EXPECT_NE(before.NextNs(), 0u);
  // The next wait sleeps at once.
  EXPECT_EQ(after.NextNs(), 0u);
}

}  // namespace
}  // namespace shmd::sys
