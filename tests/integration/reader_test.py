"""A reader cannot write, and a writer cannot make a reader crash."""

import ctypes
import errno
import fcntl
import mmap
import os
import unittest

import attach_socket
import isolation
import sysv
from attach_socket import READ, READ_WRITE, Connection
from daemon_case import DaemonCase, encoded

OWNER, READER = 4001, 4003
SIZE = 8192

_F_ADD_SEALS = 1033
_F_SEAL_WRITE = 8
_FALLOC_FL_PUNCH_HOLE_KEEP_SIZE = 3

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long,
                            ctypes.c_long]


def error_of(function, *arguments):
    """The name of the errno with which it fails, or "" when it succeeds."""
    try:
        result = function(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
    if function in (_libc.mprotect, _libc.fallocate) and result != 0:
        return errno.errorcode[ctypes.get_errno()]
    return ""


def try_to_write(path, handle):
    """As a reader, tries each way to write; returns {way: its errno}."""
    with Connection(path) as connection:
        attachment, descriptor = connection.attach(handle, READ)
        if descriptor is None:
            return try_to_write_sysv(attachment.sysv_id)
        mapping = _map_read_only(descriptor)
        reopened = "/proc/self/fd/%d" % descriptor
        return {
            "mprotect": error_of(_libc.mprotect, mapping, SIZE,
                                 mmap.PROT_READ | mmap.PROT_WRITE),
            "map": error_of(attach_socket.map_descriptor, descriptor, SIZE,
                            True),
            "reopen": error_of(os.open, reopened, os.O_RDWR),
            "reopen to write": error_of(os.open, reopened, os.O_WRONLY),
            "reopen to cut": error_of(os.open, reopened,
                                      os.O_RDONLY | os.O_TRUNC),
            "write": error_of(os.pwrite, descriptor, b"x", 0),
            "cut": error_of(os.ftruncate, descriptor, 0),
            "path cut": error_of(os.truncate, reopened, 0),
            "hole": error_of(_libc.fallocate, descriptor,
                             _FALLOC_FL_PUNCH_HOLE_KEEP_SIZE, 0, 4096),
            "mode": error_of(os.fchmod, descriptor, 0o666),
            "seal": error_of(fcntl.fcntl, descriptor, _F_ADD_SEALS,
                             _F_SEAL_WRITE),
        }


def _map_read_only(descriptor):
    _libc.mmap.restype = ctypes.c_void_p
    _libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int,
                           ctypes.c_int, ctypes.c_int, ctypes.c_long]
    address = _libc.mmap(None, SIZE, mmap.PROT_READ, mmap.MAP_SHARED,
                         descriptor, 0)
    assert address != ctypes.c_void_p(-1).value
    return address


def try_to_write_sysv(shmid):
    with sysv.Attached(shmid, read_only=True) as memory:
        return {
            "mprotect": error_of(_libc.mprotect, memory.address, SIZE,
                                 mmap.PROT_READ | mmap.PROT_WRITE),
            "attach": error_of(sysv.Attached, shmid),
            "remove": error_of(sysv.remove, shmid),
        }


def harm_as_writer(path, handle):
    """As a writer, tries to cut and to seal; returns {way: its errno}."""
    with Connection(path) as connection:
        _, descriptor = connection.attach(handle, READ_WRITE)
        return {
            "cut": error_of(os.ftruncate, descriptor, 0),
            "cut a byte": error_of(os.ftruncate, descriptor, SIZE - 1),
            "grow": error_of(os.ftruncate, descriptor, 2 * SIZE),
            "path cut": error_of(os.truncate,
                                 "/proc/self/fd/%d" % descriptor, 0),
            "hole": error_of(_libc.fallocate, descriptor,
                             _FALLOC_FL_PUNCH_HOLE_KEEP_SIZE, 0, SIZE),
        }


class ReaderTest(DaemonCase):

    def each_backend(self, **more):
        for fields in ({"backend": "MEMFD"}, {"backend": "POSIX"},
                       {"backend": "SYSV"},
                       {"backend": "MAPPED_FILE",
                        "file_path": self.fresh_id()}):
            yield self.create(fields, size_bytes=SIZE, owner=OWNER, **more)

    def test_a_reader_of_another_uid_cannot_write(self):
        for made in self.each_backend(mode=0o644):
            with self.subTest(made["backend"]):
                self.ok("WriteSegment", {"name": made["name"],
                                         "data": encoded(b"untouched")})
                ways = isolation.run_as(READER, try_to_write,
                                        self.shmd.attach_socket,
                                        made["handle_string"])
                for way, name in ways.items():
                    self.assertNotEqual(name, "", way)
                reply = self.ok("ReadSegment", {"name": made["name"],
                                                "length_bytes": 9})
                self.assertEqual(reply["data"], encoded(b"untouched"))

    def test_a_reading_owner_cannot_write_through_what_it_was_given(self):
        for made in self.each_backend():
            with self.subTest(made["backend"]):
                ways = isolation.run_as(OWNER, try_to_write,
                                        self.shmd.attach_socket,
                                        made["handle_string"])
                self.assertEqual(ways["mprotect"], "EACCES")
                if "map" in ways:
                    self.assertEqual((ways["map"], ways["write"]),
                                     ("EACCES", "EBADF"))

    def test_an_uninvited_uid_gets_nothing(self):
        for made in self.each_backend():
            for access in (READ, READ_WRITE):
                with self.subTest(backend=made["backend"], access=access):
                    self.assertEqual(
                        isolation.run_as(READER, attach_socket.refusal,
                                         self.shmd.attach_socket,
                                         made["handle_string"], access),
                        ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED"))

    def test_a_writer_cannot_pull_a_memfd_from_under_readers(self):
        for policy in ("SEALABLE", "NEVER_SEALED"):
            for resizable in (False, True):
                with self.subTest(policy=policy, resizable=resizable):
                    self.cut_under_a_reader(policy, resizable)

    def cut_under_a_reader(self, policy, resizable):
        made = self.create(size_bytes=SIZE, owner=OWNER, mode=0o644,
                           seal_policy=policy, resizable=resizable)
        with Connection(self.shmd.attach_socket) as connection:
            attachment, descriptor = connection.attach(made["handle_string"])
            self.addCleanup(os.close, descriptor)
            self.assertTrue(attachment.seals & 0x0002)  # F_SEAL_SHRINK
            memory = attach_socket.map_descriptor(descriptor, SIZE)
            ways = isolation.run_as(OWNER, harm_as_writer,
                                    self.shmd.attach_socket,
                                    made["handle_string"])
            for way in ("cut", "cut a byte"):
                self.assertEqual(ways[way], "EPERM", way)
            self.assertIn(ways["path cut"], ("EPERM", "EACCES"))
            if not resizable:
                self.assertEqual(ways["grow"], "EPERM")
            # Every byte can still be read: this process would die of SIGBUS.
            self.assertEqual(memory[:], bytes(SIZE))
            memory.close()

    def test_a_fresh_segment_holds_nothing_of_others(self):
        for _ in range(2):
            for made in self.each_backend(mode=0o644):
                reply = self.ok("ReadSegment", {"name": made["name"]})
                self.assertEqual(reply["data"], encoded(bytes(SIZE)))
                self.ok("WriteSegment", {"name": made["name"],
                                         "data": encoded(b"S" * SIZE)})
                self.ok("DeleteSegment", {"name": made["name"]})


if __name__ == "__main__":
    unittest.main()
