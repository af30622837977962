"""Files below a root that stand in folders of their own: whoever may not search
a folder, or make files in it, may not by the daemon either, and learns nothing
of what is there."""

import os
import unittest

from daemon_case import DaemonCase, PARENT

OWNER, GROUP, STRANGER, MEMBER = 5555, 5556, 1234, 1235


class FolderTest(DaemonCase):

    def folder(self, mode, *parts):
        """One of OWNER's below the root; returns its path from there."""
        name = os.path.join(*parts, self.fresh_id())
        path = os.path.join(self.shmd.file_root, name)
        os.mkdir(path)
        os.chown(path, OWNER, GROUP)
        os.chmod(path, mode)
        self.addCleanup(os.rmdir, path)
        return name

    def file(self, folder):
        path = os.path.join(folder, self.fresh_id())
        whole = os.path.join(self.shmd.file_root, path)
        with open(whole, "wb") as file:
            file.truncate(4096)
        os.chown(whole, STRANGER, STRANGER)
        self.addCleanup(os.unlink, whole)
        return path

    def create_in(self, folder, uid, groups=None):
        """The outcome; what was made is removed."""
        made = self.shmd.call("CreateSegment", {
            "parent": PARENT, "segment": {
                "backend": "MAPPED_FILE", "size_bytes": 4096,
                "file_path": os.path.join(folder, self.fresh_id())}},
            uid=uid, groups=groups)
        if made.code == "OK":
            self.ok("DeleteSegment", {"name": made.reply["name"]})
        return made.reason or made.code

    def ask(self, method, path, uid=STRANGER):
        outcome = self.shmd.call(method, {"parent": PARENT, "segment": {
            "backend": "MAPPED_FILE", "file_path": path,
            **({"size_bytes": 4096} if method == "CreateSegment" else {})}},
            uid=uid)
        if outcome.code == "OK":
            self.ok("DisownSegment" if method == "AdoptSegment" else
                    "DeleteSegment", {"name": outcome.reply["name"]})
        return outcome.reason or outcome.code

    def test_who_may_make_files(self):
        private = self.folder(0o700)
        shared = self.folder(0o770)
        searched = self.folder(0o711)
        public = self.folder(0o777)
        for folder, uid, groups, wanted in (
                (private, STRANGER, None, "CALLER_NOT_ALLOWED"),
                (private, OWNER, None, "OK"),
                (private, None, None, "OK"),  # root
                (shared, STRANGER, None, "CALLER_NOT_ALLOWED"),
                (shared, MEMBER, [MEMBER, GROUP], "OK"),
                (searched, STRANGER, None, "CALLER_NOT_ALLOWED"),
                (public, STRANGER, None, "OK"),
                (".", STRANGER, None, "FILE_PATH_INVALID"),  # not its form
                ("", STRANGER, None, "OK")):
            with self.subTest(folder=folder, uid=uid):
                self.assertEqual(self.create_in(folder, uid, groups), wanted)

    def test_each_folder_on_the_way_counts(self):
        outer = self.folder(0o700)
        inner = self.folder(0o777, outer)
        self.assertEqual(self.create_in(inner, STRANGER),
                         "CALLER_NOT_ALLOWED")
        self.assertEqual(self.create_in(inner, OWNER), "OK")

    def test_nobody_learns_what_is_in_a_private_folder(self):
        private = self.folder(0o700)
        known = self.file(private)
        for method in ("CreateSegment", "AdoptSegment"):
            for path in (known, known + "x", private + "/absent/file",
                         known + "/file"):
                with self.subTest(method=method, path=path):
                    self.assertEqual(self.ask(method, path),
                                     "CALLER_NOT_ALLOWED")

    def test_to_adopt_a_file_is_to_search_for_it(self):
        searched = self.file(self.folder(0o711))
        self.assertEqual(self.ask("AdoptSegment", searched), "OK")


if __name__ == "__main__":
    unittest.main()
