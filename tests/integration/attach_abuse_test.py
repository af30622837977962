"""The attach socket under clients that misbehave."""

import array
import os
import random
import socket
import unittest

import attach_socket
from attach_socket import Connection, attach_pb2
from daemon_case import DaemonCase


class AttachAbuseTest(DaemonCase):

    def setUp(self):
        super().setUp()
        self.made = self.create()
        self.good = Connection(self.shmd.attach_socket)
        self.addCleanup(self.good.socket.close)

    def request(self):
        request = attach_pb2.AttachRequest(sequence=7)
        request.attach.handle_string = self.made["handle_string"]
        return request.SerializeToString()

    def expect_invalid_or_closed(self, datagram, descriptors=()):
        """Sends one datagram on a connection of its own."""
        rights = []
        if descriptors:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                       array.array("i", descriptors))]
        with Connection(self.shmd.attach_socket) as connection:
            connection.socket.sendmsg([datagram], rights)
            received = connection.receive()
        if received is not None:
            reply, granted = received
            self.assertEqual(granted, [])
            self.assertTrue(reply.HasField("error"), reply)
            self.assertIn(attach_socket.Refused(reply.error).reason,
                          ("REQUEST_INVALID", "HANDLE_INVALID"))

    def expect_good(self):
        """Others are served as before."""
        _, descriptor = self.good.attach(self.made["handle_string"])
        os.close(descriptor)

    def test_garbage(self):
        for datagram in (b"\0", b"\xff" * 10, b"\x08", b"GET / HTTP/1.0",
                         self.request()[:-3], b"\x0a" + b"\xff" * 9 + b"\x7f",
                         os.urandom(4096), b"\x12\x00" * 2000):
            with self.subTest(datagram[:16]):
                self.expect_invalid_or_closed(datagram)
                self.expect_good()

    def test_oversize(self):
        for size in (4097, 8192, 65536, 200000):
            with self.subTest(size):
                padding = b"\xfa\x7f"  # an unknown field of type bytes
                length = size - len(self.request()) - 5
                varint = bytes([length & 127 | 128, length >> 7 & 127 | 128,
                                length >> 14])
                datagram = self.request() + padding + varint + bytes(length)
                self.assertEqual(len(datagram), size)
                self.expect_invalid_or_closed(datagram)
                self.expect_good()

    def test_no_action_and_unknown_access(self):
        self.expect_invalid_or_closed(
            attach_pb2.AttachRequest(sequence=1).SerializeToString())
        request = attach_pb2.AttachRequest(sequence=1)
        request.attach.access = 9
        request.attach.handle_string = self.made["handle_string"]
        self.expect_invalid_or_closed(request.SerializeToString())
        request = attach_pb2.AttachRequest(sequence=1)
        request.attach.SetInParent()
        self.expect_invalid_or_closed(request.SerializeToString())

    def test_an_empty_datagram(self):
        with Connection(self.shmd.attach_socket) as connection:
            connection.socket.send(b"")
            connection.socket.shutdown(socket.SHUT_WR)
            connection.receive()
        self.expect_good()

    def test_random_datagrams(self):
        seed = random.randrange(1 << 32)
        log = self.shmd.log_text()
        chance = random.Random(seed)
        good = self.request()
        for _ in range(2000):
            datagram = bytearray(good)
            for _ in range(chance.randint(1, 4)):
                datagram[chance.randrange(len(datagram))] = (
                    chance.randrange(256))
            with Connection(self.shmd.attach_socket) as connection:
                connection.socket.send(datagram)
                # Whatever was made of it: an answer, none for a detach, or
                # the end. The shutdown makes sure that something comes.
                connection.socket.shutdown(socket.SHUT_WR)
                received = connection.receive()
            for descriptor in received[1] if received else ():
                os.close(descriptor)
            self.assertTrue(self.shmd.is_running(), "seed %d" % seed)
        self.expect_good()
        # Nobody can fill the disk by sending garbage.
        self.assertEqual(self.shmd.log_text(), log)

    def test_descriptors_that_nobody_asked_for_are_closed(self):
        readable, writable = os.pipe()
        try:
            for count in (1, 2, 5, 100, 253):
                for datagram in (self.request(), b"garbage"):
                    with Connection(self.shmd.attach_socket) as connection:
                        connection.socket.sendmsg(
                            [datagram],
                            [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                              array.array("i", [writable] * count))])
                        received = connection.receive()
                    for descriptor in received[1] if received else ():
                        os.close(descriptor)
        finally:
            os.close(writable)
        # The pipe ends only when the daemon has closed all that it was sent.
        with os.fdopen(readable, "rb") as pipe:
            self.assertEqual(pipe.read(), b"")
        self.expect_good()

    def test_a_client_that_never_receives_harms_only_itself(self):
        with Connection(self.shmd.attach_socket) as connection:
            connection.socket.setblocking(False)
            try:
                for _ in range(20000):
                    connection.socket.send(self.request())
            except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                pass
            self.expect_good()

    def test_attachments_of_one_connection_are_limited(self):
        with Connection(self.shmd.attach_socket) as connection:
            with self.assertRaises(attach_socket.Refused) as caught:
                for _ in range(200000):
                    _, descriptor = connection.attach(
                        self.made["handle_string"])
                    os.close(descriptor)
        self.assertEqual((caught.exception.code, caught.exception.reason),
                         ("RESOURCE_EXHAUSTED", "ATTACHMENT_LIMIT"))
        self.assertIn("limit", caught.exception.metadata)
        self.expect_good()

    def test_many_connections(self):
        connections = [Connection(self.shmd.attach_socket)
                       for _ in range(400)]
        try:
            for connection in connections:
                _, descriptor = connection.attach(self.made["handle_string"])
                os.close(descriptor)
            status = self.ok("GetSegment",
                             {"name": self.made["name"]})["status"]
            self.assertEqual(int(status["attachment_count"]), 400)
        finally:
            for connection in connections:
                connection.socket.close()


if __name__ == "__main__":
    unittest.main()
