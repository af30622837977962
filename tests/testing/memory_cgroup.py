"""A memory cgroup with a limit, version 1 or 2 as the machine has it."""

import os


def _find_mount():
    """(the folder of the memory controller, its version)."""
    second = None
    with open("/proc/self/mountinfo") as mounts:
        for line in mounts:
            left, _, right = line.partition(" - ")
            path = left.split()[4]
            kind, _, options = right.split()[:3]
            if kind == "cgroup" and "memory" in options.split(","):
                return path, 1
            if kind == "cgroup2":
                second = path
    if second is None:
        raise AssertionError("no memory controller is mounted")
    return second, 2


def used_bytes(pid):
    """What is charged to the memory cgroup that a process is in."""
    root, version = _find_mount()
    controllers = ["memory"] if version == 1 else [""]
    with open("/proc/%d/cgroup" % pid) as file:
        for line in file:
            _, names, path = line.rstrip("\n").split(":", 2)
            if names.split(",") == controllers:
                break
    name = "memory.usage_in_bytes" if version == 1 else "memory.current"
    with open(os.path.join(root, path.lstrip("/"), name)) as file:
        return int(file.read())


class MemoryCgroup:
    """A cgroup of `limit_bytes`; close() removes it, when it is empty."""

    def __init__(self, limit_bytes):
        root, self._version = _find_mount()
        self.path = os.path.join(root, "shmd-test-%d" % os.getpid())
        if self._version == 2:
            self._write_to(os.path.join(root, "cgroup.subtree_control"),
                           "+memory")
        os.mkdir(self.path)
        try:
            self._write_to(
                os.path.join(self.path, "memory.limit_in_bytes"
                             if self._version == 1 else "memory.max"),
                str(limit_bytes))
        except OSError:
            self.close()
            raise

    @staticmethod
    def _write_to(path, text):
        with open(path, "w") as file:
            file.write(text)

    def wrapper(self):
        """A command that runs its arguments in the cgroup."""
        return ["sh", "-c", 'echo $$ > "$0"/cgroup.procs && exec "$@"',
                self.path]

    def count_kills(self):
        """How many members the kernel has killed for lack of memory."""
        name = ("memory.oom_control" if self._version == 1
                else "memory.events")
        with open(os.path.join(self.path, name)) as file:
            return dict(line.split() for line in file)["oom_kill"]

    def close(self):
        os.rmdir(self.path)
