"""shmd --keeper: the daemon is started again, and ends when it should."""

import concurrent.futures
import os
import select
import signal
import subprocess
import unittest

import daemon
import isolation

NODE = "shmd.v1.NodeService/GetNode"


class KeeperTest(unittest.TestCase):

    def setUp(self):
        isolation.enter()
        self.shmd = daemon.Daemon("--keeper")
        self.addCleanup(self.shmd.close)

    def daemon_pid(self):
        path = "/proc/%d/task/%d/children" % (self.shmd.pid, self.shmd.pid)
        with open(path) as f:
            children = f.read().split()
        self.assertEqual(len(children), 1)
        return int(children[0])

    def test_a_killed_daemon_is_started_again(self):
        reply = self.shmd.call("CreateSegment", {
            "parent": "namespaces/default", "segment_id": "kept",
            "segment": {"size_bytes": 4096, "backend": "POSIX"}}).reply
        pids = {self.shmd.pid}
        for _ in range(3):
            pid = self.daemon_pid()
            self.assertNotIn(pid, pids)
            pids.add(pid)
            os.kill(pid, signal.SIGKILL)
            self.shmd.wait_until_ready()
            found = self.shmd.call("GetSegment", {"name": reply["name"]})
            self.assertEqual(found.code, "OK", found)
            self.assertEqual(found.reply["uid"], reply["uid"])
        self.shmd.call("DeleteSegment", {"name": reply["name"]})
        self.assertEqual(self.shmd.stop(), 0)
        self.assertFalse(os.path.exists(self.shmd.grpc_socket))
        left = [name for name in os.listdir(self.shmd.state_dir)
                if name.startswith("keeper")]
        self.assertEqual(left, [])

    def test_the_environment_of_the_keeper_is_not_the_daemons(self):
        self.shmd.stop()
        os.environ.update(LISTEN_PID="1", LISTEN_FDS="7",
                          NOTIFY_SOCKET="/nowhere")
        try:
            self.shmd.start()
        finally:
            for name in ("LISTEN_PID", "LISTEN_FDS", "NOTIFY_SOCKET"):
                del os.environ[name]
        self.assertEqual(self.shmd.call(NODE).code, "OK")
        self.assertNotIn("/nowhere", self.shmd.log_text())

    def test_a_second_one_on_the_same_folder_ends_as_its_daemon(self):
        done = subprocess.run(
            [os.environ["SHMD_BINARY"], "--keeper",
             "--socket_dir=" + self.shmd.socket_dir,
             "--state_dir=" + self.shmd.state_dir],
            capture_output=True, timeout=daemon.DEADLINE_SECONDS)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(self.shmd.call(NODE).code, "OK")

    def test_without_its_keeper_the_daemon_goes_on(self):
        pid = self.daemon_pid()
        pidfd = os.pidfd_open(pid)
        self.addCleanup(os.close, pidfd)
        os.kill(self.shmd.pid, signal.SIGKILL)
        self.assertEqual(self.shmd.stop(), -signal.SIGKILL)
        try:
            self.assertEqual(self.shmd.call(NODE).code, "OK")
        finally:
            os.kill(pid, signal.SIGTERM)
        ended, _, _ = select.select([pidfd], [], [], daemon.DEADLINE_SECONDS)
        self.assertTrue(ended)
        # So that the clean-up finds a running one.
        self.shmd.start()


class KeptCreateTest(unittest.TestCase):

    def setUp(self):
        isolation.enter()

    def test_other_calls_are_served_while_one_waits_for_the_keeper(self):
        for name, create in (
                ("CreateSegment", {"segment_id": "one"}),
                ("BatchCreateSegments", {"requests": [
                    {"segment_id": "one", "segment": {"size_bytes": 4096}}]})):
            create["parent"] = "namespaces/default"
            if name == "CreateSegment":
                create["segment"] = {"size_bytes": 4096}
            with self.subTest(name):
                shmd = daemon.Daemon("--keeper",
                                     "--failpoints=create.keep=sleep:5000@1")
                self.addCleanup(shmd.close)
                # Also readies the client, which two threads must not do.
                self.assertEqual(shmd.call(NODE).code, "OK")
                self.check_the_first_answer(shmd, name, create)

    def check_the_first_answer(self, shmd, name, create):
        """Of two that want the same name the first to be served sleeps before
        the keeper, and the other is refused meanwhile."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            calls = [pool.submit(shmd.call, name, create) for _ in range(2)]
            done, waiting = concurrent.futures.wait(
                calls, daemon.DEADLINE_SECONDS,
                concurrent.futures.FIRST_COMPLETED)
            self.assertEqual([one.result().code for one in done],
                             ["ALREADY_EXISTS"])
            self.assertEqual([one.result().code for one in waiting], ["OK"])


if __name__ == "__main__":
    unittest.main()
