"""Grants of channels: whom they let in, as what, for how long and how often."""

import os
import signal
import time
import unittest

import attach_socket
import daemon
import isolation
from attach_socket import READ, READ_WRITE
from channel_case import (CHANNELS, DEADLINE_SECONDS, OTHER, ChannelCase,
                          Program)
from daemon_case import PARENT
from stubs import channel_pb2

CREATE = "shmd.v1.GrantService/CreateGrant"
LIST = "shmd.v1.GrantService/ListGrants"
DELETE = "shmd.v1.GrantService/DeleteGrant"
STRANGER = 1002
CLIENT, SERVER = channel_pb2.CLIENT, channel_pb2.SERVER
SMALL = {"slots": 16, "payload_bytes": 4096}


class ChannelGrantTest(ChannelCase):

    def grant(self, channel, *roles, **fields):
        return self.ok(CREATE, {"parent": channel,
                                "grant": dict(fields, roles=roles)})

    def secret(self, channel, *roles, **fields):
        return self.grant(channel, *roles, **fields)["handle_string"]

    def listed(self, channel):
        return self.ok(LIST, {"parent": channel}).get("grants", [])

    def uses(self, channel):
        return [one.get("uses", "0") for one in self.listed(channel)]

    def expect_invalid(self, join, *arguments, **more):
        self.expect_refused("PERMISSION_DENIED", "GRANT_INVALID", join,
                            *arguments, **more)

    def test_a_subscriber_subscribes_and_does_nothing_else(self):
        name = self.channel(**SMALL)
        owner, guest = self.program(), self.program(OTHER)
        publisher = owner.publish(name)
        self.expect_refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                            guest.subscribe, name)
        secret = self.secret(name, "SUBSCRIBER")
        self.expect_invalid(guest.publish, name, grant=secret)
        subscriber = guest.subscribe(name, grant=secret)
        # Exactly what a subscriber needs.
        self.assertEqual(list(guest.page(subscriber).publishers),
                         [publisher.index])
        guest.memory(subscriber.page_handle)
        guest.part(name, "RING", publisher)
        for kind, member, access in (("RING", publisher, READ_WRITE),
                                     ("PAGE", subscriber, READ)):
            self.expect_refused(
                "PERMISSION_DENIED", "CALLER_NOT_ALLOWED", guest.attach_part,
                name, kind, member.index, member.generation, access)
        for handle in (subscriber.channel_handle, publisher.ring_handle):
            with self.assertRaises(attach_socket.Refused):
                guest.attach(handle, READ_WRITE)
        for method in ("GetChannel", "GetChannelStats", "DeleteChannel"):
            self.refused_with("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                              method, {"name": name}, uid=OTHER)
        guest.leave(subscriber)
        self.assertEqual(self.get(name).get("subscriber_count", 0), 0)

    def test_a_publisher_writes_its_own_ring_and_no_other(self):
        name = self.channel(**SMALL)
        owner, guest = self.program(), self.program(OTHER)
        other = owner.publish(name)
        secret = self.secret(name, "PUBLISHER")
        self.expect_invalid(guest.subscribe, name, grant=secret)
        mine = guest.publish(name, grant=secret)
        guest.memory(mine.ring_handle)[-4:] = b"mine"
        subscriber = owner.subscribe(name)
        self.assertEqual(owner.part(name, "RING", mine)[-4:], b"mine")
        guest.part(name, "PAGE", subscriber)
        for access in (READ, READ_WRITE):
            self.expect_refused(
                "PERMISSION_DENIED", "CALLER_NOT_ALLOWED", guest.attach_part,
                name, "RING", other.index, other.generation, access)
        for handle in (other.ring_handle, subscriber.page_handle):
            with self.assertRaises(attach_socket.Refused):
                guest.attach(handle, READ)
        _, descriptor = guest.attach(mine.channel_handle)
        with self.assertRaises(PermissionError):
            attach_socket.map_descriptor(descriptor, 4096, True)
        os.close(descriptor)

    def test_a_consumer_claims(self):
        name = self.channel(kind="QUEUE", **SMALL)
        publisher = self.program().publish(name)
        guest = self.program(OTHER)
        guest.subscribe(name, grant=self.secret(name, "SUBSCRIBER"))
        guest.part(name, "CLAIMS", publisher, READ_WRITE)

    def test_a_client_calls_and_does_not_serve(self):
        name = self.channel(kind="CALL", **SMALL)
        guest = self.program(OTHER)
        secret = self.secret(name, "CLIENT", max_uses=1)
        for join in (guest.publish, guest.subscribe):
            self.expect_invalid(join, name, SERVER, grant=secret)
        # Both ends are one use.
        subscriber = guest.subscribe(name, CLIENT, grant=secret)
        guest.publish(name, CLIENT, grant=secret)
        self.assertEqual(self.uses(name), ["1"])
        for join in (guest.publish, guest.subscribe,
                     self.program(OTHER).publish):
            self.expect_invalid(join, name, CLIENT, grant=secret)
        # The other end is there, but not by this grant.
        another = self.secret(name, "CLIENT", "SERVER", max_uses=1)
        guest.leave(subscriber)
        server = self.program(STRANGER)
        server.subscribe(name, SERVER, grant=another)
        self.expect_invalid(guest.subscribe, name, CLIENT, grant=another)
        server.publish(name, SERVER, grant=another)

    def test_it_is_for_its_user_its_time_and_its_uses(self):
        name = self.channel(**SMALL)
        guest, stranger = self.program(OTHER), self.program(STRANGER)
        personal = self.secret(name, "PUBLISHER", uid=OTHER)
        self.expect_invalid(stranger.publish, name, grant=personal)
        guest.publish(name, grant=personal)
        self.assertEqual(self.uses(name), ["1"])
        twice = self.secret(name, "PUBLISHER", "SUBSCRIBER", max_uses=2)
        guest.publish(name, grant=twice)
        guest.subscribe(name, grant=twice)
        self.expect_invalid(guest.publish, name, grant=twice)
        # Whom the mode lets in uses nothing up.
        self.program().publish(name, grant=personal)
        self.assertEqual(sorted(self.uses(name)), ["1", "2"])
        short = self.secret(name, "PUBLISHER", ttl="0.3s")
        deadline = time.monotonic() + 0.3
        while time.monotonic() < deadline:
            time.sleep(0.05)
        self.expect_invalid(guest.publish, name, grant=short)

    def test_revoked_it_lets_in_nobody_and_throws_out_nobody(self):
        name = self.channel(**SMALL)
        granted = self.grant(name, "SUBSCRIBER")
        secret = granted["handle_string"]
        guest = self.program(OTHER)
        subscriber = guest.subscribe(name, grant=secret)
        self.ok(DELETE, {"name": granted["grant"]["name"]})
        self.refused("NOT_FOUND", "GRANT_NOT_FOUND", DELETE,
                     {"name": granted["grant"]["name"]})
        self.expect_invalid(guest.subscribe, name, grant=secret)
        guest.page(subscriber)
        guest.part(name, "RING", self.program().publish(name))

    def test_it_ends_with_its_channel(self):
        name = self.channel("ends", **SMALL)
        secret = self.secret(name, "PUBLISHER")
        guest = self.program(OTHER)
        for _ in range(2):
            self.drop(name)
            self.expect_refused("FAILED_PRECONDITION", "HANDLE_STALE",
                                guest.publish, name, grant=secret)
            self.channel("ends", **SMALL)
        self.expect_refused("FAILED_PRECONDITION", "HANDLE_STALE",
                            guest.publish, name, grant=secret)
        self.assertEqual(self.listed(name), [])

    def test_others_handles_are_no_grants(self):
        name = self.channel(**SMALL)
        segment = self.create(mode=0o666)
        of_segment = self.ok(CREATE, {"parent": segment["name"]})
        guest = self.program(OTHER)
        for handle, code, reason in (
                ("shm1.x", "INVALID_ARGUMENT", "HANDLE_INVALID"),
                (segment["handle_string"], "INVALID_ARGUMENT",
                 "HANDLE_INVALID"),
                (of_segment["handle_string"], "FAILED_PRECONDITION",
                 "HANDLE_STALE")):
            self.expect_refused(code, reason, guest.publish, name,
                                grant=handle)
        # Nor is a channel's for attaching its page without taking part.
        self.expect_invalid(guest.attach,
                            self.secret(name, "PUBLISHER", "SUBSCRIBER"))

    def test_only_the_owner_makes_lists_and_revokes(self):
        name = self.channel(mode=0o666, **SMALL)
        granted = self.grant(name, "PUBLISHER", "SUBSCRIBER", max_uses=3)
        for method, request in (
                (CREATE, {"parent": name, "grant": {"roles": ["PUBLISHER"]}}),
                (LIST, {"parent": name}),
                (DELETE, {"name": granted["grant"]["name"]})):
            self.refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED", method,
                         request, uid=OTHER)
        [listed] = self.listed(name)
        self.assertEqual(listed["name"], granted["grant"]["name"])
        self.assertEqual(listed["roles"], ["PUBLISHER", "SUBSCRIBER"])
        self.assertNotIn("access", listed)
        self.assertNotIn(granted["handle"]["grant"], str(listed))

    def test_roles_are_those_of_the_channel(self):
        plain = self.channel(**SMALL)
        calls = self.channel(kind="CALL", **SMALL)
        segment = self.create()["name"]
        for parent, grant, field in (
                (plain, {}, "grant.roles"),
                (plain, {"roles": ["PUBLISHER", "CLIENT"]}, "grant.roles"),
                (calls, {"roles": ["SUBSCRIBER"]}, "grant.roles"),
                (plain, {"roles": [9]}, "grant.roles"),
                (plain, {"roles": ["ROLE_UNSPECIFIED"]}, "grant.roles"),
                (segment, {"roles": ["PUBLISHER"]}, "grant.roles"),
                (plain, {"roles": ["PUBLISHER"], "access": "READ"},
                 "grant.access")):
            outcome = self.refused("INVALID_ARGUMENT", "FIELD_INVALID", CREATE,
                                   {"parent": parent, "grant": grant})
            self.assertEqual(outcome.fields, [field], outcome)
        self.refused("NOT_FOUND", "CHANNEL_NOT_FOUND", LIST,
                     {"parent": PARENT + "/channels/none"})
        self.refused("INVALID_ARGUMENT", "NAME_INVALID", LIST,
                     {"parent": PARENT + "/objects/none"})

    def test_it_counts_for_more_than_the_namespace(self):
        self.ok("shmd.v1.NamespaceService/CreateNamespace", {
            "namespace_id": "closed", "namespace": {"entrants": {"uids": [0]}}})
        made = self.ok(CHANNELS + "CreateChannel", {
            "parent": "namespaces/closed", "channel_id": "it",
            "channel": dict(SMALL, mode=0o666)})
        name = made["name"]
        guest = self.program(OTHER)
        self.expect_refused("NOT_FOUND", "NAMESPACE_NOT_FOUND", guest.publish,
                            name)
        mine = guest.publish(name, grant=self.secret(name, "PUBLISHER"))
        guest.page(mine)
        guest.memory(mine.ring_handle)
        guest.leave(mine)
        self.drop(name)
        guest.end()
        # Once its mappings are counted no more.
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.shmd.call("shmd.v1.NamespaceService/DeleteNamespace",
                             {"name": "namespaces/closed"}).code != "OK":
            self.assertLess(time.monotonic(), deadline)


class KeptGrantTest(unittest.TestCase):
    """Over restarts of a daemon that has a keeper."""

    def setUp(self):
        isolation.enter()
        self.shmd = daemon.Daemon("--keeper")
        self.addCleanup(self.shmd.close)

    def call(self, method, request):
        outcome = self.shmd.call(method, request)
        self.assertEqual(outcome.code, "OK", outcome)
        return outcome.reply

    def kill_daemon(self):
        path = "/proc/%d/task/%d/children" % (self.shmd.pid, self.shmd.pid)
        with open(path) as children:
            os.kill(int(children.read()), signal.SIGKILL)
        self.shmd.wait_until_ready()

    def program(self, resume=None):
        program = Program(self.shmd, OTHER, resume)
        self.addCleanup(program.end)
        return program

    def test_it_lives_on_and_so_does_who_joined_by_it(self):
        name = self.call(CHANNELS + "CreateChannel", {
            "parent": PARENT, "channel_id": "kept", "channel": SMALL})["name"]
        grants = [self.call(CREATE, {"parent": name, "grant": {
            "roles": ["SUBSCRIBER"], "max_uses": uses}}) for uses in (2, 5)]
        secret = grants[0]["handle_string"]
        guest = self.program()
        subscriber = guest.subscribe(name, grant=secret)
        self.call(DELETE, {"name": grants[1]["grant"]["name"]})
        self.kill_daemon()
        guest = self.program(resume=guest.welcome)
        self.assertTrue(guest.welcome.resumed)
        # It attaches anew, without a further use.
        guest.page(subscriber)
        guest.memory(subscriber.page_handle)
        [listed] = self.call(LIST, {"parent": name})["grants"]
        self.assertEqual((listed["uses"], listed["roles"]),
                         ("1", ["SUBSCRIBER"]))
        guest.subscribe(name, grant=secret)
        for handle in (secret, grants[1]["handle_string"]):
            with self.assertRaisesRegex(Exception, "GRANT_INVALID"):
                guest.subscribe(name, grant=handle)
        self.call(CHANNELS + "DeleteChannel", {"name": name, "force": True})
        self.kill_daemon()
        self.assertEqual(self.call("ListSegments", {"parent": PARENT}), {})


if __name__ == "__main__":
    unittest.main()
