#include "client/cpp/file_transfer.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "base/error.h"
#include "base/error_reason.h"
#include "base/failpoint.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace shmd {
inline namespace client {
namespace {

// sendfile(2) from the page cache into a fresh memfd: 2.6 GB/s; pread(2) into
// a buffer and pwrite(2): 2.3; read(2) into the mapping, populated ahead or
// not: 1.4 to 1.6, because pages that a fault makes are cleared first. The
// chunk's size made no difference from 256 KiB to 4 MiB.
constexpr uint64_t kChunkBytes = 4 << 20;

// ENOSPC and the like keep their code, so that callers can tell.
absl::Status FileStatus(int error_number, absl::string_view path,
                        absl::string_view what) {
  absl::StatusCode code = absl::ErrnoToStatusCode(error_number);
  if (error_number == EFBIG || error_number == EDQUOT) {
    code = absl::StatusCode::kResourceExhausted;
  }
  return Error(code, reason::kFileError,
               absl::StrCat(path, ": ", what, ": ", strerror(error_number)))
      .With("path", path)
      .With("errno", error_number);
}

absl::Status FileStatus(absl::string_view path, absl::string_view why) {
  return Error(absl::StatusCode::kFailedPrecondition, reason::kFileError,
               absl::StrCat(path, ": ", why))
      .With("path", path);
}

absl::Status TruncatedStatus(absl::string_view name) {
  return Error(absl::StatusCode::kDataLoss, reason::kSegmentTruncated,
               absl::StrCat("another program made ", name, " smaller"))
      .With("name", name);
}

// A regular file that is being read, and what it was when that began.
class SourceFile {
 public:
  static absl::StatusOr<SourceFile> Open(const std::string& path) {
    SourceFile file;
    file.path_ = path;
    file.fd_.Reset(
        open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (!file.fd_.valid()) return FileStatus(errno, path, "open");
    if (fstat(file.fd_.get(), &file.before_) != 0) {
      return FileStatus(errno, path, "fstat");
    }
    if (!S_ISREG(file.before_.st_mode)) {
      return FileStatus(path, "not a regular file");
    }
    if (file.before_.st_size == 0) {
      return FileStatus(path, "the file is empty, and no segment can be");
    }
    return file;
  }

  const std::string& path() const { return path_; }
  int fd() const { return fd_.get(); }
  uint64_t size_bytes() const { return static_cast<uint64_t>(before_.st_size); }

  // FILE_ERROR unless it is as it was.
  absl::Status CheckUnchanged() const {
    struct stat now;
    if (fstat(fd_.get(), &now) != 0) return FileStatus(errno, path_, "fstat");
    if (now.st_size != before_.st_size ||
        now.st_mtim.tv_sec != before_.st_mtim.tv_sec ||
        now.st_mtim.tv_nsec != before_.st_mtim.tv_nsec) {
      return ChangedStatus();
    }
    return absl::OkStatus();
  }

  absl::Status ChangedStatus() const {
    return FileStatus(path_, "the file changed while it was read");
  }

 private:
  std::string path_;
  UniqueFd fd_;
  struct stat before_ = {};
};

// Calls `step(offset, count)`, which returns how many bytes it moved, or -1
// and errno, until `total` are moved or it returns 0. Returns how many were
// moved; errno is 0 unless a step failed, and ECANCELED when `progress` stopped
// it.
template <typename Step>
uint64_t MoveInChunks(uint64_t total, const ProgressCallback& progress,
                      const Step& step) {
  uint64_t done = 0;
  errno = 0;
  while (done < total) {
    const ssize_t moved = step(done, std::min(total - done, kChunkBytes));
    if (moved < 0 && errno == EINTR) {
      errno = 0;
      continue;
    }
    if (moved <= 0) {
      if (moved == 0) errno = 0;
      return done;
    }
    done += static_cast<uint64_t>(moved);
    SHMD_FAILPOINT("client.moved");
    if (progress && !progress(done, total)) {
      errno = ECANCELED;
      return done;
    }
  }
  errno = 0;
  return done;
}

// Whether an error of sendfile(2) says that these two cannot be joined so.
bool SendfileUnsuited(int error_number) {
  return error_number == EINVAL || error_number == ENOSYS ||
         error_number == EOPNOTSUPP;
}

// Fills a fresh segment. Neither way of copying can raise SIGBUS: a page that
// cannot be had ends the system call with an error.
absl::Status Fill(Client& client, const Segment& segment,
                  const SourceFile& source, const ProgressCallback& progress) {
  const uint64_t total = source.size_bytes();
  uint64_t done = 0;
  {
    ASSIGN_OR_RETURN(const OpenedSegment opened,
                     client.Open(segment.handle, Access::kReadWrite));
    if (const auto* fd = std::get_if<UniqueFd>(&opened.object)) {
      done = MoveInChunks(total, progress, [&](uint64_t, uint64_t count) {
        return sendfile(fd->get(), source.fd(), nullptr, count);
      });
      if (errno != 0 && !(done == 0 && SendfileUnsuited(errno))) {
        return FileStatus(errno, source.path(), "copying into the segment");
      }
      if (errno == 0 && done < total) return source.ChangedStatus();
    }
  }
  if (done < total) {  // SysV, huge pages, or an odd file system
    AttachOptions options;
    options.allow_revocable = true;
    ASSIGN_OR_RETURN(const WritableAttached mapping,
                     client.MapWritable(segment.handle, options));
    done = MoveInChunks(total, progress, [&](uint64_t offset, uint64_t count) {
      return pread(source.fd(), mapping.bytes().data() + offset, count,
                   static_cast<off_t>(offset));
    });
    if (errno != 0) {
      return FileStatus(errno, source.path(), "reading into the segment");
    }
    if (done < total) return source.ChangedStatus();
  }
  return source.CheckUnchanged();
}

// Copies what `mapping` shows to `fd`. write(2) from a page that is gone fails
// with EFAULT, where a touch would be SIGBUS.
absl::Status WriteOut(const ReadOnlyAttached& mapping, int fd,
                      const std::string& path,
                      const ProgressCallback& progress) {
  const uint64_t total = mapping.size_bytes();
  const uint64_t done =
      MoveInChunks(total, progress, [&](uint64_t offset, uint64_t count) {
        return write(fd, mapping.bytes().data() + offset, count);
      });
  if (errno == EFAULT) return TruncatedStatus(mapping.segment_name());
  if (errno != 0) return FileStatus(errno, path, "write");
  if (done < total) return FileStatus(path, "nothing more can be written");
  return absl::OkStatus();
}

// Copies the handle's range to `fd`.
absl::Status Drain(Client& client, absl::string_view handle, int fd,
                   const std::string& path, const ProgressCallback& progress) {
  {
    ASSIGN_OR_RETURN(const OpenedSegment opened,
                     client.Open(handle, Access::kRead));
    const Attachment::Facts& facts = opened.attachment.facts();
    if (const auto* from = std::get_if<UniqueFd>(&opened.object)) {
      off_t position = static_cast<off_t>(facts.offset_bytes);
      const uint64_t done = MoveInChunks(
          facts.length_bytes, progress, [&](uint64_t, uint64_t count) {
            return sendfile(fd, from->get(), &position, count);
          });
      if (errno == 0) {
        return done == facts.length_bytes ? absl::OkStatus()
                                          : TruncatedStatus(facts.name);
      }
      if (done > 0 || !SendfileUnsuited(errno)) {
        return FileStatus(errno, path, "write");
      }
    }
  }
  AttachOptions options;
  options.allow_revocable = true;
  ASSIGN_OR_RETURN(const ReadOnlyAttached mapping,
                   client.MapReadOnly(handle, options));
  return WriteOut(mapping, fd, path, progress);
}

// A file beside the one that it will be; removed unless that happens.
class UnfinishedFile {
 public:
  explicit UnfinishedFile(const std::string& path) : path_(path) {
    const size_t slash = path.rfind('/');
    folder_ = slash == std::string::npos ? "." : path.substr(0, slash + 1);
    const std::string name =
        slash == std::string::npos ? path : path.substr(slash + 1);
    temporary_ = absl::StrCat(folder_, "/.", name, ".XXXXXX");
  }
  ~UnfinishedFile() {
    if (fd_.valid()) unlink(temporary_.c_str());
  }

  absl::Status Open() {
    struct stat existing;
    if (stat(path_.c_str(), &existing) == 0 && !S_ISREG(existing.st_mode)) {
      return FileStatus(path_, "exists and is not a regular file");
    }
    fd_.Reset(mkostemp(temporary_.data(), O_CLOEXEC));
    if (!fd_.valid()) return FileStatus(errno, path_, "create");
    return absl::OkStatus();
  }

  int fd() const { return fd_.get(); }

  // Gives it its name, once its content is on the storage.
  absl::Status Finish() {
    if (fsync(fd_.get()) != 0) return FileStatus(errno, path_, "fsync");
    if (rename(temporary_.c_str(), path_.c_str()) != 0) {
      return FileStatus(errno, path_, "rename");
    }
    fd_.Reset();
    const UniqueFd folder(
        open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    // Some file systems cannot sync a folder; the file itself is whole.
    if (folder.valid() && fsync(folder.get()) != 0 && errno != EINVAL) {
      return FileStatus(errno, path_, "fsync of its folder");
    }
    return absl::OkStatus();
  }

 private:
  const std::string path_;
  std::string folder_;
  std::string temporary_;
  UniqueFd fd_;
};

}  // namespace

absl::StatusOr<Segment> PutFile(Client& client, const std::string& path,
                                SegmentSpec spec, bool seal,
                                const ProgressCallback& progress) {
  ASSIGN_OR_RETURN(const SourceFile source, SourceFile::Open(path));
  if (spec.size_bytes == 0) {
    const uint64_t page = std::max(spec.page_size_bytes, uint64_t{1});
    spec.size_bytes = (source.size_bytes() + page - 1) / page * page;
  } else if (spec.size_bytes < source.size_bytes()) {
    return InvalidField("size_bytes", reason::kSizeInvalid,
                        absl::StrCat("the file has ", source.size_bytes(),
                                     " bytes, more than the segment's ",
                                     spec.size_bytes))
        .ToStatus();
  }
  // Half of a file ends with this program, if that is what it is to be.
  if (seal && spec.lifetime == Lifetime::kUntilDeleted) {
    spec.lifetime = Lifetime::kSessionUntilSealed;
  }
  ASSIGN_OR_RETURN(Segment segment, client.Create(spec));
  SHMD_FAILPOINT("client.put_made");
  absl::Status status = Fill(client, segment, source, progress);
  SHMD_FAILPOINT("client.put_filled");
  if (status.ok() && seal) {
    absl::StatusOr<Segment> sealed = client.Seal(segment.name);
    if (sealed.ok()) return sealed;
    status = sealed.status();
  }
  if (!status.ok()) {
    DeleteOptions options;
    options.force = true;
    // The first error is the one to tell; without a daemon there is nothing
    // to undo either.
    client.Delete(segment.name, options).IgnoreError();
    return status;
  }
  return segment;
}

absl::Status GetFile(Client& client, absl::string_view handle,
                     const std::string& path,
                     const ProgressCallback& progress) {
  UnfinishedFile file(path);
  RETURN_IF_ERROR(file.Open());
  SHMD_FAILPOINT("client.get_made");
  RETURN_IF_ERROR(Drain(client, handle, file.fd(), path, progress));
  SHMD_FAILPOINT("client.get_written");
  return file.Finish();
}

absl::Status GetToDescriptor(Client& client, absl::string_view handle, int fd,
                             const ProgressCallback& progress) {
  return Drain(client, handle, fd, "output", progress);
}

}  // namespace client
}  // namespace shmd
