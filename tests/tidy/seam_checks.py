"""Checks of what there are several of: backends, and services."""

import re

from tree import is_test, without_comments_and_strings

_CONFORMANCE = "tests/conformance/backend_conformance_test.cc"
_BACKEND = re.compile(r"\bclass (\w+)(?: final)?\s*:\s*public Backend\b")
_KIND = re.compile(
    r"\bkind\(\) const override\s*\{\s*return BackendKind::(k\w+)")


def check_conformance(tree):
    """Every backend passes the conformance suite."""
    suite = without_comments_and_strings(tree.files.get(_CONFORMANCE, ""))
    cases = set(re.findall(r"\bBackendCase\{BackendKind::(k\w+)", suite))
    findings = []
    for path, text in tree.matching(".h"):
        if is_test(path):
            continue
        for name in _BACKEND.findall(text):
            kinds = set(_KIND.findall(text))
            if not kinds or kinds - cases:
                findings.append("%s: %s is not in %s" % (
                    path, name, _CONFORMANCE))
    return findings


_SEAM = re.compile(r'^#include "(shm/\w+_backend|server/rpc/\w+_service)\.h"',
                   re.M)


def check_registrations(tree):
    """One file, beside its own, knows each backend and each service."""
    knows = {}
    for path, text in tree.cpp():
        for seam in _SEAM.findall(text):
            # What all services are made of is everybody's.
            own = path.startswith(seam) or seam == "server/rpc/rpc_service"
            if not own and not is_test(path):
                knows.setdefault(seam, []).append(path)
    return ["%s.h: included by %s; one place registers it" % (
                seam, " and ".join(paths))
            for seam, paths in sorted(knows.items()) if len(paths) > 1]
