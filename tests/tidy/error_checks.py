"""Checks of how what failed becomes an absl::Status, and goes on from there."""

import collections
import re

from tree import is_test, without_comments_and_strings

_OF_ERRNO = re.compile(
    r'\bStatusOfErrno\(\s*[^;,]+,\s*"([^"]+)",\s*(k\w+)\s*\)')


def check_errno_tables(tree):
    """A system call has one table of errnos, below shm/sys/."""
    tables, findings = collections.defaultdict(set), []
    for path, text in tree.cpp():
        if is_test(path):
            continue
        if not path.startswith("shm/sys/") and re.search(
                r"\bErrnoRow\s+\w+\[", text):
            findings.append("%s: a table of errnos outside shm/sys/" % path)
        for call, table in _OF_ERRNO.findall(text):
            tables[call].add("%s in %s" % (table, path))
    return findings + [
        "%s has %d tables: %s" % (call, len(found), ", ".join(sorted(found)))
        for call, found in sorted(tables.items()) if len(found) > 1]


_STATUS = r"((?:absl|grpc|google::rpc)::Status)"
_CONVERTER = re.compile(
    r"^(?:static |inline )*%s (\w+)\(\s*(?:const )?%s\b[^;{}]*\{" % (
        _STATUS, _STATUS), re.M)


def check_status_converters(tree):
    """One function makes one kind of status out of another."""
    places = collections.defaultdict(list)
    for path, text in tree.cpp("base/", "shm/", "server/", "client/", "cli/"):
        if is_test(path):
            continue
        code = without_comments_and_strings(text)
        for made, name, given in _CONVERTER.findall(code):
            if made != given:
                places[given, made].append("%s in %s" % (name, path))
    return ["%s to %s: %s" % (given, made, ", ".join(found))
            for (given, made), found in sorted(places.items())
            if len(found) > 1]
