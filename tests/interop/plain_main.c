#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/interop/plain_memory.h"

void Fail(const char* call) {
  perror(call);
  exit(1);
}

int main(int argc, char** argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: %s make|write|read|remove NAME SIZE [TEXT]\n",
            argv[0]);
    return 2;
  }
  const char* verb = argv[1];
  const char* name = argv[2];
  const size_t size = strtoul(argv[3], NULL, 0);
  if (strcmp(verb, "remove") == 0) {
    RemoveMemory(name);
    return 0;
  }
  if (strcmp(verb, "read") == 0) {
    const char* text = OpenMemory(name, size, 0, 0);
    fwrite(text, 1, strnlen(text, size), stdout);
    return 0;
  }
  if (argc != 5 || strlen(argv[4]) >= size) return 2;
  char* memory = OpenMemory(name, size, strcmp(verb, "make") == 0, 1);
  strcpy(memory, argv[4]);
  memory[size - 1] = '!';  // the last byte is there as well
  return 0;
}
