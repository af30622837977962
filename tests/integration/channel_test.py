"""Channels by their RPCs and the attach socket: who takes part, and what
becomes of it."""

import fcntl
import itertools
import os
import select
import struct
import unittest

import attach_socket
import isolation
import raw_grpc
from attach_socket import READ, READ_WRITE
from channel_case import (CHANNELS, DEADLINE_SECONDS, OTHER, PAYLOAD, SLOTS,
                          ChannelCase, Program, small)
from daemon_case import PARENT
from stubs import channel_pb2

CLIENT, SERVER = channel_pb2.CLIENT, channel_pb2.SERVER
DROP_OLDEST = channel_pb2.Subscriber.DROP_OLDEST
HEADER = 4096

# shm/layout/channel_layout.h
PUBLISHED, OLDEST, WAITING, CUT_OFF = 64, 128, 196, 512
ASLEEP, CURSORS = 64, 4096


class CreateTest(ChannelCase):

    def test_a_channel_is_created_found_listed_and_deleted(self):
        made = self.make("stream")
        self.assertEqual(made["name"], PARENT + "/channels/stream")
        self.assertEqual(
            (made["kind"], made["slots"], made["payload_bytes"],
             made["mode"]), ("PUBLISH", 1024, str(64 << 20), 0o600))
        self.assertEqual(
            (made.get("owner", 0), made.get("publisher_count", 0)), (0, 0))
        self.assertIn("create_time", made)
        self.assertEqual(self.get(made["name"]), made)
        self.assertEqual(self.ok(CHANNELS + "ListChannels",
                                 {"parent": PARENT})["channels"], [made])
        self.ok(CHANNELS + "DeleteChannel", {"name": made["name"]})
        for method in ("GetChannel", "DeleteChannel", "GetChannelStats"):
            self.refused_with("NOT_FOUND", "CHANNEL_NOT_FOUND", method,
                              {"name": made["name"]})
        again = self.make("stream")
        self.assertGreater(int(again["generation"]), int(made["generation"]))

    def test_fields_are_as_asked(self):
        asked = {"kind": "QUEUE", "slots": 2, "payload_bytes": "8192",
                 "history": 1, "checksums": True, "owner": OTHER,
                 "group": OTHER, "mode": 0o640}
        made = self.make(**asked)
        self.assertEqual({field: made[field] for field in asked}, asked)

    def test_what_is_wrong_is_named(self):
        self.channel("taken")
        for what, code, reason, field, request in (
                ("parent", "INVALID_ARGUMENT", "NAME_INVALID", "parent",
                 {"parent": "x"}),
                ("namespace", "NOT_FOUND", "NAMESPACE_NOT_FOUND", None,
                 {"parent": "namespaces/none"}),
                ("no id", "INVALID_ARGUMENT", "CHANNEL_ID_INVALID",
                 "channel_id", {"channel_id": ""}),
                ("slash", "INVALID_ARGUMENT", "CHANNEL_ID_INVALID",
                 "channel_id", {"channel_id": "a/b"}),
                ("dots", "INVALID_ARGUMENT", "CHANNEL_ID_INVALID",
                 "channel_id", {"channel_id": ".."}),
                ("long", "INVALID_ARGUMENT", "CHANNEL_ID_INVALID",
                 "channel_id", {"channel_id": "x" * 65}),
                ("taken", "ALREADY_EXISTS", "CHANNEL_EXISTS", None,
                 {"channel_id": "taken"}),
                ("kind", "INVALID_ARGUMENT", "FIELD_INVALID", "channel.kind",
                 {"channel": {"kind": 9}}),
                ("slots", "INVALID_ARGUMENT", "FIELD_INVALID",
                 "channel.slots", {"channel": {"slots": 3}}),
                ("few slots", "INVALID_ARGUMENT", "FIELD_INVALID",
                 "channel.slots", {"channel": {"slots": 1}}),
                ("many slots", "INVALID_ARGUMENT", "FIELD_INVALID",
                 "channel.slots", {"channel": {"slots": 1 << 17}}),
                ("payload", "INVALID_ARGUMENT", "SIZE_INVALID",
                 "channel.payload_bytes", {"channel": {"payload_bytes": 1}}),
                ("huge payload", "INVALID_ARGUMENT", "SIZE_INVALID",
                 "channel.payload_bytes",
                 {"channel": {"payload_bytes": str((64 << 30) + 1)}}),
                ("wrap", "INVALID_ARGUMENT", "SIZE_INVALID",
                 "channel.payload_bytes",
                 {"channel": {"payload_bytes": str(2 ** 64 - 1)}}),
                ("history", "INVALID_ARGUMENT", "FIELD_INVALID",
                 "channel.history", {"channel": {"slots": 2, "history": 2}}),
                ("mode", "INVALID_ARGUMENT", "MODE_INVALID", "channel.mode",
                 {"channel": {"mode": 0o777}}),
                ("owner", "INVALID_ARGUMENT", "FIELD_INVALID",
                 "channel.owner", {"channel": {"owner": 2 ** 32 - 1}})):
            with self.subTest(what):
                self.refused_with(code, reason, "CreateChannel", {
                    "parent": PARENT, "channel_id": "wrong", **request}, field)
        self.refused_with("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                          "CreateChannel",
                          {"parent": PARENT, "channel_id": "mine",
                           "channel": {"owner": 0}}, uid=OTHER)

    def test_one_that_exists_is_as_good_if_it_is_alike(self):
        made = self.make("shared", mode=0o602, **small())
        self.assertEqual(
            self.make("shared", allow_existing=True, mode=0o666, **small()),
            made)
        # Who may only publish needs it too.
        self.assertEqual(
            self.make("shared", allow_existing=True, uid=OTHER, **small()),
            made)
        for other in (small(kind="QUEUE"), small(history=1),
                      small(checksums=True), small(slots=32), {}):
            self.refused_with("ALREADY_EXISTS", "CHANNEL_EXISTS",
                              "CreateChannel", {
                                  "parent": PARENT, "channel_id": "shared",
                                  "allow_existing": True, "channel": other})
        self.make("closed", **small())
        self.refused_with("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                          "CreateChannel", {
                              "parent": PARENT, "channel_id": "closed",
                              "allow_existing": True, "channel": small()},
                          uid=OTHER)

    def test_pages_list_each_channel_once_and_by_name(self):
        names = sorted(self.channel("c%d" % i) for i in range(7))
        for page_size in (1, 3, 6, 7, 8):
            found, token = [], ""
            for _ in itertools.count():
                reply = self.ok(CHANNELS + "ListChannels", {
                    "parent": PARENT, "page_size": page_size,
                    "page_token": token})
                self.assertLessEqual(len(reply["channels"]), page_size)
                found += [one["name"] for one in reply["channels"]]
                token = reply.get("next_page_token", "")
                if not token:
                    break
            self.assertEqual(found, names)
        for wrong, reason in (({"page_size": -1}, "PAGE_SIZE_INVALID"),
                              ({"page_token": "x"}, "PAGE_TOKEN_INVALID"),
                              ({"parent": "x"}, "NAME_INVALID")):
            self.refused_with("INVALID_ARGUMENT", reason, "ListChannels",
                              {"parent": PARENT, **wrong})

    def test_the_mode_says_who_sees_it(self):
        name = self.channel("secret")
        self.assertEqual(self.ok(CHANNELS + "ListChannels",
                                 {"parent": PARENT}, uid=OTHER), {})
        for method in ("GetChannel", "GetChannelStats", "DeleteChannel"):
            self.refused_with("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                              method, {"name": name}, uid=OTHER)
        for method in ("GetChannel", "GetChannelStats", "DeleteChannel"):
            self.refused_with("INVALID_ARGUMENT", "NAME_INVALID", method,
                              {"name": "x"})

    def test_its_segment_is_the_daemons(self):
        name = PARENT + "/segments/shmd.channel.it"
        self.channel("it", mode=0o622)
        found = self.ok("GetSegment", {"name": name}, uid=OTHER)
        self.assertEqual(found["mode"], 0o444)
        handle = self.ok("CreateHandle", {
            "name": name, "access": "READ_WRITE"})["handle_string"]
        with self.assertRaises(attach_socket.Refused) as caught:
            self.program().attach(handle, READ_WRITE)
        self.assertEqual(caught.exception.reason, "SEGMENT_RESERVED")
        for method, more in (("DeleteSegment", {"force": True}),
                             ("WriteSegment", {"data": "eA=="})):
            self.refused("FAILED_PRECONDITION", "SEGMENT_RESERVED", method,
                         {"name": name, **more})


class MemberTest(ChannelCase):

    def test_a_publisher_and_a_subscriber_see_each_other(self):
        name = self.channel(**small())
        writer, reader = self.program(), self.program()
        publisher = writer.publish(name)
        page = writer.page(publisher)
        before = page.change
        subscriber = reader.subscribe(name, policy=DROP_OLDEST)
        self.assertEqual(page.change, before + 1)
        pid = os.getpid()
        ring_bytes = HEADER + 64 * SLOTS + PAYLOAD
        self.assertEqual(page.publishers, {
            0: (publisher.generation, 1, 0, ring_bytes + -ring_bytes % 4096, 0,
                pid)})
        self.assertEqual(page.subscribers, {
            0: (subscriber.generation, 1, 2, 12288, 0, pid)})
        self.assertNotEqual(publisher.generation, subscriber.generation)
        ring = writer.memory(publisher.ring_handle)
        self.assertEqual(struct.unpack_from("<8sIIQ", ring), (
            b"MSHMRING", 1, SLOTS, publisher.generation))
        own = reader.memory(subscriber.page_handle)
        self.assertEqual(struct.unpack_from("<8sIIQ", own), (
            b"MSHMREAD", 1, 0, subscriber.generation))
        # What one writes the other reads.
        ring[-8:] = b"payload!"
        own[CURSORS:CURSORS + 8] = b"released"
        self.assertEqual(reader.part(name, "RING", publisher)[-8:],
                         b"payload!")
        self.assertEqual(
            writer.part(name, "PAGE", subscriber)[CURSORS:CURSORS + 8],
            b"released")
        self.assertEqual(publisher.claims_handle, "")
        found = self.get(name)
        self.assertEqual((found["publisher_count"],
                          found["subscriber_count"]), (1, 1))
        # Places are used again, generations are not.
        writer.leave(publisher)
        again = writer.publish(name)
        self.assertEqual(again.index, 0)
        self.assertGreater(again.generation, subscriber.generation)
        self.expect_refused("NOT_FOUND", "MEMBER_NOT_FOUND", writer.leave,
                            publisher)
        self.expect_refused("NOT_FOUND", "MEMBER_NOT_FOUND", reader.part,
                            name, "RING", publisher)

    def test_only_its_session_writes_a_part(self):
        name = self.channel(mode=0o666, **small())
        one, other = self.program(), self.program()
        publisher, subscriber = one.publish(name), one.subscribe(name)
        for handle in (publisher.ring_handle, subscriber.page_handle):
            self.expect_refused("FAILED_PRECONDITION", "SEGMENT_RESERVED",
                                other.attach, handle, READ_WRITE)
            self.expect_refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                                self.program(OTHER).attach, handle, READ)
        self.expect_refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                            one.attach, publisher.channel_handle, READ_WRITE)

    def test_parts_are_for_those_who_take_part(self):
        name = self.channel(mode=0o666, **small())
        writer, reader, other = (self.program() for _ in range(3))
        publisher, subscriber = writer.publish(name), reader.subscribe(name)
        for kind, member in (("RING", publisher), ("PAGE", subscriber),
                             ("CLAIMS", publisher), ("BELL", subscriber)):
            with self.subTest(kind):
                self.expect_refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                                    other.part, name, kind, member)
        # Who publishes does not read what others publish, nor the reverse.
        self.expect_refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                            self.joined(name, "publish").part, name, "RING",
                            publisher)
        self.expect_refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                            self.joined(name, "subscribe").part, name, "PAGE",
                            subscriber)
        # Nor writes.
        self.expect_refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                            reader.part, name, "RING", publisher, READ_WRITE)
        self.expect_refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                            writer.part, name, "PAGE", subscriber, READ_WRITE)
        # There are no claims where all get all.
        self.expect_refused("NOT_FOUND", "MEMBER_NOT_FOUND", writer.part,
                            name, "CLAIMS", publisher, READ_WRITE)

    def test_parts_are_attachments_as_any_other(self):
        name = self.channel(**small())
        writer, reader = self.program(), self.program()
        publisher = writer.publish(name)
        reader.subscribe(name)
        attachment, descriptor = reader.attach_part(
            name, "RING", publisher.index, publisher.generation)
        os.close(descriptor)
        held = self.ok("shmd.v1.SessionService/GetSession",
                       {"name": reader.session})
        self.assertEqual([(one["segment"], one["access"])
                          for one in held["holdings"]],
                         [(attachment.name, "READ")])
        # Removed, it is still there for who has it.
        writer.leave(publisher)
        self.assertEqual(self.bytes_used(), 2 * 12288 + attachment.size_bytes)
        reader.detach(attachment.attachment_id)
        self.expect_refused("INVALID_ARGUMENT", "HANDLE_INVALID",
                            reader.attach, "")
        self.assertEqual(self.bytes_used(), 2 * 12288)

    def bytes_used(self):
        return int(self.ok("shmd.v1.NamespaceService/GetNamespace",
                           {"name": PARENT})["usage"]["bytes"])

    def joined(self, name, how):
        program = self.program()
        getattr(program, how)(name)
        return program

    def test_parts_that_there_are_not(self):
        name = self.channel(**small())
        program = self.program()
        publisher = program.publish(name)
        program.subscribe(name)
        for what, code, reason, arguments in (
                ("name", "INVALID_ARGUMENT", "NAME_INVALID",
                 ("x", "RING", 0, 1)),
                ("channel", "NOT_FOUND", "CHANNEL_NOT_FOUND",
                 (PARENT + "/channels/none", "RING", 0, 1)),
                ("namespace", "NOT_FOUND", "NAMESPACE_NOT_FOUND",
                 ("namespaces/none/channels/c", "RING", 0, 1)),
                ("kind", "INVALID_ARGUMENT", "REQUEST_INVALID",
                 (name, "KIND_UNSPECIFIED", 0, publisher.generation)),
                ("nobody", "NOT_FOUND", "MEMBER_NOT_FOUND",
                 (name, "RING", 0, 0)),
                ("generation", "NOT_FOUND", "MEMBER_NOT_FOUND",
                 (name, "RING", 0, publisher.generation + 7)),
                ("index", "NOT_FOUND", "MEMBER_NOT_FOUND",
                 (name, "RING", 64, publisher.generation)),
                ("wild index", "NOT_FOUND", "MEMBER_NOT_FOUND",
                 (name, "RING", 2 ** 32 - 1, publisher.generation))):
            with self.subTest(what):
                self.expect_refused(code, reason, program.attach_part,
                                    *arguments)

    def test_a_queue_has_claims_that_consumers_share(self):
        name = self.channel(kind="QUEUE", **small())
        writer, one, other = (self.program() for _ in range(3))
        publisher = writer.publish(name)
        consumers = [one.subscribe(name), other.subscribe(name)]
        own = writer.memory(publisher.claims_handle)
        shared = one.part(name, "CLAIMS", publisher, READ_WRITE)
        shared[64:72] = b"claimed!"
        self.assertEqual(own[64:72], b"claimed!")
        self.assertEqual(
            other.part(name, "CLAIMS", publisher, READ_WRITE)[64:72],
            b"claimed!")
        # Each looks whether the other still has what it had claimed.
        one.part(name, "PAGE", consumers[1])
        other.part(name, "PAGE", consumers[0])
        self.expect_refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                            self.joined(name, "publish").part, name, "CLAIMS",
                            publisher, READ_WRITE)

    def test_calls_go_between_clients_and_servers(self):
        name = self.channel(kind="CALL", **small())
        client, server, rival = (self.program() for _ in range(3))
        requests = client.publish(name, CLIENT)
        answered = client.subscribe(name, CLIENT)
        responses = server.publish(name, SERVER)
        asked = server.subscribe(name, SERVER)
        rival.publish(name, CLIENT)
        rival.subscribe(name, CLIENT)
        self.assertNotEqual(requests.claims_handle, "")
        self.assertEqual(responses.claims_handle, "")
        server.part(name, "RING", requests)
        server.part(name, "CLAIMS", requests, READ_WRITE)
        client.part(name, "RING", responses)
        client.part(name, "PAGE", asked)
        server.part(name, "PAGE", answered)
        # Clients are nothing to each other.
        for kind, member, access in (
                ("RING", requests, READ), ("PAGE", answered, READ),
                ("CLAIMS", requests, READ_WRITE),
                ("BELL", answered, READ_WRITE)):
            self.expect_refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                                rival.attach_part, name, kind, member.index,
                                member.generation, access)

    def test_roles_and_policies_are_the_kinds(self):
        calls = self.channel(kind="CALL", **small())
        queue = self.channel(kind="QUEUE", **small())
        plain = self.channel(**small())
        program = self.program()
        for method, parent, fields, field in (
                ("CreatePublisher", calls, {}, "publisher.role"),
                ("CreatePublisher", plain, {"role": "CLIENT"},
                 "publisher.role"),
                ("CreatePublisher", plain, {"role": 7}, "publisher.role"),
                ("CreateSubscriber", calls, {}, "subscriber.role"),
                ("CreateSubscriber", queue, {"role": "SERVER"},
                 "subscriber.role"),
                ("CreateSubscriber", queue, {"slow_policy": "DROP_OLDEST"},
                 "subscriber.slow_policy"),
                ("CreateSubscriber", plain, {"slow_policy": 9},
                 "subscriber.slow_policy")):
            with self.subTest(method=method, fields=fields):
                self.refused_with(
                    "INVALID_ARGUMENT", "FIELD_INVALID", method,
                    {"parent": parent, "session": program.session,
                     method[6:].lower(): fields}, field)

    def test_who_takes_part_needs_a_session_of_its_own(self):
        name = self.channel(mode=0o666, **small())
        session = self.program().session
        for method in ("CreatePublisher", "CreateSubscriber"):
            for what, code, reason, request, uid in (
                    ("parent", "INVALID_ARGUMENT", "NAME_INVALID",
                     {"parent": "x"}, None),
                    ("session", "INVALID_ARGUMENT", "NAME_INVALID",
                     {"session": "x"}, None),
                    ("channel", "NOT_FOUND", "CHANNEL_NOT_FOUND",
                     {"parent": PARENT + "/channels/none"}, None),
                    ("no session", "NOT_FOUND", "SESSION_NOT_FOUND",
                     {"session": "sessions/" + 32 * "0"}, None),
                    ("of another user", "NOT_FOUND", "SESSION_NOT_FOUND",
                     {}, OTHER),
                    ("of another process", "NOT_FOUND", "SESSION_NOT_FOUND",
                     {}, None)):
                with self.subTest(what, method=method):
                    self.refused_with(code, reason, method, {
                        "parent": name, "session": session, **request},
                                      uid=uid)
        self.assertEqual(self.stats(name), ([], []))
        for method in ("DeletePublisher", "DeleteSubscriber"):
            members = "/publishers/" if "Pub" in method else "/subscribers/"
            for wrong in ("x", name, name + members, name + members + "0",
                          name + members + "0.", name + members + "00.1",
                          name + members + "0.0", name + members + "64.1",
                          name + members + "0.18446744073709551616"):
                self.refused_with("INVALID_ARGUMENT", "NAME_INVALID", method,
                                  {"name": wrong})
            self.refused_with("NOT_FOUND", "MEMBER_NOT_FOUND", method,
                              {"name": name + members + "0.1"})

    def test_the_mode_says_who_takes_part(self):
        for mode, kind, may_publish, may_subscribe in (
                (0o600, "PUBLISH", False, False),
                (0o604, "PUBLISH", False, True),
                (0o602, "PUBLISH", True, False),
                (0o606, "PUBLISH", True, True),
                (0o604, "QUEUE", False, False),
                (0o602, "QUEUE", True, False),
                (0o606, "QUEUE", True, True)):
            with self.subTest(mode=oct(mode), kind=kind):
                name = self.channel(mode=mode, kind=kind, **small())
                stranger = self.program(OTHER)
                for join, may in ((stranger.publish, may_publish),
                                  (stranger.subscribe, may_subscribe)):
                    if may:
                        stranger.page(join(name))
                    else:
                        self.expect_refused("PERMISSION_DENIED",
                                            "CALLER_NOT_ALLOWED", join, name)
        # Its owner sends a member away, others do not.
        name = self.channel(mode=0o666, uid=OTHER, **small())
        ours = self.program().publish(name)
        theirs = self.program(OTHER).subscribe(name)
        third = {"uid": OTHER + 1}
        for method, member in (("DeletePublisher", ours),
                               ("DeleteSubscriber", theirs)):
            self.refused_with("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                              method, {"name": member.name}, **third)
            self.ok(CHANNELS + method, {"name": member.name}, uid=OTHER)

    def test_a_server_reads_and_writes(self):
        for mode, client, server in ((0o604, 0, 0), (0o602, 1, 0),
                                     (0o606, 1, 1)):
            name = self.channel(kind="CALL", mode=mode, **small())
            stranger = self.program(OTHER)
            for role, may in ((CLIENT, client), (SERVER, server)):
                if may:
                    stranger.publish(name, role)
                else:
                    self.expect_refused("PERMISSION_DENIED",
                                        "CALLER_NOT_ALLOWED",
                                        stranger.publish, name, role)

    def test_a_channel_has_64_of_each(self):
        name = self.channel(**small())
        program = self.program()
        for join, method in ((program.publish, "CreatePublisher"),
                             (program.subscribe, "CreateSubscriber")):
            members = [join(name) for _ in range(64)]
            self.assertEqual([one.index for one in members], list(range(64)))
            outcome = self.refused_with(
                "RESOURCE_EXHAUSTED", "CHANNEL_FULL", method,
                {"parent": name, "session": program.session})
            self.assertEqual(outcome.metadata["available"], "0")
            program.leave(members[17])
            self.assertEqual(join(name).index, 17)
        found = self.get(name)
        self.assertEqual((found["publisher_count"],
                          found["subscriber_count"]), (64, 64))

    def test_one_in_use_is_deleted_by_force(self):
        name = self.channel(kind="QUEUE", **small())
        writer, reader = self.program(), self.program()
        publisher, subscriber = writer.publish(name), reader.subscribe(name)
        page = reader.page(subscriber)
        ring = writer.memory(publisher.ring_handle)
        seen = reader.part(name, "RING", publisher)
        self.refused_with("FAILED_PRECONDITION", "CHANNEL_IN_USE",
                          "DeleteChannel", {"name": name})
        self.assertFalse(page.closed)
        before = page.change
        self.ok(CHANNELS + "DeleteChannel", {"name": name, "force": True})
        self.assertTrue(page.closed)
        self.assertGreater(page.change, before)
        # What is mapped stays; nothing else does.
        ring[-4:] = b"last"
        self.assertEqual(seen[-4:], b"last")
        self.assertEqual(self.ok("ListSegments", {"parent": PARENT}), {})
        self.expect_refused("NOT_FOUND", "CHANNEL_NOT_FOUND", reader.part,
                            name, "RING", publisher)
        # A session that took part in it takes part in another of its name.
        self.channel(name.rpartition("/")[2], **small())
        writer.publish(name)
        self.assertEqual(len(self.stats(name)[0]), 1)


class BellTest(ChannelCase):

    def test_publishers_ring_for_one_subscriber(self):
        name = self.channel(**small())
        writer, reader = self.program(), self.program()
        writer.publish(name)
        subscriber = reader.subscribe(name)
        place = (name, "BELL", subscriber.index, subscriber.generation)
        attachment, to_read = reader.attach_part(*place)
        self.addCleanup(os.close, to_read)
        self.assertEqual(attachment.attachment_id, 0)
        _, to_write = writer.attach_part(*place, READ_WRITE)
        self.addCleanup(os.close, to_write)
        for descriptor, mode in ((to_read, os.O_RDONLY),
                                 (to_write, os.O_WRONLY)):
            flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
            self.assertEqual(flags & (os.O_ACCMODE | os.O_NONBLOCK),
                             mode | os.O_NONBLOCK)
        with self.assertRaises(BlockingIOError):
            os.read(to_read, 1)
        os.write(to_write, b"!")
        self.assertEqual(os.read(to_read, 8), b"!")
        # What one publisher sets is not set for another.
        _, second = writer.attach_part(*place, READ_WRITE)
        self.addCleanup(os.close, second)
        os.set_blocking(second, True)
        self.assertFalse(os.get_blocking(to_write))
        self.assertFalse(os.get_blocking(to_read))
        # Nobody but the subscriber reads, and it rings for nobody.
        self.expect_refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                            reader.attach_part, *place, READ_WRITE)
        # A bell without access asked for is the end that one may have.
        _, third = writer.attach_part(*place)
        self.addCleanup(os.close, third)
        with self.assertRaises(OSError):
            os.read(third, 1)
        # The daemon rings for a death; what was rung is read.
        writer.end()
        os.write(second, b"?")
        rung = b""
        while len(rung) < 2:
            select.select([to_read], [], [], DEADLINE_SECONDS)
            rung += os.read(to_read, 8)
        self.assertEqual(sorted(rung), sorted(b"?\1"))

    def test_its_descriptors_are_counted(self):
        name = self.channel(**small())
        program = self.program()
        program.publish(name)
        subscriber = program.subscribe(name)
        place = ("BELL", subscriber.index, subscriber.generation)
        before = self.descriptors_used()
        _, to_write = program.attach_part(name, *place, READ_WRITE)
        _, to_read = program.attach_part(name, *place, READ)
        self.assertEqual(self.descriptors_used(), before + 2)
        os.write(to_write, b"!")
        self.assertEqual(os.read(to_read, 1), b"!")
        os.close(to_read)
        os.close(to_write)
        program.leave(subscriber)
        self.assertEqual(self.descriptors_used(), before - 1)  # its page's

    def descriptors_used(self):
        used = self.ok("shmd.v1.NamespaceService/GetNamespace",
                       {"name": PARENT})["usage"]
        return int(used.get("descriptors", 0))


class StatsTest(ChannelCase):

    def test_tells_what_the_members_say(self):
        name = self.channel(history=2, **small())
        writer, reader = self.program(), self.program()
        publisher, subscriber = writer.publish(name), reader.subscribe(name)
        ring = writer.memory(publisher.ring_handle)
        page = reader.memory(subscriber.page_handle)

        def told():
            publishers, subscribers = self.stats(name)
            one, other = publishers[0], subscribers[0]
            self.assertEqual(one["publisher"]["name"], publisher.name)
            self.assertEqual(other["subscriber"]["name"], subscriber.name)
            self.assertEqual((one["pid"], other["pid"]), 2 * (os.getpid(),))
            return (int(one.get("published", 0)), int(one.get("oldest", 0)),
                    one.get("is_waiting", False), int(other.get("lag", 0)),
                    int(other.get("lost", 0)), other.get("is_asleep", False),
                    other.get("is_cut_off", False))

        self.assertEqual(told(), (0, 0, False, 0, 0, False, False))
        struct.pack_into("<Q", ring, PUBLISHED, 9)
        struct.pack_into("<Q", ring, OLDEST, 3)
        struct.pack_into("<I", ring, WAITING, 1)
        struct.pack_into("<I", page, ASLEEP, 1)
        # It has not seen the publisher yet.
        self.assertEqual(told(), (9, 3, True, 2, 0, True, False))
        struct.pack_into("<QQQ", page, CURSORS, 5, publisher.generation, 4)
        self.assertEqual(told(), (9, 3, True, 4, 4, True, False))
        # Another subscriber that was at this place was cut off.
        struct.pack_into("<Q", ring, CUT_OFF, subscriber.generation + 1)
        self.assertEqual(told(), (9, 3, True, 4, 4, True, False))
        struct.pack_into("<Q", ring, CUT_OFF, subscriber.generation)
        self.assertEqual(told(), (9, 3, True, 4, 4, True, True))
        # Nonsense is told as it is, and breaks nothing.
        wild = 2 ** 64 - 1
        struct.pack_into("<QQQ", page, CURSORS, wild, publisher.generation,
                         wild)
        self.assertEqual(told(), (9, 3, True, 0, wild, True, True))
        struct.pack_into("<Q", ring, PUBLISHED, wild)
        struct.pack_into("<Q", page, CURSORS, 0)
        self.assertEqual(told(), (wild, 3, True, SLOTS, wild, True, True))


    def test_who_was_there_first_has_all_before_it(self):
        name = self.channel(history=2, **small())
        writer, reader = self.program(), self.program()
        reader.subscribe(name)
        ring = writer.memory(writer.publish(name).ring_handle)
        # The one that comes late begins with the history.
        writer.subscribe(name)
        struct.pack_into("<Q", ring, PUBLISHED, 3)
        self.assertEqual([one.get("lag", "0") for one in self.stats(name)[1]],
                         ["3", "2"])


class WatchTest(ChannelCase):

    def watch(self, parent=PARENT, **arguments):
        return self.shmd.grpcurl.stream(CHANNELS + "WatchChannels",
                                        {"parent": parent}, **arguments)

    def expect(self, stream, kind, name=None, publishers=0, subscribers=0):
        event = stream.next()
        self.assertEqual(event["type"], kind, event)
        if name is not None:
            found = event["channel"]
            self.assertEqual(
                (found["name"], found.get("publisher_count", 0),
                 found.get("subscriber_count", 0)),
                (name, publishers, subscribers))
        return event

    def test_sends_what_is_then_what_changes(self):
        old = self.channel("old", **small())
        program = self.program()
        program.publish(old)
        with self.watch() as stream:
            self.expect(stream, "CHANGED", old, 1)
            self.expect(stream, "SYNCED")
            new = self.channel("new", **small())
            self.expect(stream, "CHANGED", new)
            subscriber = program.subscribe(new)
            self.expect(stream, "CHANGED", new, 0, 1)
            program.leave(subscriber)
            self.expect(stream, "CHANGED", new)
            program.end()
            self.expect(stream, "CHANGED", old)
            self.ok(CHANNELS + "DeleteChannel", {"name": old})
            gone = self.expect(stream, "DELETED", old)
            self.assertNotIn("slots", gone["channel"])

    def test_sends_what_the_caller_may_read(self):
        self.channel("secret", **small())
        with self.watch(uid=OTHER) as stream:
            self.expect(stream, "SYNCED")
            self.channel("secret2", **small())
            open_one = self.channel("open", mode=0o604, **small())
            self.expect(stream, "CHANGED", open_one)

    def test_refuses_by_code_and_reason(self):
        for parent, code, reason in (
                ("x", "INVALID_ARGUMENT", "NAME_INVALID"),
                ("namespaces/none", "NOT_FOUND", "NAMESPACE_NOT_FOUND")):
            self.refused_with(code, reason, "WatchChannels",
                              {"parent": parent})

    def test_who_falls_behind_is_told(self):
        name = self.channel(**small())
        request = channel_pb2.WatchChannelsRequest(parent=PARENT)
        with raw_grpc.Replies(self.shmd.grpc_socket,
                              CHANNELS + "WatchChannels",
                              request.SerializeToString()) as replies:
            replies.next()
            program = self.program()
            # More than the window holds and the daemon keeps.
            for _ in range(3000):
                program.leave(program.subscribe(name))
            replies.open_window()
            while replies.next() is not None:
                pass
            self.assertEqual(replies.code, 11)  # OUT_OF_RANGE


class OtherUserTest(ChannelCase):

    def test_a_publisher_of_another_user_is_read(self):
        name = self.channel(mode=0o662, **small())
        reader = self.program()
        subscriber = reader.subscribe(name)
        got = isolation.run_as(OTHER, write_as_other, self.shmd.grpc_socket,
                               self.shmd.attach_socket, name, subscriber.index,
                               subscriber.generation)
        self.assertEqual(got, "wrote")


class _Sockets:
    """The part of a daemon that a Program uses."""

    def __init__(self, grpc_socket, attach_path):
        self.grpc_socket, self.attach_socket = grpc_socket, attach_path


def write_as_other(grpc_socket, attach_path, name, index, generation):
    """In a process of the other user, whom the mode lets only write."""
    program = Program(_Sockets(grpc_socket, attach_path))
    publisher = program.publish(name)
    page = program.page(publisher)
    assert list(page.subscribers) == [index]
    program.memory(publisher.ring_handle)[-1:] = b"x"
    _, descriptor = program.attach_part(name, "PAGE", index, generation)
    os.close(descriptor)
    _, bell = program.attach_part(name, "BELL", index, generation, READ_WRITE)
    os.write(bell, b"!")
    os.close(bell)
    # It reads nothing that others wrote, and opens nothing anew for writing.
    try:
        os.open("/proc/self/fd/%d" % page_descriptor(program, publisher),
                os.O_RDWR)
    except PermissionError:
        return "wrote"
    return "opened the channel's page for writing"


def page_descriptor(program, publisher):
    return program.attach(publisher.channel_handle)[1]


if __name__ == "__main__":
    unittest.main()
