"""Makes the first, second, third ... allocation, system call or write of the
daemon fail in every call of its API, until a call comes through without.

It answers in words, or is started again where an allocation has failed, and in
no case loses what it has acknowledged or leaks. Of allocations a sample fails:
every --stride-th one, each with --stride=1."""

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

MOST = 5000

# Libraries that go on with the null pointer of a failed allocation of theirs:
# that ends the daemon by signal 11 and not 6 (docs/failpoints.md).
CARELESS = {"libgrpc", "libupb"}
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
        self._memory[:8] = struct.pack("2i", kind, number)

    def disarm(self):
        """Whether one has failed."""
        self._memory[:4] = bytes(4)
        return struct.unpack("i", self._memory[4:8])[0] <= 0

    def close(self):
        self._memory.close()
        os.remove(self.path)


# What tells of a bad address in nth_failure.c.
_FAULT = re.compile(r"nth_failure: a bad address, in\n(.*?)"
                    r"nth_failure: the allocation that failed, in\n(.*?)"
                    r"nth_failure: end", re.DOTALL)


def find_faults(log):
    """(whose bad address, whose failed allocation) of each that `log` tells
    of: the file of the innermost frame outside of the C and C++ libraries."""
    return [(_owner(address), _owner(allocation))
            for address, allocation in _FAULT.findall(log)]


def _owner(frames):
    for line in frames.splitlines():
        name = os.path.basename(line.split("(")[0])
        if not name.startswith(("libnth_failure.", "libc.", "libstdc++.",
                                "ld-linux")):
            return name.split(".so")[0]
    return "nobody"


class Sweep:
    """One kind of failure in every call, with segments of one backend."""

    def __init__(self, kind, backend, stride):
        import kept_daemon
        import workload
        self.kind, self.stride = kind, stride
        self.Died, self.Refused = workload.Died, workload.Refused
        self.switch = Switch()
        self.shmd = kept_daemon.KeptDaemon("", wrapper=(
            "env", "LD_PRELOAD=" + os.environ["NTH_FAILURE"],
            "SHMD_NTH_FAILURE=" + self.switch.path))
        self.work = workload.Workload(self.shmd, backend)
        self.failures, self.state = 0, {"n": 0}

    def calls(self):
        """(name, what comes before, what to call, what undoes it), each
        possible again and again."""
        work, state = self.work, self.state

        def nothing():
            pass

        # The same for a call and its repetition.
        def advance():
            state["n"] += 1

        yield "create", nothing, lambda: work.create("n"), (
            lambda: work.remove("n"))
        yield "delete", lambda: work.create("n"), lambda: work.remove("n"), (
            nothing)
        yield "batch create", nothing, lambda: work.create_batch("x", "y"), (
            lambda: work.remove_batch("x", "y"))
        yield "batch get", nothing, lambda: work.get_batch("a", "b"), nothing
        yield "batch delete", lambda: work.create_batch("x", "y"), (
            lambda: work.remove_batch("x", "y")), nothing
        yield "list", nothing, work.listed, nothing
        yield "get", nothing, lambda: work.get("a"), nothing
        yield "handle", nothing, lambda: work.make_handle("a"), nothing
        yield "update", advance, (
            lambda: work.update("a", {"n": str(state["n"])})), nothing
        yield "mode", advance, lambda: work.update(
            "a", {}, mode=0o600 | state["n"] % 2 << 5), nothing
        yield "renew", nothing, lambda: work.renew("a"), nothing
        yield "flush", nothing, lambda: work.flush("a"), nothing
        yield "watch", nothing, work.watch, nothing
        yield "attach", nothing, lambda: work.write("a"), nothing
        yield "grant", nothing, lambda: work.grant("a"), (
            lambda: work.revoke("a"))
        yield "revoke", lambda: work.grant("a"), lambda: work.revoke("a"), (
            nothing)
        yield "hello", nothing, lambda: (work.leave(), work.greet()), nothing
        yield "sessions", nothing, work.sessions, nothing
        yield from self._calls_of_backend(advance, nothing)

    def _calls_of_backend(self, advance, nothing):
        work, state, backend = self.work, self.state, self.work.backend
        if backend != "SYSV":
            size = work.facts["a"]["size_bytes"]
            yield "grow", advance, (
                lambda: work.resize("a", size + 4096 * state["n"])), nothing
        if backend in ("POSIX", "MAPPED_FILE"):
            yield "shrink", (
                lambda: work.resize("a", 3 * 4096)), (
                    lambda: work.resize("a", 2 * 4096)), nothing
        if backend == "MEMFD":
            yield "seal", lambda: work.create("s"), lambda: work.seal("s"), (
                lambda: work.remove("s"))
            # These are the same for all backends.
            yield "make namespace", nothing, lambda: work.make_space("n"), (
                lambda: work.remove_space("n"))
            yield "remove namespace", lambda: work.make_space("n"), (
                lambda: work.remove_space("n")), nothing
            work.make_space("m")
            yield "change namespace", advance, (
                lambda: work.change_space("m", state["n"])), nothing
            yield "list namespaces", nothing, work.listed_spaces, nothing
            work.remove_space("m")
            return
        yield "disown", lambda: work.create("d"), lambda: work.disown("d"), (
            work.drop_disowned)
        yield "adopt", lambda: work.make_object("e"), (
            lambda: work.adopt("e")), lambda: (
                work.remove("e", "DisownSegment"), work.drop_object("e"))

    def run(self):
        self.work.listed()  # what the daemon makes on its first call stays
        before = self.shmd.take_ledger()
        self.work.greet()
        self.work.create("a")
        self.work.create("b")
        for turn, call in enumerate(self.calls()):
            try:
                self._sweep(turn, *call)
            except BaseException:
                sys.stderr.write("--- %s: %s\n" % (self.kind, call[0]))
                raise
        self.work.verify()
        self.work.remove("a")
        self.work.remove("b")
        self.work.leave()
        ledger.expect_same(self.shmd, before,
                           take=lambda daemon: daemon.take_ledger())

    def _sweep(self, turn, _name, prepare, call, undo):
        # A sample has other places in each call.
        number, failed = 1 + turn * 37 % self.stride, True
        while failed:
            self._surely(prepare)
            self.work.doubt = None
            failed = self._fail(call, number)
            self._surely(undo)
            self.work.doubt = None
            number += self.stride
            assert number < MOST, "it never comes through"

    def _surely(self, step):
        """An allocation that fails behind a call, in another thread, ends the
        daemon after it has answered, and perhaps in the middle of this."""
        for _ in range(10):
            pid = self.shmd.daemon_pid()
            try:
                return step()
            except self.Died:
                self._settle(pid, True)
        raise AssertionError("it dies again and again")

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
        if not failed and refusal == "UNAVAILABLE" and self.kind == "malloc":
            # It was about to die of the one before.
            self._settle(pid, True)
            assert self.shmd.daemon_pid() != pid, "it hangs up"
            return self._fail(call, number)
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

    def ends(self):
        """By which signals it has ended, how often. Each is an allocation's,
        or the test's own."""
        return collections.Counter(re.findall(
            r"the daemon ended by signal (\d+)", self.shmd.log_text()))

    def expect_known_ends(self):
        """std::bad_alloc and gRPC end the daemon by abort(); bad addresses are
        those of CARELESS libraries alone."""
        ends, faults = self.ends(), find_faults(self.shmd.log_text())
        assert set(ends) <= {"6", "9", "11"}, ends
        assert ends["11"] == len(faults), (ends, faults)
        for fault in faults:
            assert set(fault) <= CARELESS, "a bad address in %s after a " \
                "failed allocation in %s" % fault

    def _again(self, call):
        try:
            call()
        except (self.Refused, self.Died):
            # A journal that could not be synced is in doubt until a restart.
            assert self.kind in ("fdatasync", "pwrite"), "it stays refused"
            os.kill(self.shmd.daemon_pid(), signal.SIGKILL)
            self.work.recover()
            call()

    def close(self):
        self.work.close()
        self.shmd.kill_all()
        self.work.drop_all()
        self.switch.close()


class Runner:
    """For kill_matrix.Matrix."""

    stride = 0

    def run_case(self, case):
        kind, backend, _ = case
        begin = time.monotonic()
        sweep = Sweep(kind, backend, self.stride if kind == "malloc" else 1)
        try:
            sweep.run()
            sweep.expect_known_ends()
            print("%s of %s: %d failures in %.1f s, ends by signal %s, "
                  "bad addresses %s" % (
                      kind, backend, sweep.failures,
                      time.monotonic() - begin, dict(sweep.ends()),
                      find_faults(sweep.shmd.log_text())), flush=True)
        except BaseException:
            sys.stderr.write(sweep.shmd.log_text()[-200000:])
            raise
        finally:
            sweep.close()
        return time.monotonic() - begin

    def close(self):
        pass


def main():
    options = kill_matrix.parse_arguments(default_rounds=1)
    os.environ["NTH_FAILURE"] = os.path.abspath(options.program)
    Runner.stride = options.stride
    options.rounds = 1
    matrix = kill_matrix.Matrix(
        [(kind, backend) for kind in KINDS for backend in BACKENDS], Runner,
        options)
    matrix.run()
    return matrix.report("a sweep")


if __name__ == "__main__":
    sys.exit(main())
