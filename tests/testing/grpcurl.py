"""Drives the real grpcurl, which learns the API by reflection."""

import json
import os
import pwd
import select
import shutil
import subprocess
import time

DEADLINE_SECONDS = 60

CODES = [
    "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
    "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"
]


def find():
    """Where scripts/setup puts grpcurl."""
    home = os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
    path = os.path.join(cache, "shmd", "bin", "grpcurl")
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(path + " is missing; run scripts/setup")
    return path


class Outcome:
    """How a call ended: the reply, or the code and what came with it."""

    def __init__(self, code, replies=(), message="", details=()):
        self.code = code
        self.replies = list(replies)
        self.message = message
        self.reason = ""
        self.domain = ""
        self.metadata = {}
        self.fields = []
        for detail in details:
            kind = detail.get("@type", "").rpartition("/")[2]
            if kind == "google.rpc.ErrorInfo":
                self.reason = detail.get("reason", "")
                self.domain = detail.get("domain", "")
                self.metadata = detail.get("metadata", {})
            elif kind == "google.rpc.BadRequest":
                self.fields += [
                    violation.get("field", "")
                    for violation in detail.get("field_violations", [])
                ]

    @property
    def reply(self):
        return self.replies[0] if self.replies else {}

    def __repr__(self):
        return "%s %s %s %s %s" % (self.code, self.reason, self.metadata,
                                   self.fields, self.message)


def parse_values(text):
    """The JSON values that `text` starts with, and the rest of it."""
    decoder = json.JSONDecoder()
    values = []
    while True:
        text = text.lstrip()
        try:
            value, end = decoder.raw_decode(text)
        except ValueError:
            return values, text
        values.append(value)
        text = text[end:]


class Grpcurl:
    """grpcurl for one socket, or by other `transport` flags for another
    address. `folder` must be open to every uid: the program is copied there,
    as a home folder usually is not."""

    def __init__(self, address, folder, transport=("-plaintext", "-unix")):
        self._socket = address
        self._transport = list(transport)
        self._binary = os.path.join(folder, "grpcurl")

    def _command(self, headers, flags):
        # When it is first called: many daemons never are.
        if not os.path.exists(self._binary):
            shutil.copy(find(), self._binary)
            os.chmod(self._binary, 0o755)
        command = [self._binary, "-format-error"] + self._transport
        for header in headers:
            command += ["-H", header]
        return command + list(flags)

    def _identity(self, uid, groups):
        if uid is None:
            return {}
        gids = groups or [uid]
        return {"user": uid, "group": gids[0], "extra_groups": gids}

    def plain(self, *arguments, uid=None):
        """Runs `grpcurl ... SOCKET ARGUMENTS`, as for list and describe;
        returns its standard output."""
        return subprocess.run(
            self._command((), ()) + [self._socket, *arguments],
            check=True, capture_output=True, text=True, cwd="/",
            timeout=DEADLINE_SECONDS, **self._identity(uid, None)).stdout

    def call(self, method, request, uid=None, groups=None, headers=(),
             flags=()):
        """Calls `method` (service/method) and returns its Outcome. `request` is
        a dict, or JSON text that is sent as it is."""
        text = request if isinstance(request, str) else json.dumps(request)
        done = subprocess.run(
            self._command(headers, flags) +
            ["-d", "@", self._socket, method],
            input=text, capture_output=True, text=True, cwd="/",
            timeout=DEADLINE_SECONDS, **self._identity(uid, groups))
        replies, rest = parse_values(done.stdout)
        if done.returncode == 0:
            return Outcome("OK", replies)
        errors, _ = parse_values(done.stderr)
        if not errors or not isinstance(errors[0], dict):
            return Outcome("GRPCURL", replies, done.stderr + rest)
        error = errors[0]
        return Outcome(CODES[error.get("code", 2)], replies,
                       error.get("message", ""), error.get("details", ()))

    def stream(self, method, request, **arguments):
        return Stream(self, method, request, **arguments)


class Stream:
    """A call whose replies come one by one. A context manager."""

    def __init__(self, grpcurl, method, request, uid=None):
        self._process = subprocess.Popen(
            grpcurl._command((), ()) +
            ["-d", json.dumps(request), grpcurl._socket, method],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, cwd="/", **grpcurl._identity(uid, None))
        self._text = ""
        self._values = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def next(self):
        """The next reply; AssertionError when none comes in time."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        descriptor = self._process.stdout.fileno()
        while not self._values:
            left = deadline - time.monotonic()
            ready, _, _ = select.select([descriptor], [], [], max(left, 0))
            data = os.read(descriptor, 65536) if ready else b""
            if not data:
                raise AssertionError("the stream ended or fell silent")
            values, self._text = parse_values(self._text + data.decode())
            self._values += values
        return self._values.pop(0)
