#ifndef SHMD_TESTS_CONFORMANCE_GOLDEN_DIRECTORY_H_
#define SHMD_TESTS_CONFORMANCE_GOLDEN_DIRECTORY_H_

#include <string>

namespace shmd {

// A small directory, the same every time: tests/conformance/golden/
// directory.bin has its bytes, directory.json what is to be found in it.
std::string GoldenDirectory();

}  // namespace shmd

#endif  // SHMD_TESTS_CONFORMANCE_GOLDEN_DIRECTORY_H_
