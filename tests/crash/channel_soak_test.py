"""Kills somebody who takes part in channels every now and then, the daemon
included, while messages flow, and starts another one in its place. Nobody gets
a torn message or one twice, who is waited for gets all of them, work that was
put into a queue is done, calls are answered, the others go on, and in the end the ledger is as it
was.

--seconds=S says how long, --every=E how often somebody is killed. In the end it
prints how long survivors waited for their next message; that is no limit."""

import argparse
import collections
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zlib

import kept_daemon
import ledger

DEADLINE_SECONDS = 60
# What a call ends with when its server or the daemon was killed.
CALL_FAILURES = ("SERVER_GONE", "SERVER_UNREACHABLE")
LINES_A_SECOND = 500


def line_of(life, number):
    """A line that tells whether it is whole."""
    payload = ("%s-%d." % (life, number)) * (1 + number * 7919 % 200)
    return "%s %d %08x %s" % (life, number, zlib.crc32(payload.encode()),
                              payload)


def parse(line):
    """Returns life and number; raises when the line is not as it was made."""
    words = line.split(" ", 3)
    if len(words) != 4 or line != line_of(words[0], int(words[1])):
        raise AssertionError("torn: %r" % line[:200])
    return words[0], int(words[1])


class Life:
    """Who takes part, by _run() in a thread of its own."""

    def __init__(self, life):
        self.life = life
        self.was_killed = False
        self.error = None
        self._thread = threading.Thread(target=self._run_noting_errors)

    def start(self):
        self._thread.start()
        return self

    def _run_noting_errors(self):
        try:
            self._run()
        except Exception as error:  # pylint: disable=broad-except
            self.error = error


class Actor(Life):
    """A program `shm VERB` and the thread that talks to it."""

    def __init__(self, soak, life, *arguments, policy=None):
        super().__init__(life)
        self.policy = policy
        self.number = soak.lives
        self.process = subprocess.Popen(
            [soak.program, *arguments], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=soak.environment())

    def has_ended(self):
        return self.process.poll() is not None

    def kill(self):
        self.was_killed = True
        self.process.kill()

    def join(self):
        """Raises unless it ended as it should; nothing more the next time."""
        if self.process.stderr.closed:
            return
        self._thread.join(DEADLINE_SECONDS)
        if self._thread.is_alive():
            self.process.kill()
            raise AssertionError("%s does not end" % self.life)
        code = self.process.wait(DEADLINE_SECONDS)
        errors = self.process.stderr.read().decode()
        for pipe in (self.process.stdin, self.process.stdout,
                     self.process.stderr):
            try:
                pipe.close()
            except BrokenPipeError:
                pass
        if self.error is not None:
            raise AssertionError("%s: %s; %s" % (
                self.life, self.error, errors)) from self.error
        if not self.was_killed and code != 0:
            raise AssertionError("%s ended with %d: %s" % (
                self.life, code, errors))


class Source(Actor):
    """Publishes numbered lines until it is told to end, or killed."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.given = 0
        self.ending = threading.Event()

    def _run(self):
        try:
            while not self.ending.wait(1 / LINES_A_SECOND):
                line = line_of(self.life, self.given) + "\n"
                self.process.stdin.write(line.encode())
                self.process.stdin.flush()
                self.given += 1
            self.process.stdin.close()
        except BrokenPipeError:
            if not self.was_killed:
                raise AssertionError("a publisher ended by itself")


class Server(Actor):
    """Answers calls until it is killed."""

    def _run(self):
        for data in self.process.stdout:
            raise AssertionError("printed %r" % data)


class Sink(Actor):
    """Reads lines, and checks each."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.last = {}
        self.done = collections.Counter()
        self.lines = 0

    def _run(self):
        for data in self.process.stdout:
            if not data.endswith(b"\n"):
                return  # it was killed in the middle of it
            life, number = parse(data.decode().rstrip("\n"))
            last = self.last.get(life)
            if self.policy == "block" and last is not None:
                if number != last + 1:
                    raise AssertionError("%s: %d after %d" % (
                        life, number, last))
            elif self.policy and last is not None and number <= last:
                raise AssertionError("%s: %d after %d" % (life, number, last))
            self.last[life] = number
            self.done[life, number] += 1
            self.lines += 1


class Caller(Life):
    """Makes one call after another, each by a program of its own, and checks
    that it gets back what it sent."""

    def __init__(self, soak, life):
        super().__init__(life)
        self._soak = soak
        self.answers = self.failures = 0
        self._ending = threading.Event()
        self._process = None

    def _run(self):
        while not self._ending.is_set():
            self._call(line_of(self.life, self.answers + self.failures))

    def _call(self, line):
        with subprocess.Popen(
                [self._soak.program, "call", "ask", line, "--timeout",
                 "%ds" % DEADLINE_SECONDS], stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, env=self._soak.environment()) as call:
            self._process = call
            if self._ending.is_set():
                call.kill()
            answer, errors = call.communicate()
        if self._ending.is_set():
            return
        if call.returncode == 0:
            if answer.decode() != line + "\n":
                raise AssertionError("answered %r" % answer[:200])
            self.answers += 1
        elif any(reason in errors.decode() for reason in CALL_FAILURES):
            self.failures += 1  # its server was killed, or the daemon
        else:
            raise AssertionError(errors.decode())

    def has_ended(self):
        return False  # it is not one program

    def kill(self):
        self.was_killed = True
        self._ending.set()
        if self._process is not None:
            self._process.kill()

    def join(self):
        self._thread.join(DEADLINE_SECONDS)
        if self._thread.is_alive():
            raise AssertionError("%s does not end" % self.life)
        if self.error is not None:
            raise AssertionError(self.life) from self.error


class Soak:
    """A daemon under its keeper, and who takes part in three channels."""

    def __init__(self, options):
        self.program = os.path.abspath(options.program)
        self.options = options
        self.random = random.Random(options.seed)
        self.daemon = kept_daemon.KeptDaemon()
        self.lives = 0
        self.waits = []
        self.kills = collections.Counter()
        self.consumers_ended, self.sources_ended = [], []
        self.actors = []

    def _new(self, role):
        self.lives += 1
        life = "%s%d" % (role, self.lives)
        if role == "camera":
            return Source(self, life, "pub", "frames", "--lines").start()
        if role == "producer":
            return Source(self, life, "pub", "work", "--lines", "--kind",
                          "queue").start()
        if role == "consumer":
            return Sink(self, life, "sub", "work", "--kind", "queue").start()
        if role == "server":
            return Server(self, life, "serve", "ask").start()
        if role == "caller":
            return Caller(self, life).start()
        return Sink(self, life, "sub", "frames", "--policy", role,
                    policy=role).start()

    def run(self):
        self._shm("channel", "create", "frames")
        self._shm("channel", "create", "work", "--kind", "queue")
        self._shm("channel", "create", "ask", "--kind", "call")
        before = self._take_ledger()
        self.actors = [(role, self._new(role)) for role in (
            "block", "block", "drop_oldest", "consumer", "consumer", "camera",
            "camera", "producer", "server", "server", "caller")]
        end = time.monotonic() + self.options.seconds
        while time.monotonic() < end:
            self._await_news()
            time.sleep(self.options.every * self.random.uniform(0.5, 1))
            self._kill_somebody()
        self._await_news()
        self._end_all()
        # The sessions of those that died beside the daemon are awaited a while.
        ledger.expect_same(self.daemon, before,
                           take=lambda _: self._take_ledger())

    def _take_ledger(self):
        """Without what belongs to all of the host, which changes in so long a
        time: channels are memfds."""
        taken = self.daemon.take_ledger()
        return {kind: taken[kind] for kind in (
            "descriptors", "files", "kept memfds")}

    def _await_news(self):
        """Until every subscriber has heard something, and a call was answered."""
        begin = time.monotonic()
        sinks = [actor for role, actor in self.actors if role in (
            "block", "drop_oldest")]
        seen = {sink: sink.lines for sink in sinks}
        callers = [actor for role, actor in self.actors if role == "caller"]
        answers = {caller: caller.answers for caller in callers}
        while any(sink.lines == seen[sink] for sink in sinks) or any(
                caller.answers == answers[caller] for caller in callers):
            self._raise_errors()
            if time.monotonic() - begin > DEADLINE_SECONDS:
                raise AssertionError("nothing comes any more: %s, %s\n%s" % (
                    [(sink.life, sink.lines) for sink in sinks],
                    [(caller.life, caller.answers) for caller in callers],
                    self.daemon.log_text()))
            time.sleep(0.001)
        self.waits.append(time.monotonic() - begin)

    def _raise_errors(self):
        for _, actor in self.actors:
            if actor.error is not None:
                raise AssertionError(actor.life) from actor.error
            if actor.has_ended() and not actor.was_killed:
                actor.join()

    def _kill_somebody(self):
        at = self.random.choice(
            [i for i, (role, _) in enumerate(self.actors + [("daemon", None)])
             if role in self.options.victims or not self.options.victims])
        if at == len(self.actors):
            deaths = self.daemon.deaths()
            os.kill(self.daemon.daemon_pid(), signal.SIGKILL)
            self.daemon.wait_for_deaths(deaths + 1)
            self.daemon.wait_until_ready()
            self.kills["daemon"] += 1
            return
        role, actor = self.actors[at]
        actor.kill()
        actor.join()
        self.kills[role] += 1
        self._retire(role, actor)
        self.actors[at] = (role, self._new(role))

    def _retire(self, role, actor):
        if role == "consumer":
            self.consumers_ended.append(actor)
        if role == "producer":
            self.sources_ended.append(actor)

    def _end_all(self):
        sources = [(role, actor) for role, actor in self.actors
                   if isinstance(actor, Source)]
        for _, source in sources:
            source.ending.set()
        # A publisher ends when all that it waits for have read everything.
        for _, source in sources:
            source.join()
        blocking = [actor for role, actor in self.actors if role == "block"]
        self._await_all_read(blocking, [source for role, source in sources
                                        if role == "camera"])
        for role, actor in self.actors:
            if not isinstance(actor, Source):
                actor.kill()
                actor.join()
                self._retire(role, actor)
        self._check_work([source for role, source in sources
                          if role == "producer"])
        for channel in ("frames", "work", "ask"):
            self._shm("channel", "stat", channel)

    def _await_all_read(self, sinks, cameras):
        deadline = time.monotonic() + DEADLINE_SECONDS
        # Who came later may have come after the last line.
        while any(sink.last.get(camera.life) != camera.given - 1
                  for sink in sinks for camera in cameras if camera.given and (
                      camera.life in sink.last or sink.number < camera.number)):
            self._raise_errors()
            if time.monotonic() > deadline:
                raise AssertionError("not all was read: %s" % [
                    (sink.life, camera.life, sink.last.get(camera.life),
                     camera.given) for sink in sinks for camera in cameras])
            time.sleep(0.005)

    def _check_work(self, producers):
        """All that was put in by producers that lived is done; again only what
        a consumer had printed and not acknowledged when it was killed."""
        done = sum((consumer.done for consumer in self.consumers_ended),
                   collections.Counter())
        for producer in producers:
            missing = [number for number in range(producer.given)
                       if not done[producer.life, number]]
            # What was read from the pipe of a consumer that was killed may
            # have been printed and not have come here.
            if len(missing) > self.kills["consumer"] + 2:
                raise AssertionError("not done: %s" % missing[:20])
        again = sum(count - 1 for count in done.values() if count > 1)
        if again > self.kills["consumer"]:
            raise AssertionError("%d were done again, %d consumers died" % (
                again, self.kills["consumer"]))

    def environment(self):
        return {**os.environ, "SHMD_SOCKET_DIR": self.daemon.socket_dir}

    def _shm(self, *arguments):
        ended = subprocess.run(
            [self.program, *arguments], capture_output=True, check=False,
            timeout=DEADLINE_SECONDS, env=self.environment())
        if ended.returncode != 0:
            raise AssertionError(ended.stderr.decode())

    def close(self):
        for _, actor in self.actors:
            actor.kill()
        self.daemon.kill_all()

    def report(self):
        waits = sorted(self.waits)
        print("%d s, %d killed (%s); survivors waited %.0f ms median, %.0f ms "
              "at most for what came next" % (
                  self.options.seconds, sum(self.kills.values()),
                  ", ".join("%s %d" % kill for kill in sorted(
                      self.kills.items())),
                  1e3 * waits[len(waits) // 2], 1e3 * waits[-1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--every", type=float, default=0.5)
    parser.add_argument("--victims", nargs="*", default=[],
                        help="of these roles; of every one, and the daemon")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print("--seed=%d" % options.seed, flush=True)
    soak = Soak(options)
    try:
        soak.run()
    finally:
        soak.close()
    soak.report()


if __name__ == "__main__":
    sys.exit(main())
