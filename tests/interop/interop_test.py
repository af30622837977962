"""Programs in plain C that know nothing of shmd share memory with it."""

import base64
import os
import subprocess
import unittest

import sysv
from daemon_case import DaemonCase, PARENT, encoded

SIZE = 6000


class InteropTest(DaemonCase):

    def kinds(self):
        """(backend, C program, its NAME, the segment's fields) of each kind,
        with names that nothing else has."""
        number = os.getpid() & 0xffff
        name = self.fresh_id()
        key = 0x44000000 | number
        path = os.path.join(self.shmd.file_root, name)
        return (("POSIX", "plain_posix", "/" + name,
                 {"posix_name": "/" + name}),
                ("SYSV", "plain_sysv", str(key), {"sysv_key": key}),
                ("MAPPED_FILE", "plain_file", path, {"file_path": name}))

    def run_plain(self, program, verb, *arguments):
        binary = os.path.join(os.environ["SHMD_SOURCES"], "tests", "interop",
                              program)
        return subprocess.run([binary, verb, *map(str, arguments)],
                              check=True, stdout=subprocess.PIPE,
                              timeout=60).stdout.decode()

    def text_of(self, name):
        reply = self.ok("ReadSegment", {"name": name})
        data = base64.b64decode(reply["data"])
        self.assertEqual(len(data), SIZE)
        return data.partition(b"\0")[0].decode()

    def test_plain_programs_share_segments_made_by_grpcurl(self):
        for backend, program, name, fields in self.kinds():
            with self.subTest(backend):
                made = self.create(backend=backend, size_bytes=SIZE, **fields)
                self.run_plain(program, "write", name, SIZE, "from C")
                self.assertEqual(self.text_of(made["name"]), "from C")
                self.ok("WriteSegment", {"name": made["name"],
                                         "data": encoded(b"from RPC\0")})
                self.assertEqual(
                    self.run_plain(program, "read", name, SIZE), "from RPC")

    def test_memory_of_plain_programs_is_adopted_and_given_back(self):
        for backend, program, name, fields in self.kinds():
            with self.subTest(backend):
                self.run_plain(program, "make", name, SIZE, "made by C")
                try:
                    self.adopt_and_disown(backend, program, name, fields)
                finally:
                    self.run_plain(program, "remove", name, SIZE)

    def adopt_and_disown(self, backend, program, name, fields):
        before = self.properties(backend, name)
        request = {"parent": PARENT, "segment_id": self.fresh_id(),
                   "segment": {"backend": backend, **fields,
                               "labels": {"found": "yes"}}}
        adopted = self.ok("AdoptSegment", request)
        self.addCleanup(self.remove, adopted["name"])
        self.assertEqual((adopted["adopted"], adopted["size_bytes"],
                          adopted["mode"]), (True, str(SIZE), 0o640))
        listed = self.ok("ListSegments", {"parent": PARENT,
                                          "filter": "labels:found"})
        self.assertEqual([segment["name"] for segment in listed["segments"]],
                         [adopted["name"]])
        self.assertEqual(self.text_of(adopted["name"]), "made by C")
        self.refused("ALREADY_EXISTS", "OBJECT_MANAGED", "AdoptSegment",
                     {**request, "segment_id": self.fresh_id()})
        self.refused("FAILED_PRECONDITION", "SEGMENT_ADOPTED",
                     "DeleteSegment", {"name": adopted["name"]})
        self.assertEqual(self.properties(backend, name), before)
        self.ok("DisownSegment", {"name": adopted["name"]})
        self.refused("NOT_FOUND", "SEGMENT_NOT_FOUND", "GetSegment",
                     {"name": adopted["name"]})
        self.assertEqual(self.properties(backend, name), before)
        self.assertEqual(self.run_plain(program, "read", name, SIZE),
                         "made by C")

    def properties(self, backend, name):
        """What disowning must leave as it was."""
        if backend == "SYSV":
            row, = [row for row in sysv.read_table().values()
                    if row["key"] & 0xffffffff == int(name)]
            return {key: row[key] for key in
                    ("shmid", "perms", "size", "uid", "gid", "cuid", "cgid",
                     "ctime", "nattch")}
        path = "/dev/shm" + name if backend == "POSIX" else name
        status = os.stat(path)
        with open(path, "rb") as file:
            content = file.read()
        return (status.st_ino, status.st_mode, status.st_uid, status.st_gid,
                status.st_nlink, status.st_size, content)

    def test_an_adopted_segment_that_expires_is_given_back(self):
        for backend, program, name, fields in self.kinds():
            with self.subTest(backend):
                self.run_plain(program, "make", name, SIZE, "stays")
                try:
                    before = self.properties(backend, name)
                    self.adopt_until_expiry(backend, fields)
                    self.assertEqual(self.properties(backend, name), before)
                finally:
                    self.run_plain(program, "remove", name, SIZE)

    def adopt_until_expiry(self, backend, fields):
        with self.shmd.watch({"parent": PARENT}) as stream:
            adopted = self.ok("AdoptSegment", {
                "parent": PARENT, "segment_id": self.fresh_id(),
                "segment": {"backend": backend, **fields, "ttl": "0.05s"}})
            while True:
                event = stream.next()
                if event["type"] == "DELETED" and (
                        event["segment"]["name"] == adopted["name"]):
                    return

    def test_adopts_by_shmid(self):
        shmid = sysv.get(0, SIZE)
        self.addCleanup(sysv.remove, shmid)
        adopted = self.ok("AdoptSegment", {
            "parent": PARENT, "segment_id": self.fresh_id(),
            "segment": {"backend": "SYSV"}, "sysv_id": shmid})
        self.assertEqual(adopted["size_bytes"], str(SIZE))
        self.ok("DisownSegment", {"name": adopted["name"]})
        self.assertIn(shmid, sysv.read_table())

    def test_forced_deletion_removes_an_adopted_object(self):
        for backend, program, name, fields in self.kinds():
            with self.subTest(backend):
                self.run_plain(program, "make", name, SIZE, "goes")
                adopted = self.ok("AdoptSegment", {
                    "parent": PARENT, "segment_id": self.fresh_id(),
                    "segment": {"backend": backend, **fields}})
                self.ok("DeleteSegment", {"name": adopted["name"],
                                          "force": True})
                with self.assertRaises(subprocess.CalledProcessError):
                    self.run_plain(program, "read", name, SIZE)

    def test_disowning_our_own_segment_leaves_it_to_plain_programs(self):
        for backend, program, name, fields in self.kinds():
            with self.subTest(backend):
                made = self.create(backend=backend, size_bytes=SIZE, **fields)
                self.run_plain(program, "write", name, SIZE, "yours")
                self.ok("DisownSegment", {"name": made["name"]})
                self.assertEqual(
                    self.run_plain(program, "read", name, SIZE), "yours")
                self.run_plain(program, "remove", name, SIZE)

    def test_refuses_what_cannot_be_adopted(self):
        root = self.shmd.file_root
        name = self.fresh_id()
        inodes = {"folder": os.mkdir, "pipe": os.mkfifo,
                  "empty": lambda path: open(path, "w").close(),
                  "link": lambda path: os.symlink("empty", path)}
        for kind, make in inodes.items():
            path = os.path.join(root, kind)
            make(path)
            self.addCleanup(os.rmdir if kind == "folder" else os.remove, path)
        with open(os.path.join(root, "twice"), "w") as file:
            file.write("content")
        os.link(os.path.join(root, "twice"), os.path.join(root, "twice2"))
        for path in ("twice", "twice2"):
            self.addCleanup(os.remove, os.path.join(root, path))

        bad, unsuitable = "INVALID_ARGUMENT", ("FAILED_PRECONDITION",
                                               "OBJECT_UNSUITABLE")
        absent = ("NOT_FOUND", "OBJECT_NOT_FOUND")
        for what, (code, reason), fields in (
                ("no backend", (bad, "BACKEND_INVALID"), {}),
                ("memfd", (bad, "BACKEND_INVALID"), {"backend": "MEMFD"}),
                ("unknown", (bad, "BACKEND_INVALID"), {"backend": 77}),
                ("no name", (bad, "BACKEND_INVALID"),
                 {"backend": "POSIX"}),
                ("bad name", (bad, "POSIX_NAME_INVALID"),
                 {"backend": "POSIX", "posix_name": "/../x"}),
                ("no path", (bad, "BACKEND_INVALID"),
                 {"backend": "MAPPED_FILE"}),
                ("link", (bad, "FILE_PATH_INVALID"),
                 {"backend": "MAPPED_FILE", "file_path": "link"}),
                ("outside", (bad, "FILE_PATH_INVALID"),
                 {"backend": "MAPPED_FILE", "file_path": "/etc/hosts"}),
                ("bad label", (bad, "LABEL_INVALID"),
                 {"backend": "POSIX", "posix_name": "/x",
                  "labels": {"A": ""}}),
                ("absent name", absent,
                 {"backend": "POSIX", "posix_name": "/" + name}),
                ("absent key", absent,
                 {"backend": "SYSV", "sysv_key": 0x77777777}),
                ("absent file", absent,
                 {"backend": "MAPPED_FILE", "file_path": name}),
                ("folder", unsuitable,
                 {"backend": "MAPPED_FILE", "file_path": "folder"}),
                ("pipe", unsuitable,
                 {"backend": "MAPPED_FILE", "file_path": "pipe"}),
                ("empty", unsuitable,
                 {"backend": "MAPPED_FILE", "file_path": "empty"}),
                ("linked twice", unsuitable,
                 {"backend": "MAPPED_FILE", "file_path": "twice"})):
            with self.subTest(what):
                self.refused(code, reason, "AdoptSegment",
                             {"parent": PARENT,
                              "segment_id": self.fresh_id(),
                              "segment": fields})

    def test_only_its_owner_may_have_an_object_adopted(self):
        for backend, program, name, fields in self.kinds():
            with self.subTest(backend):
                self.run_plain(program, "make", name, SIZE, "root's")
                try:
                    self.refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                                 "AdoptSegment",
                                 {"parent": PARENT,
                                  "segment_id": self.fresh_id(),
                                  "segment": {"backend": backend, **fields}},
                                 uid=4001)
                finally:
                    self.run_plain(program, "remove", name, SIZE)

    def test_what_others_removed_or_replaced_is_told(self):
        for backend, program, name, fields in self.kinds():
            with self.subTest(backend):
                made = self.create(backend=backend, size_bytes=SIZE, **fields)
                self.run_plain(program, "remove", name, SIZE)
                self.run_plain(program, "make", name, SIZE, "another")
                try:
                    outcome = self.shmd.call("DeleteSegment",
                                             {"name": made["name"]})
                    self.assertEqual(outcome.code, "OK", outcome)
                    self.assertEqual(
                        self.run_plain(program, "read", name, SIZE),
                        "another")
                finally:
                    self.run_plain(program, "remove", name, SIZE)

    def test_a_file_cut_by_others_is_told(self):
        for backend, _, name, fields in self.kinds():
            if backend == "SYSV":
                continue  # the kernel cannot shrink one
            with self.subTest(backend):
                made = self.create(backend=backend, size_bytes=SIZE, **fields)
                path = "/dev/shm" + name if backend == "POSIX" else name
                os.truncate(path, 10)
                for method, more in (("ReadSegment", {}),
                                     ("WriteSegment",
                                      {"offset_bytes": 5000,
                                       "data": encoded(b"x")})):
                    self.refused("DATA_LOSS", "SEGMENT_TRUNCATED", method,
                                 {"name": made["name"], **more})


if __name__ == "__main__":
    unittest.main()
