"""Channels that are made and joined by one call, or one exchange."""

import fcntl
import os
import struct
import unittest

import attach_socket
from attach_socket import READ, READ_WRITE
from channel_case import (ChannelCase, Page, Refused, join_request)
from daemon_case import PARENT


def small(**fields):
    return {"slots": 16, "payload_bytes": 4096, **fields}


class JoinTest(ChannelCase):

    def test_a_call_is_joined_by_one_exchange_on_the_socket(self):
        name = PARENT + "/channels/" + self.fresh_id()
        self.addCleanup(self.drop, name)
        program = self.program()
        joined, descriptors = program.join(join_request(
            name, create={"kind": "CALL", **small()},
            publisher={"role": "CLIENT"}, subscriber={"role": "CLIENT"}))
        publisher, subscriber = (joined.members.publisher,
                                 joined.members.subscriber)
        # The page, the ring, the claims on it, the own page.
        self.assertEqual([one.access for one in joined.attachments],
                         [READ, READ_WRITE, READ_WRITE, READ_WRITE])
        self.assertEqual([fcntl.fcntl(one, fcntl.F_GETFL) & os.O_ACCMODE
                          for one in descriptors],
                         [os.O_RDONLY, os.O_RDWR, os.O_RDWR, os.O_RDWR])
        self.assertEqual([os.fstat(one).st_size for one in descriptors],
                         [one.size_bytes for one in joined.attachments])
        heads = [os.pread(one, 24, 0) for one in descriptors]
        self.assertEqual([head[:8] for head in heads],
                         [b"MSHMCHAN", b"MSHMRING", b"MSHMRCLM", b"MSHMREAD"])
        self.assertEqual([struct.unpack_from("<Q", head, 16)[0]
                          for head in heads[1:]],
                         [publisher.generation, publisher.generation,
                          subscriber.generation])
        page = Page(descriptors[0])
        for descriptor in descriptors[1:]:
            os.close(descriptor)
        self.assertEqual(page.publishers[publisher.index][:2],
                         (publisher.generation, 2))
        self.assertEqual(page.subscribers[subscriber.index][:2],
                         (subscriber.generation, 2))
        self.assertEqual(publisher.session, program.session)
        held = self.ok("shmd.v1.SessionService/GetSession",
                       {"name": program.session})["holdings"]
        self.assertEqual([one["segment"] for one in held],
                         [one.name for one in joined.attachments])
        # The handles are of the same, and go on where it is asked anew.
        self.assertEqual(
            program.memory(publisher.claims_handle)[:8], b"MSHMRCLM")
        program.leave_by_socket(publisher.name)
        program.leave_by_socket(subscriber.name)
        self.assertEqual((page.publishers, page.subscribers), ({}, {}))
        self.expect_refused("NOT_FOUND", "MEMBER_NOT_FOUND",
                            program.leave_by_socket, subscriber.name)

    def test_a_join_is_repeated_under_its_request_id(self):
        name = self.channel(**small())
        program, other = self.program(), self.program()
        once = {"publisher": {}, "subscriber": {"slow_policy": "CUT_OFF"},
                "request_id": "once"}
        first = program.join_channel(name, **once)
        self.assertEqual(program.join_channel(name, **once), first)
        joined, descriptors = program.join(join_request(name, **once))
        for descriptor in descriptors:
            os.close(descriptor)
        self.assertEqual(joined.members, first)
        # The other calls know it too.
        self.assertEqual(program.publish(name, request_id="once"),
                         first.publisher)
        self.assertEqual(
            program.subscribe(name, policy=3, request_id="once"),
            first.subscriber)
        self.expect_refused("INVALID_ARGUMENT", "REQUEST_ID_REUSED",
                            program.subscribe, name, request_id="once")
        self.expect_refused("INVALID_ARGUMENT", "REQUEST_ID_INVALID",
                            program.publish, name, request_id=65 * "x")
        # Without an id, under another one, and of another session, it is
        # somebody else; as it is when the first has left.
        program.publish(name)
        program.publish(name, request_id="twice")
        self.assertNotEqual(
            other.publish(name, request_id="once").generation,
            first.publisher.generation)
        program.leave(first.publisher)
        self.assertNotEqual(
            program.publish(name, request_id="once").generation,
            first.publisher.generation)
        self.assertEqual([len(some) for some in self.stats(name)], [4, 1])

    def test_who_cannot_join_wholly_does_not_join(self):
        name = self.channel(kind="CALL", mode=0o666, **small())
        program, other = self.program(), self.program()
        joins = (lambda **fields: program.join_channel(name, **fields),
                 lambda **fields: program.join(join_request(name, **fields)))
        both = {"publisher": {"role": "CLIENT"},
                "subscriber": {"role": "CLIENT"}}
        for join in joins:
            for reason, fields in (
                    ("FIELD_INVALID", {}),
                    ("FIELD_INVALID", {**both, "publisher": {}}),
                    ("FIELD_INVALID", {**both, "subscriber": {}}),
                    ("CHANNEL_EXISTS", {**both, "create": {"kind": "QUEUE"}}),
                    ("MODE_INVALID", {**both, "create": {"mode": 0o10000}}),
                    ("NAME_INVALID", {**both, "name": "x"}),
                    ("SESSION_NOT_FOUND",
                     {**both, "session": "sessions/" + 32 * "0"})):
                with self.subTest(fields):
                    with self.assertRaises(
                            (Refused, attach_socket.Refused)) as caught:
                        join(**fields)
                    self.assertEqual(caught.exception.reason, reason)
        # Of this process and user, but another connection.
        self.expect_refused("NOT_FOUND", "SESSION_NOT_FOUND", program.join,
                            join_request(name, session=other.session, **both))
        self.assertEqual(self.stats(name), ([], []))


if __name__ == "__main__":
    unittest.main()
