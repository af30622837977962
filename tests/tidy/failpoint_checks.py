"""The check of failpoints: base/failpoint.h."""

import collections
import re

from tree import is_test

_LIST = "tests/crash/failpoints.txt"
_PASSED = re.compile(r'\bSHMD_FAILPOINT(?:_STATUS)?\(\s*([^)\s]+)\s*\)')
_NAME = re.compile(r'"[a-z]+(?:_[a-z]+)*\.[a-z]+(?:_[a-z]+)*"')
# The kill matrices of tests/crash need as many.
_LEAST = {"daemon": 40, "client": 24, "channel": 8}


# Whose matrix kills there, as the list is sorted.
_PROGRAMS = ("daemon", "client", "channel")


def _program(path):
    if path.startswith("shm/channel/"):
        return "channel"
    return "client" if path.startswith("client/") else "daemon"


def check_failpoints(tree):
    """tests/crash/failpoints.txt lists each failpoint, which one place has."""
    findings, places = [], collections.defaultdict(list)
    for path, text in tree.cpp():
        if is_test(path) or path == "base/failpoint.h":
            continue
        for argument in _PASSED.findall(text):
            if _NAME.fullmatch(argument):
                places[argument[1:-1]].append(path)
            else:
                findings.append("%s: %s is no name area.step" % (
                    path, argument))
    rows = [line.split() for line in tree.files.get(_LIST, "").splitlines()
            if line.strip() and not line.startswith("#")]
    listed = {row[0]: row[1] for row in rows if len(row) == 2}
    if len(listed) != len(rows) or rows != sorted(
            rows, key=lambda row: (row[-1] in _PROGRAMS and
                                   _PROGRAMS.index(row[-1]), row)):
        findings.append(_LIST + ": not sorted, or a row is no `name program`")
    for name in sorted(set(places) | set(listed)):
        if len(places[name]) != 1:
            findings.append("%s: in %d places: %s" % (
                name, len(places[name]), " ".join(places[name])))
        elif listed.get(name) != _program(places[name][0]):
            findings.append("%s: %s does not list it for the %s" % (
                name, _LIST, _program(places[name][0])))
    for program, least in _LEAST.items():
        count = list(listed.values()).count(program)
        if listed and count < least:
            findings.append("%s: %d points of the %s, at least %d" % (
                _LIST, count, program, least))
    return findings
