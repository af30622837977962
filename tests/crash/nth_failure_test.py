"""Makes the first, second, third ... allocation, system call or write of the
daemon fail in every call of its API, until a call comes through without.

It answers in words, or is started again where an allocation has failed, and in
no case loses what it has acknowledged or leaks. Of allocations, and of all in
a look through /proc, a sample fails: every --stride-th one, each with
--stride=1."""

import collections
import mmap
import os
import re
import signal
import struct
import sys
import tempfile
import time

import daemon
import kept_daemon
import kill_matrix
import ledger
import nth_calls
from stubs import attach_pb2, errors_pb2
from workload import Died, Refused

# Backends of segments, and what else there is.
SUBJECTS = ("MEMFD", "POSIX", "SYSV", "MAPPED_FILE", "OBJECTS", "CHANNELS",
            "SYNC")

# The numbers are those of nth_failure.c.
KINDS = {"malloc": 1, "mmap": 2, "ftruncate": 3, "fallocate": 4, "open": 5,
         "sendmsg": 6, "accept": 7, "pwrite": 8, "fdatasync": 9}

# What a caller is told. UNAVAILABLE: the connection is cut.
CODES = ("RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE")
REASONS = errors_pb2.ErrorReason.keys()

MOST = 5000
SCAN_STRIDE = 97

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
    """One kind of failure in every call of one of SUBJECTS."""

    def __init__(self, kind, subject, stride, scan_stride):
        self.kind, self.stride = kind, stride
        self.scan_stride = scan_stride
        self.switch = Switch()
        self.shmd = kept_daemon.KeptDaemon("", wrapper=(
            # The C++ library's `new` asks that for memory, and not the daemon's
            # own allocator.
            "env", "LD_PRELOAD=%s libstdc++.so.6" % os.environ["NTH_FAILURE"],
            "SHMD_NTH_FAILURE=" + self.switch.path),
            # Nobody comes back.
            flags=("--orphan_age_seconds=0",), grace_seconds=0)
        self.calls = nth_calls.make(subject, self.shmd)
        self.work = self.calls.work
        self.failures = 0
        self.asked = set()  # what was asked for while something might fail

    def run(self):
        self.calls.warm_up()
        before = self.shmd.take_ledger()
        self.calls.set_up()
        for turn, call in enumerate(self.calls.calls()):
            try:
                self._sweep(turn, *call)
            except BaseException:
                sys.stderr.write("--- %s: %s\n" % (self.kind, call[0]))
                raise
        self.work.verify()
        self.calls.tear_down()
        ledger.expect_same(self.shmd, before,
                           take=lambda daemon: daemon.take_ledger())

    def _sweep(self, turn, name, prepare, call, undo):
        stride, most = self.stride, MOST
        if name in nth_calls.SCANS:
            stride, most = self.scan_stride, 100 * MOST
        # A sample has other places in each call.
        number, failed = 1 + turn * 37 % stride, True
        while failed:
            self._surely(prepare)
            self.work.doubt = None
            failed = self._fail(call, number)
            self._surely(undo)
            self.work.doubt = None
            number += stride
            assert number < most, "it never comes through"

    def _surely(self, step):
        """An allocation that fails behind a call, in another thread, ends the
        daemon after it has answered, and perhaps in the middle of this."""
        for _ in range(10):
            pid = self.shmd.daemon_pid()
            try:
                return step()
            except Died:
                self._settle(pid, True)
        raise AssertionError("it dies again and again")

    def _fail(self, call, number):
        """Whether the `number`th one was there to fail."""
        pid = self.shmd.daemon_pid()
        self.switch.arm(KINDS[self.kind], number)
        self.work.asked.clear()
        refusal = None
        try:
            call()
        except Died:
            refusal = "UNAVAILABLE"
        except Refused as refused:
            refusal = refused.code
            assert refused.reason in REASONS, "%s is not documented" % refused
        failed = self.switch.disarm()
        self.asked |= self.work.asked
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
        self._come_back(is_cut)
        if self.shmd.daemon_pid() != pid:
            assert self.kind == "malloc", "it has died"

    def _come_back(self, is_cut):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                if is_cut:
                    self.calls.greet_again()
                return self.work.verify()
            except Died:
                assert time.monotonic() < deadline, "it does not come back"
                is_cut = True
                time.sleep(0.01)

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
        except (Refused, Died):
            # A journal that could not be synced is in doubt until a restart.
            assert self.kind in ("fdatasync", "pwrite"), "it stays refused"
            os.kill(self.shmd.daemon_pid(), signal.SIGKILL)
            self._come_back(True)
            call()

    def close(self):
        self.work.close()
        self.shmd.kill_all()
        self.work.drop_all()
        self.switch.close()


class Runner:
    """For kill_matrix.Matrix."""

    stride = 0
    asked_path = ""  # a file with all that was asked for, a kind before each

    def run_case(self, case):
        kind, subject, _ = case
        begin = time.monotonic()
        stride = self.stride if kind == "malloc" else 1
        sweep = Sweep(kind, subject, stride, 1 if self.stride == 1 else
                      max(10 * stride, SCAN_STRIDE))
        try:
            sweep.run()
            sweep.expect_known_ends()
            print("%s of %s: %d failures in %.1f s, ends by signal %s, "
                  "bad addresses %s" % (
                      kind, subject, sweep.failures,
                      time.monotonic() - begin, dict(sweep.ends()),
                      find_faults(sweep.shmd.log_text())), flush=True)
        except BaseException:
            sys.stderr.write(sweep.shmd.log_text()[-200000:])
            raise
        finally:
            sweep.close()
        with open(self.asked_path, "a") as file:
            file.write("".join("%s %s\n" % (kind, one)
                               for one in sorted(sweep.asked)))
        return time.monotonic() - begin

    def close(self):
        pass


def served():
    """All that a daemon can be asked for: the methods that it tells of by
    reflection, and what a request on its attach socket may be."""
    own = daemon.Daemon()
    try:
        found = {"/".join(one.rpartition(".")[::2]) for service in own.grpcurl.plain("list").split()
                 for one in own.grpcurl.plain("list", service).split()}
    finally:
        own.close()
    actions = set(_choices(attach_pb2.AttachRequest, "action")) - {"attach"}
    actions |= set(_choices(attach_pb2.Attach, "reference")) - {"channel_part"}
    parts = set(attach_pb2.ChannelPart.Kind.keys()) - {"KIND_UNSPECIFIED"}
    actions |= {"channel_part " + part for part in parts}
    return found | {"attach.sock/" + action for action in actions}


def _choices(message, oneof):
    return [field.name for field in
            message.DESCRIPTOR.oneofs_by_name[oneof].fields]


def forgotten(path):
    """What there is and no sweep has asked for, by kind: none of it with a
    method that is new."""
    asked = collections.defaultdict(set)
    with open(path) as file:
        for line in file:
            kind, one = line.rstrip().split(" ", 1)
            asked[kind].add(one)
    everything = served()
    return {kind: sorted(everything - found) for kind, found in asked.items()
            if everything - found}


def main():
    options = kill_matrix.parse_arguments(default_rounds=1)
    os.environ["NTH_FAILURE"] = os.path.abspath(options.program)
    Runner.stride = options.stride
    options.rounds = 1
    matrix = kill_matrix.Matrix(
        [(kind, subject) for kind in KINDS for subject in SUBJECTS], Runner,
        options)
    with tempfile.NamedTemporaryFile(prefix="shmd-asked-") as asked:
        Runner.asked_path = asked.name
        matrix.run()
        left_out = forgotten(asked.name)
    status = matrix.report("a sweep")
    if left_out:
        print("never called: %s" % left_out)
    return 1 if left_out else status


if __name__ == "__main__":
    sys.exit(main())
