#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/interop/plain_memory.h"

char* OpenMemory(const char* name, size_t size, int make, int writable) {
  const int fd = shm_open(
      name, (writable ? O_RDWR : O_RDONLY) | (make ? O_CREAT | O_EXCL : 0),
      0640);
  if (fd < 0) Fail("shm_open");
  if (make && ftruncate(fd, (off_t)size) != 0) Fail("ftruncate");
  char* memory = mmap(NULL, size, PROT_READ | (writable ? PROT_WRITE : 0),
                      MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) Fail("mmap");
  return memory;
}

void RemoveMemory(const char* name) {
  if (shm_unlink(name) != 0) Fail("shm_unlink");
}
