// Loaded into the daemon with LD_PRELOAD: makes the N-th call of one kind fail.
//
// The test and the daemon share the file $SHMD_NTH_FAILURE, a struct Switch.
// Calls are counted, in all threads, while `kind` is that of the call and
// `left` is above 0; the one that brings it to 0 fails, and is the only one.
//
// A daemon that ends by a bad address afterwards says on standard error where,
// and which allocation had failed, before it ends.

#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct Switch {
  volatile int kind;
  volatile int left;
};

// The numbers are those of nth_failure_test.py.
enum {
  KIND_MALLOC = 1,
  KIND_MMAP,
  KIND_FTRUNCATE,
  KIND_FALLOCATE,
  KIND_OPEN,
  KIND_SENDMSG,
  KIND_ACCEPT,
  KIND_PWRITE,
  KIND_FDATASYNC,
};

static struct Switch* shared_switch;

#define MAX_FRAMES 48
static void* failed_at[MAX_FRAMES];
static int failed_frames;

void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* memory);

// The keeper inherits what is meant for its daemon.
static int is_keeper(void) {
  char line[4096];
  const int fd =
      (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY);
  const ssize_t count = syscall(SYS_read, fd, line, sizeof(line));
  syscall(SYS_close, fd);
  return count > 0 && memmem(line, (size_t)count, "--keeper", 8) != NULL;
}

static void say(const char* text) {
  const ssize_t written = write(STDERR_FILENO, text, strlen(text));
  (void)written;
}

static void tell_where(int number) {
  void* frames[MAX_FRAMES];
  const int count = backtrace(frames, MAX_FRAMES);
  say("nth_failure: a bad address, in\n");
  backtrace_symbols_fd(frames, count, STDERR_FILENO);
  say("nth_failure: the allocation that failed, in\n");
  backtrace_symbols_fd(failed_at, failed_frames, STDERR_FILENO);
  say("nth_failure: end\n");
  raise(number);  // which is as it was before: SA_RESETHAND
}

static void tell_of_bad_addresses(void) {
  struct sigaction action = {.sa_handler = tell_where,
                             .sa_flags = SA_RESETHAND | SA_NODEFER};
  void* frame;
  backtrace(&frame, 1);  // the first one loads a library
  sigaction(SIGSEGV, &action, NULL);
  sigaction(SIGBUS, &action, NULL);
}

__attribute__((constructor)) static void share(void) {
  const char* const path = getenv("SHMD_NTH_FAILURE");
  if (path == NULL || is_keeper()) return;
  const int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
  void* const found =
      (void*)syscall(SYS_mmap, NULL, sizeof(struct Switch),
                     PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0L);
  syscall(SYS_close, fd);
  tell_of_bad_addresses();
  if (found != MAP_FAILED) shared_switch = found;
}

static int must_fail(int kind) {
  struct Switch* const now = shared_switch;
  if (now == NULL || now->kind != kind || now->left <= 0) return 0;
  if (__sync_sub_and_fetch(&now->left, 1) != 0) return 0;
  if (kind == KIND_MALLOC) failed_frames = backtrace(failed_at, MAX_FRAMES);
  return 1;
}

#define NEXT(name)               \
  static __typeof__(&name) next; \
  if (next == NULL) next = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

void* malloc(size_t size) {
  if (must_fail(KIND_MALLOC)) return errno = ENOMEM, NULL;
  return __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  if (must_fail(KIND_MALLOC)) return errno = ENOMEM, NULL;
  return __libc_calloc(count, size);
}

void* realloc(void* old, size_t size) {
  if (must_fail(KIND_MALLOC)) return errno = ENOMEM, NULL;
  return __libc_realloc(old, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  if (must_fail(KIND_MALLOC)) return errno = ENOMEM, NULL;
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** made, size_t alignment, size_t size) {
  if (must_fail(KIND_MALLOC)) return ENOMEM;
  *made = __libc_memalign(alignment, size);
  return *made == NULL ? ENOMEM : 0;
}

// The daemon's own allocator has nothing to do then: whoever gives takes back.
void free(void* memory) { __libc_free(memory); }

void* mmap(void* address, size_t length, int protection, int flags, int fd,
           off_t offset) {
  if (must_fail(KIND_MMAP)) return errno = ENOMEM, MAP_FAILED;
  return (void*)syscall(SYS_mmap, address, length, protection, flags, fd,
                        offset);
}

void* mmap64(void* address, size_t length, int protection, int flags, int fd,
             off64_t offset) {
  return mmap(address, length, protection, flags, fd, offset);
}

int ftruncate(int fd, off_t length) {
  if (must_fail(KIND_FTRUNCATE)) return errno = ENOSPC, -1;
  return (int)syscall(SYS_ftruncate, fd, length);
}

int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

int fallocate(int fd, int mode, off_t offset, off_t length) {
  if (must_fail(KIND_FALLOCATE)) return errno = ENOSPC, -1;
  return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
  return fallocate(fd, mode, offset, length);
}

static int open_at(int folder, const char* path, int flags, va_list rest) {
  const int makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  const mode_t mode = makes ? va_arg(rest, mode_t) : 0;
  if (must_fail(KIND_OPEN)) return errno = EMFILE, -1;
  return (int)syscall(SYS_openat, folder, path, flags, mode);
}

#define OPEN(name)                                       \
  int name(const char* path, int flags, ...) {           \
    va_list rest;                                        \
    va_start(rest, flags);                               \
    const int fd = open_at(AT_FDCWD, path, flags, rest); \
    va_end(rest);                                        \
    return fd;                                           \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                       \
  int name(int folder, const char* path, int flags, ...) { \
    va_list rest;                                          \
    va_start(rest, flags);                                 \
    const int fd = open_at(folder, path, flags, rest);     \
    va_end(rest);                                          \
    return fd;                                             \
  }
OPENAT(openat)
OPENAT(openat64)

int shm_open(const char* name, int flags, mode_t mode) {
  NEXT(shm_open);
  if (must_fail(KIND_OPEN)) return errno = EMFILE, -1;
  return next(name, flags, mode);
}

int memfd_create(const char* name, unsigned int flags) {
  if (must_fail(KIND_OPEN)) return errno = EMFILE, -1;
  return (int)syscall(SYS_memfd_create, name, flags);
}

ssize_t sendmsg(int fd, const struct msghdr* message, int flags) {
  if (must_fail(KIND_SENDMSG)) return errno = ENOBUFS, -1;
  return syscall(SYS_sendmsg, fd, message, flags);
}

int accept4(int fd, struct sockaddr* address, socklen_t* length, int flags) {
  if (must_fail(KIND_ACCEPT)) return errno = EMFILE, -1;
  return (int)syscall(SYS_accept4, fd, address, length, flags);
}

ssize_t pwrite(int fd, const void* data, size_t count, off_t offset) {
  if (must_fail(KIND_PWRITE)) return errno = ENOSPC, -1;
  return syscall(SYS_pwrite64, fd, data, count, offset);
}

ssize_t pwrite64(int fd, const void* data, size_t count, off64_t offset) {
  return pwrite(fd, data, count, offset);
}

int fdatasync(int fd) {
  if (must_fail(KIND_FDATASYNC)) return errno = EIO, -1;
  return (int)syscall(SYS_fdatasync, fd);
}

int fsync(int fd) {
  if (must_fail(KIND_FDATASYNC)) return errno = EIO, -1;
  return (int)syscall(SYS_fsync, fd);
}

int msync(void* address, size_t length, int flags) {
  if (must_fail(KIND_FDATASYNC)) return errno = EIO, -1;
  return (int)syscall(SYS_msync, address, length, flags);
}
