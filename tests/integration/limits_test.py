"""Create never lies: what cannot be had is refused in words, and the daemon
goes on. Every limit is made small in namespaces, cgroups or by rlimits of the
test's own, so that the host is left alone."""

import os
import unittest

import daemon
import isolation
import ledger
from daemon_case import DaemonCase, PARENT, encoded
from memory_cgroup import MemoryCgroup

KIB = 1 << 10
MIB = 1 << 20


class LimitsTest(DaemonCase):

    def start(self, *flags, **arguments):
        """A daemon of this test's own, whose ledger the test ends with."""
        own = daemon.Daemon(*flags, **arguments)
        self.addCleanup(own.close)
        for _ in range(3):
            own.call("ListSegments", {"parent": PARENT})
        return own

    def make(self, own, **fields):
        outcome = self.try_to_make(own, **fields)
        self.assertEqual(outcome.code, "OK", outcome)
        self.addCleanup(own.call, "DeleteSegment",
                        {"name": outcome.reply["name"], "force": True})
        return outcome.reply

    def try_to_make(self, own, **fields):
        if fields.get("backend") == "MAPPED_FILE":
            fields.setdefault("file_path", self.fresh_id())
        return own.call("CreateSegment", {"parent": PARENT,
                                          "segment_id": self.fresh_id(),
                                          "segment": fields})

    def expect_exhausted(self, own, reason, unit="bytes", requested=None,
                         **fields):
        """Refused with all that a caller needs to know, and nothing kept; a
        small request is served afterwards. Returns the metadata."""
        before = ledger.take(own)
        outcome = self.try_to_make(own, **fields)
        return self.check_exhausted(own, before, outcome, reason, unit,
                                    requested or fields["size_bytes"])

    def check_exhausted(self, own, before, outcome, reason, unit, requested):
        self.assertEqual((outcome.code, outcome.reason),
                         ("RESOURCE_EXHAUSTED", reason), outcome)
        told = outcome.metadata
        self.assertEqual(told["unit"], unit, outcome)
        self.assertGreaterEqual(int(told["requested"]), requested, outcome)
        self.assertLess(int(told["available"]), int(told["requested"]))
        self.assertTrue(told["limit"], outcome)
        ledger.expect_same(own, before)
        self.assertTrue(own.is_running())
        small = self.try_to_make(
            own, size_bytes=1,
            backend="MEMFD" if reason == "SYSV_LIMIT_EXCEEDED" else "SYSV")
        self.assertEqual(small.code, "OK", small)
        own.call("DeleteSegment", {"name": small.reply["name"]})
        return told

    def limit_shm(self, size):
        isolation.mount("-o", "remount,size=" + size, "/dev/shm")
        self.addCleanup(isolation.mount, "-o", "remount,size=256m",
                        "/dev/shm")

    def test_space_of_posix_memory(self):
        self.limit_shm("1m")
        told = self.expect_exhausted(self.shmd, "SHM_SPACE_EXHAUSTED",
                                     backend="POSIX", size_bytes=4 * MIB)
        self.assertEqual(told["available"], str(MIB))
        made = self.make(self.shmd, backend="POSIX", size_bytes=512 * KIB,
                         resizable=True)
        self.expect_exhausted(self.shmd, "SHM_SPACE_EXHAUSTED",
                              backend="POSIX", size_bytes=513 * KIB)
        before = ledger.take(self.shmd)
        outcome = self.shmd.call("ResizeSegment", {"name": made["name"],
                                                   "size_bytes": 2 * MIB})
        self.check_exhausted(self.shmd, before, outcome,
                             "SHM_SPACE_EXHAUSTED", "bytes", 1)
        self.make(self.shmd, backend="POSIX", size_bytes=512 * KIB)

    def test_space_that_another_program_took(self):
        self.limit_shm("1m")
        with open("/dev/shm/another-program", "wb") as file:
            self.addCleanup(os.remove, file.name)
            file.write(bytes(900 * KIB))
        told = self.expect_exhausted(self.shmd, "SHM_SPACE_EXHAUSTED",
                                     backend="POSIX", size_bytes=512 * KIB)
        self.assertEqual(told["available"], str(124 * KIB))

    def test_a_batch_that_does_not_fit_leaves_nothing(self):
        self.limit_shm("1m")
        before = ledger.take(self.shmd)
        outcome = self.shmd.call("BatchCreateSegments", {
            "parent": PARENT,
            "requests": [{"segment": {"size_bytes": 100 * KIB,
                                      "backend": "POSIX"}}] * 20})
        self.check_exhausted(self.shmd, before, outcome,
                             "SHM_SPACE_EXHAUSTED", "bytes", 1)

    def small_root(self, kind="tmpfs", options="size=1m"):
        path = os.path.join(self.shmd.folder, self.fresh_id())
        os.mkdir(path)
        isolation.mount("-t", kind, "-o", options, kind, path)
        self.addCleanup(isolation.unmount, path)
        return path

    def test_space_of_a_file_system(self):
        own = self.start(file_root=self.small_root())
        told = self.expect_exhausted(own, "FILE_SPACE_EXHAUSTED",
                                     backend="MAPPED_FILE",
                                     size_bytes=4 * MIB)
        self.assertLessEqual(int(told["available"]), MIB)
        self.make(own, backend="MAPPED_FILE", size_bytes=512 * KIB)
        self.expect_exhausted(own, "FILE_SPACE_EXHAUSTED",
                              backend="MAPPED_FILE", size_bytes=768 * KIB)

    def test_the_pool_of_huge_pages(self):
        own = self.start("--budget_bytes=%d" % (1 << 45),
                         file_root=self.small_root("hugetlbfs",
                                                   "pagesize=2M"))
        for backend in ("MEMFD", "SYSV", "MAPPED_FILE"):
            with self.subTest(backend):
                self.expect_exhausted(
                    own, "HUGEPAGES_EXHAUSTED", "pages", requested=1 << 12,
                    backend=backend, size_bytes=1 << 33,
                    page_size_bytes=2 * MIB)
        self.expect_exhausted(own, "HUGEPAGES_EXHAUSTED", "pages",
                              requested=1 << 6, backend="MEMFD",
                              size_bytes=1 << 36, page_size_bytes=1 << 30)

    def sysctl(self, name, value):
        path = "/proc/sys/kernel/" + name
        with open(path) as file:
            old = file.read()
        self.write(path, str(value))
        self.addCleanup(self.write, path, old)

    @staticmethod
    def write(path, text):
        with open(path, "w") as file:
            file.write(text)

    def test_count_of_sysv_segments(self):
        self.sysctl("shmmni", 2)
        for _ in range(2):
            self.make(self.shmd, backend="SYSV", size_bytes=1)
        told = self.expect_exhausted(self.shmd, "SYSV_LIMIT_EXCEEDED",
                                     "segments", requested=1, backend="SYSV",
                                     size_bytes=1)
        self.assertIn("SHMMNI", told["limit"].upper())
        self.make(self.shmd, size_bytes=1)

    def test_size_of_a_sysv_segment(self):
        self.sysctl("shmmax", 64 * KIB)
        told = self.expect_exhausted(self.shmd, "SYSV_LIMIT_EXCEEDED",
                                     backend="SYSV", size_bytes=64 * KIB + 1)
        self.assertIn("SHMMAX", told["limit"].upper())
        self.make(self.shmd, backend="SYSV", size_bytes=64 * KIB)

    def test_pages_of_all_sysv_segments(self):
        self.sysctl("shmall", 16)
        self.make(self.shmd, backend="SYSV", size_bytes=60 * KIB)
        before = ledger.take(self.shmd)
        outcome = self.try_to_make(self.shmd, backend="SYSV",
                                   size_bytes=8 * KIB)
        told = self.check_exhausted(self.shmd, before, outcome,
                                    "SYSV_LIMIT_EXCEEDED", "pages", 2)
        self.assertEqual((told["requested"], told["available"]), ("2", "1"))
        self.assertIn("SHMALL", told["limit"].upper())
        self.make(self.shmd, backend="SYSV", size_bytes=4 * KIB)

    def test_the_largest_file_of_the_daemon(self):
        own = self.start(wrapper=["prlimit", "--fsize=%d" % MIB])
        for backend in ("MEMFD", "POSIX", "MAPPED_FILE"):
            for allocation in ("LAZY", "RESERVED"):
                with self.subTest(backend=backend, allocation=allocation):
                    self.expect_exhausted(
                        own, "FILE_SIZE_LIMIT_EXCEEDED", backend=backend,
                        size_bytes=MIB + 1, allocation=allocation)
                    self.make(own, backend=backend, size_bytes=MIB,
                              allocation=allocation)

    def test_the_memory_cgroup_refuses_and_does_not_kill(self):
        group = MemoryCgroup(96 * MIB)
        self.addCleanup(group.close)
        own = self.start("--memory_reserve_bytes=%d" % (4 * MIB),
                         wrapper=group.wrapper())
        for fields in ({"backend": "MEMFD", "allocation": "RESERVED"},
                       {"backend": "MEMFD", "populate": True},
                       {"backend": "POSIX"},
                       {"backend": "SYSV", "populate": True}):
            with self.subTest(**fields):
                told = self.expect_exhausted(own, "CGROUP_LIMIT_EXCEEDED",
                                             size_bytes=128 * MIB, **fields)
                self.assertLess(int(told["available"]), 96 * MIB)
        self.make(own, size_bytes=8 * MIB, allocation="RESERVED")
        self.assertEqual(group.count_kills(), "0")

    def test_segments_one_by_one_fill_the_cgroup_and_no_more(self):
        group = MemoryCgroup(96 * MIB)
        self.addCleanup(group.close)
        own = self.start("--memory_reserve_bytes=%d" % (16 * MIB),
                         wrapper=group.wrapper())
        made = 0
        while made < 30:
            outcome = self.try_to_make(own, size_bytes=8 * MIB,
                                       allocation="RESERVED")
            if outcome.code != "OK":
                break
            made += 1
        self.assertEqual((outcome.code, outcome.reason),
                         ("RESOURCE_EXHAUSTED", "CGROUP_LIMIT_EXCEEDED"))
        self.assertGreater(made, 0)
        self.assertLess(made, 12)
        self.assertTrue(own.is_running())
        self.assertEqual(group.count_kills(), "0")

    def test_memory_of_the_host(self):
        # A reserve larger than any memory: nothing can be promised.
        own = self.start("--memory_reserve_bytes=%d" % (1 << 45))
        for fields in ({"backend": "MEMFD", "allocation": "RESERVED"},
                       {"backend": "MEMFD", "populate": True},
                       {"backend": "POSIX"}):
            with self.subTest(**fields):
                self.expect_exhausted(own, "MEMORY_EXHAUSTED",
                                      size_bytes=MIB, **fields)
        self.make(own, size_bytes=MIB, allocation="LAZY")

    def test_the_budget(self):
        own = self.start("--budget_bytes=%d" % MIB,
                         "--quota_bytes=%d" % (1 << 40))
        # Mapped files live on a disk, not in memory.
        for backend in ("MEMFD", "POSIX", "SYSV"):
            with self.subTest(backend):
                self.expect_exhausted(own, "BUDGET_EXCEEDED", backend=backend,
                                      size_bytes=2 * MIB)
        self.fill_and_grow(own, "BUDGET_EXCEEDED")

    def test_the_quota_in_bytes(self):
        own = self.start("--quota_bytes=%d" % MIB)
        for backend in ("MEMFD", "POSIX", "SYSV", "MAPPED_FILE"):
            with self.subTest(backend):
                self.expect_exhausted(own, "QUOTA_EXCEEDED", backend=backend,
                                      size_bytes=2 * MIB)
        self.fill_and_grow(own, "QUOTA_EXCEEDED")

    def fill_and_grow(self, own, reason):
        """Within 1 MiB: what is used counts, resizing counts, and what is
        deleted can be had again."""
        made = self.make(own, size_bytes=512 * KIB, resizable=True)
        self.expect_exhausted(own, reason, size_bytes=513 * KIB)
        before = ledger.take(own)
        outcome = own.call("ResizeSegment", {"name": made["name"],
                                             "size_bytes": 2 * MIB})
        self.check_exhausted(own, before, outcome, reason, "bytes", 1)
        with open("/dev/shm/large", "wb") as file:
            self.addCleanup(os.remove, file.name)
            file.truncate(2 * MIB)
        outcome = own.call("AdoptSegment",
                           {"parent": PARENT, "segment_id": "large",
                            "segment": {"backend": "POSIX",
                                        "posix_name": "/large"}})
        self.assertEqual(outcome.reason, reason, outcome)
        own.call("DeleteSegment", {"name": made["name"]})
        self.make(own, size_bytes=900 * KIB)

    def test_the_quota_in_segments(self):
        own = self.start("--quota_segments=3")
        made = [self.make(own, size_bytes=1) for _ in range(3)]
        before = ledger.take(own)
        outcome = self.try_to_make(own, size_bytes=1)
        self.assertEqual((outcome.code, outcome.reason),
                         ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), outcome)
        self.assertEqual((outcome.metadata["unit"],
                          outcome.metadata["requested"],
                          outcome.metadata["available"]),
                         ("segments", "1", "0"))
        ledger.expect_same(own, before)
        own.call("DeleteSegment", {"name": made[0]["name"]})
        self.make(own, size_bytes=1)

    def test_descriptors_of_the_daemon(self):
        own = self.start(wrapper=["prlimit", "--nofile=640:640"])
        made = []
        while len(made) < 640:
            before = ledger.take(own)
            # Of several owners: one alone is stopped by its quota at half.
            outcome = own.call("BatchCreateSegments", {
                "parent": PARENT,
                "requests": [{"segment": {"size_bytes": 1, "owner": owner}}
                             for owner in (4011, 4012, 4013)] * 3})
            if outcome.code != "OK":
                break
            made += [one["name"] for one in outcome.reply["segments"]]
        told = self.check_exhausted(own, before, outcome,
                                    "DESCRIPTORS_EXHAUSTED", "descriptors", 1)
        self.assertIn("RLIMIT_NOFILE", told["limit"])
        self.assertGreater(len(made), 9)
        for method in ("GetSegment", "ReadSegment", "DeleteSegment"):
            outcome = own.call(method, {"name": made[-1]})
            self.assertEqual(outcome.code, "OK", outcome)
        self.make(own, size_bytes=1)

    def test_locked_memory_without_privilege(self):
        own = self.start(uid=4010, wrapper=["prlimit", "--memlock=65536"])
        for backend in ("MEMFD", "SYSV", "POSIX"):
            with self.subTest(backend):
                self.expect_exhausted(own, "LOCK_LIMIT_EXCEEDED",
                                      backend=backend, size_bytes=MIB,
                                      lock_in_memory=True)
        self.make(own, size_bytes=4096, lock_in_memory=True)

    def test_a_daemon_without_privilege_gives_no_object_away(self):
        own = self.start(uid=4010)
        outcome = self.try_to_make(own, size_bytes=1, backend="POSIX",
                                   owner=4011)
        self.assertEqual((outcome.code, outcome.reason),
                         ("FAILED_PRECONDITION", "OWNER_NOT_SETTABLE"),
                         outcome)
        made = own.call("CreateSegment",
                        {"parent": PARENT, "segment_id": "mine",
                         "segment": {"size_bytes": 1, "backend": "POSIX"}},
                        uid=4010)
        self.assertEqual(made.code, "OK", made)
        own.call("WriteSegment", {"name": made.reply["name"],
                                  "data": encoded(b"x")}, uid=4010)
        own.call("DeleteSegment", {"name": made.reply["name"]}, uid=4010)

    def test_what_can_only_be_given_away_half_is_not_left_behind(self):
        own = self.start(uid=4010, capabilities="+chown")
        outcome = self.try_to_make(own, size_bytes=1, backend="POSIX",
                                   owner=4011)
        self.assertEqual((outcome.code, outcome.reason),
                         ("FAILED_PRECONDITION", "OWNER_NOT_SETTABLE"),
                         outcome)
        self.assertEqual(outcome.metadata["call"], "fchmod")
        self.assertEqual(os.listdir("/dev/shm"), [])

    def test_capabilities_for_posix_segments_of_others(self):
        own = self.start(uid=4010,
                         capabilities="+chown,+fowner,+dac_override")
        made = own.call("CreateSegment",
                        {"parent": PARENT, "segment_id": "theirs",
                         "segment": {"size_bytes": 1, "backend": "POSIX"}},
                        uid=4011)
        self.assertEqual(made.code, "OK", made)
        name = {"name": made.reply["name"]}
        for method, more in (("WriteSegment", {"data": encoded(b"x")}),
                             ("ReadSegment", {}), ("DeleteSegment", {})):
            outcome = own.call(method, {**name, **more}, uid=4011)
            self.assertEqual(outcome.code, "OK", outcome)
        self.assertEqual(os.listdir("/dev/shm"), [])


if __name__ == "__main__":
    unittest.main()
