"""The leak ledger: what the kernel holds on behalf of a daemon."""

import collections
import os
import re
import time

import sysv

DEADLINE_SECONDS = 20


def _files(folder):
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            try:
                status = os.lstat(path)
            except FileNotFoundError:
                continue
            found[os.path.relpath(path, folder)] = (status.st_size,
                                                    status.st_blocks)
    return found


def _huge_pages(pid):
    # Those of this daemon: the pools themselves are the whole host's.
    with open("/proc/%d/status" % pid) as status:
        for line in status:
            if line.startswith("HugetlbPages:"):
                return int(line.split()[1])
    return 0


def _descriptors(pid):
    counts = collections.Counter()
    folder = "/proc/%d/fd" % pid
    for name in os.listdir(folder):
        try:
            target = os.readlink(os.path.join(folder, name))
        except FileNotFoundError:
            continue
        # Numbers of pipes and sockets; of journals, one following another; and of
        # the process itself.
        counts[re.sub(r"\[\d+\]|(?<=/journal)\.\d+$|(?<=^/proc/)\d+", "",
                      target)] += 1
    return dict(counts)


def take(daemon, pid=None):
    """What exists now, by kind. `pid` is the daemon's where a keeper started
    it."""
    pid = pid or daemon.pid
    shm = os.statvfs("/dev/shm")
    return {
        "shm blocks": shm.f_blocks - shm.f_bfree,
        "shm names": _files("/dev/shm"),
        "sysv": {shmid: row["size"]
                 for shmid, row in sysv.read_table().items()},
        "huge pages": _huge_pages(pid),
        "descriptors": _descriptors(pid),
        "files": _files(daemon.file_root),
    }


def _grew(before, now):
    """Whether there are more descriptors of any kind. Fewer are no leak: a
    client of before may have been about to leave."""
    return any(count > before.get(kind, 0) for kind, count in now.items())


def expect_same(daemon, before, take=take):
    """Raises AssertionError unless the ledger becomes `before` again. The
    kernel and the daemon's threads need a moment to let go of what ended."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        now = take(daemon)
        changed = {
            kind: (before[kind], now[kind])
            for kind in before if before[kind] != now[kind] and (
                kind != "descriptors" or _grew(before[kind], now[kind]))
        }
        if not changed:
            return
        if time.monotonic() > deadline:
            raise AssertionError("leaked: " + "; ".join(
                "%s was %s, is %s" % (kind, was, is_now)
                for kind, (was, is_now) in changed.items()))
        time.sleep(0.02)
