"""Checks of files of any language, and of how targets depend."""

import ast
import os
import re
import statistics

from cpp_checks import MAX_FILE_LINES, MAX_MEDIAN_LINES
from cpp_checks import MAX_TEST_FILE_LINES
from tree import build_targets, is_test, is_written_by_hand
from tree import without_comments_and_strings

# (who, must not reach, why)
_FORBIDDEN_PATHS = [
    ("//base", ("//shm", "//server", "//client", "//cli", "//protos",
                "@grpc", "@protobuf", "@googleapis"), "base is a leaf"),
    ("//shm", ("//protos", "//server", "//client", "//cli", "@grpc",
               "@protobuf", "@googleapis"), "shm knows no wire"),
    ("//client", ("//server", "//cli"), "clients do not know the daemon"),
    ("//server", ("//client", "//cli"), "the daemon does not know its clients"),
    ("//cli", ("//server",), "the command line is a client"),
    ("//examples", ("//server",), "examples are clients"),
]


def _within(label, prefix):
    return label == prefix or label.startswith((prefix + "/", prefix + ":"))


def check_layers(tree):
    """No target reaches what its layer must not know."""
    targets, findings = build_targets(tree), []
    for label in sorted(targets):
        for layer, forbidden, why in _FORBIDDEN_PATHS:
            if not _within(label, layer):
                continue
            path = _path_to(targets, label, forbidden)
            if path:
                findings.append("%s (%s)" % (" -> ".join(path), why))
    return findings


def _path_to(targets, start, forbidden):
    """A shortest chain of deps from `start` into `forbidden`, or None."""
    paths, queue = {start: [start]}, [start]
    for label in queue:
        for dep in targets[label].deps if label in targets else []:
            if dep in paths:
                continue
            paths[dep] = paths[label] + [dep]
            if any(_within(dep, prefix) for prefix in forbidden):
                return paths[dep]
            queue.append(dep)
    return None


def check_file_lengths(tree):
    """Files stay small enough to be read in one sitting."""
    findings = []
    for path, text in tree.files.items():
        limit = MAX_TEST_FILE_LINES if is_test(path) else MAX_FILE_LINES
        # The protos are one file per API by rule, comments included.
        if path.endswith(".proto") or not is_written_by_hand(path):
            continue
        if text.count("\n") > limit:
            findings.append("%s: %d lines; at most %d" % (
                path, text.count("\n"), limit))
    return findings


def check_median_length(tree):
    """Half of the files fit on two screens."""
    median = statistics.median_low([0] + [
        text.count("\n") for path, text in tree.files.items()
        if is_written_by_hand(path)])
    return [] if median <= MAX_MEDIAN_LINES else [
        "half of the files have %d lines and more; at most %d" % (
            median, MAX_MEDIAN_LINES)]


def largest_files(tree, count=10):
    sizes = [(text.count("\n"), path) for path, text in tree.files.items()
             if is_written_by_hand(path)]
    return sorted(sizes, reverse=True)[:count]


_TEST_RULE = re.compile(r"^[^#\n]*\b(?:\w+_test|shmd_cc_fuzz_target)\(", re.M)
_SUITE = re.compile(r'^test_suite\(\n    name = "tests",\n(    visibility'
                    r' = .*\n)?\)$', re.M)


def check_suites(tree):
    """Every test is in one of the suites of tests/BUILD."""
    listed = re.findall(r'"//([\w/]+):tests"',
                        tree.files.get("tests/BUILD", ""))
    findings = []
    for path, text in tree.matching("/BUILD"):
        package, count = path[:-len("/BUILD")], len(_SUITE.findall(text))
        if count != bool(_TEST_RULE.search(text)):
            findings.append("%s: %d test_suites `tests` of all its tests" % (
                path, count))
        if count and listed.count(package) != 1:
            findings.append("//%s:tests is in %d suites of tests/BUILD" % (
                package, listed.count(package)))
    return findings


_BANNED = {w + s for w in ("manager", "helper", "util", "misc", "common",
                           "info", "core") for s in ("", "s")} | {"utility",
                                                                 "utilities"}

# Names that the kernel, the C++ and Python libraries, and gRPC gave.
_FOREIGN = {
    "ErrorInfo", "RetryInfo", "SHM_INFO", "IPC_INFO", "shm_info", "Dl_info",
    "RLIMIT_CORE", "common_type", "common_type_t", "exc_info", "version_info",
    "TestParamInfo", "ServerReflectionInfo", "RequestServerReflectionInfo",
}


def _words(identifier):
    parts = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", identifier)
    parts = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", parts)
    return {w.lower() for w in re.split(r"[^A-Za-z]+", parts)}


def _identifiers(path, text):
    if path.endswith((".cc", ".h")):
        code = without_comments_and_strings(text)
        code = re.sub(r"^\s*#\s*include.*$", "", code, flags=re.M)
        return set(re.findall(r"[A-Za-z_]\w*", code))
    if path.endswith(".py"):
        return _python_definitions(ast.parse(text, path))
    if path.endswith(".go"):
        return set(re.findall(r"\b(?:func|type|var|const)\s+(\w+)", text)) | set(
            re.findall(r"\b(\w+)(?:, \w+)* :=", text))
    if path.endswith(".proto"):
        code = re.sub(r"//.*|\".*?\"", "", text)
        return set(re.findall(r"\b(?:message|enum|service|rpc|oneof)\s+(\w+)",
                              code)) | set(
            re.findall(r"\b(\w+)\s*=\s*\d+", code))
    return set()


def _python_definitions(module):
    found = set()
    for node in ast.walk(module):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def check_banned_words(tree):
    """Names say what a thing is; these words never do."""
    findings = []
    for path, text in tree.files.items():
        hit = _words(path) & _BANNED
        if hit:
            findings.append("%s: `%s` in a file's name" % (path, hit.pop()))
        for name in sorted(_identifiers(path, text) - _FOREIGN):
            if _words(name) & _BANNED:
                findings.append("%s: identifier `%s`" % (path, name))
    return findings


# In pieces, so that this file does not find itself.
_UNDONE = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|\bGTEST_SK"
                     r"IP\b|\bDISAB" r"LED_|unittest\.sk" r"ip")
_MACHINE = re.compile(r"(?<![\w.}])(?:/wo" r"rk/|/ro" r"ot/|/tmp/ba" r"sh"
                      r"|/tmp/br" r"ief|/ho" r"me/\w)")


def check_nothing_undone(tree):
    """What is in the tree is finished, and every test runs."""
    return _grep(tree, _UNDONE, "is undone or skipped")


def check_no_machine_paths(tree):
    """Nothing in the tree knows the machine it was written on."""
    return _grep(tree, _MACHINE, "is a path of one machine")


def _grep(tree, pattern, what):
    return ["%s:%d: %s %s" % (path, number, match.group(0), what)
            for path, text in tree.files.items()
            for number, line in enumerate(text.split("\n"), 1)
            for match in pattern.finditer(line)]


# Code in a comment stands right behind the slashes; examples are indented.
_CPP_CODE = re.compile(
    r"^\s*// ?(?:[\w:>.-]+\([^;]*\);|(?:const |auto |int |return |std::)"
    r"[^.]*;|(?:if|for|while) \(.*\) \{|#include .*|[\w>.-]+ [-+|&]?= .*;)$")
_PYTHON_CODE = re.compile(
    r"^\s*# ?(?:[\w.]+\(.*\)|[\w.]+ = [^=].*\)|(?:from \w+ )?import \w+"
    r"|(?:def|class) \w+.*:|return [\w.(]+\)?)$")
_MANUAL_PAGE = re.compile(r"\w+\(\d\);$")


def check_no_dead_code(tree):
    """No code sleeps in comments or behind `#if 0`."""
    findings = []
    for path, text in tree.files.items():
        code = {"cc": _CPP_CODE, "h": _CPP_CODE, "py": _PYTHON_CODE}.get(
            path.rsplit(".", 1)[-1])
        if not code:
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if (code.match(line) and not _MANUAL_PAGE.search(line)) or (
                    re.match(r"\s*#\s*if 0\b", line)):
                findings.append("%s:%d: code in a comment: %s" % (
                    path, number, line.strip()))
    return findings


_COMMAND = re.compile(r"(?<![\w/.-])((?:scripts|\.ci)/[\w.-]*\w)")
_LINK = re.compile(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)")
_LABEL = re.compile(r"\bbazel(?:-\w+)? (?:build|run|test)(?: -\S+)*((?: //\S+)+)")


def check_documents(tree):
    """The commands, links and labels of the documents exist."""
    findings, labels = [], None
    folders = {os.path.dirname(path) for path in tree.files}
    folders |= {f.rsplit("/", n)[0] for f in folders for n in range(1, 4)}
    for path, text in tree.matching(".md"):
        for command in sorted(set(_COMMAND.findall(text))):
            if command not in tree.executable:
                findings.append("%s: %s does not exist or cannot be run" % (
                    path, command))
        for link in sorted(set(_LINK.findall(text))):
            target = os.path.normpath(os.path.join(os.path.dirname(path), link))
            if target not in tree.files and target not in folders:
                findings.append("%s: the link %s leads nowhere" % (path, link))
        for group in _LABEL.findall(text):
            labels = labels if labels is not None else build_targets(tree)
            for label in re.findall(r"//[\w/.:-]+", group):
                if "..." in label:
                    continue
                if ":" not in label:
                    label += ":" + label.rsplit("/", 1)[1]
                if label not in labels:
                    findings.append("%s: there is no %s" % (path, label))
    return findings
