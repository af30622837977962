"""Podman and buildah with a storage of their own, which close() takes away
with everything in it: the host's images and containers are never seen."""

import os
import resource
import shutil
import subprocess
import tempfile

import isolation

DEADLINE_SECONDS = 60

# Podman asks for a million of each, which not every machine may give.
_CONFIGURATION = """\
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc=1000:1000"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
runtime = "runc"
"""

# Where both remember layers, whatever the storage is.
_CACHE = "/var/lib/containers"


class Podman:

    def __init__(self):
        # What is left mounted after all goes with the last of our processes.
        isolation.enter()
        os.makedirs(_CACHE, exist_ok=True)
        isolation.mount("-t", "tmpfs", "tmpfs", _CACHE)
        # Short: there are sockets below it.
        self.folder = tempfile.mkdtemp(prefix="shmd-pod-")
        configuration = os.path.join(self.folder, "containers.conf")
        hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        with open(configuration, "w") as f:
            f.write(_CONFIGURATION.format(files=hard_limit))
        self._environment = dict(
            os.environ, CONTAINERS_CONF=configuration, TMPDIR=self.folder)
        self._storage = [
            "--storage-driver=vfs", "--root=" + self._path("images"),
            "--runroot=" + self._path("run")]
        self._cgroups = set(_cgroups())

    def _path(self, name):
        return os.path.join(self.folder, name)

    @property
    def buildah(self):
        """The command, for scripts."""
        return ["buildah"] + self._storage

    def command(self, command, **environment):
        """Runs a program in our folder; returns what it has printed."""
        done = self._run(command, **environment)
        if done.returncode != 0:
            raise AssertionError(
                "%s\nended with %d:\n%s%s" % (
                    " ".join(command), done.returncode, done.stdout,
                    done.stderr))
        return done.stdout

    def _run(self, command, **environment):
        return subprocess.run(
            command, cwd=self.folder, text=True, capture_output=True,
            stdin=subprocess.DEVNULL, timeout=DEADLINE_SECONDS,
            env=dict(self._environment, **environment))

    def _podman(self, *arguments):
        return (["podman"] + self._storage + ["--tmpdir=" + self._path("tmp")]
                + list(arguments))

    def __call__(self, *arguments):
        """Runs podman, which must succeed; returns what it has printed."""
        return self.command(self._podman(*arguments))

    def run(self, *arguments):
        """Runs podman; returns the subprocess.CompletedProcess."""
        return self._run(self._podman(*arguments))

    def close(self):
        """Ends and removes what is there, step by step, whatever fails."""
        complaints = []
        for step in (["pod", "rm", "--all", "--force", "--time=0"],
                     ["rm", "--all", "--force", "--time=0"],
                     ["volume", "prune", "--force"]):
            try:
                self(*step)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                complaints.append(str(error))
        for path in sorted(_mounts_below(self.folder), reverse=True):
            subprocess.run(["umount", "--lazy", path], check=False)
        for path in sorted(set(_cgroups()) - self._cgroups, reverse=True):
            _remove_cgroup(path)
        shutil.rmtree(self.folder, ignore_errors=True)
        if os.path.exists(self.folder):
            complaints.append(self.folder + " could not be removed")
        if complaints:
            raise AssertionError("\n".join(complaints))


def _mounts_below(folder):
    with open("/proc/self/mountinfo") as f:
        paths = [line.split()[4] for line in f]
    return [path for path in paths if path.startswith(folder + "/")]


def _cgroups():
    """Podman's own, which it leaves behind."""
    root = "/sys/fs/cgroup"
    for controller in [""] + os.listdir(root):
        path = os.path.join(root, controller, "libpod_parent")
        if os.path.isdir(path):
            yield path


def _remove_cgroup(path):
    for folder, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            pass  # in use by somebody else's containers
