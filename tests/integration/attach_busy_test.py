"""Programs that ask on the attach socket all the time, each of which gets a
thread of the daemon's while there are some."""

import os
import signal
import threading
import time
import unittest

import daemon
from attach_socket import Connection, Refused
from daemon_case import DaemonCase

ATTENDANTS = 4
DEADLINE_SECONDS = 30


class AttachBusyTest(DaemonCase):

    def setUp(self):
        super().setUp()
        self.made = self.create()

    def work(self, connection, turns):
        """Attaches and detaches, and now and then is refused."""
        for turn in range(turns):
            granted, descriptor = connection.attach(self.made["handle_string"])
            self.assertEqual(granted.size_bytes, 4096)
            self.assertEqual(os.fstat(descriptor).st_size, 4096)
            os.close(descriptor)
            connection.detach(granted.attachment_id)
            if turn % 50 == 0:
                with self.assertRaises(Refused):
                    connection.attach("none")

    def threads(self):
        return len(os.listdir("/proc/%d/task" % self.shmd.pid))

    def attachments(self):
        found = self.ok("GetSegment", {"name": self.made["name"]})
        return int(found["status"].get("attachment_count", 0))

    def await_attachments(self, count):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.attachments() != count:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def test_more_of_them_than_there_are_threads(self):
        before = self.threads()
        failures = []

        def run():
            try:
                with Connection(self.shmd.attach_socket) as connection:
                    for _ in range(3):
                        self.work(connection, 300)
                        time.sleep(0.03)  # nobody waits for that long
            except Exception as error:  # shown by the other thread
                failures.append(repr(error))

        programs = [threading.Thread(target=run)
                    for _ in range(2 * ATTENDANTS)]
        for program in programs:
            program.start()
        for program in programs:
            program.join(DEADLINE_SECONDS)
            self.assertFalse(program.is_alive())
        self.assertEqual(failures, [])
        self.await_attachments(0)
        self.assertIn(self.threads() - before, range(1, ATTENDANTS + 1))

    def test_one_that_is_killed_lets_go(self):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            connection = Connection(self.shmd.attach_socket)
            connection.attach(self.made["handle_string"])
            self.work(connection, 200)
            os.write(writer, b"x")
            while True:
                self.work(connection, 1000)
        self.addCleanup(os.close, reader)
        os.close(writer)
        self.assertEqual(os.read(reader, 1), b"x")
        self.assertGreater(self.attachments(), 0)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        self.await_attachments(0)

    def test_the_daemon_ends_in_spite_of_one(self):
        other = daemon.Daemon()
        self.addCleanup(other.close)
        connection = Connection(other.attach_socket)
        self.addCleanup(connection.socket.close)
        ended = threading.Event()

        def run():
            try:
                while True:
                    with self.assertRaises(Refused):
                        connection.attach("none")
            except (OSError, AssertionError):
                ended.set()

        program = threading.Thread(target=run)
        program.start()
        time.sleep(0.1)
        begin = time.monotonic()
        other.stop()
        self.assertLess(time.monotonic() - begin, 10)
        self.assertTrue(ended.wait(DEADLINE_SECONDS))
        program.join()


if __name__ == "__main__":
    unittest.main()
