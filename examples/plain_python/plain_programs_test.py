"""The plain examples in Python and Go hand memory to each other."""

import os
import pwd
import shutil
import subprocess
import unittest

import grpcurl
from daemon_case import DaemonCase

EXAMPLES = os.path.join(os.environ["SHMD_SOURCES"], "examples")
TEXT = "memory, not messages: \u00e4\u20ac " + "x" * 100000


class PlainProgramsTest(DaemonCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        home = pwd.getpwuid(os.getuid()).pw_dir
        cls.environment = {
            "HOME": home,
            **os.environ,
            # What scripts/setup fetched is enough.
            "GOPROXY": "off",
            "GOFLAGS": "-mod=readonly",
            "GOTOOLCHAIN": "local",
            "PATH": ":".join([os.environ["PATH"], "/usr/local/go/bin",
                              os.path.dirname(grpcurl.find())]),
            "SHMD_SOCKET_DIR": cls.shmd.socket_dir,
        }
        stubs = os.path.join(cls.shmd.folder, "python")
        cls.run_in("/", os.path.join(EXAMPLES, "plain_python", "generate"),
                   stubs)
        go = os.path.join(cls.shmd.folder, "go")
        cls.run_in("/", os.path.join(EXAMPLES, "plain_go", "generate"), go)
        cls.run_in(go, shutil.which("go", path=cls.environment["PATH"]),
                   "build", "-o", "plain_go", ".")
        cls.environment["PYTHONPATH"] = stubs
        cls.programs = {
            "Python": ["/usr/bin/python3",
                       os.path.join(EXAMPLES, "plain_python", "main.py")],
            "Go": [os.path.join(go, "plain_go")],
        }

    @classmethod
    def run_in(cls, folder, *command, uid=None):
        done = subprocess.run(
            command, cwd=folder, env=cls.environment, capture_output=True,
            text=True, timeout=240, user=uid, group=uid,
            extra_groups=None if uid is None else [])
        if done.returncode != 0:
            raise AssertionError("%s: %s" % (command[0], done.stderr))
        return done.stdout

    def test_each_reads_what_the_other_wrote(self):
        for writer, write in self.programs.items():
            for reader, read in self.programs.items():
                with self.subTest(writer=writer, reader=reader):
                    handle = self.run_in("/", *write, "write", TEXT).strip()
                    self.assertRegex(handle, "^shm1[.]")
                    self.addCleanup(self.remove_all)
                    self.assertEqual(
                        self.run_in("/", *read, "read", handle), TEXT + "\n")

    def remove_all(self):
        reply = self.ok("ListSegments", {"parent": "namespaces/default"})
        for segment in reply.get("segments", []):
            self.remove(segment["name"])

    def test_each_says_why_it_was_refused(self):
        for name, program in self.programs.items():
            with self.subTest(name):
                with self.assertRaisesRegex(AssertionError, "handle"):
                    self.run_in("/", *program, "read", "shm1.forged")

    def test_each_says_how_it_is_called(self):
        for name, program in self.programs.items():
            with self.subTest(name):
                with self.assertRaisesRegex(AssertionError, "usage: "):
                    self.run_in("/", *program, "read")

    def test_they_are_short(self):
        for path in ("plain_python/main.py", "plain_go/main.go"):
            with open(os.path.join(EXAMPLES, path)) as source:
                self.assertLessEqual(len(source.readlines()), 80, path)


if __name__ == "__main__":
    unittest.main()
