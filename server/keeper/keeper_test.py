"""The keeper, with a daemon that does what the test says."""

import array
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

TRIAL_KEEPER, TRIAL_DAEMON = sys.argv[1:3]
DEADLINE_SECONDS = 60

# A daemon that speaks the protocol by itself, as any of systemd's would.
PLAIN_DAEMON = r"""
import array, os, socket, sys
fds = int(os.environ["LISTEN_FDS"])
assert int(os.environ["LISTEN_PID"]) == os.getpid()
print(os.environ["LISTEN_FDNAMES"], *(
    os.readlink("/proc/self/fd/%d" % (3 + i)) for i in range(fds)), flush=True)
if fds:
    sys.exit(0)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"])
def send(text, *passengers):
    notify.sendmsg([text], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                             array.array("i", passengers))])
a, b, c = (os.memfd_create(name) for name in "abc")
send(b"FDSTORE=1\nFDNAME=two", a, b)
send(b"FDSTORE=1\nFDNAME=two", a)
send(b"FDSTORE=1\nFDNAME=bad:name\nFDPOLL=0", c)
send(b"FDSTORE=1\nFDNAME=gone", c)
send(b"FDSTORE=1\nBARRIER=1", c)
send(b"FDSTORE=1\0FDNAME=x", c)
send(b"FDSTOREREMOVE=1\nFDNAME=gone\nMAINPID=1\nsomething\n")
read, write = os.pipe()
send(b"BARRIER=1", write)
os.close(write)
assert os.read(read, 1) == b""
notify.send(b"READY=1")
os.kill(os.getpid(), 9)
"""


def end_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class KeeperTest(unittest.TestCase):

    def setUp(self):
        # Not below TEST_TMPDIR: a socket's path has at most 107 bytes.
        self.folder = tempfile.mkdtemp(prefix="shmd-keeper-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.failing = os.path.join(self.folder, "fail")
        self.log_path = os.path.join(self.folder, "log")
        self.keeper = None
        self.addCleanup(self.end)

    def start(self, *command, first_delay_ms=1, max_failed_starts=5,
              wrapper=()):
        log = open(self.log_path, "ab")
        with log:
            self.keeper = subprocess.Popen(
                [*wrapper, TRIAL_KEEPER, self.folder, str(first_delay_ms),
                 str(max_failed_starts),
                 *(command or [TRIAL_DAEMON, self.failing])],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                preexec_fn=end_with_parent)

    def end(self):
        if self.keeper is None:
            return
        self.keeper.stdin.close()
        if self.keeper.poll() is None:
            self.keeper.terminate()
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.keeper.kill()
            self.keeper.wait()
            raise
        finally:
            self.keeper.stdout.close()
            sys.stderr.write(self.log())

    def wait(self):
        return self.keeper.wait(DEADLINE_SECONDS)

    def log(self):
        with open(self.log_path) as f:
            return f.read()

    def ask(self, line):
        self.keeper.stdin.write(line.encode() + b"\n")
        self.keeper.stdin.flush()
        return self.keeper.stdout.readline().decode().rstrip("\n")

    def ask_named(self, line):
        answer = self.ask(line)
        return dict(part.split("=") for part in answer.split())

    def kill_daemon(self):
        """Returns when the next daemon answers; its pid."""
        pid = int(self.ask("pid"))
        ends = self.log().count("by signal 9")
        os.kill(pid, signal.SIGKILL)
        # The one that is dead may not take the question with it.
        self.wait_for_log("by signal 9", times=ends + 1)
        return int(self.ask("pid"))

    def wait_for_log(self, text, times=1):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.log().count(text) < times:
            self.assertLess(time.monotonic(), deadline, text)
            time.sleep(0.005)

    def keeper_fds(self):
        return sorted(os.readlink("/proc/%d/fd/%s" % (self.keeper.pid, fd))
                      for fd in os.listdir("/proc/%d/fd" % self.keeper.pid))

    def test_descriptors_come_back_under_their_names(self):
        self.start()
        self.ask("open")
        self.assertEqual(self.ask("listed"), "")
        stored = self.ask_named("store 3")
        self.assertEqual(len(stored), 3)
        self.kill_daemon()
        self.assertEqual(self.ask_named("listed"), stored)
        self.ask("open")
        removed = sorted(stored)[1]
        self.assertEqual(self.ask("remove " + removed), "OK")
        del stored[removed]
        more = self.ask_named("store 2")
        self.assertFalse(more.keys() & stored.keys())
        self.assertIn(removed, more, "the lowest free name")
        self.kill_daemon()
        self.assertEqual(self.ask_named("listed"), {**stored, **more})

    def test_what_was_sent_last_before_the_kill_is_kept(self):
        self.start()
        for round_number in range(1, 11):
            self.ask("open")
            self.ask("ready")
            self.keeper.stdin.write(b"store_and_die 100\n")
            self.keeper.stdin.flush()
            self.wait_for_log("by signal 9", times=round_number)
            self.assertEqual(len(self.ask_named("listed")), 100 * round_number)

    def test_five_thousand_descriptors(self):
        self.start()
        self.ask("open")
        stored = {}
        for _ in range(10):
            stored.update(self.ask_named("store 500"))
        self.assertEqual(len(stored), 5000)
        self.kill_daemon()
        self.assertEqual(self.ask_named("listed"), stored)
        self.ask("open")
        self.assertTrue(self.ask("state").startswith("available 5000 "))

    def test_no_descriptor_is_left_in_the_keeper(self):
        self.start()
        self.ask("open")
        self.ask("barrier")
        before = self.keeper_fds()
        for _ in range(3):
            names = self.ask_named("store 300")
            self.ask("barrier")
            self.assertEqual(len(self.keeper_fds()), len(before) + 300)
            self.kill_daemon()
            self.ask("open")
            self.assertEqual(self.ask("remove " + " ".join(names)), "OK")
            self.ask("barrier")
            after = self.keeper_fds()
            self.assertEqual(len(after), len(before), after)

    def test_beyond_what_it_can_keep_is_refused_in_words(self):
        self.start(wrapper=["prlimit", "--nofile=400"])
        self.ask("open")
        self.assertEqual(self.ask("ready"), "OK")
        room = int(self.ask("state").split()[2])
        self.assertLess(room, 400)
        answer = self.ask("store %d" % (room + 1))
        self.assertIn("RESOURCE_EXHAUSTED", answer)
        self.assertIn("only %d are left" % room, answer)
        stored = self.ask_named("store %d" % room)
        self.assertIn("only 0 are left", self.ask("store 1"))
        self.kill_daemon()
        self.assertEqual(self.ask_named("listed"), stored)
        self.assertNotIn("not kept", self.log())

    def test_strangers_are_refused(self):
        self.start()
        address = self.ask("address")
        self.assertEqual(os.stat(address).st_mode & 0o777, 0o600)
        stranger = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(stranger.close)
        stranger.connect(address)
        memfd = os.memfd_create("stranger")
        self.addCleanup(os.close, memfd)
        passenger = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                      array.array("i", [memfd]))]
        message = [b"FDSTORE=1\nFDNAME=x"]
        stranger.sendmsg(message, passenger)
        self.wait_for_log("refused a message of process %d, uid 0"
                          % os.getpid())
        self.ask("open")
        self.ask("barrier")
        with self.assertRaises(PermissionError):
            stranger.sendmsg(message, passenger)
        self.assertFalse(os.path.exists(address))
        self.assertNotIn("/memfd:stranger (deleted)", self.keeper_fds())
        self.kill_daemon()
        self.assertEqual(self.ask("listed"), "")

    def test_a_stranger_of_another_uid_does_not_reach_it(self):
        self.start()
        address = self.ask("address")
        os.chmod(self.folder, 0o711)
        code = ("import socket, sys\n"
                "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
                "try:\n  s.connect(sys.argv[1])\n"
                "except PermissionError:\n  sys.exit(42)\n")
        done = subprocess.run(["/usr/bin/python3", "-c", code, address],
                              user=65534, timeout=DEADLINE_SECONDS)
        self.assertEqual(done.returncode, 42)

    def test_plain_notifications_are_understood(self):
        self.start(sys.executable, "-c", PLAIN_DAEMON)
        first = self.keeper.stdout.readline().decode().split(" ", 1)
        second = self.keeper.stdout.readline().decode()
        self.assertEqual(first[0].strip(), "")
        self.assertEqual(second.split(" ", 1)[0], "two:two:stored")
        for name in "abc":
            self.assertIn("/memfd:%s (deleted)" % name, second)
        self.assertEqual(self.wait(), 0)
        self.assertEqual(self.log().count("dropped a message"), 2)

    def test_a_stop_is_passed_on(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            self.start()
            daemon = int(self.ask("pid"))
            self.keeper.send_signal(number)
            self.assertEqual(self.wait(), 128 + signal.SIGTERM)
            with self.assertRaises(ProcessLookupError):
                os.kill(daemon, 0)
            self.keeper.stdin.close()
            self.keeper.stdout.close()

    def test_statuses_that_end_it(self):
        # Before it was ever ready, every status is told to whoever started it.
        for ready, code in ((False, 1), (False, 7), (True, 0), (True, 2)):
            self.start()
            self.ask("open")
            if ready:
                self.ask("ready")
            self.keeper.stdin.write(b"exit %d\n" % code)
            self.keeper.stdin.flush()
            self.assertEqual(self.wait(), code)
            self.keeper.stdin.close()
            self.keeper.stdout.close()

    def test_a_daemon_that_was_ready_is_started_again(self):
        self.start()
        self.ask("open")
        self.ask("ready")
        stored = self.ask_named("store 2")
        self.keeper.stdin.write(b"exit 1\n")
        self.keeper.stdin.flush()
        self.wait_for_log("with exit status 1; again in")
        self.assertEqual(self.ask_named("listed"), stored)

    def test_pauses_grow_and_it_gives_up(self):
        self.start(first_delay_ms=2, max_failed_starts=4)
        self.ask("open")
        self.ask("ready")
        self.ask("store 2")
        with open(self.failing, "w"):
            pass
        os.kill(int(self.ask("pid")), signal.SIGKILL)
        self.assertEqual(self.wait(), 1)
        log = self.log()
        self.assertEqual(
            [line.rsplit("again in ", 1)[1].split()[0]
             for line in log.splitlines() if "again in" in line],
            ["2ms", "2ms", "4ms", "8ms"])
        self.assertIn("giving up after 4 starts, and with it 2 descriptors",
                      log)

    def test_a_stop_ends_a_pause(self):
        self.start(first_delay_ms=3600000)
        os.kill(int(self.ask("pid")), signal.SIGKILL)
        self.wait_for_log("again in 5s")
        self.keeper.terminate()
        self.assertEqual(self.wait(), 0)

    def test_without_its_keeper_the_daemon_goes_on(self):
        self.start()
        self.ask("open")
        self.ask("store 1")
        self.keeper.kill()
        self.wait()
        self.assertTrue(self.ask("state").startswith("available"))
        self.assertIn("has gone", self.ask("store 1"))
        self.assertTrue(self.ask("state").startswith("unavailable 1 "))
        self.ask("store 1")
        self.assertEqual(self.log().count("end with this daemon"), 1)

    def test_a_second_daemon_is_not_listened_to(self):
        """What a daemon's own child inherits does not make it the daemon."""
        code = ("import os, socket\n"
                "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
                "s.connect(os.environ['NOTIFY_SOCKET'])\n"
                "pid = os.fork()\n"
                "if pid == 0:\n  s.send(b'READY=1')\n  os._exit(0)\n"
                "os.waitpid(pid, 0)\nos._exit(3)\n")
        self.start(sys.executable, "-c", code)
        # READY=1 would have made it start again.
        self.assertEqual(self.wait(), 3)
        self.assertIn("refused a message", self.log())


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
