"""Puts a test into kernel namespaces of its own, so that it may fill, limit
and count what it wants: /dev/shm and SysV IPC there belong to nobody else."""

import ctypes
import os
import pickle
import subprocess
import traceback

_CLONE_NEWNS = 0x00020000
_CLONE_NEWIPC = 0x08000000

_libc = ctypes.CDLL(None, use_errno=True)
_entered = False


def enter(shm_size="256m"):
    """Gives this process, once, its own mounts, /dev/shm and SysV IPC."""
    global _entered
    if _entered:
        return
    if _libc.unshare(_CLONE_NEWNS | _CLONE_NEWIPC) != 0:
        raise OSError(ctypes.get_errno(), "unshare; these tests run as root")
    mount("--make-rprivate", "/")
    mount("-t", "tmpfs", "-o", "mode=1777,size=" + shm_size, "tmpfs",
          "/dev/shm")
    _entered = True


def mount(*arguments):
    subprocess.run(["mount", *arguments], check=True)


def unmount(path):
    subprocess.run(["umount", "--lazy", path], check=True)


def run_as(uid, function, *arguments, groups=None):
    """Runs function(*arguments) in a child of another uid and gid; returns what
    it returns. An exception there is raised here as AssertionError; so is the
    child's death by a signal."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        status = 1
        try:
            gids = groups or [uid]
            os.setgroups(gids)
            os.setresgid(gids[0], gids[0], gids[0])
            os.setresuid(uid, uid, uid)
            result = (True, function(*arguments))
            status = 0
        except BaseException:  # noqa: everything must reach the parent
            result = (False, traceback.format_exc())
        with os.fdopen(writable, "wb") as pipe:
            pickle.dump(result, pipe)
        os._exit(status)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise AssertionError("the child died of signal %d" %
                             os.WTERMSIG(status))
    succeeded, result = pickle.loads(data)
    if not succeeded:
        raise AssertionError("in the child of uid %d:\n%s" % (uid, result))
    return result
