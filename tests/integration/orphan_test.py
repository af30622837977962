"""OrphanService: what leaked is found and removed, what is used stays."""

import mmap
import os
import re
import unittest

import daemon
import isolation
import sysv
from daemon_case import DaemonCase, PARENT

OWNER, OTHER = 4001, 4002

LIST = "shmd.v1.OrphanService/ListOrphans"
DELETE = "shmd.v1.OrphanService/DeleteOrphan"


def make_posix(name, size=4096):
    with open("/dev/shm" + name, "xb") as file:
        os.posix_fallocate(file.fileno(), 0, size)


def make_sysv(size):
    return os.getpid(), sysv.get(0, size)


class OrphanTest(DaemonCase):

    # What tests make is young.
    FLAGS = ("--orphan_age_seconds=0",)

    def listed(self, **arguments):
        """The caller's orphans by location."""
        reply = self.ok(LIST, {}, **arguments)
        return {orphan["location"]: orphan
                for orphan in reply.get("orphans", [])}

    def leak_posix(self, uid=0, size=4096):
        """The name of an object whose maker has gone."""
        name = "/" + self.fresh_id()
        self.addCleanup(self.unlink, name)
        isolation.run_as(uid, make_posix, name, size)
        return name

    def unlink(self, name):
        if os.path.exists("/dev/shm" + name):
            os.unlink("/dev/shm" + name)

    def leak_sysv(self, uid=0, size=5000):
        """The pid that has made a segment, and its shmid."""
        maker, shmid = isolation.run_as(uid, make_sysv, size)
        self.addCleanup(lambda: shmid in sysv.read_table()
                        and sysv.remove(shmid))
        return maker, shmid

    def delete(self, orphan, **arguments):
        return self.shmd.call(DELETE, {"name": orphan["name"],
                                       "etag": orphan["etag"]}, **arguments)

    def expect_in_use(self, orphan):
        outcome = self.delete(orphan)
        self.assertEqual((outcome.code, outcome.reason),
                         ("FAILED_PRECONDITION", "ORPHAN_IN_USE"), outcome)

    def test_what_dead_programs_left_is_found_and_removed(self):
        name = self.leak_posix(size=12288)
        maker, shmid = self.leak_sysv()
        found = self.listed()
        posix = found[name]
        self.assertEqual(posix["backend"], "POSIX")
        self.assertEqual(posix["resident_bytes"], "12288")
        self.assertEqual(posix["size_bytes"], "12288")
        self.assertRegex(posix["name"], r"^orphans/posix-\d+$")
        self.assertTrue(any(re.match(r"no process has it mapped or open \(\d+ "
                                     r"looked at\)$", fact)
                            for fact in posix["evidence"]), posix)
        segment = next(orphan for orphan in found.values()
                       if orphan["name"] == "orphans/sysv-%d" % shmid)
        self.assertEqual(segment["backend"], "SYSV")
        self.assertEqual(segment["creator_pid"], maker)
        self.assertFalse(segment.get("creator_alive", False))
        self.assertIn("its creator, process %d, is gone" % maker,
                      segment["evidence"])
        for orphan in (posix, segment):
            self.assertEqual(self.delete(orphan).code, "OK")
            outcome = self.delete(orphan)
            self.assertEqual((outcome.code, outcome.reason),
                             ("NOT_FOUND", "ORPHAN_NOT_FOUND"))
        self.assertFalse(os.path.exists("/dev/shm" + name))
        self.assertNotIn(shmid, sysv.read_table())
        self.assertNotIn(name, self.listed())

    def test_what_is_used_stays(self):
        name = self.leak_posix()
        _, shmid = self.leak_sysv()
        before = [orphan for orphan in self.listed().values()
                  if orphan["location"] == name
                  or orphan["name"] == "orphans/sysv-%d" % shmid]
        self.assertEqual(len(before), 2)
        with open("/dev/shm" + name, "rb") as file:
            mapped = mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ)
        with sysv.Attached(shmid):
            left = {orphan["name"] for orphan in self.listed().values()}
            for orphan in before:
                self.assertNotIn(orphan["name"], left)
                self.expect_in_use(orphan)
        mapped.close()
        with open("/dev/shm" + name, "rb"):
            self.assertNotIn(name, self.listed())
        self.assertIn(name, self.listed())

    def test_a_living_creator_keeps_its_segment(self):
        shmid = sysv.get(0, 5000)
        self.addCleanup(lambda: shmid in sysv.read_table()
                        and sysv.remove(shmid))
        orphan = next(orphan for orphan in self.listed().values()
                      if orphan["name"] == "orphans/sysv-%d" % shmid)
        self.assertEqual(orphan["creator_pid"], os.getpid())
        self.assertTrue(orphan["creator_alive"])
        outcome = self.delete(orphan)
        self.assertEqual((outcome.code, outcome.reason),
                         ("FAILED_PRECONDITION", "ORPHAN_IN_USE"), outcome)
        self.assertEqual(outcome.metadata["creator_pid"], str(os.getpid()))
        self.assertIn(shmid, sysv.read_table())
        self.ok(DELETE, {"name": orphan["name"], "etag": orphan["etag"],
                         "allow_living_creator": True})
        self.assertNotIn(shmid, sysv.read_table())

    def test_segments_are_none(self):
        for fields in ({"backend": "POSIX"}, {"backend": "SYSV"}):
            with self.subTest(fields):
                before = self.listed()
                made = self.create(fields)
                self.assertEqual(self.listed().keys(), before.keys())
                self.remove(made["name"])
        name = self.leak_posix()
        orphan = self.listed()[name]
        made = self.ok("AdoptSegment", {
            "parent": PARENT, "segment_id": self.fresh_id(),
            "segment": {"backend": "POSIX", "posix_name": name}})
        self.assertNotIn(name, self.listed())
        self.expect_in_use(orphan)
        self.ok("DisownSegment", {"name": made["name"]})
        self.assertIn(name, self.listed())

    def test_segments_are_none_after_a_restart(self):
        own = daemon.Daemon(*self.FLAGS)
        self.addCleanup(own.close)
        name = "/" + self.fresh_id()
        made = own.call("CreateSegment", {
            "parent": PARENT, "segment_id": "kept",
            "segment": {"size_bytes": 4096, "backend": "POSIX",
                        "posix_name": name}})
        self.assertEqual(made.code, "OK", made)
        # The other daemon does not know it, and says whose it may be.
        stranger = self.listed()[name]
        self.assertTrue(any("another daemon, process %d" % own.pid in fact
                            for fact in stranger["evidence"]), stranger)
        self.expect_in_use(stranger)
        own.stop()
        own.start()
        self.assertEqual(own.call(LIST, {}).reply.get("orphans", []), [])
        self.assertEqual(own.call("DeleteSegment",
                                  {"name": made.reply["name"]}).code, "OK")

    def test_owners_see_and_remove_their_own(self):
        theirs = self.leak_posix(uid=OWNER)
        _, shmid = self.leak_sysv(uid=OWNER)
        roots = self.leak_posix()
        self.assertEqual(self.listed(uid=OTHER), {})
        found = self.listed(uid=OWNER)
        self.assertEqual({orphan["owner"] for orphan in found.values()},
                         {OWNER})
        self.assertEqual(len(found), 2)
        everything = self.listed()
        self.assertIn(roots, everything)
        for orphan in everything.values():
            outcome = self.delete(orphan, uid=OTHER)
            self.assertEqual((outcome.code, outcome.reason),
                             ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED"))
        for orphan in found.values():
            self.assertEqual(self.delete(orphan, uid=OWNER).code, "OK")
        self.assertFalse(os.path.exists("/dev/shm" + theirs))
        self.assertNotIn(shmid, sysv.read_table())
        outcome = self.delete(everything[roots], uid=OWNER)
        self.assertEqual(outcome.reason, "CALLER_NOT_ALLOWED", outcome)

    def test_a_daemon_without_privilege_judges_what_is_its_own(self):
        # It may look into no process of another user, and root has it mapped.
        own = daemon.Daemon(*self.FLAGS, uid=OWNER)
        self.addCleanup(own.close)
        free = self.leak_posix(uid=OWNER)
        used = self.leak_posix(uid=OWNER)
        _, shmid = self.leak_sysv(uid=OWNER)
        with open("/dev/shm" + used, "rb") as file:
            mapped = mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ)
        orphans = {orphan["location"]: orphan for orphan in
                   own.call(LIST, {}, uid=OWNER).reply["orphans"]}
        self.assertNotIn(used, orphans)
        self.assertEqual(orphans[free].get("hidden_processes", 0), 0)
        names = {orphan["name"] for orphan in orphans.values()}
        self.assertEqual(names, {orphans[free]["name"],
                                 "orphans/sysv-%d" % shmid})
        mapped.close()

    def test_another_ones_privilege_is_missing(self):
        own = daemon.Daemon(*self.FLAGS, uid=OWNER)
        self.addCleanup(own.close)
        name = self.leak_posix()
        orphan = {orphan["location"]: orphan
                  for orphan in own.call(LIST, {}).reply["orphans"]}[name]
        # Nobody else may lease root's file, and processes are hidden.
        self.assertGreater(int(orphan["hidden_processes"]), 0)
        outcome = own.call(DELETE, {"name": orphan["name"],
                                    "etag": orphan["etag"]})
        self.assertEqual((outcome.code, outcome.reason),
                         ("FAILED_PRECONDITION", "ORPHAN_IN_USE"), outcome)

    def test_what_was_changed_since_stays(self):
        name = self.leak_posix()
        orphan = self.listed()[name]
        os.truncate("/dev/shm" + name, 8192)
        self.refused("ABORTED", "ETAG_MISMATCH", DELETE,
                     {"name": orphan["name"], "etag": orphan["etag"]})
        self.refused("ABORTED", "ETAG_MISMATCH", DELETE,
                     {"name": orphan["name"]})
        os.unlink("/dev/shm" + name)
        make_posix(name)
        self.assertIn(self.delete(orphan).reason,
                      ("ORPHAN_NOT_FOUND", "ETAG_MISMATCH"))
        self.assertTrue(os.path.exists("/dev/shm" + name))

    def test_what_is_young_stays(self):
        own = daemon.Daemon()
        self.addCleanup(own.close)
        self.shmd.stop()  # its own segments could be meant otherwise
        name = self.leak_posix()
        orphan = {orphan["location"]: orphan
                  for orphan in own.call(LIST, {}).reply["orphans"]}[name]
        self.assertTrue(any("less than 1 minute" in fact
                            for fact in orphan["evidence"]), orphan)
        outcome = own.call(DELETE, {"name": orphan["name"],
                                    "etag": orphan["etag"]})
        self.assertEqual((outcome.code, outcome.reason),
                         ("FAILED_PRECONDITION", "ORPHAN_IN_USE"), outcome)
        self.assertEqual(outcome.metadata["min_age_seconds"], "60")
        self.shmd.start()

    def test_pages(self):
        names = {self.leak_posix() for _ in range(5)}
        found, request = [], {"page_size": 2}
        while True:
            reply = self.ok(LIST, request)
            self.assertLessEqual(len(reply["orphans"]), 2)
            found += reply["orphans"]
            if "next_page_token" not in reply:
                break
            request["page_token"] = reply["next_page_token"]
        order = [orphan["name"] for orphan in found]
        self.assertEqual(order, sorted(set(order)))
        self.assertLessEqual(names, {orphan["location"] for orphan in found})
        self.assertEqual(len(self.ok(LIST, {"page_size": 100000})["orphans"]),
                         len(found))

    def test_requests_that_are_wrong(self):
        self.refused("INVALID_ARGUMENT", "PAGE_SIZE_INVALID", LIST,
                     {"page_size": -1})
        for token in ("x", "!", "b3JwaGFucy9wb3NpeC0", "3q2-7w"):
            outcome = self.refused("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID",
                                   LIST, {"page_token": token})
            self.assertEqual(outcome.fields, ["page_token"])
        for name in ("", "orphans/", "orphans/posix-x", "orphans/sysv-1/2",
                     "namespaces/default", "orphans/../etc"):
            outcome = self.refused("INVALID_ARGUMENT", "NAME_INVALID", DELETE,
                                   {"name": name, "etag": "x"})
            self.assertEqual(outcome.fields, ["name"])
        self.refused("NOT_FOUND", "ORPHAN_NOT_FOUND", DELETE,
                     {"name": "orphans/posix-1", "etag": "x"})

    def test_odd_names_and_other_things_do_no_harm(self):
        odd = os.fsencode("/dev/shm/" + self.fresh_id()) + b"\xff\n"
        with open(odd, "xb"):
            pass
        self.addCleanup(os.unlink, odd)
        os.mkfifo("/dev/shm/fifo")
        self.addCleanup(os.unlink, "/dev/shm/fifo")
        os.symlink("/etc/passwd", "/dev/shm/link")
        self.addCleanup(os.unlink, "/dev/shm/link")
        found = self.listed()
        self.assertTrue(any(location.endswith(r"\xff\n")
                            for location in found), found)
        self.assertNotIn("/fifo", found)
        self.assertNotIn("/link", found)

    def test_an_open_while_it_is_removed_waits_or_fails_and_never_breaks(self):
        """Whoever gets the object keeps it, whether the name is gone or not."""
        name = self.leak_posix()
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(readable)
            opened = 0
            while True:
                try:
                    descriptor = os.open("/dev/shm" + name, os.O_RDWR)
                except FileNotFoundError:
                    break
                os.pwrite(descriptor, b"mine", 0)
                opened += os.pread(descriptor, 4, 0) == b"mine"
                os.close(descriptor)
            os.write(writable, b"%d" % opened)
            os._exit(0)
        os.close(writable)
        # The child writes: what was listed is soon another state, and whether
        # one of the tries removes it is up to chance.
        for _ in range(100):
            if not os.path.exists("/dev/shm" + name):
                break
            orphan = self.listed().get(name)
            if orphan is None:
                continue
            os.kill(child, 19)  # SIGSTOP
            outcome = self.delete(orphan)
            os.kill(child, 18)  # SIGCONT
            self.assertIn(outcome.reason,
                          ("", "ORPHAN_IN_USE", "ETAG_MISMATCH",
                           "ORPHAN_NOT_FOUND"), outcome)
        if os.path.exists("/dev/shm" + name):
            os.unlink("/dev/shm" + name)
        with os.fdopen(readable) as pipe:
            self.assertGreater(int(pipe.read()), 0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    unittest.main()
