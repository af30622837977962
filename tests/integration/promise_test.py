"""No accepted segment kills its user: each is written completely, by other
processes, after something else has filled all that was left."""

import mmap
import os
import unittest

import daemon
import isolation
from daemon_case import DaemonCase, PARENT

KIB = 1 << 10
MIB = 1 << 20


def fill_completely(path):
    """Writes every byte of a file through a mapping; SIGBUS when a page cannot
    be had."""
    with open(path, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        with mmap.mmap(file.fileno(), size) as memory:
            for start in range(0, size, 64 * KIB):
                length = min(64 * KIB, size - start)
                memory[start:start + length] = b"\xa5" * length
    return size


def exhaust(folder):
    """Fills the file system of `folder` to the last byte."""
    written = 0
    with open(os.path.join(folder, "filler"), "wb", buffering=0) as file:
        while True:
            try:
                written += file.write(bytes(4 * KIB))
            except OSError:
                return written


class PromiseTest(DaemonCase):

    def make_until_refused(self, shmd, reason, sizes, **fields):
        made = []
        for size in sizes:
            if fields["backend"] == "MAPPED_FILE":
                fields["file_path"] = self.fresh_id()
            outcome = shmd.call("CreateSegment", {
                "parent": PARENT, "segment_id": self.fresh_id(),
                "segment": {"size_bytes": size, **fields}})
            if outcome.code != "OK":
                self.assertEqual(outcome.reason, reason, outcome)
                continue
            made.append(outcome.reply)
            self.addCleanup(shmd.call, "DeleteSegment",
                            {"name": outcome.reply["name"]})
        self.assertGreater(len(made), 2)
        self.assertLess(len(made), len(sizes))
        return made

    # Odd sizes, together more than there is room for.
    SIZES = [1, 4095, 4097, 100 * KIB + 1, 300 * KIB, 500 * KIB, 400 * KIB,
             64 * KIB, 200 * KIB, 5000, 900 * KIB, 12345]

    def expect_filled(self, folder, paths, sizes):
        self.addCleanup(os.remove, os.path.join(folder, "filler"))
        isolation.run_as(0, exhaust, folder)
        for path, size in zip(paths, sizes):
            self.assertEqual(isolation.run_as(0, fill_completely, path), size)

    def test_posix(self):
        isolation.mount("-o", "remount,size=1m", "/dev/shm")
        self.addCleanup(isolation.mount, "-o", "remount,size=256m",
                        "/dev/shm")
        made = self.make_until_refused(self.shmd, "SHM_SPACE_EXHAUSTED",
                                       self.SIZES, backend="POSIX")
        self.expect_filled("/dev/shm",
                           ["/dev/shm" + one["posix_name"] for one in made],
                           [int(one["size_bytes"]) for one in made])

    def test_posix_after_growing(self):
        isolation.mount("-o", "remount,size=1m", "/dev/shm")
        self.addCleanup(isolation.mount, "-o", "remount,size=256m",
                        "/dev/shm")
        made = self.create(backend="POSIX", size_bytes=5000, resizable=True)
        self.ok("ResizeSegment", {"name": made["name"],
                                  "size_bytes": 700 * KIB + 1})
        self.expect_filled("/dev/shm", ["/dev/shm" + made["posix_name"]],
                           [700 * KIB + 1])

    def test_mapped_file(self):
        root = os.path.join(self.shmd.folder, self.fresh_id())
        os.mkdir(root)
        isolation.mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", root)
        self.addCleanup(isolation.unmount, root)
        own = daemon.Daemon(file_root=root)
        self.addCleanup(own.close)
        made = self.make_until_refused(own, "FILE_SPACE_EXHAUSTED",
                                       self.SIZES, backend="MAPPED_FILE")
        self.expect_filled(root,
                           [os.path.join(root, one["file_path"])
                            for one in made],
                           [int(one["size_bytes"]) for one in made])

    def test_reserved_is_resident(self):
        for fields in ({"backend": "MEMFD", "allocation": "RESERVED"},
                       {"backend": "MEMFD", "populate": True},
                       {"backend": "MEMFD", "lock_in_memory": True},
                       {"backend": "POSIX"},
                       {"backend": "SYSV", "allocation": "RESERVED"},
                       {"backend": "MAPPED_FILE",
                        "file_path": self.fresh_id()}):
            with self.subTest(**fields):
                made = self.create(fields, size_bytes=MIB)
                status = self.ok("GetSegment",
                                 {"name": made["name"]})["status"]
                self.assertGreaterEqual(int(status["resident_bytes"]), MIB)

    def test_lazy_is_not(self):
        for fields in ({"backend": "MEMFD"},
                       {"backend": "POSIX", "allocation": "LAZY"},
                       {"backend": "SYSV"}):
            with self.subTest(**fields):
                made = self.create(fields, size_bytes=MIB)
                status = self.ok("GetSegment",
                                 {"name": made["name"]})["status"]
                self.assertEqual(int(status.get("resident_bytes", 0)), 0)


if __name__ == "__main__":
    unittest.main()
