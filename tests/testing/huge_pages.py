"""Huge pages of 2 MiB for the time of a test."""

import contextlib

_POOL = "/sys/kernel/mm/hugepages/hugepages-2048kB/"


def _read(name):
    try:
        with open(_POOL + name) as file:
            return int(file.read())
    except OSError:
        return 0


def _resize(more):
    """By how many pages the pool has grown, or shrunk: memory may be too
    scattered for as many as were asked for, and pages in use stay."""
    before = _read("nr_hugepages")
    try:
        with open(_POOL + "nr_hugepages", "w") as file:
            file.write("%d\n" % max(before + more, 0))
    except OSError:
        return 0
    return _read("nr_hugepages") - before


@contextlib.contextmanager
def reserved(pages):
    """Whether there are so many free pages, after asking the kernel for as many
    more, which it gets back. Not for those that are missing: free ones may be
    another test's, which takes them away when it ends."""
    added = _resize(pages)
    try:
        yield _read("free_hugepages") - _read("resv_hugepages") >= pages
    finally:
        if added > 0:
            _resize(-added)
