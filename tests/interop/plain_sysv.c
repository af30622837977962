#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#include "tests/interop/plain_memory.h"

static int Find(const char* key, size_t size, int flags) {
  const int id = shmget((key_t)strtoul(key, NULL, 0), size, flags);
  if (id < 0) Fail("shmget");
  return id;
}

char* OpenMemory(const char* name, size_t size, int make, int writable) {
  const int id = Find(name, size, make ? IPC_CREAT | IPC_EXCL | 0640 : 0);
  char* memory = shmat(id, NULL, writable ? 0 : SHM_RDONLY);
  if (memory == (char*)-1) Fail("shmat");
  return memory;
}

void RemoveMemory(const char* name) {
  if (shmctl(Find(name, 0, 0), IPC_RMID, NULL) != 0) Fail("shmctl");
}
