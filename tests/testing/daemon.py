"""A daemon of a test's own, in folders of its own."""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import grpcurl

DEADLINE_SECONDS = 60


_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _end_with_parent():
    """In a child: a test that is killed leaves no daemon behind."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Daemon:
    """Starts shmd and stops it. `uid` runs it as another user, with no
    capability but `capabilities` ("+chown,+fowner"); `wrapper` is a command
    that it is started through, such as ["prlimit", "--nofile=64"]."""

    def __init__(self, *flags, uid=None, capabilities=None, wrapper=(),
                 file_root=None, state_dir=None):
        # Not below TEST_TMPDIR, which other uids cannot enter.
        self.folder = tempfile.mkdtemp(prefix="shmd-test-")
        os.chmod(self.folder, 0o755)
        self.socket_dir = self._make("run")
        self.state_dir = state_dir or os.path.join(self.folder, "state")
        self.file_root = file_root or self._make("files")
        self._uid = uid
        self._capabilities = capabilities
        self._wrapper = list(wrapper)
        self._flags = list(flags)
        self._binary = os.environ["SHMD_BINARY"]
        self._process = None
        self._log_path = os.path.join(self.folder, "log")
        if uid is not None:
            self._binary = shutil.copy(self._binary, self.folder)
            for path in (self.folder, self.socket_dir, self.file_root):
                os.chown(path, uid, uid)
        self.grpcurl = grpcurl.Grpcurl(self.grpc_socket, self.folder)
        try:
            self.start()
        except BaseException:
            self._remove_folder()
            raise

    def _make(self, name):
        path = os.path.join(self.folder, name)
        os.mkdir(path, 0o755)
        return path

    @property
    def grpc_socket(self):
        return os.path.join(self.socket_dir, "grpc.sock")

    @property
    def attach_socket(self):
        return os.path.join(self.socket_dir, "attach.sock")

    @property
    def pid(self):
        return self._process.pid

    def start(self):
        command = self._wrapper + [
            self._binary, "--socket_dir=" + self.socket_dir,
            "--state_dir=" + self.state_dir, "--file_root=" + self.file_root
        ] + self._flags
        identity = {}
        if self._capabilities is not None:
            # Only ambient ones outlive an exec by another uid than 0.
            command = ["setpriv", "--clear-groups",
                       "--reuid=%d" % self._uid, "--regid=%d" % self._uid,
                       "--inh-caps=-all," + self._capabilities,
                       "--ambient-caps=-all," + self._capabilities] + command
        elif self._uid is not None:
            identity = {"user": self._uid, "group": self._uid,
                        "extra_groups": []}
        with open(self._log_path, "ab") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log,
                preexec_fn=_end_with_parent, **identity)
        self.wait_until_ready()

    def wait_until_ready(self):
        """Until it prints that it accepts: once for each start."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        line = b""
        descriptor = self._process.stdout.fileno()
        while not line.endswith(b"\n"):
            left = max(deadline - time.monotonic(), 0)
            ready, _, _ = select.select([descriptor], [], [], left)
            data = os.read(descriptor, 4096) if ready else b""
            if not data:
                self._process.kill()
                raise AssertionError("the daemon did not become ready")
            line += data
        expected = "ready %s\n" % self.socket_dir
        if line.decode() != expected:
            self._process.kill()
            raise AssertionError("expected %r, got %r" % (expected, line))

    def log_text(self):
        """What it has written to standard error."""
        with open(self._log_path, errors="replace") as log:
            return log.read()

    def is_running(self):
        return self._process.poll() is None

    def stop(self):
        """Asks for a planned shutdown; returns the exit code."""
        if self.is_running():
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError("the daemon did not stop")
        finally:
            self._process.stdout.close()

    def kill(self):
        """Ends it by SIGKILL; start() starts the next one."""
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def close(self):
        """Stops it, and removes its folders whatever the exit code."""
        try:
            code = self.stop()
        finally:
            self._remove_folder()
        if code != 0:
            raise AssertionError("the daemon ended with %d" % code)

    def _remove_folder(self):
        sys.stderr.write(self.log_text())
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method, request=None, **arguments):
        """Calls a SegmentService method by its bare name, or any other by
        service/method; returns grpcurl.Outcome."""
        if "/" not in method:
            method = "shmd.v1.SegmentService/" + method
        return self.grpcurl.call(method, request if request is not None else {},
                                 **arguments)

    def watch(self, request, **arguments):
        return self.grpcurl.stream("shmd.v1.SegmentService/WatchSegments",
                                   request, **arguments)
