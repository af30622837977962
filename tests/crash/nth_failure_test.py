"""Makes the first, second, third ... allocation, system call or write of the
daemon fail in every call of its API, until a call comes through without.

It answers in words, or is started again where an allocation has failed, and in
no case loses what it has acknowledged or leaks. --rounds above 1 takes every
allocation in turn, not a sample of them."""

import collections
import mmap
import os
import re
import signal
import struct
import sys
import tempfile
import time

import kill_matrix
import ledger
import stubs  # noqa: F401  generated once, before there are several processes

BACKENDS = ("MEMFD", "POSIX", "SYSV", "MAPPED_FILE")

# The numbers are those of nth_failure.c.
KINDS = {"malloc": 1, "mmap": 2, "ftruncate": 3, "fallocate": 4, "open": 5,
         "sendmsg": 6, "accept": 7, "pwrite": 8, "fdatasync": 9}

# What a caller is told. UNAVAILABLE: the connection is cut.
CODES = ("RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE")

# Of allocations: one of so many. Each that is not survived is a restart.
SAMPLE = 101
MOST = 5000
DEADLINE_SECONDS = 30


class Switch:
    """What the daemon's library counts by."""

    def __init__(self):
        with tempfile.NamedTemporaryFile(prefix="shmd-nth-",
                                         delete=False) as file:
            file.write(bytes(4096))
            self.path = file.name
        with open(self.path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 4096)

    def arm(self, kind, number):
        self._memory[:12] = struct.pack("3i", kind, number, 0)

    def disarm(self):
        """Whether one has failed."""
        failed = struct.unpack("3i", self._memory[:12])[2] != 0
        self._memory[:12] = bytes(12)
        return failed

    def close(self):
        self._memory.close()
        os.remove(self.path)


class Sweep:
    """One kind of failure in every call, with segments of one backend."""

    def __init__(self, kind, backend, step):
        import kept_daemon
        import workload
        self.kind, self.step = kind, step
        self.Died, self.Refused = workload.Died, workload.Refused
        self.switch = Switch()
        self.shmd = kept_daemon.KeptDaemon("", wrapper=(
            "env", "LD_PRELOAD=" + os.environ["NTH_FAILURE"],
            "SHMD_NTH_FAILURE=" + self.switch.path))
        self.work = workload.Workload(self.shmd, backend)
        self.failures = self.restarts = 0

    def calls(self):
        """(what comes before, what to call, what undoes it), each possible
        again and again."""
        work, grows = self.work, self.work.backend != "SYSV"
        turn = iter(range(1, 1 << 30))

        def nothing():
            pass

        yield nothing, lambda: work.create("n"), lambda: work.remove("n")
        yield nothing, work.listed, nothing
        yield nothing, lambda: work.get("a"), nothing
        yield nothing, lambda: work.update("a", {"n": str(next(turn))}), nothing
        yield nothing, lambda: work.write("a"), nothing
        if grows:
            size = work.facts["a"]["size_bytes"]
            yield (nothing, lambda: work.resize("a", size + 4096 * next(turn)),
                   nothing)
        yield nothing, lambda: work.grant("a"), lambda: work.revoke("a")
        yield lambda: work.grant("a"), lambda: work.revoke("a"), nothing
        if work.backend == "MEMFD":
            yield (lambda: work.create("s"), lambda: work.seal("s"),
                   lambda: work.remove("s"))
        yield lambda: work.create("n"), lambda: work.remove("n"), nothing
        if work.backend != "MEMFD":
            yield (lambda: work.create("d"), lambda: work.disown("d"),
                   work.drop_disowned)
        yield nothing, lambda: (work.leave(), work.greet()), nothing
        yield nothing, work.sessions, nothing

    def run(self):
        self.work.listed()  # what the daemon makes on its first call stays
        before = self.shmd.take_ledger()
        self.work.greet()
        self.work.create("a")
        for prepare, call, undo in self.calls():
            number, failed = 1, True
            while failed:
                prepare()
                self.work.doubt = None
                failed = self._fail(call, number)
                undo()
                self.work.doubt = None
                number += self.step
                assert number < MOST, "it never comes through"
        self.work.verify()
        self.work.remove("a")
        self.work.leave()
        ledger.expect_same(self.shmd, before,
                           take=lambda daemon: daemon.take_ledger())

    def _fail(self, call, number):
        """Whether the `number`th one was there to fail."""
        pid = self.shmd.daemon_pid()
        self.switch.arm(KINDS[self.kind], number)
        refusal = None
        try:
            call()
        except self.Died:
            refusal = "UNAVAILABLE"
        except self.Refused as refused:
            refusal = refused.code
        failed = self.switch.disarm()
        if not failed:
            assert refusal is None, "%s without a failure" % refusal
            return False
        self.failures += 1
        assert refusal is None or refusal in CODES, refusal
        self._settle(pid, refusal == "UNAVAILABLE")
        if refusal is not None:
            self._again(call)
        self.work.doubt = None
        return True

    def _settle(self, pid, is_cut):
        """Until all is as it was told. With another session, where it may
        have been its connection that was cut. A daemon that dies takes a
        moment."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                if is_cut:
                    self.work.leave()
                    self.work.greet()
                self.work.verify()
                break
            except self.Died:
                assert time.monotonic() < deadline, "it does not come back"
                is_cut = True
                time.sleep(0.01)
        if self.shmd.daemon_pid() != pid:
            assert self.kind == "malloc", "it has died"
            self.restarts += 1

    def _again(self, call):
        try:
            call()
        except (self.Refused, self.Died):
            # A journal that could not be synced is in doubt until a restart.
            assert self.kind in ("fdatasync", "pwrite"), "it stays refused"
            os.kill(self.shmd.daemon_pid(), signal.SIGKILL)
            self.restarts += 1
            self.work.recover()
            call()

    def close(self):
        self.work.close()
        self.shmd.kill_all()
        self.work.drop_all()
        self.switch.close()


class Runner:
    """For kill_matrix.Matrix."""

    step = SAMPLE

    def run_case(self, case):
        kind, backend, _ = case
        begin = time.monotonic()
        sweep = Sweep(kind, backend, self.step if kind == "malloc" else 1)
        try:
            sweep.run()
            # Each death is one that _settle has counted: an allocation's, or
            # the test's own.
            ends = collections.Counter(re.findall(
                r"the daemon ended by (signal \d+)", sweep.shmd.log_text()))
            print("%s of %s: %d failures, %d restarts %s" % (
                kind, backend, sweep.failures, sweep.restarts, dict(ends)),
                flush=True)
        except BaseException:
            sys.stderr.write(sweep.shmd.log_text()[-3000:])
            raise
        finally:
            sweep.close()
        return time.monotonic() - begin

    def close(self):
        pass


def main():
    options = kill_matrix.parse_arguments(default_rounds=1)
    os.environ["NTH_FAILURE"] = os.path.abspath(options.program)
    if options.rounds > 1:
        Runner.step = 1
        options.rounds = 1
    cells = [(kind, backend) for kind in KINDS for backend in BACKENDS]
    matrix = kill_matrix.Matrix(cells, Runner, options)
    matrix.run()
    return matrix.report("a sweep")


if __name__ == "__main__":
    sys.exit(main())
