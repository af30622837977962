"""Kills the daemon at each of its named points, for each backend: nothing
acknowledged is lost, and nothing else is left.

$SHMD_CRASH_ROUNDS, or --rounds, says how often; round N dies at the N-th pass
of the point, as far as there are so many. --only=REGEX runs some points.
Memfds of huge pages are a backend of their own where the kernel has pages, or
can make some for the time of the test."""

import re
import sys
import time

import kill_matrix
import ledger
import points
import stubs  # noqa: F401  generated once, before there are several processes

BACKENDS = ("MEMFD", "POSIX", "SYSV", "MAPPED_FILE")
NAMED = ("POSIX", "SYSV", "MAPPED_FILE")
FILES = ("POSIX", "MAPPED_FILE")

# Which backends pass a point, where that is not each of them.
PASSED_BY = {
    "create.keep": ("MEMFD",), "keeper.store": ("MEMFD",),
    "keeper.stored": ("MEMFD",), "keeper.remove": ("MEMFD",),
    "keeper.removed": ("MEMFD",), "seal.seal": ("MEMFD",),
    "seal.sealed": ("MEMFD",), "shrink.recorded": FILES,
    "shrink.resized": FILES, "grow.taken": FILES + ("MEMFD",),
    "grow.resized": FILES + ("MEMFD",), "disown.claimed": NAMED,
    "disown.recorded": NAMED, "store.synced": ("MAPPED_FILE",),
    "file.sync": ("MAPPED_FILE",),
    # The same for all, and dear.
    "namespace.create": ("POSIX",), "namespace.created": ("POSIX",),
    "namespace.update": ("POSIX",), "namespace.updated": ("POSIX",),
    "namespace.remove": ("POSIX",), "namespace.removed": ("POSIX",),
    "store.switch": ("POSIX",), "store.switched": ("POSIX",),
    "store.retire": ("POSIX",), "store.retired": ("POSIX",),
}

# "OBJECTS", "CHANNELS" and "SYNC" are no backends: their memory is memfds.
OBJECT_AREAS = re.compile(r"(arena|directory|lane|object|spill)\.")
OBJECTS_TOO = ("create.made", "create.recorded", "delete.remove",
               "keeper.stored", "keeper.removed", "session.resume",
               "start.taken_up", "take_up.done", "take_up.segment")
CHANNELS_TOO = OBJECTS_TOO + ("create.kept", "create.published",
                              "delete.recorded", "session.released")


def backends_of(point):
    """Those that a point is killed with."""
    if OBJECT_AREAS.match(point):
        return ("OBJECTS",)
    if point.startswith("channel."):
        return ("CHANNELS",)
    if point.startswith("sync."):
        return ("SYNC",)
    more = ("OBJECTS",) if point in OBJECTS_TOO else ()
    more += ("CHANNELS",) if (point in CHANNELS_TOO or
                              point.startswith("grant.")) else ()
    return PASSED_BY.get(point, BACKENDS) + more


# Those whose journal must grow until another one is begun.
HEAVY = ("store.switch", "store.switched", "store.retire", "store.retired")

# Those of a start: it is the second one that dies, with the work of a first.
SECOND = re.compile(r"start\.|take_up\.|store\.(take_over|replayed|taken_over|"
                    r"appl)|journal\.|database\.|session\.resume$|"
                    r"channel\.taken_up$")

# What else must go wrong for a point to be passed.
BEFORE = {"create.abandoned": "create.record=fail:EIO@1;"}

FIRST_DEATH = "create.made=kill@3"


def run_case(case):
    """One daemon, one death, and everything after it. Returns seconds."""
    import channel_workload
    import kept_daemon
    import object_workload
    import sync_workload
    import workload
    point, backend, at_pass = case
    second = SECOND.match(point) is not None
    if point in BEFORE:
        at_pass = 1  # what goes wrong before is refused to the caller
    armed = BEFORE.get(point, "") + "%s=kill@%d" % (point, at_pass)
    begin = time.monotonic()
    shmd = kept_daemon.KeptDaemon(FIRST_DEATH if second else armed)
    if backend == "OBJECTS":
        work = object_workload.ObjectWorkload(shmd)
    elif backend == "CHANNELS":
        work = channel_workload.ChannelWorkload(shmd)
    elif backend == "SYNC":
        work = sync_workload.SyncWorkload(shmd)
    else:
        work = workload.Workload(shmd, backend, heavy=point in HEAVY)
    try:
        if second:
            shmd.arm(armed)
        before = None if shmd.deaths() else shmd.take_ledger()
        work.run()
        deaths = 2 if second else 1
        _await_deaths(shmd, deaths, at_pass == 1)
        work.settle()
        work.drop_disowned()
        work.verify()
        work.close()
        # A daemon that is stopped before it has seen a session's end keeps its
        # record, as the program may come back.
        work.expect_no_sessions()
        if before is not None:
            ledger.expect_same(
                shmd, before, take=lambda daemon: daemon.take_ledger())
        if shmd.deaths() != deaths:
            raise AssertionError("%d deaths" % shmd.deaths())
        _expect_nothing_stored(shmd, backend)
        return time.monotonic() - begin
    except kill_matrix.NotPassed:
        raise
    except BaseException:
        sys.stderr.write("--- the daemon's log, %s:\n%s" % (
            case, shmd.log_text()))
        raise
    finally:
        work.close()
        shmd.kill_all()
        work.drop_all()


def _await_deaths(shmd, deaths, is_sure):
    """Part of the work is behind the calls."""
    if is_sure:
        shmd.wait_for_deaths(deaths)
    elif shmd.deaths() < deaths:
        time.sleep(0.2)
        if shmd.deaths() < deaths:
            raise kill_matrix.NotPassed()


def _expect_nothing_stored(shmd, backend):
    if shmd.stop() != 0:
        raise AssertionError("the keeper failed")
    rows = shmd.rows()
    rows.pop("request", None)  # the last ones are kept on purpose
    if backend == "OBJECTS":
        rows.pop("namespace", None)  # that of `default`
    if rows or shmd.journals():
        raise AssertionError("left in the store: %s %s" % (
            rows, shmd.journals()))


class Runner:
    """Has a daemon for each case."""

    run_case = staticmethod(run_case)

    def close(self):
        pass


def main():
    options = kill_matrix.parse_arguments(default_rounds=1)
    cells = [(point, backends_of(point)) for point in points.listed("daemon")]
    return kill_matrix.run(cells, Runner, options, "a case")


if __name__ == "__main__":
    sys.exit(main())
