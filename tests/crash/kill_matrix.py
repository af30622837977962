"""Rounds of kills, run by several processes."""

import argparse
import collections
import multiprocessing
import os
import queue
import re
import time
import traceback

import huge_pages
import isolation


# What is asked for of the pool where memfds of huge pages are killed too: each
# worker has some segments of them.
HUGE_PAGES = 96


class NotPassed(Exception):
    """The program did not die: it does not come by so often."""


def parse_arguments(default_rounds):
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=int(
        os.environ.get("SHMD_CRASH_ROUNDS", default_rounds)))
    parser.add_argument("--minutes", type=float, default=float("inf"),
                        help="after these no further round is begun")
    parser.add_argument("--only", default="", help="a regex of points, each with whose it is")
    parser.add_argument("--program", default="")
    parser.add_argument("--stride", type=int, default=167,
                        help="of failed allocations: every so many-th")
    return parser.parse_args()


def _work_off(make_runner, todo, done):
    """A process of its own, with /dev/shm and SysV IPC of its own."""
    isolation.enter()
    runner = make_runner()
    try:
        while True:
            case = todo.get()
            if case is None:
                return
            try:
                done.put((case, "ok", runner.run_case(case)))
            except NotPassed:
                done.put((case, "not passed", None))
            except BaseException:  # noqa: the parent tells of it
                done.put((case, "failed", traceback.format_exc()))
    finally:
        runner.close()


def run(cells, make_runner, options, what):
    """All rounds of `cells`, (point, backends): and with memfds of huge pages,
    wherever there are memfds, if there are such pages. Returns the exit
    status; `what` takes the time that is printed."""
    with huge_pages.reserved(HUGE_PAGES) as are_there:
        if not are_there:
            print("without memfds of huge pages: the kernel has not got %d "
                  "pages of 2 MiB to spare" % HUGE_PAGES)
        more = ("HUGE",) if are_there else ()
        matrix = Matrix([(point, backend) for point, backends in cells
                         for backend in backends + (
                             more if "MEMFD" in backends else ())],
                        make_runner, options)
        matrix.run()
    return matrix.report(what)


class Matrix:
    """Every cell, a point with a backend, round after round. `make_runner` is
    called once in each process; its run_case(point, backend, pass) returns
    seconds or raises."""

    def __init__(self, cells, make_runner, options):
        self.rounds, self.minutes = options.rounds, options.minutes
        self.rounds_done = 0
        self.passes = {}  # cell -> how often it is passed, once known
        self.cells = [cell for cell in cells
                      if re.search(options.only, "%s %s" % cell)]
        self._make_runner = make_runner
        self.failures, self.seconds = [], []
        self.kills = collections.Counter()
        self._begin = time.monotonic()

    def run(self):
        fork = multiprocessing.get_context("fork")
        todo, done = fork.Queue(), fork.Queue()
        workers = [fork.Process(target=_work_off,
                                args=(self._make_runner, todo, done))
                   for _ in range(2 * (os.cpu_count() or 1))]
        for worker in workers:
            worker.start()
        try:
            for number in range(self.rounds):
                if time.monotonic() - self._begin > 60 * self.minutes:
                    break
                self._run_round(number, todo, done, workers)
                self.rounds_done += 1
        finally:
            for _ in workers:
                todo.put(None)
            for worker in workers:
                worker.join(60)
                if worker.is_alive():
                    worker.kill()
        if any(worker.exitcode != 0 for worker in workers):
            self.failures.append("a worker")

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

    def report(self, what):
        """Prints the figures; returns the exit status."""
        cases = sorted(self.seconds) or [0.0]
        print("%d rounds, %d points, %d kills in %.0f s; %s in %.1f ms "
              "median, %.1f ms at most; %d failed" % (
                  self.rounds_done, len(self.kills), sum(self.kills.values()),
                  time.monotonic() - self._begin, what,
                  1e3 * cases[len(cases) // 2], 1e3 * cases[-1],
                  len(self.failures)))
        return 1 if self.failures or not self.kills else 0
