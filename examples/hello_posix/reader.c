/* Reads the greeting with plain shm_open(3): no shmd in here.
 *
 *   reader POSIX_NAME
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char** argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: reader POSIX_NAME\n");
    return 2;
  }
  const int fd = shm_open(argv[1], O_RDONLY, 0);
  if (fd < 0) {
    perror("shm_open");
    return 1;
  }
  const char* memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) {
    perror("mmap");
    return 1;
  }
  printf("%.4096s\n", memory);
  return 0;
}
