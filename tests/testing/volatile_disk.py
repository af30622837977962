"""A disk whose power can fail: what was written since the last flush is in a
cache that is lost then, wholly or in part, as that of a drive is.

A file system of one file, which this program serves itself over /dev/fuse
(linux/fuse.h), behind a loop device: the kernel sends it every write, and an
fsync for every flush of the device."""

import ctypes
import errno
import fcntl
import os
import random
import signal
import struct
import subprocess
import traceback

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG = 1
_FORGET, _GETATTR, _SETATTR, _OPEN, _READ, _WRITE = 2, 3, 4, 14, 15, 16
_RELEASE, _FSYNC, _FLUSH, _INIT, _INTERRUPT = 18, 20, 25, 26, 36
_BATCH_FORGET = 42
_REQUEST_HEADER = struct.Struct("<IIQQIIII")
_REPLY_HEADER = struct.Struct("<IiQ")
_RECORD = struct.Struct("<QI")
_MAX_WRITE_BYTES = 128 << 10
_SECTOR_BYTES = 512


class _Server:
    """Answers the kernel. `durable` has what was flushed, `cached` what was
    written since: an offset, a length and bytes, again and again."""

    def __init__(self, fuse, durable, cached, size):
        self._fuse = fuse
        self._durable = durable
        self._cached = cached
        self._size = size
        self._sectors = {}  # what is not durable yet, by number

    def run(self):
        while True:
            try:
                request = os.read(self._fuse, _MAX_WRITE_BYTES + 4096)
            except OSError as error:
                if error.errno == errno.ENODEV:  # unmounted
                    return
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                raise
            _, opcode, unique, *_ = _REQUEST_HEADER.unpack_from(request)
            if opcode in (_FORGET, _BATCH_FORGET, _INTERRUPT):
                continue
            body = request[_REQUEST_HEADER.size:]
            reply = self._answer(opcode, body)
            failed = isinstance(reply, int)
            data = b"" if failed else reply
            os.write(self._fuse, _REPLY_HEADER.pack(
                _REPLY_HEADER.size + len(data), -reply if failed else 0,
                unique) + data)

    def _answer(self, opcode, body):
        """The bytes of a reply, or an errno."""
        if opcode == _INIT:
            return struct.pack("<IIIIHHIIHHI7I", 7, 31, _MAX_WRITE_BYTES, 0,
                               16, 12, _MAX_WRITE_BYTES, 1, 0, 0, 0, *[0] * 7)
        if opcode in (_GETATTR, _SETATTR):
            return struct.pack("<QII", 3600, 0, 0) + struct.pack(
                "<6Q10I", 1, self._size, self._size // 512, 0, 0, 0, 0, 0, 0,
                0o100600, 1, 0, 0, 0, 4096, 0)
        if opcode == _OPEN:
            return struct.pack("<QII", 1, 0, 0)
        if opcode == _READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            return self._read(offset, size)
        if opcode == _WRITE:
            _, offset, size = struct.unpack_from("<QQI", body)
            self._write(offset, body[40:40 + size])
            return struct.pack("<II", size, 0)
        if opcode == _FSYNC:
            self._make_durable()
            return b""
        if opcode in (_FLUSH, _RELEASE):
            return b""
        return errno.ENOSYS

    def _read(self, offset, size):
        data = bytearray(os.pread(self._durable, size, offset))
        data.extend(bytes(size - len(data)))
        for at in range(0, size, _SECTOR_BYTES):
            sector = self._sectors.get((offset + at) // _SECTOR_BYTES)
            if sector is not None:
                data[at:at + _SECTOR_BYTES] = sector
        return bytes(data[:max(0, min(size, self._size - offset))])

    def _write(self, offset, data):
        assert offset % _SECTOR_BYTES == 0 and len(data) % _SECTOR_BYTES == 0
        fcntl.flock(self._durable, fcntl.LOCK_EX)
        os.write(self._cached, _RECORD.pack(offset, len(data)) + data)
        fcntl.flock(self._durable, fcntl.LOCK_UN)
        for at in range(0, len(data), _SECTOR_BYTES):
            self._sectors[(offset + at) // _SECTOR_BYTES] = (
                data[at:at + _SECTOR_BYTES])

    def _make_durable(self):
        fcntl.flock(self._durable, fcntl.LOCK_EX)
        for number, data in self._sectors.items():
            os.pwrite(self._durable, data, number * _SECTOR_BYTES)
        self._sectors.clear()
        os.ftruncate(self._cached, 0)
        os.lseek(self._cached, 0, os.SEEK_SET)
        fcntl.flock(self._durable, fcntl.LOCK_UN)


class LoopDevice:
    """A loop device of a file, which ends with its last user: this object, a
    mount, or this process if it is killed."""

    def __init__(self, path):
        self.path = subprocess.run(
            ["losetup", "--find", "--show", path], check=True,
            stdout=subprocess.PIPE, text=True).stdout.strip()
        self._descriptor = os.open(self.path, os.O_RDONLY)
        # While it is open this only says that the last user ends it.
        subprocess.run(["losetup", "--detach", self.path], check=True)

    def close(self):
        os.close(self._descriptor)


class VolatileDisk:
    """A loop device of `size` bytes, in the mount namespace of the caller.
    `folder` is where its files may lie."""

    def __init__(self, folder, size):
        self._durable = os.path.join(folder, "durable")
        self._cached = os.path.join(folder, "cached")
        self._file = os.path.join(folder, "disk")
        for path in (self._durable, self._cached, self._file):
            open(path, "wb").close()
        os.truncate(self._durable, size)
        fuse = os.open("/dev/fuse", os.O_RDWR)
        options = "fd=%d,rootmode=100600,user_id=0,group_id=0" % fuse
        if _libc.mount(b"disk", self._file.encode(), b"fuse", 0,
                       options.encode()) != 0:
            raise OSError(ctypes.get_errno(), "mount of a FUSE file system")
        self._server = os.fork()
        if self._server == 0:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            try:
                _Server(fuse, os.open(self._durable, os.O_RDWR),
                        os.open(self._cached, os.O_RDWR), size).run()
            except BaseException:  # noqa: a child returns to nobody
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(fuse)
        try:
            self._loop = LoopDevice(self._file)
        except BaseException:
            self._end_server()
            raise
        self.device = self._loop.path

    def fail_power(self, image, seed=None):
        """Makes a file `image` of what is left if the power fails now: nothing
        of the cache, or, with a seed, some of its writes."""
        with open(self._durable, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            subprocess.run(["cp", "--sparse=always", self._durable, image],
                           check=True)
            with open(self._cached, "rb") as cached:
                records = cached.read()
        if seed is None:
            return
        chance = random.Random(seed)
        with open(image, "r+b") as file:
            while records:
                offset, length = _RECORD.unpack_from(records)
                data = records[_RECORD.size:_RECORD.size + length]
                records = records[_RECORD.size + length:]
                if chance.random() < 0.5:
                    file.seek(offset)
                    file.write(data)

    def close(self):
        """After the device was unmounted."""
        self._loop.close()
        self._end_server()
        for path in (self._durable, self._cached, self._file):
            os.remove(path)

    def _end_server(self):
        subprocess.run(["umount", "--lazy", self._file], check=True)
        os.kill(self._server, signal.SIGKILL)
        os.waitpid(self._server, 0)
