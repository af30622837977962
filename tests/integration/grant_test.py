"""Grants: whom they let in, for how long and how often."""

import time
import unittest

import attach_socket
import isolation
import raw_grpc
from daemon_case import DaemonCase
from google.protobuf import json_format
from stubs import grant_pb2, handle_pb2

CREATE = "shmd.v1.GrantService/CreateGrant"
LIST = "shmd.v1.GrantService/ListGrants"
DELETE = "shmd.v1.GrantService/DeleteGrant"
FRIEND = 1001
STRANGER = 1002
OK = ("OK", "")
INVALID = ("PERMISSION_DENIED", "GRANT_INVALID")
NOT_ALLOWED = ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")
MAX_GRANTS = 1000
DEADLINE_SECONDS = 60


class GrantTest(DaemonCase):

    def grant(self, segment, **fields):
        return self.ok(CREATE, {"parent": segment["name"], "grant": fields})

    def attach(self, uid, handle, access=attach_socket.READ):
        """How an attach of another user ends."""
        return isolation.run_as(uid, attach_socket.refusal,
                                self.shmd.attach_socket, handle, access)

    def test_it_lets_in_whom_the_mode_would_not(self):
        for kind in ("MEMFD", "POSIX", "SYSV"):
            with self.subTest(kind):
                made = self.create(backend=kind)
                self.assertEqual(
                    self.attach(FRIEND, made["handle_string"]), NOT_ALLOWED)
                granted = self.grant(made)
                text = granted["handle_string"]
                message = json_format.ParseDict(granted["handle"],
                                                handle_pb2.Handle())
                self.assertEqual(len(message.grant), 16)
                self.assertEqual(self.attach(FRIEND, text), OK)
                self.assertEqual(self.attach(FRIEND, message), OK)
                self.assertEqual(
                    self.attach(FRIEND, text, attach_socket.READ_WRITE)[0],
                    "PERMISSION_DENIED")

    def test_one_that_may_write_writes(self):
        text = self.grant(self.create(), access="READ_WRITE")["handle_string"]
        self.assertEqual(
            self.attach(FRIEND, text, attach_socket.READ_WRITE), OK)

    def test_one_for_a_user_is_for_nobody_else(self):
        made = self.create()
        text = self.grant(made, uid=FRIEND)["handle_string"]
        self.assertEqual(self.attach(STRANGER, text), INVALID)
        self.assertEqual(self.attach(FRIEND, text), OK)
        [listed] = self.ok(LIST, {"parent": made["name"]})["grants"]
        self.assertEqual((listed["uid"], listed["uses"]), (FRIEND, "1"))

    def test_uses_run_out(self):
        made = self.create()
        text = self.grant(made, max_uses=2)["handle_string"]
        self.assertEqual([self.attach(FRIEND, text) for _ in range(4)],
                         [OK, OK, INVALID, INVALID])
        # Its owner is let in anyway, and uses nothing up.
        self.assertEqual(
            attach_socket.refusal(self.shmd.attach_socket, text), OK)
        [listed] = self.ok(LIST, {"parent": made["name"]})["grants"]
        self.assertEqual((listed["uses"], listed["max_uses"]), ("2", "2"))

    def test_uses_are_remembered_over_a_restart(self):
        made = self.create(backend="POSIX")
        text = self.grant(made, max_uses=2)["handle_string"]
        self.assertEqual(self.attach(FRIEND, text), OK)
        self.shmd.kill()
        self.shmd.start()
        self.assertEqual([self.attach(FRIEND, text) for _ in range(2)],
                         [OK, INVALID])

    def test_it_ends_in_time(self):
        made = self.create()
        text = self.grant(made, ttl="0.5s")["handle_string"]
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.attach(FRIEND, text) == OK:
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual(self.attach(FRIEND, text), INVALID)
        self.refused("INVALID_ARGUMENT", "FIELD_INVALID", CREATE,
                     {"parent": made["name"], "grant": {"ttl": "0s"}})

    def test_it_can_be_revoked(self):
        made = self.create(backend="POSIX")
        granted = self.grant(made)
        name, text = granted["grant"]["name"], granted["handle_string"]
        self.assertEqual(self.attach(FRIEND, text), OK)
        self.ok(DELETE, {"name": name})
        self.assertEqual(self.attach(FRIEND, text), INVALID)
        self.refused("NOT_FOUND", "GRANT_NOT_FOUND", DELETE, {"name": name})
        self.shmd.kill()
        self.shmd.start()
        self.assertEqual(self.attach(FRIEND, text), INVALID)

    def test_the_secret_is_never_listed(self):
        made = self.create()
        granted = self.grant(made)
        listed = self.ok(LIST, {"parent": made["name"]})
        self.assertEqual([one["name"] for one in listed["grants"]],
                         [granted["grant"]["name"]])
        self.assertNotIn(granted["handle"]["grant"], str(listed))

    def test_only_the_owner_makes_lists_and_revokes(self):
        made = self.create()
        granted = self.grant(made)
        for method, request in (
                (CREATE, {"parent": made["name"]}),
                (LIST, {"parent": made["name"]}),
                (DELETE, {"name": granted["grant"]["name"]})):
            self.refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED", method,
                         request, uid=FRIEND)

    def test_a_segment_has_so_many(self):
        made = self.create()
        request = grant_pb2.CreateGrantRequest(
            parent=made["name"]).SerializeToString()
        for _ in range(MAX_GRANTS):
            self.assertIsNotNone(
                raw_grpc.ask(self.shmd.grpc_socket, CREATE, request))
        self.refused("RESOURCE_EXHAUSTED", "GRANT_LIMIT_EXCEEDED", CREATE,
                     {"parent": made["name"]})
        grants = self.ok(LIST, {"parent": made["name"]})["grants"]
        self.assertEqual(len(grants), MAX_GRANTS)
        self.ok(DELETE, {"name": grants[0]["name"]})
        self.grant(made)


if __name__ == "__main__":
    unittest.main()
