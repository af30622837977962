"""Kills the daemon at each of its named points, for each backend: nothing
acknowledged is lost, and nothing else is left.

The rounds are in $SHMD_CRASH_ROUNDS; round N dies at the N-th pass of the
point, as far as there are so many. --test_arg=--only=REGEX runs some points."""

import argparse
import collections
import multiprocessing
import os
import queue
import re
import sys
import time
import traceback

import isolation
import ledger
import points
import stubs  # noqa: F401  generated once, before there are several processes

BACKENDS = ("MEMFD", "POSIX", "SYSV", "MAPPED_FILE")
NAMED = ("POSIX", "SYSV", "MAPPED_FILE")
FILES = ("POSIX", "MAPPED_FILE")

# Which backends pass a point, where that is not each of them.
PASSED_BY = {
    "create.keep": ("MEMFD",), "keeper.store": ("MEMFD",),
    "keeper.stored": ("MEMFD",), "keeper.remove": ("MEMFD",),
    "keeper.removed": ("MEMFD",), "seal.seal": ("MEMFD",),
    "seal.sealed": ("MEMFD",), "shrink.recorded": FILES,
    "shrink.resized": FILES, "grow.taken": FILES + ("MEMFD",),
    "grow.resized": FILES + ("MEMFD",), "disown.claimed": NAMED,
    "disown.recorded": NAMED, "store.synced": ("MAPPED_FILE",),
    # The same for all, and dear.
    "store.switch": ("POSIX",), "store.switched": ("POSIX",),
    "store.retire": ("POSIX",), "store.retired": ("POSIX",),
}

# Those whose journal must grow until another one is begun.
HEAVY = ("store.switch", "store.switched", "store.retire", "store.retired")

# Those of a start: it is the second one that dies, with the work of a first.
SECOND = re.compile(r"start\.|take_up\.|store\.(take_over|replayed|taken_over|"
                    r"appl)|journal\.|database\.|session\.resume$")

# What else must go wrong for a point to be passed.
BEFORE = {"create.abandoned": "create.record=fail:EIO@1;"}

FIRST_DEATH = "create.made=kill@3"


class NotPassed(Exception):
    """The daemon did not die: it does not come by so often."""


def run_case(case):
    """One daemon, one death, and everything after it. Returns seconds."""
    import kept_daemon
    import workload
    point, backend, at_pass = case
    second = SECOND.match(point) is not None
    armed = BEFORE.get(point, "") + "%s=kill@%d" % (point, at_pass)
    begin = time.monotonic()
    shmd = kept_daemon.KeptDaemon(FIRST_DEATH if second else armed)
    work = workload.Workload(shmd, backend, heavy=point in HEAVY)
    try:
        if second:
            shmd.arm(armed)
        before = None if shmd.deaths() else shmd.take_ledger()
        work.run()
        work.expect_no_sessions()
        deaths = 2 if second else 1
        if shmd.deaths() < deaths:
            time.sleep(0.1)  # what is written behind is, by now
            if shmd.deaths() < deaths:
                raise NotPassed()
            work.recover()
        work.drop_disowned()
        work.verify()
        work.close()
        if before is not None:
            ledger.expect_same(
                shmd, before, take=lambda daemon: daemon.take_ledger())
        if shmd.deaths() != deaths:
            raise AssertionError("%d deaths" % shmd.deaths())
        _expect_nothing_stored(shmd)
        return time.monotonic() - begin
    except NotPassed:
        raise
    except BaseException:
        sys.stderr.write("--- the daemon's log, %s:\n%s" % (
            case, shmd.log_text()))
        raise
    finally:
        work.close()
        shmd.kill_all()
        work.drop_disowned()


def _expect_nothing_stored(shmd):
    if shmd.stop() != 0:
        raise AssertionError("the keeper failed")
    rows = shmd.rows()
    rows.pop("request", None)  # the last ones are kept on purpose
    if rows or shmd.journals():
        raise AssertionError("left in the store: %s %s" % (
            rows, shmd.journals()))


def work_off(todo, done):
    """A process of its own, with /dev/shm and SysV IPC of its own."""
    isolation.enter()
    while True:
        case = todo.get()
        if case is None:
            return
        try:
            done.put((case, "ok", run_case(case)))
        except NotPassed:
            done.put((case, "not passed", None))
        except BaseException:  # noqa: the parent tells of it
            done.put((case, "failed", traceback.format_exc()))


class Matrix:
    """Every point with every backend, round after round."""

    def __init__(self, rounds, only):
        self.rounds = rounds
        self.passes = {}  # (point, backend) -> how often it is passed, if known
        self.cells = [
            (point, backend)
            for point in points.listed("daemon") if re.search(only, point)
            for backend in PASSED_BY.get(point, BACKENDS)]
        self.failures, self.seconds = [], []
        self.kills = collections.Counter()

    def run(self):
        fork = multiprocessing.get_context("fork")
        todo, done = fork.Queue(), fork.Queue()
        workers = [fork.Process(target=work_off, args=(todo, done))
                   for _ in range(max(2, os.cpu_count() or 1))]
        for worker in workers:
            worker.start()
        try:
            for number in range(self.rounds):
                self._run_round(number, todo, done, workers)
        finally:
            for _ in workers:
                todo.put(None)
            for worker in workers:
                worker.join(60)
                if worker.is_alive():
                    worker.kill()

    def _run_round(self, number, todo, done, workers):
        for cell in self.cells:
            todo.put(cell + (1 + number % self.passes.get(cell, number + 1),))
        left = len(self.cells)
        while left:
            try:
                case, outcome, value = done.get(timeout=1)
            except queue.Empty:
                if all(worker.is_alive() for worker in workers):
                    continue
                raise AssertionError("a worker has died")
            cell, at_pass = case[:2], case[2]
            if outcome == "not passed" and at_pass > 1:
                self.passes[cell] = min(self.passes.get(cell, at_pass),
                                        at_pass - 1)
                todo.put(cell + (1 + number % self.passes[cell],))
                continue
            left -= 1
            if outcome == "ok":
                self.seconds.append(value)
                self.kills[cell[0]] += 1
                continue
            self.failures.append(case)
            print("%s: %s\n%s" % (case, outcome, value or ""), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int,
                        default=int(os.environ.get("SHMD_CRASH_ROUNDS", 3)))
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    begin = time.monotonic()
    matrix = Matrix(options.rounds, options.only)
    matrix.run()
    cases = sorted(matrix.seconds)
    print("%d points, %d kills in %.0f s, %.2f s the median case, %d failed" % (
        len(matrix.kills), sum(matrix.kills.values()),
        time.monotonic() - begin, cases[len(cases) // 2] if cases else 0,
        len(matrix.failures)))
    return 1 if matrix.failures or not matrix.kills else 0


if __name__ == "__main__":
    sys.exit(main())
