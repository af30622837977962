#include "shm/sys/datagram_spin.h"

#include <sys/socket.h>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace shmd::sys {
namespace {

TEST(DatagramSpinTest, WhatIsThereAlreadyTeachesNothing) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
  const UniqueFd ours(ends[0]), theirs(ends[1]);
  DatagramSpin spin(1'000'000);
  SpinEstimate before = spin.estimate();
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(send(theirs.get(), "x", 1, 0), 1);
    spin.Look(ours.get());
    char byte = 0;
    ASSERT_EQ(recv(ours.get(), &byte, 1, 0), 1);
    spin.NoteEnd();
  }
  SpinEstimate after = spin.estimate();
  EXPECT_EQ(after.NextNs(), before.NextNs());
}

TEST(DatagramSpinTest, WhatDoesNotComeDoes) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
  const UniqueFd ours(ends[0]), theirs(ends[1]);
  DatagramSpin spin(1'000);
  SpinEstimate before = spin.estimate();
  spin.Look(ours.get());
  spin.NoteEnd();
  SpinEstimate after = spin.estimate();
  EXPECT_NE(before.NextNs(), 0u);
  // The next wait sleeps at once.
  EXPECT_EQ(after.NextNs(), 0u);
}

}  // namespace
}  // namespace shmd::sys
