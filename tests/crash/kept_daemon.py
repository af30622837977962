"""A daemon under its keeper, that dies at a named point."""

import glob
import os
import shutil
import signal
import socket
import sqlite3
import tempfile
import time

import daemon
import ledger

_KINDS = {1: "segment", 2: "grant", 3: "namespace", 4: "session", 5: "request",
          6: "intent", 16: "locker"}


class KeptDaemon(daemon.Daemon):
    """shmd --keeper. `failpoints` are for its first start alone."""

    def __init__(self, failpoints="", wrapper=(), flags=(), grace_seconds=3):
        self._armed = tempfile.mkdtemp(prefix="shmd-armed-")
        self.arm(failpoints)
        super().__init__(
            "--keeper", "--failpoints=@" + os.path.join(self._armed, "points"),
            "--session_grace_seconds=%d" % grace_seconds, *flags,
            wrapper=wrapper)

    def arm(self, failpoints):
        """Those of the next start."""
        with open(os.path.join(self._armed, "points"), "w") as file:
            file.write(failpoints)

    def deaths(self):
        return self.log_text().count("the daemon ended by signal 9")

    def wait_for_deaths(self, count):
        deadline = time.monotonic() + daemon.DEADLINE_SECONDS
        while self.deaths() < count:
            if time.monotonic() > deadline:
                raise AssertionError("%d deaths, not %d:\n%s" % (
                    self.deaths(), count, self.log_text()))
            time.sleep(0.005)

    def daemon_pid(self):
        """The daemon's that runs now; 0 between two of them."""
        path = "/proc/%d/task/%d/children" % (self.pid, self.pid)
        with open(path) as file:
            children = file.read().split()
        return int(children[0]) if children else 0

    def wait_until_connectable(self):
        deadline = time.monotonic() + daemon.DEADLINE_SECONDS
        while True:
            with socket.socket(socket.AF_UNIX) as client:
                try:
                    return client.connect(self.grpc_socket)
                except OSError:
                    if time.monotonic() > deadline:
                        raise AssertionError(
                            "the daemon does not come back:\n" +
                            self.log_text())
            time.sleep(0.002)

    def kept_memfds(self):
        """How many memfds the keeper has."""
        folder = "/proc/%d/fd" % self.pid
        count = 0
        for name in os.listdir(folder):
            try:
                target = os.readlink(os.path.join(folder, name))
            except FileNotFoundError:
                continue
            count += target.startswith(("/memfd:", "/anon_hugepage"))
        return count

    def rows(self):
        """How many records the store has, by kind; of a stopped daemon."""
        path = os.path.join(self.state_dir, "segments.db")
        database = sqlite3.connect(path)
        try:
            found = database.execute(
                "SELECT kind, count(*) FROM records GROUP BY kind").fetchall()
        finally:
            database.close()
        return {_KINDS[kind]: count for kind, count in found}

    def journals(self):
        return glob.glob(os.path.join(self.state_dir, "journal.*"))

    def take_ledger(self):
        taken = ledger.take(self, pid=self.daemon_pid())
        # That of a program whose session was awaited stays until the end of
        # the time of grace, whether it came back or not.
        taken["descriptors"].pop("anon_inode:[pidfd]", None)
        return {**taken, "kept memfds": self.kept_memfds()}

    def kill_all(self):
        """Keeper and daemon, whatever state they are in."""
        pid = self.daemon_pid() if self.is_running() else 0
        self.kill()
        if pid:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.remove()

    def remove(self):
        shutil.rmtree(self._armed, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)
