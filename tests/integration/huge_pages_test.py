"""Segments of pages of 2 MiB, from the call to the mapping and back."""

import mmap
import os
import shutil
import tempfile
import unittest

import daemon
import huge_pages
import isolation
import sysv
from attach_socket import READ_WRITE, Connection
from daemon_case import DaemonCase, encoded

PAGE = 2 << 20
SIZE = 2 * PAGE


class HugePagesTest(DaemonCase):

    @classmethod
    def make_daemon(cls):
        files = tempfile.mkdtemp(prefix="shmd-huge-")
        cls.addClassCleanup(shutil.rmtree, files, ignore_errors=True)
        isolation.mount("-t", "hugetlbfs", "-o", "pagesize=2M", "none", files)
        cls.addClassCleanup(isolation.unmount, files)
        return daemon.Daemon(file_root=files)

    def write(self, handle, data):
        """At the end of the segment, through a mapping."""
        with Connection(self.shmd.attach_socket) as connection:
            attachment, descriptor = connection.attach(handle, READ_WRITE)
            self.assertEqual(attachment.page_size_bytes, PAGE)
            self.assertEqual(attachment.size_bytes, SIZE)
            if descriptor is None:
                with sysv.Attached(attachment.sysv_id) as memory:
                    memory.write(data, SIZE - len(data))
                return
            try:
                with mmap.mmap(descriptor, SIZE) as memory:
                    memory[SIZE - len(data):] = data
            finally:
                os.close(descriptor)

    def go_through(self, backend):
        name = self.fresh_id()
        path = {"file_path": name} if backend == "MAPPED_FILE" else {}
        made = self.create(backend=backend, size_bytes=SIZE,
                           page_size_bytes=PAGE, **path)
        data = b"by a mapping of huge pages"
        self.write(made["handle_string"], data)
        read = self.ok("ReadSegment", {
            "name": made["name"], "offset_bytes": SIZE - len(data),
            "length_bytes": len(data)})
        self.assertEqual(read["data"], encoded(data))
        status = self.ok("GetSegment", {"name": made["name"]})["status"]
        self.assertEqual(status["page_size_bytes"], str(PAGE))
        self.assertEqual(status["resident_bytes"], str(SIZE))
        self.ok("DeleteSegment", {"name": made["name"]})

    def test_each_backend_that_has_them(self):
        with huge_pages.reserved(4) as enough:
            if not enough:
                self.skipTest("the kernel has no huge pages to give")
            for backend in ("MEMFD", "SYSV", "MAPPED_FILE"):
                with self.subTest(backend):
                    self.go_through(backend)

    def test_posix_shared_memory_has_none(self):
        outcome = self.shmd.call("CreateSegment", {
            "parent": "namespaces/default", "segment": {
                "backend": "POSIX", "size_bytes": SIZE,
                "page_size_bytes": PAGE}})
        self.assertEqual((outcome.code, outcome.reason),
                         ("UNIMPLEMENTED", "BACKEND_UNSUPPORTED"))


if __name__ == "__main__":
    unittest.main()
