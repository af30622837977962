#include "bench/segments/kernel_objects.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "shm/sys/file.h"
#include "shm/sys/memfd.h"
#include "shm/sys/posix.h"
#include "shm/sys/sysv.h"

namespace shmd::bench {
namespace {

absl::StatusOr<UniqueFd> OpenToFlush(const std::string& folder) {
  UniqueFd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, "open");
  return fd;
}

std::string UnusedName() {
  static std::atomic<uint64_t> last{0};
  return absl::StrCat("bench-kernel-", getpid(), "-", ++last);
}

// As POSIX shared memory and files are made: reserved, then sized.
absl::Status Fill(int fd, uint64_t size_bytes) {
  RETURN_IF_ERROR(sys::Preallocate(fd, 0, size_bytes));
  RETURN_IF_ERROR(sys::Ftruncate(fd, size_bytes));
  RETURN_IF_ERROR(sys::Fstat(fd).status());
  return sys::Fchmod(fd, 0600);
}

absl::StatusOr<UniqueFd> MakeMemfd(uint64_t size_bytes) {
  // With an fchmod in it.
  ASSIGN_OR_RETURN(UniqueFd fd, sys::MemfdCreate(BasePageSizeBytes()));
  RETURN_IF_ERROR(sys::Ftruncate(fd.get(), size_bytes));
  RETURN_IF_ERROR(sys::AddSeals(fd.get(), F_SEAL_SHRINK | F_SEAL_GROW));
  return fd;
}

absl::Status MakePosix(const std::string& name, uint64_t size_bytes) {
  ASSIGN_OR_RETURN(const UniqueFd fd,
                   sys::ShmOpen(name, O_RDWR | O_CREAT | O_EXCL, 0));
  return Fill(fd.get(), size_bytes);
}

absl::StatusOr<int> MakeSysv(uint64_t size_bytes) {
  sys::ShmgetRequest request;
  request.size_bytes = size_bytes;
  request.page_size_bytes = BasePageSizeBytes();
  request.reserve_nothing = true;
  ASSIGN_OR_RETURN(const int id, sys::ShmCreate(request));
  RETURN_IF_ERROR(sys::ShmSetOwnership(id, geteuid(), getegid(), 0600));
  return id;
}

absl::Status MakeFile(const std::string& folder, const std::string& name,
                      uint64_t size_bytes) {
  ASSIGN_OR_RETURN(const UniqueFd root, OpenToFlush(folder));
  ASSIGN_OR_RETURN(
      const UniqueFd fd,
      sys::OpenBeneath(root.get(), name, O_RDWR | O_CREAT | O_EXCL, 0));
  RETURN_IF_ERROR(Fill(fd.get(), size_bytes));
  RETURN_IF_ERROR(sys::Fsync(fd.get()));
  return sys::Fsync(root.get());
}

}  // namespace

absl::StatusOr<KernelObject> KernelObject::Create(BackendKind backend,
                                                  uint64_t size_bytes,
                                                  const std::string& folder) {
  KernelObject made;
  made.backend_ = backend;
  switch (backend) {
    case BackendKind::kMemfd: {
      ASSIGN_OR_RETURN(made.fd_, MakeMemfd(size_bytes));
      break;
    }
    case BackendKind::kPosix:
      made.name_ = absl::StrCat("/", UnusedName());
      RETURN_IF_ERROR(MakePosix(made.name_, size_bytes));
      break;
    case BackendKind::kSysv: {
      ASSIGN_OR_RETURN(made.sysv_id_, MakeSysv(size_bytes));
      break;
    }
    case BackendKind::kMappedFile:
      made.folder_ = folder;
      made.name_ = UnusedName();
      RETURN_IF_ERROR(MakeFile(folder, made.name_, size_bytes));
      break;
  }
  return made;
}

absl::Status KernelObject::Remove() {
  switch (backend_) {
    case BackendKind::kMemfd:
      fd_.Reset();
      return absl::OkStatus();
    case BackendKind::kPosix:
      return sys::ShmUnlink(name_);
    case BackendKind::kSysv:
      return sys::ShmRemove(sysv_id_);
    case BackendKind::kMappedFile:
      break;
  }
  ASSIGN_OR_RETURN(const UniqueFd root, OpenToFlush(folder_));
  RETURN_IF_ERROR(sys::UnlinkIn(root.get(), name_));
  return sys::Fsync(root.get());
}

}  // namespace shmd::bench
