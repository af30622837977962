"""Handles, from CreateHandle by grpcurl to the attach socket that redeems
them."""

import base64
import os
import string
import time
import unittest

import attach_socket
import sysv
from attach_socket import READ, READ_WRITE, Connection, Refused
from daemon_case import DaemonCase, encoded
from stubs import handle_pb2

BACKENDS = ("MEMFD", "POSIX", "SYSV", "MAPPED_FILE")


class HandleTest(DaemonCase):

    def make(self, kind="MEMFD", **fields):
        if kind == "MAPPED_FILE":
            fields["file_path"] = self.fresh_id()
        return self.create(backend=kind, **fields)

    def connect(self):
        connection = Connection(self.shmd.attach_socket)
        self.addCleanup(connection.socket.close)
        return connection

    def attach(self, connection, handle, access=READ):
        attachment, descriptor = connection.attach(handle, access)
        if descriptor is not None:
            self.addCleanup(os.close, descriptor)
        return attachment, descriptor

    def expect_refused(self, code, reason, handle, access=READ):
        with Connection(self.shmd.attach_socket) as connection:
            with self.assertRaises(Refused) as caught:
                connection.attach(handle, access)
        self.assertEqual((caught.exception.code, caught.exception.reason),
                         (code, reason))

    def test_what_is_written_through_a_mapping_is_there(self):
        for kind in BACKENDS:
            with self.subTest(kind):
                made = self.make(kind, size_bytes=5000)
                connection = self.connect()
                attachment, descriptor = self.attach(
                    connection, made["handle_string"], READ_WRITE)
                self.assertEqual(attachment.name, made["name"])
                self.assertEqual(str(attachment.generation),
                                 made["generation"])
                self.assertEqual((attachment.size_bytes,
                                  attachment.offset_bytes,
                                  attachment.length_bytes), (5000, 0, 5000))
                if descriptor is None:
                    self.assertEqual(kind, "SYSV")
                    with sysv.Attached(attachment.sysv_id) as memory:
                        memory.write(b"by mapping")
                else:
                    with attach_socket.map_descriptor(descriptor, 5000,
                                                      True) as memory:
                        memory[:10] = b"by mapping"
                reply = self.ok("ReadSegment", {"name": made["name"],
                                                "length_bytes": 10})
                self.assertEqual(base64.b64decode(reply["data"]),
                                 b"by mapping")

    def test_both_forms_are_one_handle(self):
        made = self.make()
        fields = made["handle"]
        message = handle_pb2.Handle(
            node=int(fields["node"]), namespace=fields["namespace"],
            uid=base64.b64decode(fields["uid"]),
            generation=int(fields["generation"]),
            access=handle_pb2.Access.Value(fields["access"]),
            signature=base64.b64decode(fields["signature"]))
        self.assertEqual(message.uid.hex(), made["uid"])
        attachment, _ = self.attach(self.connect(), message, READ_WRITE)
        self.assertEqual(attachment.name, made["name"])

    def test_a_narrower_handle(self):
        made = self.make(size_bytes=8192)
        reply = self.ok("CreateHandle", {"name": made["name"],
                                         "offset_bytes": 100,
                                         "length_bytes": 50})
        self.assertEqual(reply["handle"]["access"], "READ")
        attachment, _ = self.attach(self.connect(), reply["handle_string"])
        self.assertEqual((attachment.offset_bytes, attachment.length_bytes),
                         (100, 50))
        self.expect_refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                            reply["handle_string"], READ_WRITE)
        to_the_end = self.ok("CreateHandle", {"name": made["name"],
                                              "offset_bytes": 192,
                                              "access": "READ_WRITE"})
        attachment, _ = self.attach(self.connect(),
                                    to_the_end["handle_string"], READ_WRITE)
        self.assertEqual(attachment.length_bytes, 8000)

    def test_every_altered_character_is_told(self):
        text = self.make()["handle_string"]
        alphabet = string.ascii_letters + string.digits + "-_"
        with Connection(self.shmd.attach_socket) as connection:
            for place, character in enumerate(text):
                for other in ("A", "b", "9", "_", ".", "\u00e4", " "):
                    if other == character:
                        continue
                    altered = text[:place] + other + text[place + 1:]
                    self.expect_invalid(connection, altered)
            for bad in ("", "shm1.", text[:-1], text + "A", text + "=",
                        text + "\n", " " + text, text.upper(), text * 2,
                        "shm2" + text[4:], alphabet, "\0"):
                self.expect_invalid(connection, bad)

    def expect_invalid(self, connection, text):
        with self.assertRaises(Refused, msg=text) as caught:
            connection.attach(text)
        self.assertEqual((caught.exception.code, caught.exception.reason),
                         ("INVALID_ARGUMENT", "HANDLE_INVALID"), text)

    def test_every_altered_field_is_told(self):
        made = self.make()
        fields = made["handle"]
        good = handle_pb2.Handle(
            node=int(fields["node"]), namespace="default",
            uid=base64.b64decode(fields["uid"]),
            generation=int(fields["generation"]), access=READ_WRITE,
            signature=base64.b64decode(fields["signature"]))
        changes = (
            {"node": good.node ^ 1}, {"namespace": "other"},
            {"namespace": ""}, {"namespace": "n" * 64}, {"uid": b"\0" * 16},
            {"uid": b""}, {"uid": good.uid + b"x"},
            {"generation": good.generation + 1}, {"generation": 0},
            {"offset_bytes": 1}, {"length_bytes": (1 << 64) - 1},
            {"access": READ}, {"access": 0}, {"access": 9},
            {"signature": b""}, {"signature": b"\0" * 16},
            {"signature": good.signature + b"x"})
        with Connection(self.shmd.attach_socket) as connection:
            for change in changes:
                altered = handle_pb2.Handle()
                altered.CopyFrom(good)
                for field, value in change.items():
                    setattr(altered, field, value)
                self.expect_invalid(connection, altered)
            for seconds, nanos in ((1, 0), (-1, 0), (1 << 62, 0), (1, -5)):
                altered = handle_pb2.Handle()
                altered.CopyFrom(good)
                altered.expire_time.seconds = seconds
                altered.expire_time.nanos = nanos
                self.expect_invalid(connection, altered)

    def test_an_expired_handle(self):
        made = self.make()
        reply = self.ok("CreateHandle", {"name": made["name"],
                                         "ttl": "0.001s"})
        deadline = time.monotonic() + 30
        while attach_socket.refusal(
                self.shmd.attach_socket,
                reply["handle_string"])[0] == "OK":
            self.assertLess(time.monotonic(), deadline)
        self.expect_refused("FAILED_PRECONDITION", "HANDLE_EXPIRED",
                            reply["handle_string"])
        self.attach(self.connect(), made["handle_string"])

    def test_a_stale_handle(self):
        for kind in BACKENDS:
            with self.subTest(kind):
                segment_id = self.fresh_id()
                old = self.make(kind, segment_id=segment_id)
                self.ok("DeleteSegment", {"name": old["name"]})
                self.expect_refused("FAILED_PRECONDITION", "HANDLE_STALE",
                                    old["handle_string"])
                new = self.make(kind, segment_id=segment_id)
                self.assertEqual(new["name"], old["name"])
                self.expect_refused("FAILED_PRECONDITION", "HANDLE_STALE",
                                    old["handle_string"])
                self.attach(self.connect(), new["handle_string"])

    def test_attachments_are_counted_until_they_end(self):
        made = self.make()

        def count():
            status = self.ok("GetSegment", {"name": made["name"]})["status"]
            return int(status.get("attachment_count", 0))

        def wait_for(expected):
            deadline = time.monotonic() + 30
            while count() != expected:
                self.assertLess(time.monotonic(), deadline, count())

        first, second = self.connect(), self.connect()
        attachment, _ = self.attach(first, made["handle_string"])
        self.attach(first, made["handle_string"])
        self.attach(second, made["handle_string"])
        self.assertEqual(count(), 3)
        self.refused("FAILED_PRECONDITION", "SEGMENT_IN_USE",
                     "DeleteSegment", {"name": made["name"]})
        first.detach(1 << 60)
        first.detach(attachment.attachment_id)
        first.detach(attachment.attachment_id)
        wait_for(2)
        second.socket.close()
        wait_for(1)
        first.socket.close()
        wait_for(0)
        self.ok("DeleteSegment", {"name": made["name"]})

    def test_one_connection_cannot_detach_for_another(self):
        made = self.make()
        first, second = self.connect(), self.connect()
        self.attach(first, made["handle_string"])
        attachment, _ = self.attach(first, made["handle_string"])
        own, _ = self.attach(second, made["handle_string"])
        self.assertNotEqual(own.attachment_id, attachment.attachment_id)
        second.detach(attachment.attachment_id)
        # Requests are served in order, so the detach has been read by now.
        with self.assertRaises(Refused):
            second.attach("")
        status = self.ok("GetSegment", {"name": made["name"]})["status"]
        self.assertEqual(int(status["attachment_count"]), 3)

    def test_force_removes_and_leaves_mappings_alone(self):
        made = self.make(size_bytes=4096)
        _, descriptor = self.attach(self.connect(), made["handle_string"],
                                    READ_WRITE)
        with attach_socket.map_descriptor(descriptor, 4096, True) as memory:
            self.ok("DeleteSegment", {"name": made["name"], "force": True})
            memory[:4] = b"mine"
            self.assertEqual(memory[:4], b"mine")

    def test_sealing_waits_for_writers(self):
        made = self.make()
        connection = self.connect()
        _, descriptor = self.attach(connection, made["handle_string"],
                                    READ_WRITE)
        memory = attach_socket.map_descriptor(descriptor, 4096, True)
        self.refused("FAILED_PRECONDITION", "SEGMENT_IN_USE", "SealSegment",
                     {"name": made["name"]})
        self.ok("SealSegment", {"name": made["name"],
                                "extent": "NEW_WRITERS"})
        memory[:5] = b"still"
        self.expect_refused("FAILED_PRECONDITION", "SEGMENT_SEALED",
                            made["handle_string"], READ_WRITE)
        self.refused("FAILED_PRECONDITION", "SEGMENT_SEALED", "CreateHandle",
                     {"name": made["name"], "access": "READ_WRITE"})
        self.ok("CreateHandle", {"name": made["name"], "access": "READ"})
        memory.close()
        self.ok("SealSegment", {"name": made["name"]})
        reply = self.ok("ReadSegment", {"name": made["name"],
                                        "length_bytes": 5})
        self.assertEqual(reply["data"], encoded(b"still"))
        attachment, _ = self.attach(self.connect(), made["handle_string"])
        self.assertTrue(attachment.seals & 0x0008)  # F_SEAL_WRITE


if __name__ == "__main__":
    unittest.main()
