"""Checks of the protos, and of the reasons of errors across all files."""

import re

from tree import is_test

_ERRORS_PROTO = "protos/shmd/v1/errors.proto"
_REASON_HEADER = "base/error_reason.h"
_ERRORS_DOC = "docs/errors.md"
_UNTESTED = "tests/tidy/untested_reasons.txt"

_CODES = {
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

_ELEMENT = re.compile(
    r"\s*(?:(?:message|enum|service|oneof|rpc)\s+(?P<block>\w+)"
    r"|(?:repeated\s+|optional\s+)?[\w.]+(?:<[^>]*>)?\s+(?P<field>\w+)\s*=\s*\d+"
    r"|(?P<value>[A-Z][A-Z0-9_]*)\s*=\s*\d+)")


def _elements(text):
    """(line number, name, the comment above it) of each element."""
    comment, in_option = [], False
    for number, line in enumerate(text.split("\n"), 1):
        if in_option:
            in_option = not line.strip().endswith("};")
            continue
        if line.strip().startswith("//"):
            comment.append(line.strip()[2:].strip())
            continue
        if re.match(r"\s*option\b", line):
            in_option = "{" in line and not line.strip().endswith("};")
        else:
            match = _ELEMENT.match(line)
            if match:
                name = next(g for g in match.groups() if g)
                yield number, name, " ".join(comment), line
        comment = []


def _our_protos(tree):
    """Those of others stay as they came."""
    return [(path, text) for path, text in tree.matching(".proto")
            if not path.startswith("protos/grpc/")]


def check_comments(tree):
    """Every element of the protos says what it is."""
    return ["%s:%d: %s has no comment" % (path, number, name)
            for path, text in _our_protos(tree)
            for number, name, comment, _ in _elements(text) if not comment]


def proto_reasons(tree):
    text = tree.files.get(_ERRORS_PROTO, "")
    return [name for _, name, _, line in _elements(text)
            if re.match(r"\s*[A-Z]", line)
            and name != "ERROR_REASON_UNSPECIFIED"]


def check_rpc_codes(tree):
    """Every RPC lists its codes, with reasons that exist."""
    findings, reasons = [], set(proto_reasons(tree))
    for path, text in _our_protos(tree):
        # A benchmark's own service answers to nobody.
        if path.startswith("bench/"):
            continue
        for number, name, comment, line in _elements(text):
            if not line.strip().startswith("rpc "):
                continue
            where = "%s:%d: %s" % (path, number, name)
            listed = re.search(r"\bCodes: (.*)", comment)
            if not listed:
                findings.append(where + " lists no codes")
                continue
            words = set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)*\b",
                                   listed.group(1)))
            if not words & _CODES and "as " not in listed.group(1):
                findings.append(where + " lists no code that gRPC has")
            findings += [
                "%s: %s is neither a code nor a reason" % (where, word)
                for word in sorted(words - _CODES - reasons)
                if "_" in word and not word.startswith("F_SEAL")]
    return findings


def header_reasons(tree):
    """Constant name to reason."""
    return dict(re.findall(r'constexpr char (k\w+)\[\] = "(\w+)"',
                           tree.files.get(_REASON_HEADER, "")))


def check_reasons_agree(tree):
    """errors.proto, error_reason.h and docs/errors.md name the same reasons."""
    wanted = set(proto_reasons(tree))
    documented = set(re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \|",
                                tree.files.get(_ERRORS_DOC, ""), re.M))
    findings = []
    for where, found in ((_REASON_HEADER, set(header_reasons(tree).values())),
                         (_ERRORS_DOC, documented)):
        findings += ["%s: %s is missing" % (where, reason)
                     for reason in sorted(wanted - found)]
        findings += ["%s: %s is not in %s" % (where, reason, _ERRORS_PROTO)
                     for reason in sorted(found - wanted)]
    for constant, reason in header_reasons(tree).items():
        camel = "k" + "".join(w.capitalize() for w in reason.split("_"))
        if constant != camel:
            findings.append("%s: %s stands for %s" % (
                _REASON_HEADER, constant, reason))
    return findings


def check_reasons_tested(tree):
    """Each reason is asserted in a test, or is on the list of those that
    cannot be, with why."""
    tests = "\n".join(text for path, text in tree.files.items()
                      if is_test(path) and not path.startswith("tests/tidy/"))
    words = set(re.findall(r"\w+", tests))
    excused, findings = {}, []
    for line in tree.files.get(_UNTESTED, "").splitlines():
        if line and not line.startswith("#"):
            reason, _, why = line.partition(": ")
            excused[reason] = why
            if not why:
                findings.append("%s: %s has no explanation" % (
                    _UNTESTED, reason))
    reasons = header_reasons(tree)
    for constant, reason in reasons.items():
        tested = constant in words or reason in words
        if not tested and reason not in excused:
            findings.append("%s: no test asserts it" % reason)
        if tested and reason in excused:
            findings.append("%s: %s is tested; take it off the list" % (
                _UNTESTED, reason))
    findings += ["%s: there is no reason %s" % (_UNTESTED, reason)
                 for reason in excused if reason not in reasons.values()]
    return findings
