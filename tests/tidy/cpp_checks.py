"""Checks of C++ files. Each takes a Tree and returns findings as text."""

import re

from tree import is_test, without_comments_and_strings

MAX_FILE_LINES = 500
MAX_TEST_FILE_LINES = 800
MAX_FUNCTION_LINES = 70
MAX_MEDIAN_LINES = 150
MAX_COLUMNS = 80

_INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^">]+)[">]', re.M)

_KERNEL_HEADERS = {"sys/mman.h", "sys/shm.h", "sys/ipc.h"}

# Who may see gRPC and protobuf. The attach socket speaks messages and the
# store keeps them; neither knows gRPC.
_SEES_GRPC = ("server/rpc/", "server/main.cc", "client/cpp/", "cli/",
              "tests/", "bench/", "examples/")
_SEES_MESSAGES = _SEES_GRPC + ("server/attach/", "server/store/")


def check_kernel_headers(tree):
    """Only shm/sys/ includes the headers of shared-memory calls."""
    return ["%s: includes <%s>; only shm/sys/ may" % (path, header)
            for path, text in tree.cpp()
            if not path.startswith("shm/sys/") and not is_test(path)
            for header in _INCLUDE.findall(text) if header in _KERNEL_HEADERS]


def check_grpc_headers(tree):
    """gRPC and protobuf stay where the wire is."""
    findings = []
    for path, text in tree.cpp():
        for header in _INCLUDE.findall(text):
            grpc = header.startswith("grpc") or header.endswith(".grpc.pb.h")
            message = (header.endswith(".pb.h")
                       or header.startswith("google/protobuf/"))
            if ((grpc and not path.startswith(_SEES_GRPC))
                    or (message and not path.startswith(_SEES_MESSAGES))):
                findings.append("%s: includes %s; only %s may"
                                % (path, header, ", ".join(_SEES_MESSAGES)))
    return findings


_ABORTING = re.compile(
    r"\b((?:D?CHECK(?:_[A-Z]+)?)|abort|assert|terminate|__builtin_trap"
    r"|GPR_ASSERT|ABSL_ASSERT|ABSL_RAW_CHECK)\s*\(")


def check_no_abort(tree):
    """What a peer wrote never ends a process."""
    findings = []
    for path, text in tree.cpp("server/", "shm/", "client/"):
        if is_test(path):
            continue
        code = without_comments_and_strings(text)
        for match in _ABORTING.finditer(code):
            findings.append("%s:%d: %s; return a status instead" % (
                path, code.count("\n", 0, match.start()) + 1, match.group(1)))
    return findings


_LOGGING = re.compile(
    r"\bLogLevel::k(?!Debug\b)\w+|\bLOG\s*\(|std::c(?:err|out|log)\b"
    r"|\b(?:f|v)?printf\s*\(|\bperror\s*\(|\bsyslog\s*\(")


def check_libraries_do_not_log(tree):
    """A library reports by status; whoever handles that logs it, once."""
    findings = []
    for path, text in tree.cpp("base/", "shm/", "client/cpp/"):
        if is_test(path) or path.startswith("base/log"):
            continue
        code = without_comments_and_strings(text)
        for match in _LOGGING.finditer(code):
            findings.append("%s:%d: %s; libraries do not log above kDebug" % (
                path, code.count("\n", 0, match.start()) + 1, match.group(0)))
    return findings


# What the caller cannot bound, what cannot say that it failed, and what keeps
# its answer where another thread overwrites it.
_BANNED_CALLS = {
    "strcpy": "snprintf", "strncpy": "snprintf", "stpcpy": "snprintf",
    "strcat": "absl::StrAppend", "strncat": "absl::StrAppend",
    "sprintf": "snprintf", "vsprintf": "vsnprintf",
    "gets": "std::getline", "scanf": "std::getline and absl::SimpleAtoi",
    "sscanf": "absl::SimpleAtoi", "strtok": "absl::StrSplit",
    "atoi": "absl::SimpleAtoi", "atol": "absl::SimpleAtoi",
    "atoll": "absl::SimpleAtoi", "atof": "absl::SimpleAtod",
    "rand": "getrandom or std::mt19937_64", "srand": "std::mt19937_64",
    "tmpnam": "mkstemp", "tempnam": "mkstemp", "mktemp": "mkstemp",
    "system": "posix_spawn", "popen": "posix_spawn", "vfork": "posix_spawn",
    "asctime": "absl::FormatTime", "ctime": "absl::FormatTime",
    "gmtime": "absl::FormatTime", "localtime": "absl::FormatTime",
    "alloca": "std::vector",
}

_BANNED_CALL = re.compile(
    r"(?<![\w.:>])(?:std::|::)?(%s)\s*\(" % "|".join(_BANNED_CALLS))


def check_banned_calls(tree):
    """Calls that have a safer one are not made. Tests may: they know what
    they pass."""
    findings = []
    for path, text in tree.matching(".cc", ".h", ".c"):
        if is_test(path):
            continue
        code = without_comments_and_strings(text)
        for match in _BANNED_CALL.finditer(code):
            findings.append("%s:%d: %s; use %s" % (
                path, code.count("\n", 0, match.start()) + 1, match.group(1),
                _BANNED_CALLS[match.group(1)]))
    return findings


_CONTROL = {"if", "for", "while", "switch", "catch", "do", "else", "return"}


def function_lengths(text):
    """(first line, lines) of each outermost function body, by its braces."""
    code = without_comments_and_strings(text)
    code = re.sub(r"^[ \t]*#(?:\\\n|[^\n])*",
                  lambda m: "\n" * m.group(0).count("\n"), code, flags=re.M)
    lengths, inside_until, depth, starts, head_start = [], None, 0, [], 0
    for i, c in enumerate(code):
        if c == "{":
            depth += 1
            starts.append(i)
            # A brace right behind a name initialises it: `a_{1}`.
            if code[i - 1:i].isspace() or i == 0:
                if inside_until is None and _is_function_head(
                        code[head_start:i].strip()):
                    inside_until = depth
                head_start = i + 1
        elif c == "}" and starts:
            start = starts.pop()
            if depth == inside_until:
                inside_until = None
                first = code.count("\n", 0, start) + 1
                lengths.append((first, code.count("\n", start, i) + 1))
            depth -= 1
            if code[start - 1:start].isspace():
                head_start = i + 1
        elif c == ";":
            head_start = i + 1
    return lengths


def _is_function_head(head):
    if ")" not in head or head.endswith("="):
        return False
    first = re.match(r"\w*", head).group(0)
    return first not in _CONTROL | {"namespace", "enum", "extern"} and not (
        re.match(r"(?:template\s*<[^;]*>\s*)?(?:class|struct|union)\b", head)
        and not re.search(r"\)\s*(?:const|noexcept|override|final|\s)*$", head))


def check_function_lengths(tree):
    """Functions fit on a screen."""
    return ["%s:%d: a function of %d lines; at most %d" % (
                path, first, lines, MAX_FUNCTION_LINES)
            for path, text in tree.cpp()
            for first, lines in function_lengths(text)
            if lines > MAX_FUNCTION_LINES]


def check_columns(tree):
    """Lines of at most 80 columns."""
    return ["%s:%d: %d columns; at most %d" % (
                path, number, len(line), MAX_COLUMNS)
            for path, text in tree.cpp()
            for number, line in enumerate(text.split("\n"), 1)
            # clang-format cannot break these.
            if len(line) > MAX_COLUMNS and not _INCLUDE.match(line)
            and "https://" not in line]


def check_header_guards(tree):
    """Headers have the guard that their path gives."""
    findings = []
    for path, text in tree.matching(".h"):
        guard = "SHMD_" + re.sub(r"[^A-Z0-9]", "_", path.upper()) + "_"
        if ("#ifndef %s\n#define %s\n" % (guard, guard) not in text
                or not text.endswith("#endif  // %s\n" % guard)):
            findings.append("%s: the header guard is not %s" % (path, guard))
    return findings


_CLASS = re.compile(
    r"\b(?:class|struct)\s+(\w+)(?:\s+final)?\s*(?::\s*([^{;]*))?\{")


def check_interfaces(tree):
    """A virtual interface has at least two implementations."""
    abstract, bases = {}, []
    for path, text in tree.cpp():
        code = without_comments_and_strings(text)
        for match in _CLASS.finditer(code):
            bases += re.findall(r"(\w+)\s*(?:<[^,<>]*>)?\s*(?:,|$)",
                                (match.group(2) or "").strip())
            body = _body(code, match.end() - 1)
            if re.search(r"\bvirtual\b[^;{]*=\s*0\s*;", body):
                abstract[match.group(1)] = path
    return ["%s: %s has %d implementations; a virtual interface needs two" % (
                path, name, bases.count(name))
            for name, path in sorted(abstract.items()) if bases.count(name) < 2]


def _body(code, start):
    depth = 0
    for i in range(start, len(code)):
        depth += {"{": 1, "}": -1}.get(code[i], 0)
        if depth == 0:
            return code[start:i]
    return code[start:]


_FIELD = re.compile(r"^\s*[\w:<>, ]+[\s>](\w+)(?:\[[^\]]*\])*"
                    r"(?:\s*=[^;]*|\{[^;]*\})?;\s*$", re.M)


def check_layouts(tree):
    """Every structure in shared memory asserts its size and offsets."""
    findings = []
    for path, text in tree.matching(".h", under=("shm/layout/",)):
        code = without_comments_and_strings(text)
        for match in re.finditer(r"\bstruct\s+(?:alignas\([^)]*\)\s*)?(\w+)"
                                 r"[^;{(]*\{", code):
            name, body = match.group(1), _body(code, match.end() - 1)
            fields = [f for f in _FIELD.findall(body)]
            wanted = ["sizeof(%s)" % name, "alignof(%s)" % name,
                      "is_trivially_copyable_v<%s>" % name]
            wanted += ["offsetof(%s, %s)" % (name, field) for field in fields]
            asserted = "".join(re.findall(r"static_assert\([^;]*;", code))
            findings += ["%s: no static_assert on %s" % (path, what)
                         for what in wanted if what not in asserted]
    return findings
