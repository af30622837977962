#ifndef SHMD_SERVER_CENSUS_SOLE_HOLDER_H_
#define SHMD_SERVER_CENSUS_SOLE_HOLDER_H_

namespace shmd {

// Who else holds a file, by the kernel's own count of open descriptors and of
// mappings, which keep their descriptor's file open. Unlike a look through
// /proc it knows those of other pid namespaces, those of processes that may not
// be looked into, and those on their way through a socket.
enum class OtherHolders { kNone, kSome, kUnknown };

// Asks for a write lease (fcntl(2), F_SETLEASE), which the kernel gives to the
// only holder. With kNone it stays until `fd` is closed, and whoever opens the
// file meanwhile waits. kUnknown without the privilege over another user's
// file, or where the file system has no leases. No signal is sent that would
// end this process.
OtherHolders TakeLease(int fd);

// Whether nobody has come to wait since TakeLease said kNone.
bool IsLeaseWhole(int fd);

}  // namespace shmd

#endif  // SHMD_SERVER_CENSUS_SOLE_HOLDER_H_
