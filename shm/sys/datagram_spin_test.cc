#include "shm/sys/datagram_spin.h"

#include <sys/socket.h>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace shmd::sys {
namespace {

constexpr uint64_t kMostNs = 1'000;

class DatagramSpinTest : public ::testing::Test {
 protected:
  void SetUp() override {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    ours_.Reset(ends[0]);
    theirs_.Reset(ends[1]);
  }

  void Send() { ASSERT_EQ(send(theirs_.get(), "x", 1, 0), 1); }

  // One wait, for what is there or for nothing.
  void Wait() {
    spin_.Look(ours_.get());
    char byte = 0;
    recv(ours_.get(), &byte, 1, MSG_DONTWAIT);
    spin_.NoteEnd();
  }
  // Waits that sleep at once until the next spin.
  int CountPaused() {
    int count = 0;
    for (; spin_.estimate().IsPaused(); ++count) Wait();
    return count;
  }

  UniqueFd ours_, theirs_;
  DatagramSpin spin_{kMostNs};
};

TEST_F(DatagramSpinTest, SpinsInVainBecomeRarer) {
  int before = 0;
  for (int i = 0; i < 5; ++i) {
    Wait();
    const int paused = CountPaused();
    EXPECT_GT(paused, before);
    before = paused;
  }
}

TEST_F(DatagramSpinTest, WhatIsThereAlreadyDoesNotMakeThemMoreFrequent) {
  int before = 0;
  for (int i = 0; i < 5; ++i) {
    for (int there = 0; there < 3; ++there) {
      Send();
      Wait();
    }
    Wait();
    const int paused = CountPaused();
    EXPECT_GT(paused, before);
    before = paused;
  }
}

}  // namespace
}  // namespace shmd::sys
