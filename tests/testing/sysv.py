"""System V shared memory by the C library, as Python has none of its own."""

import ctypes
import os

IPC_CREAT = 0o1000
IPC_EXCL = 0o2000
_IPC_RMID = 0
_SHM_RDONLY = 0o10000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.shmat.restype = ctypes.c_void_p
_libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]
_libc.shmdt.argtypes = [ctypes.c_void_p]
_libc.shmget.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_int]


def _checked(result):
    if result in (-1, ctypes.c_void_p(-1).value):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def read_table():
    """The SysV segments of this IPC namespace: {id: {column: number}}."""
    with open("/proc/sysvipc/shm") as table:
        columns = table.readline().split()
        rows = [dict(zip(columns, map(int, line.split()))) for line in table]
    return {row["shmid"]: row for row in rows}


def get(key, size, flags=IPC_CREAT | IPC_EXCL | 0o600):
    return _checked(_libc.shmget(ctypes.c_int32(key).value, size, flags))


def remove(shmid):
    _checked(_libc.shmctl(shmid, _IPC_RMID, None))


class Attached:
    """An attached segment; a context manager."""

    def __init__(self, shmid, read_only=False):
        self.address = _checked(
            _libc.shmat(shmid, None, _SHM_RDONLY if read_only else 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        _libc.shmdt(self.address)

    def read(self, length):
        return ctypes.string_at(self.address, length)

    def write(self, data, offset=0):
        ctypes.memmove(self.address + offset, data, len(data))
