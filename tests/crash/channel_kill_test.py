"""Kills a program that takes part in channels: a publisher, a subscriber of
each policy, a producer or a consumer of a queue, a caller or a server, at each
named point that it comes by on its way with a message, in the middle of a
payload, and from outside at a moment of chance; publishers also while nobody
who subscribes gets to run. All the while another program
has each of these parts, and compares every byte: others go on, at most the
message that the dead had in hand is lost, none comes twice, none torn, and
nothing is left over.

$SHMD_CRASH_ROUNDS, or --rounds, says how often; round N dies at the N-th pass
of the point, as far as there are so many, or at the N-th moment of chance.
--only=REGEX runs some points. In the end the longest time is printed in which
one of the living got nowhere while another died; it tells how they fare, and
is no limit."""

import os
import random
import signal
import sys
import time

import kill_matrix
import points
import stubs  # noqa: F401  generated once, before there are several processes
from actor import Actor, DEADLINE_SECONDS

PUBLISHING = ["publish.filled", "publish.shown"]
WRITING = PUBLISHING + ["actor.half_written"]
CLAIMING = ["claim.pinned", "claim.claimed", "actor.half_read",
            "claim.finished", "claim.unpinned"]
READING = ["receive.found", "actor.half_read"]
POINTS = {
    "publisher": WRITING,
    "producer": WRITING,
    "subscriber_block": READING,
    "subscriber_drop": READING + ["release.marked"],
    "subscriber_cut": READING + ["release.marked"],
    "consumer": CLAIMING,
    "caller": WRITING + READING + ["call.started", "call.cancelled",
                                   "release.marked"],
    "server": CLAIMING + PUBLISHING + ["call.responded"],
}


# With all who are to get the messages asleep until the publisher is dead.
UNHEARD = {"publisher": PUBLISHING, "producer": PUBLISHING}
# Fewer than a ring holds: nobody makes room in it.
MOST_UNHEARD = 24


def cells():
    passed = {point for names in POINTS.values()
              for point in names if not point.startswith("actor.")}
    if passed != set(points.listed("channel")):
        raise AssertionError("failpoints.txt lists others")
    return [(point, role) for role, names in POINTS.items()
            for point in names + ["outside"]] + [
        (point, role + " unheard") for role, names in UNHEARD.items()
        for point in names]


class Account:
    """What the witness answers."""

    def __init__(self, line):
        words = line.split()
        numbers = dict(zip(words[0:10:2], map(int, words[1:10:2])))
        self.late_seconds = numbers["late"] / 1e6
        self.called, self.gone = numbers["called"], numbers["gone"]
        self.seen, self.done = numbers["seen"], numbers["done"]
        self.missing = set(map(int, words[11:]))


class Peer:
    """A worker's daemon, and who goes on using it."""

    def __init__(self):
        import daemon
        import ledger
        self.ledger = ledger
        self.daemon = daemon.Daemon()
        self.witness = Actor("CHANNEL_ACTOR", "witness", self.daemon)
        self.witness.await_line()
        self.pid = self.daemon.pid
        self.late_seconds = 0.0  # in this case, at most
        self.actors = 0  # so far

    def _account(self, line):
        account = Account(self.witness.ask(line))
        self.late_seconds = max(self.late_seconds, account.late_seconds)
        return account

    def _settle(self, line, is_settled):
        """The account, once it is as it has to become."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            account = self._account(line)
            if is_settled(account):
                return account
            if time.monotonic() > deadline:
                raise AssertionError(vars(account))
            time.sleep(0.002)

    def close(self):
        code, errors = self.witness.await_end()
        self.daemon.close()
        if code != 0:
            raise AssertionError("the witness: %s" % errors)

    def run_case(self, case):
        point, role, at_pass = case
        before = self.ledger.take(self.daemon)
        gone = self._gone()
        self.late_seconds = 0.0
        role, _, is_unheard = role.partition(" ")
        if is_unheard:
            actor, code, errors = self._run_unheard(point, role, at_pass)
        else:
            actor = self._start(point, role, at_pass)
            code, errors = actor.await_end()
        if code not in (0, -signal.SIGKILL):
            raise AssertionError("%d: %s" % (code, errors))
        actor.rewind()
        lines = [line.split() for line in actor.lines()]
        self._expect_account(role, str(self.actors), lines)
        lost = self._gone() - gone
        if lost > (1 if role == "server" and code != 0 else 0):
            raise AssertionError("%d calls ended" % lost)
        self.ledger.expect_same(self.daemon, before)
        if not self.daemon.is_running() or self.daemon.pid != self.pid:
            raise AssertionError("the daemon has died")
        if code == 0:
            raise kill_matrix.NotPassed()
        return 0.0 if is_unheard else self.late_seconds

    def _gone(self):
        """How many calls ended for want of their server, those included that
        were under way: who called may learn of it later than the daemon."""
        called = self._account("forget").called
        return self._settle("forget",
                            lambda account: account.called > called).gone

    def _start(self, point, role, at_pass):
        self.actors += 1
        number = str(self.actors)
        if point != "outside":
            return Actor("CHANNEL_ACTOR", role, self.daemon,
                         ACTOR_NUMBER=number,
                         SHMD_FAILPOINTS="%s=kill@%d" % (point, at_pass))
        actor = Actor("CHANNEL_ACTOR", role, self.daemon, ACTOR_NUMBER=number,
                      ACTOR_FOR_EVER="1")
        actor.await_line()
        # The number makes it the same each time.
        time.sleep(random.Random(at_pass).random() * 0.03)
        actor.process.kill()
        return actor

    def _run_unheard(self, point, role, at_pass):
        self.witness.process.send_signal(signal.SIGSTOP)
        try:
            # It has published something by then.
            actor = self._start(point, role, 2 + at_pass % MOST_UNHEARD)
            code, errors = actor.await_end()
            self._await_departure(role, actor.process.pid)
        finally:
            self.witness.process.send_signal(signal.SIGCONT)
        return actor, code, errors

    def _await_departure(self, role, pid):
        """Until the daemon has seen the publisher's end, and nobody else its
        messages."""
        channel = {"publisher": "news", "producer": "work"}[role]
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            outcome = self.daemon.call(
                "shmd.v1.ChannelService/GetChannelStats",
                {"name": "namespaces/default/channels/" + channel})
            if outcome.code != "OK":
                raise AssertionError(outcome)
            found = [one.get("has_left", False)
                     for one in outcome.reply["publishers"]
                     if one.get("pid") == pid]
            if found in ([], [True]):
                return
            if time.monotonic() > deadline:
                raise AssertionError("the daemon does not see an end")
            time.sleep(0.002)

    def _expect_account(self, role, number, lines):
        """What was acknowledged to the dead is so, and no more than what it had
        in hand is in doubt."""
        told = {word: [int(line[1]) for line in lines if line[0] == word]
                for word in ("published", "got", "done")}
        published = max(told["published"], default=0)
        name = {"publisher": "seen", "producer": "done"}.get(role)
        if name is not None:
            account = self._settle(
                number, lambda account: getattr(account, name) >= published)
            if getattr(account, name) > published + 1:
                raise AssertionError("%d published: %s" % (
                    published, vars(account)))
        if role == "consumer":
            self._expect_work(number, set(told["done"]), set(told["got"]))

    def _expect_work(self, number, done, got):
        """What it did nobody else has done, and the rest is done by others."""
        twice = done - self._account(number).missing
        if twice:
            raise AssertionError("done twice: %s" % twice)
        # New work is missing for a moment, and then no more.
        missing = self._account(number).missing
        self._settle(number, lambda account: missing & account.missing <= got)
        missing &= self._account(number).missing
        if len(missing - done) > 1:
            raise AssertionError("lost: %s" % (missing - done))
        self._account(" ".join(["forget"] + sorted(map(str, missing))))


def main():
    options = kill_matrix.parse_arguments(default_rounds=3)
    os.environ["CHANNEL_ACTOR"] = os.path.abspath(options.program)
    matrix = kill_matrix.Matrix(cells(), Peer, options)
    matrix.run()
    return matrix.report("others stood still for")


if __name__ == "__main__":
    sys.exit(main())
