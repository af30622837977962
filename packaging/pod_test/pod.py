"""A Pod of a manifest under podman, as a kubelet would run it."""

import json
import os
import subprocess
import time

DEADLINE_SECONDS = 60
PAUSE_SECONDS = 0.05


def await_that(what, condition):
    """Asks until `condition` returns something that is true; returns it."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError("not within %d s: %s" % (DEADLINE_SECONDS,
                                                          what))
        time.sleep(PAUSE_SECONDS)


def _read(path):
    try:
        with open(path) as f:
            return f.read()
    except FileNotFoundError:
        return ""


class Pod:
    """The sidecar first, until `startup_probe` succeeds in it; then the rest."""

    def __init__(self, podman, manifest, name, sidecar, startup_probe):
        self._podman = podman
        self._name = name
        self._inspected = {}
        podman("play", "kube", "--network=none", "--start=false", manifest)
        # An emptyDir is everybody's; a volume of podman's is not.
        for volume in json.loads(podman("volume", "inspect", "--all")):
            os.chmod(volume["Mountpoint"], 0o777)
        podman("start", "%s-%s" % (name, sidecar))
        await_that("the sidecar serves", lambda: self.run(
            sidecar, *startup_probe).returncode == 0)
        podman("pod", "start", name)

    def run(self, container, *command):
        """Runs a program in a container, as its user; returns the
        subprocess.CompletedProcess."""
        return self._podman.run("exec", self._container(container), *command)

    def __call__(self, container, *command):
        """As run, but it must succeed; returns what it has printed."""
        return self._podman("exec", self._container(container), *command)

    # From files, because each start of podman takes a while.

    def pid(self, container):
        """Its first process; 0 while there is none."""
        pid = int(_read(self._facts(container)["PidFile"]) or 0)
        return pid if os.path.exists("/proc/%d" % pid) else 0

    def log(self, container):
        """What it has printed, over all its lives."""
        path = self._facts(container)["HostConfig"]["LogConfig"]["Path"]
        # Before each line when it was printed, and where to.
        return "".join(line.split(" ", 3)[3]
                       for line in _read(path).splitlines(keepends=True)
                       if line.endswith("\n"))

    def _facts(self, container):
        if container not in self._inspected:
            self._inspected[container] = json.loads(
                self._podman("inspect", self._container(container)))[0]
        return self._inspected[container]

    def _container(self, container):
        return "%s-%s" % (self._name, container)

    def remove(self):
        for tries_left in (1, 0):
            # Faster than `rm` alone, which asks and waits for one after the
            # other.
            self._podman.run("pod", "kill", self._name)
            try:
                self._podman("pod", "rm", "--force", "--time=0", self._name)
                break
            except subprocess.TimeoutExpired:
                # Now and then podman does not come back from it, where a
                # container was killed, and so started again, just before.
                if not tries_left:
                    raise
        self._podman("volume", "prune", "--force")
