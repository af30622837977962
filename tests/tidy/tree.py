"""The tracked files, and what several checks read out of them."""

import ast
import os
import re
import subprocess

CPP_SUFFIXES = (".cc", ".h")


class Tree:
    """Files by path. Built from a checkout, or in tests from a dict."""

    def __init__(self, files, executable=()):
        self.files = files
        self.executable = set(executable)

    @staticmethod
    def of_checkout(root):
        # Files that are not yet added count too: they are about to be.
        listed = subprocess.run(
            ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached",
             "--others", "--exclude-standard"],
            cwd=root, check=True, stdout=subprocess.PIPE).stdout
        files, executable = {}, []
        for name in sorted(set(listed.decode().split("\0"))):
            path = os.path.join(root, name)
            if not name or not os.path.isfile(path):
                continue
            with open(path, "rb") as f:
                content = f.read()
            # An image, or an input of a fuzzer, is a file with no lines.
            is_text = b"\0" not in content and not name.startswith(
                "tests/fuzz/corpus/")
            files[name] = content.decode() if is_text else ""
            if os.access(path, os.X_OK):
                executable.append(name)
        return Tree(files, executable)

    def matching(self, *suffixes, under=("",)):
        """(path, text) of the files with these suffixes, below these folders."""
        return [(path, text) for path, text in self.files.items()
                if path.endswith(suffixes) and path.startswith(tuple(under))]

    def cpp(self, *under):
        return self.matching(*CPP_SUFFIXES, under=under or ("",))


def is_test(path):
    """Whether a file is part of a test and not of the product."""
    stem = path.rsplit(".", 1)[0]
    return path.startswith("tests/") or stem.endswith("_test")


def is_written_by_hand(path):
    return path.endswith((".cc", ".h", ".py", ".go", ".proto", ".bzl", ".sh",
                          "BUILD")) or path.startswith(("scripts/", ".ci/"))


_CPP_TOKEN = re.compile(
    r'//[^\n]*'                                 # comment to the end of line
    r'|/\*.*?\*/'                               # comment
    r'|R"(?P<tag>[^(\s]{0,16})\(.*?\)(?P=tag)"'  # raw string
    r'|"(?:\\.|[^"\\\n])*"'                     # string
    r"|'(?:\\.|[^'\\\n])+'",                    # character
    re.S)


def _blank(match):
    text = match.group(0)
    if text[0] in "\"'R":
        return '""' + "\n" * text.count("\n")
    return "\n" * text.count("\n")


def without_comments_and_strings(cpp):
    """C++ with comments removed and strings emptied; lines stay lines."""
    # The apostrophes of 1'000'000 quote nothing.
    cpp = re.sub(r"(?<=[0-9])'(?=[0-9])", "", cpp)
    return _CPP_TOKEN.sub(_blank, cpp)


class Target:
    """One rule of a BUILD file."""

    def __init__(self, label, kind, deps):
        self.label = label
        self.kind = kind
        self.deps = deps


def _strings(node):
    return [n.value for n in ast.walk(node)
            if isinstance(n, ast.Constant) and isinstance(n.value, str)]


def _absolute(label, package):
    if label.startswith(":"):
        return "//%s%s" % (package, label)
    if label.startswith("//") and ":" not in label:
        return "%s:%s" % (label, label.rsplit("/", 1)[1])
    return label


def build_targets(tree):
    """Targets of all BUILD files by label. BUILD files are, as far as these
    go, Python; what a macro adds is not seen."""
    targets = {}
    for path, text in tree.files.items():
        if os.path.basename(path) != "BUILD":
            continue
        package = os.path.dirname(path)
        for node in ast.walk(ast.parse(text, path)):
            if not isinstance(node, ast.Call):
                continue
            arguments = {k.arg: k.value for k in node.keywords}
            name = arguments.get("name")
            if not isinstance(name, ast.Constant):
                continue
            deps = []
            for attribute in ("deps", "actual", "implementation_deps"):
                if attribute in arguments:
                    deps += _strings(arguments[attribute])
            label = "//%s:%s" % (package, name.value)
            kind = node.func.id if isinstance(node.func, ast.Name) else ""
            targets[label] = Target(
                label, kind, [_absolute(dep, package) for dep in deps])
    return targets
