"""Kills a program that puts, replaces, deletes or reads objects: at each named
point of the client library that it comes by, in the middle of a payload that
it writes or reads, and from outside at a moment of chance. All the while one
program compares every byte of every object that there is, and another puts and
gets what is its own. Nobody reads torn bytes, what was acknowledged is there,
nothing is left over, and what the dead had pinned can be used again.

$SHMD_CRASH_ROUNDS, or --rounds, says how often; round N dies at the N-th pass
of the point, as far as there are so many, or at the N-th moment of chance.
--only=REGEX runs some points. In the end the latencies of the bystanders are
printed; they tell how others fare, and are no limit."""

import os
import random
import signal
import sys
import time

import kill_matrix
import points
import stubs  # noqa: F401  generated once, before there are several processes
from actor import Actor, DEADLINE_SECONDS

OWNED = {"c-owned-%d" % i: size for i, size in enumerate((64, 30000, 200000))}
# Where a page, or the page at either end, is another object's too.
ROOM_BYTES = 2 * 4096

WRITER_POINTS = ["actor.half_written", "outside.writer"]
READER_POINTS = ["actor.pinned", "actor.half_read", "actor.unpin",
                 "actor.unpinned", "outside.reader"]
# The writer reads nothing of others'.
READER_TOO = ("space.opened", "space.attached", "space.mapped")
READER_ALONE = ("view.opened", "view.mapped")


def cells():
    library = [point for point in points.listed("client")
               if not point.startswith("client.")]
    return [(point, "WRITER") for point in library + WRITER_POINTS
            if point not in READER_ALONE] + [
        (point, "READER") for point in library + READER_POINTS
        if point in READER_TOO + READER_ALONE + tuple(READER_POINTS)]


class Peer:
    """A worker's daemon, and who goes on using it."""

    def __init__(self):
        import daemon
        import ledger
        import object_workload
        self.ledger = ledger
        self.daemon = daemon.Daemon()
        self.work = object_workload.ObjectWorkload(self.daemon)
        self.owner = Actor("OBJECT_ACTOR", "owner", self.daemon)
        self._own("put c-owned-0 64")
        self._own("remove c-owned-0")
        self.checker = Actor("OBJECT_ACTOR", "checker", self.daemon)
        self.bystander = Actor("OBJECT_ACTOR", "bystander", self.daemon)
        # When they answer they have all that they will ever have.
        self.bystander.ask()
        self.checks = self._count_checks()
        self.pid = self.daemon.pid

    def _own(self, command):
        verb = command.split()[0]
        self.owner.ask(command, {"put": "put ", "remove": "removed ",
                                 "trim": "trimmed "}[verb])

    def _count_checks(self):
        return int(self.checker.ask().split()[1])

    def close(self):
        print(self.bystander.ask(), flush=True)
        print("%d checks by another program" % self._count_checks(),
              flush=True)
        for actor in (self.owner, self.checker, self.bystander):
            actor.close()
        self.work.close()
        self.daemon.close()

    def run_case(self, case):
        point, role, at_pass = case
        for object_id, size in OWNED.items():
            self._own("put %s %d" % (object_id, size))
        before = self._take_ledger()
        if point.startswith("outside."):
            actor = self._kill_from_outside(role, at_pass)
        else:
            actor = Actor("OBJECT_ACTOR", role.lower(), self.daemon,
                          SHMD_FAILPOINTS="%s=kill@%d" % (point, at_pass))
        code, errors = actor.await_end()
        died = time.monotonic()
        if code not in (0, -signal.SIGKILL):
            raise AssertionError("%d: %s" % (code, errors))
        try:
            self._expect_session_gone(actor.process.pid)
            gone = time.monotonic() - died
            self._expect_account(actor.lines())
            self._expect_others_at_work()
        finally:
            for object_id in self._left():
                self.work.remove_object(object_id)
        self.ledger.expect_same(
            self.daemon, before, take=lambda _: self._take_ledger())
        self._expect_room()
        if code == 0:
            raise kill_matrix.NotPassed()
        return gone

    def _kill_from_outside(self, role, at_pass):
        actor = Actor("OBJECT_ACTOR", role.lower(), self.daemon,
                      ACTOR_FOR_EVER="1")
        actor.await_first_line()
        # From the first object on; the number makes it the same each time.
        time.sleep(random.Random(at_pass).random() * 0.05)
        actor.process.kill()
        return actor

    def _take_ledger(self):
        """With all segments, those that nobody may name too."""
        return {**self.ledger.take(self.daemon),
                "segments": sorted(self.work.listed())}

    def _expect_session_gone(self, pid):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while any(session.pid == pid
                  for session in self.work.sessions().sessions):
            if time.monotonic() > deadline:
                raise AssertionError("the session of the dead remains")
            time.sleep(0.002)

    def _left(self):
        """What the dead has put."""
        return {object_id for object_id in self.work.listed_objects()
                if object_id.startswith("c-") and object_id not in OWNED}

    def _expect_account(self, lines):
        """What was acknowledged to the dead is so."""
        there, removed = set(), set()
        for line in lines:
            words = line.split()
            if words[0] in ("put", "putting", "removing"):
                there.discard(words[1])
                removed.discard(words[1])
            if words[0] == "put":
                there.add(words[1])
            elif words[0] == "removed":
                removed.add(words[1])
        found = self._left()
        # Of what it was about to remove nobody knows.
        if there - found or found & removed:
            raise AssertionError("there: %s; acknowledged: %s, not %s" % (
                found, there, removed))

    def _expect_others_at_work(self):
        """The checker has seen objects since, and all of them whole."""
        checks = self._count_checks()
        if checks <= self.checks:
            checks = self._count_checks()
        if checks <= self.checks:
            raise AssertionError("nothing was checked")
        self.checks = checks
        self.bystander.ask()
        if not self.daemon.is_running() or self.daemon.pid != self.pid:
            raise AssertionError("the daemon has died")

    def _expect_room(self):
        """What the dead had pinned is used again once it is deleted."""
        for object_id in OWNED:
            self._own("remove " + object_id)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self._resident_bytes_of_owner() > ROOM_BYTES:
            self._own("trim")
            if time.monotonic() > deadline:
                raise AssertionError("what the dead had pinned is kept")
            time.sleep(0.002)

    def _resident_bytes_of_owner(self):
        return sum(self.work.resident_bytes(segment_id)
                   for segment_id in self.work.arenas_of(
                       self.owner.process.pid))


def main():
    options = kill_matrix.parse_arguments(default_rounds=3)
    os.environ["OBJECT_ACTOR"] = os.path.abspath(options.program)
    matrix = kill_matrix.Matrix(cells(), Peer, options)
    matrix.run()
    return matrix.report("a session gone")


if __name__ == "__main__":
    sys.exit(main())
