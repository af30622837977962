"""Channels and restarts of the daemon: what a keeper keeps, and what ends."""

import os
import signal
import time
import unittest

import attach_socket
import daemon
import isolation
from attach_socket import READ_WRITE
from channel_case import (CHANNELS, DEADLINE_SECONDS, Program, Refused,
                          join_request)
from daemon_case import PARENT

FIELDS = {"kind": "QUEUE", "slots": 16, "payload_bytes": 4096, "history": 3,
          "mode": 0o640, "group": 77, "checksums": True}
NAME = PARENT + "/channels/kept"


class RestartCase(unittest.TestCase):

    FLAGS = ()

    def setUp(self):
        isolation.enter()
        self.shmd = daemon.Daemon("--session_grace_seconds=3", *self.FLAGS)
        self.addCleanup(self.shmd.close)

    def ok(self, method, request):
        outcome = self.shmd.call(method, request)
        self.assertEqual(outcome.code, "OK", outcome)
        return outcome.reply

    def create(self):
        return self.ok(CHANNELS + "CreateChannel", {
            "parent": PARENT, "channel_id": "kept", "channel": FIELDS})

    def program(self, resume=None):
        program = Program(self.shmd, resume=resume)
        self.addCleanup(program.end)
        return program

    def wait_until(self, is_so):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not is_so():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.005)


class KeptTest(RestartCase):

    FLAGS = ("--keeper",)

    def kill_daemon(self):
        path = "/proc/%d/task/%d/children" % (self.shmd.pid, self.shmd.pid)
        with open(path) as children:
            os.kill(int(children.read()), signal.SIGKILL)
        self.shmd.wait_until_ready()

    def test_channels_and_members_live_on(self):
        made = self.create()
        writer, reader, lost = (self.program() for _ in range(3))
        publisher, subscriber = writer.publish(NAME), reader.subscribe(NAME)
        gone = lost.subscribe(NAME)
        page = writer.page(publisher)
        ring = writer.memory(publisher.ring_handle)
        claims = reader.part(NAME, "CLAIMS", publisher, READ_WRITE)
        for _ in range(2):
            before = page.change
            self.kill_daemon()
            # Who waits is told to look.
            self.assertNotEqual(page.change, before)
            found = self.ok(CHANNELS + "GetChannel", {"name": NAME})
            counts = (found.pop("publisher_count"),
                      found.pop("subscriber_count"))
            self.assertEqual(found, made)
            writer = self.program(resume=writer.welcome)
            reader = self.program(resume=reader.welcome)
            self.assertTrue(writer.welcome.resumed and reader.welcome.resumed)
            self.assertEqual(counts[0], 1)
            # The same memory, by the same place and generation.
            ring[-4:] = b"kept"
            seen = reader.part(NAME, "RING", publisher)
            self.assertEqual(seen[-4:], b"kept")
            claims[64:68] = b"mine"
            self.assertEqual(writer.memory(publisher.claims_handle)[64:68],
                             b"mine")
            writer.part(NAME, "PAGE", subscriber)
            # Whose session does not come back is awaited, and then gone.
            self.wait_until(lambda: len(page.subscribers) == 1)
            self.assertEqual(page.subscribers[0][0], subscriber.generation)
            with self.assertRaises(attach_socket.Refused):
                writer.part(NAME, "PAGE", gone)
        # No generation is given out twice.
        again = writer.subscribe(NAME)
        self.assertGreater(again.generation, gone.generation)
        reader.end()
        self.wait_until(lambda: list(page.subscribers) == [again.index])
        writer.end()
        self.wait_until(lambda: not page.publishers and not page.subscribers)
        self.ok(CHANNELS + "DeleteChannel", {"name": NAME})
        self.wait_until(lambda: self.ok("ListSegments",
                                        {"parent": PARENT}) == {})
        self.kill_daemon()
        self.assertEqual(self.ok(CHANNELS + "ListChannels",
                                 {"parent": PARENT}), {})

    def test_a_join_is_repeated_with_the_next_daemon(self):
        self.create()
        program = self.program()
        request = join_request(NAME, publisher={}, subscriber={},
                               request_id="once")
        first, descriptors = program.join(request)
        self.close(descriptors)
        self.kill_daemon()
        program = self.program(resume=program.welcome)
        again, descriptors = program.join(request)
        self.close(descriptors)
        self.assertEqual(again.members, first.members)
        other, descriptors = program.join(join_request(
            NAME, publisher={}, request_id="another"))
        self.close(descriptors)
        self.assertNotEqual(other.members.publisher.generation,
                            first.members.publisher.generation)
        # By threads that wait for the keeper, and in order.
        program.leave_by_socket(first.members.publisher.name)
        self.expect_left(program, first.members.publisher.name)
        self.ok(CHANNELS + "DeleteChannel", {"name": NAME, "force": True})

    @staticmethod
    def close(descriptors):
        for descriptor in descriptors:
            os.close(descriptor)

    def expect_left(self, program, member):
        with self.assertRaises(attach_socket.Refused) as caught:
            program.leave_by_socket(member)
        self.assertEqual(caught.exception.reason, "MEMBER_NOT_FOUND")

    def test_the_bell_is_another_one(self):
        self.create()
        program = self.program()
        program.publish(NAME)
        subscriber = program.subscribe(NAME)
        place = (NAME, "BELL", subscriber.index, subscriber.generation)
        # The next daemon rings for what happened while there was none.
        for rung in b"", b"\1":
            _, to_read = program.attach_part(*place)
            _, to_write = program.attach_part(*place, READ_WRITE)
            os.write(to_write, b"!")
            self.assertEqual(os.read(to_read, 4), rung + b"!")
            os.close(to_read)
            os.close(to_write)
            self.kill_daemon()
            program = self.program(resume=program.welcome)
        self.ok(CHANNELS + "DeleteChannel", {"name": NAME, "force": True})


class NotKeptTest(RestartCase):

    def expect_gone(self, program):
        self.assertEqual(self.ok(CHANNELS + "ListChannels",
                                 {"parent": PARENT}), {})
        self.assertEqual(self.ok("ListSegments", {"parent": PARENT}), {})
        again = self.program(resume=program.welcome)
        with self.assertRaises(Refused) as caught:
            again.publish(NAME)
        self.assertEqual(caught.exception.reason, "CHANNEL_NOT_FOUND")
        # The name is free.
        self.create()
        again.publish(NAME)
        self.ok(CHANNELS + "DeleteChannel", {"name": NAME, "force": True})

    def test_channels_end_with_a_daemon_that_is_killed(self):
        self.create()
        program = self.program()
        publisher = program.publish(NAME)
        ring = program.memory(publisher.ring_handle)
        self.shmd.kill()
        self.shmd.start()
        ring[-4:] = b"mine"
        self.expect_gone(program)

    def test_a_daemon_that_stops_says_so(self):
        self.create()
        program = self.program()
        page = program.page(program.subscribe(NAME))
        before = page.change
        self.assertEqual(self.shmd.stop(), 0)
        self.assertTrue(page.closed)
        self.assertNotEqual(page.change, before)
        self.shmd.start()
        self.expect_gone(program)


if __name__ == "__main__":
    unittest.main()
