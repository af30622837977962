"""Kills a program at each named point of the client library, for each backend:
what was its alone goes with it, and nobody else notices. The points that are
about objects are object_kill_test.py's.

$SHMD_CRASH_ROUNDS, or --rounds, says how often; round N dies at the N-th pass
of the point, as far as there are so many. --only=REGEX runs some points.
Memfds of huge pages are a backend of their own where the kernel has pages, or
can make some for the time of the test."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import kill_matrix
import points
import stubs  # noqa: F401  generated once, before there are several processes

BACKENDS = ("MEMFD", "POSIX", "SYSV", "MAPPED_FILE")

PASSED_BY = {
    "client.seal": ("MEMFD",), "client.sealed": ("MEMFD",),
    "client.resize": ("MEMFD", "POSIX", "MAPPED_FILE"),
    "client.resized": ("MEMFD", "POSIX", "MAPPED_FILE"),
}

DEADLINE_SECONDS = 30
# What it made to stay, if it came so far.
TO_STAY = ("made", "first", "second", "put")
# Where half of a file that is to be sealed, a memfd, goes with who puts it.
HALF_PUT = ("client.put_made", "client.put_filled")


class Peer:
    """A worker's daemon, and a program that goes on using it."""

    def __init__(self):
        import daemon
        import ledger
        import workload
        self.ledger = ledger
        self.daemon = daemon.Daemon()
        self.works = {}
        self.workload = workload
        self.folder = tempfile.mkdtemp(prefix="shmd-client-")
        self.pid = self.daemon.pid

    def work_on(self, backend):
        """What uses a shared segment of this backend."""
        if backend not in self.works:
            work = self.workload.Workload(self.daemon, backend)
            work.greet()
            work.create("shared-" + backend, resizable=False,
                        **({"file_path": "shared"}
                           if backend == "MAPPED_FILE" else {}))
            self.works[backend] = work
        return self.works[backend]

    def close(self):
        for backend, work in self.works.items():
            work.remove("shared-" + backend)
            work.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.daemon.close()

    def run_case(self, case):
        point, backend, at_pass = case
        work = self.work_on(backend)
        shared = "shared-" + backend
        work.write(shared)
        before = self.ledger.take(self.daemon)
        client = subprocess.Popen(
            [os.environ["CLIENT_WORKLOAD"], self.daemon.socket_dir, backend,
             work.get(shared).handle_string, self.folder],
            env={**os.environ,
                 "SHMD_FAILPOINTS": "%s=kill@%d" % (point, at_pass)},
            stderr=subprocess.PIPE)
        _, errors = client.communicate(timeout=DEADLINE_SECONDS)
        died = time.monotonic()
        try:
            if client.returncode not in (0, -signal.SIGKILL):
                raise AssertionError("%d: %s" % (client.returncode,
                                                 errors.decode()))
            goes = ("put",) if (point in HALF_PUT and client.returncode and
                                backend in ("MEMFD", "HUGE")) else ()
            while left := self._left_over(work, goes):
                if time.monotonic() - died > DEADLINE_SECONDS:
                    raise AssertionError("left over: %s" % left)
            reclaimed = time.monotonic() - died
            self._expect_others_at_work(work, shared)
        finally:
            self._remove_what_stays(work)
        self.ledger.expect_same(self.daemon, before,
                                take=lambda daemon: self._take(daemon, work))
        if client.returncode == 0:
            raise kill_matrix.NotPassed()
        return reclaimed

    def _take(self, daemon, work):
        # What it had asked for is made also when it is dead by then.
        self._remove_what_stays(work)
        return self.ledger.take(daemon)

    @staticmethod
    def _remove_what_stays(work):
        left = work.listed()
        for segment_id in TO_STAY:
            if segment_id in left:
                work.remove(segment_id)

    @staticmethod
    def _left_over(work, goes):
        """What was its own, which goes one after the other."""
        return {name for name in work.listed()
                if name in goes or not (name.startswith("shared-") or
                                        name in TO_STAY)}

    def _expect_others_at_work(self, work, shared):
        """Each of these calls has a deadline."""
        work.write(shared)
        work.update(shared, {"after": "death"})
        if not self.daemon.is_running() or self.daemon.pid != self.pid:
            raise AssertionError("the daemon has died")


def main():
    options = kill_matrix.parse_arguments(default_rounds=2)
    os.environ["CLIENT_WORKLOAD"] = os.path.abspath(options.program)
    cells = [(point, PASSED_BY.get(point, BACKENDS))
             for point in points.listed("client")
             if point.startswith("client.")]
    return kill_matrix.run(cells, Peer, options, "reclaimed")


if __name__ == "__main__":
    sys.exit(main())
