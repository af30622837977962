/* Reads the greeting with plain shmget(2) and shmat(2): no shmd in here.
 *
 *   reader KEY (as 0x44)
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/shm.h>

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: reader KEY\n");
    return 2;
  }
  const int id = shmget((key_t)strtoul(argv[1], NULL, 0), 4096, 0);
  if (id < 0) {
    perror("shmget");
    return 1;
  }
  const char* memory = shmat(id, NULL, SHM_RDONLY);
  if (memory == (void*)-1) {
    perror("shmat");
    return 1;
  }
  printf("%.4096s\n", memory);
  return 0;
}
