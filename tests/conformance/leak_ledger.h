#ifndef SHMD_TESTS_CONFORMANCE_LEAK_LEDGER_H_
#define SHMD_TESTS_CONFORMANCE_LEAK_LEDGER_H_

#include <map>
#include <string>

namespace shmd {

// What this process holds of the kernel, by the kernel's own files: open
// descriptors, shared mappings, System V segments that it made, objects in
// /dev/shm and files in `folder` whose name has `token`. Other programs'
// things do not count, so tests may run in parallel.
std::map<std::string, size_t> ReadLedger(const std::string& folder,
                                         const std::string& token);

}  // namespace shmd

#endif  // SHMD_TESTS_CONFORMANCE_LEAK_LEDGER_H_
