#ifndef SHMD_TESTS_INTEROP_PLAIN_MEMORY_H_
#define SHMD_TESTS_INTEROP_PLAIN_MEMORY_H_

#include <stddef.h>

// What the three programs of this folder have in their main: they know nothing
// of shmd, only of one of the kernel's kinds of shared memory, and each is run
// as
//
//   PROGRAM make   NAME SIZE TEXT   makes memory of that name and writes TEXT
//   PROGRAM write  NAME SIZE TEXT   opens it and writes TEXT
//   PROGRAM read   NAME SIZE        opens it and prints the text that it holds
//   PROGRAM remove NAME SIZE        removes the name

// Opens memory of `size` bytes, made anew when `make`; exits on failure.
char* OpenMemory(const char* name, size_t size, int make, int writable);

// Removes the name; exits on failure.
void RemoveMemory(const char* name);

// Says which call failed, by errno, and exits.
void Fail(const char* call);

#endif  // SHMD_TESTS_INTEROP_PLAIN_MEMORY_H_
