#ifndef SHMD_TESTS_CLI_SERVED_SHM_H_
#define SHMD_TESTS_CLI_SERVED_SHM_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "tests/testing/program.h"
#include "tests/testing/scoped_server.h"

namespace shmd::testing {

// Runs `shm` against the daemon of a folder, if there is one.
inline ProgramEnd RunShm(std::vector<std::string> arguments,
                         const std::string& socket_dir) {
  arguments.insert(arguments.begin(), Runfile("cli/shm"));
  return RunProgram(arguments, {{"SHMD_SOCKET_DIR", socket_dir}});
}

// `shm` with a daemon of the test's own.
class ServedShm : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = ScopedServer::Start();
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  ProgramEnd Shm(const std::vector<std::string>& arguments) {
    return RunShm(arguments, server_->socket_dir());
  }

  std::unique_ptr<ScopedServer> server_;
};

}  // namespace shmd::testing

#endif  // SHMD_TESTS_CLI_SERVED_SHM_H_
