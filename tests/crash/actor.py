"""Programs that are killed, or go on while others are."""

import os
import subprocess
import tempfile
import time

DEADLINE_SECONDS = 60


class Actor:
    """A program of object_actor.cc or channel_actor.cc, whose path is in the
    environment under `kind`."""

    def __init__(self, kind, role, shmd, **environment):
        # A file, so that what a dead program told is there.
        self._out = tempfile.TemporaryFile("w+b")
        self._read = 0
        self.process = subprocess.Popen(
            [os.environ[kind], role, shmd.socket_dir],
            stdin=subprocess.PIPE, stdout=self._out, stderr=subprocess.PIPE,
            env={**os.environ, **environment})

    def lines(self):
        """Whole ones that came since the last call."""
        data = os.pread(self._out.fileno(), 1 << 24, self._read)
        data = data[:data.rfind(b"\n") + 1]
        self._read += len(data)
        return data.decode().splitlines()

    def await_line(self, begin=""):
        """The next one that begins so."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            lines = [line for line in self.lines() if line.startswith(begin)]
            if lines:
                return lines[-1]
            if self.process.poll() is not None:
                raise AssertionError("%s ended: %s" % (
                    self.process.args[1], self.process.stderr.read().decode()))
            if time.monotonic() > deadline:
                raise AssertionError("%s says nothing" % self.process.args[1])
            time.sleep(0.001)

    def await_first_line(self):
        """Which lines() returns all the same."""
        self.await_line()
        self.rewind()

    def rewind(self):
        """lines() returns all again."""
        self._read = 0

    def ask(self, line="?", answer=""):
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # await_line() says why
        return self.await_line(answer)

    def await_end(self):
        """Returns the exit code and what it told on standard error."""
        _, errors = self.process.communicate(timeout=DEADLINE_SECONDS)
        return self.process.returncode, errors.decode()

    def close(self):
        code, errors = self.await_end()
        self._out.close()
        if code != 0:
            raise AssertionError("%s ended with %d: %s" % (
                self.process.args[1], code, errors))
