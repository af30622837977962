"""Namespaces: who may enter, what they give to whom, and that they last."""

import threading
import time
import unittest

import attach_socket
import daemon
import isolation
import raw_grpc
from attach_socket import Refused
from daemon_case import DaemonCase, PARENT
from stubs import attach_pb2, namespace_pb2

SERVICE = "shmd.v1.NamespaceService/"
GRANTS = "shmd.v1.GrantService/"
SESSIONS = "shmd.v1.SessionService/"
ALICE, BOB, TEAM_GID = 4011, 4012, 4500
PAGE = 4096


def try_hello(path, name_space):
    """The session of a Hello; raises Refused. For run_as."""
    with attach_socket.Connection(path) as connection:
        return hello(connection, name_space)


def hello(connection, name_space):
    request = attach_pb2.AttachRequest(sequence=1)
    request.hello.namespace = name_space
    connection.socket.send(request.SerializeToString())
    reply, _ = connection.receive()
    if reply.HasField("error"):
        raise Refused(reply.error)
    return reply.welcome.session


def hello_refusal(path, name_space):
    """(code, reason, metadata) of a Hello; ("OK", "", {}) if it is granted."""
    try:
        try_hello(path, name_space)
    except Refused as refused:
        return refused.code, refused.reason, refused.metadata
    return "OK", "", {}


def hold_sessions(path, count):
    """How many of `count` connections to `path`, all open at once, attach or
    say Hello, and the metadata of the first refusal."""
    connections = [attach_socket.Connection(path) for _ in range(count)]
    granted, metadata = 0, {}
    for connection in connections:
        try:
            hello(connection, "")
            granted += 1
        except Refused as refused:
            metadata = metadata or refused.metadata
    for connection in connections:
        connection.socket.close()
    return granted, metadata


class NamespaceTest(DaemonCase):

    def make(self, namespace_id=None, **fields):
        """A namespace that ends with the test; returns the reply."""
        reply = self.ok(SERVICE + "CreateNamespace",
                        {"namespace_id": namespace_id or self.fresh_id(),
                         "namespace": fields})
        self.addCleanup(self.remove_namespace, reply["name"])
        return reply

    def remove_namespace(self, name):
        listed = self.shmd.call("ListSegments", {"parent": name})
        for segment in listed.reply.get("segments", ()):
            self.remove(segment["name"])
        outcome = self.shmd.call(SERVICE + "DeleteNamespace", {"name": name})
        self.assertIn(outcome.code, ("OK", "NOT_FOUND"), outcome)

    def get(self, name, **arguments):
        return self.ok(SERVICE + "GetNamespace", {"name": name}, **arguments)

    def try_create(self, parent, uid=None, groups=None, **fields):
        return self.shmd.call(
            "CreateSegment",
            {"parent": parent, "segment_id": self.fresh_id(),
             "segment": {"size_bytes": PAGE, **fields}},
            uid=uid, groups=groups)

    def create_in(self, parent, uid=None, **fields):
        outcome = self.try_create(parent, uid, **fields)
        self.assertEqual(outcome.code, "OK", outcome)
        self.addCleanup(self.remove, outcome.reply["name"])
        return outcome.reply

    def expect_quota(self, outcome, resource, requested, available, uid=None):
        self.assertEqual((outcome.code, outcome.reason),
                         ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"), outcome)
        self.check_told(outcome.metadata, resource, requested, available, uid)

    def check_told(self, told, resource, requested, available, uid):
        self.assertEqual((told["resource"], int(told["requested"]),
                          int(told["available"]), told.get("uid")),
                         (resource, requested, available,
                          None if uid is None else str(uid)), told)
        self.assertTrue(told["namespace"])
        self.assertTrue(told["limit"])

    def test_default_is_there_and_cannot_be_deleted(self):
        found = self.get(PARENT)
        self.assertEqual(found["quota"]["segments"], "100000")
        self.assertEqual(found["uid_quota"]["watches"], "256")
        self.assertIn("descriptors", found["uid_quota"])
        self.assertIn("sessions", found["uid_quota"])
        self.refused("FAILED_PRECONDITION", "NAMESPACE_IN_USE",
                     SERVICE + "DeleteNamespace", {"name": PARENT})

    def test_names_are_checked_and_taken_once(self):
        made = self.make()
        self.assertTrue(made["create_time"])
        again = made["name"].rpartition("/")[2]
        self.refused("ALREADY_EXISTS", "NAMESPACE_EXISTS",
                     SERVICE + "CreateNamespace", {"namespace_id": again})
        self.refused("ALREADY_EXISTS", "NAMESPACE_EXISTS",
                     SERVICE + "CreateNamespace", {"namespace_id": "default"})
        for bad in ("", "1a", "a-", "Team", "a_b", "a/b", "x" * 64):
            with self.subTest(bad):
                self.refused("INVALID_ARGUMENT", "NAME_INVALID",
                             SERVICE + "CreateNamespace",
                             {"namespace_id": bad})
        for method in ("GetNamespace", "DeleteNamespace"):
            self.refused("NOT_FOUND", "NAMESPACE_NOT_FOUND",
                         SERVICE + method, {"name": "namespaces/absent"})
            self.refused("INVALID_ARGUMENT", "NAME_INVALID",
                         SERVICE + method, {"name": "absent"})

    def test_changes_are_for_administrators(self):
        made = self.make()
        name = made["name"]
        for method, request in (
                ("CreateNamespace", {"namespace_id": self.fresh_id()}),
                ("UpdateNamespace", {"namespace": {"name": name,
                                                   "quota": {}}}),
                ("DeleteNamespace", {"name": name})):
            self.refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                         SERVICE + method, request, uid=ALICE)

    def test_masks_change_what_they_name_as_a_whole(self):
        made = self.make(quota={"bytes": 100, "segments": 5},
                         entrants={"uids": [ALICE]})
        name = made["name"]

        def update(mask, **fields):
            request = {"namespace": {"name": name, **fields}}
            if mask:
                request["update_mask"] = {"paths": mask.split(",")}
            return self.ok(SERVICE + "UpdateNamespace", request)

        changed = update("quota", quota={"segments": 7}, entrants={})
        self.assertEqual(changed["quota"], {"segments": "7"})
        self.assertEqual(changed["entrants"], {"uids": [ALICE]})
        self.assertNotEqual(changed["etag"], made["etag"])
        # Without a mask, what is set.
        changed = update(None, uid_quota={"bytes": 9})
        self.assertEqual(changed["uid_quota"], {"bytes": "9"})
        self.assertEqual(changed["quota"], {"segments": "7"})
        changed = update("entrants,quota")
        self.assertEqual((changed["entrants"], changed["quota"]), ({}, {}))
        for mask in ("name", "quota.bytes", "usage"):
            self.refused("INVALID_ARGUMENT", "FIELD_NOT_UPDATABLE",
                         SERVICE + "UpdateNamespace",
                         {"namespace": {"name": name},
                          "update_mask": {"paths": [mask]}})
        self.refused("INVALID_ARGUMENT", "FIELD_NOT_UPDATABLE",
                     SERVICE + "UpdateNamespace", {"namespace": {"name": name}})
        self.refused("INVALID_ARGUMENT", "FIELD_INVALID",
                     SERVICE + "UpdateNamespace",
                     {"namespace": {"name": name,
                                    "entrants": {"uids": [4294967295]}}})
        for method, request in (
                ("UpdateNamespace", {"namespace": {
                    "name": name, "quota": {}, "etag": made["etag"]}}),
                ("DeleteNamespace", {"name": name, "etag": made["etag"]})):
            self.refused("ABORTED", "ETAG_MISMATCH", SERVICE + method, request)
        self.ok(SERVICE + "DeleteNamespace",
                {"name": name, "etag": changed["etag"]})

    def test_lists_have_pages_of_what_one_may_enter(self):
        open_to_all = self.make()["name"]
        closed = self.make(entrants={"uids": [BOB]})["name"]

        def names(uid):
            found, token = [], ""
            while True:
                reply = self.ok(SERVICE + "ListNamespaces",
                                {"page_size": 1, "page_token": token}, uid=uid)
                found += [one["name"] for one in reply["namespaces"]]
                token = reply.get("next_page_token", "")
                if not token:
                    return found

        self.assertEqual(names(ALICE), sorted([PARENT, open_to_all]))
        self.assertEqual(names(BOB), sorted([PARENT, open_to_all, closed]))
        self.refused("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID",
                     SERVICE + "ListNamespaces", {"page_token": "x"})

    def test_entry_is_by_uid_and_by_further_group(self):
        parent = self.make(entrants={"uids": [ALICE],
                                     "gids": [TEAM_GID]})["name"]
        made = self.create_in(parent, uid=ALICE, mode=0o666)
        self.ok("GetSegment", {"name": made["name"]}, uid=BOB,
                groups=[BOB, TEAM_GID])
        path = self.shmd.attach_socket
        self.assertEqual(
            isolation.run_as(BOB, hello_refusal, path, parent,
                             groups=[BOB, TEAM_GID])[:2], ("OK", ""))

    def test_who_may_not_enter_is_told_that_it_is_not_there(self):
        parent = self.make(entrants={"uids": [ALICE]})["name"]
        made = self.create_in(parent, uid=ALICE, mode=0o666)
        name = made["name"]
        segment = {"size_bytes": PAGE}
        for method, request in (
                ("CreateSegment", {"parent": parent, "segment": segment}),
                ("BatchCreateSegments",
                 {"parent": parent, "requests": [{"segment": segment}]}),
                ("GetSegment", {"name": name}),
                ("BatchGetSegments", {"parent": parent, "names": [name]}),
                ("ListSegments", {"parent": parent}),
                ("WatchSegments", {"parent": parent}),
                ("shmd.v1.ObjectService/WatchObjects", {"parent": parent}),
                ("UpdateSegment", {"segment": {"name": name, "mode": 0o600}}),
                ("RenewLease", {"name": name}),
                ("DeleteSegment", {"name": name}),
                ("BatchDeleteSegments", {"parent": parent, "names": [name]}),
                ("DisownSegment", {"name": name}),
                ("SealSegment", {"name": name}),
                ("ResizeSegment", {"name": name, "size_bytes": 1}),
                ("FlushSegment", {"name": name}),
                ("ReadSegment", {"name": name, "length_bytes": 1}),
                ("WriteSegment", {"name": name, "data": "AA=="}),
                ("CreateHandle", {"name": name}),
                ("AdoptSegment", {"parent": parent, "segment": {
                    "backend": "POSIX", "posix_name": "/absent"}}),
                (GRANTS + "CreateGrant", {"parent": name, "grant": {}}),
                (GRANTS + "ListGrants", {"parent": name}),
                (GRANTS + "DeleteGrant", {"name": name + "/grants/1"}),
                (SESSIONS + "ListSessions", {"segment": name}),
                (SESSIONS + "ListSegmentUsers", {"name": name}),
                (SERVICE + "GetNamespace", {"name": parent}),
                (SERVICE + "UpdateNamespace",
                 {"namespace": {"name": parent, "quota": {}}}),
                (SERVICE + "DeleteNamespace", {"name": parent})):
            with self.subTest(method):
                outcome = self.refused("NOT_FOUND", "NAMESPACE_NOT_FOUND",
                                       method, request, uid=BOB)
                absent = self.shmd.call(method, self.elsewhere(request),
                                        uid=BOB)
                self.assertEqual(absent.message, outcome.message)
        path = self.shmd.attach_socket
        self.assertEqual(
            isolation.run_as(BOB, attach_socket.refusal, path,
                             made["handle_string"]),
            ("NOT_FOUND", "NAMESPACE_NOT_FOUND"))
        self.assertEqual(
            isolation.run_as(BOB, hello_refusal, path, parent)[:2],
            ("NOT_FOUND", "NAMESPACE_NOT_FOUND"))
        # Administrators always may.
        self.ok("GetSegment", {"name": name})

    def elsewhere(self, value):
        """The request, about a namespace that does not exist."""
        if isinstance(value, dict):
            return {key: self.elsewhere(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.elsewhere(one) for one in value]
        if isinstance(value, str) and value.startswith("namespaces/"):
            return "/".join(["namespaces", "absent"] + value.split("/")[2:])
        return value

    def test_a_grant_is_an_invitation(self):
        parent = self.make(entrants={"uids": [ALICE]})["name"]
        made = self.create_in(parent, uid=ALICE)
        grant = self.ok(GRANTS + "CreateGrant",
                        {"parent": made["name"], "grant": {"uid": BOB}},
                        uid=ALICE)
        path = self.shmd.attach_socket
        self.assertEqual(
            isolation.run_as(BOB, attach_socket.refusal, path,
                             grant["handle_string"]), ("OK", ""))
        # To this segment, not to the namespace.
        self.refused("NOT_FOUND", "NAMESPACE_NOT_FOUND", "GetSegment",
                     {"name": made["name"]}, uid=BOB)

    def test_a_watch_ends_when_entry_does(self):
        parent = self.make()["name"]
        outcomes = []
        watch = threading.Thread(target=lambda: outcomes.append(
            self.shmd.call("WatchSegments", {"parent": parent}, uid=ALICE)))
        watch.start()
        self.await_usage(parent, "watches", 1)
        self.ok(SERVICE + "UpdateNamespace",
                {"namespace": {"name": parent, "entrants": {"uids": [BOB]}}})
        self.create_in(parent, uid=BOB, mode=0o666)
        watch.join(daemon.DEADLINE_SECONDS)
        self.assertEqual((outcomes[0].code, outcomes[0].reason),
                         ("NOT_FOUND", "NAMESPACE_NOT_FOUND"), outcomes)
        types = [reply["type"] for reply in outcomes[0].replies]
        self.assertNotIn("CREATED", types)

    def test_each_quota_is_reached_and_told(self):
        for of_uid in (False, True):
            field = "uid_quota" if of_uid else "quota"
            uid = ALICE if of_uid else None
            with self.subTest(field):
                self.check_segment_quotas(field, uid)
                self.check_watches(field, uid)
                self.check_sessions(field, uid)

    def check_segment_quotas(self, field, uid):
        parent = self.make(**{field: {"bytes": 2 * PAGE}})["name"]
        self.create_in(parent, uid=ALICE)
        self.expect_quota(
            self.try_create(parent, ALICE, size_bytes=PAGE + 1), "bytes",
            2 * PAGE, PAGE, uid)
        self.create_in(parent, uid=ALICE)
        parent = self.make(**{field: {"segments": 1}})["name"]
        self.create_in(parent, uid=ALICE)
        self.expect_quota(self.try_create(parent, ALICE), "segments", 1, 0,
                          uid)
        parent = self.make(**{field: {"descriptors": 1}})["name"]
        self.create_in(parent, uid=ALICE)
        self.expect_quota(self.try_create(parent, ALICE), "descriptors", 1, 0,
                          uid)
        self.create_in(parent, uid=ALICE, backend="SYSV")
        parent = self.make(**{field: {"huge_page_bytes": 1 << 20}})["name"]
        self.expect_quota(
            self.try_create(parent, ALICE, size_bytes=2 << 20,
                            page_size_bytes=2 << 20), "huge_page_bytes",
            2 << 20, 1 << 20, uid)

    def check_watches(self, field, uid):
        parent = self.make(**{field: {"watches": 1}})["name"]
        with self.shmd.watch({"parent": parent}, uid=ALICE) as stream:
            self.assertEqual(stream.next()["type"], "SYNCED")
            outcome = self.shmd.call("WatchSegments", {"parent": parent},
                                     uid=ALICE)
            self.expect_quota(outcome, "watches", 1, 0, uid)
            self.refused("FAILED_PRECONDITION", "NAMESPACE_IN_USE",
                         SERVICE + "DeleteNamespace", {"name": parent})
        self.await_usage(parent, "watches", 0)

    def check_sessions(self, field, uid):
        parent = self.make(**{field: {"sessions": 1}})["name"]
        path = self.shmd.attach_socket
        with attach_socket.Connection(path) as connection:
            connection_uid = 0
            hello(connection, parent)
            code, reason, told = hello_refusal(path, parent)
            self.assertEqual((code, reason),
                             ("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"))
            self.check_told(told, "sessions", 1, 0,
                            None if uid is None else connection_uid)
        self.await_usage(parent, "sessions", 0)

    def await_usage(self, parent, resource, expected):
        """The beginning and the end of a connection are seen a moment later."""
        deadline = time.monotonic() + daemon.DEADLINE_SECONDS
        while int(self.get(parent)["usage"][resource]) != expected:
            self.assertLess(time.monotonic(), deadline, resource)

    def test_sessions_of_default_are_refused_in_words(self):
        self.await_usage(PARENT, "sessions", 0)
        before = self.get(PARENT)["uid_quota"]
        self.addCleanup(self.ok, SERVICE + "UpdateNamespace",
                        {"namespace": {"name": PARENT, "uid_quota": before}})
        self.ok(SERVICE + "UpdateNamespace",
                {"namespace": {"name": PARENT,
                               "uid_quota": {**before, "sessions": 3}}})
        granted, told = isolation.run_as(ALICE, hold_sessions,
                                         self.shmd.attach_socket, 5)
        self.assertEqual(granted, 3)
        self.check_told(told, "sessions", 1, 0, ALICE)
        granted, _ = isolation.run_as(BOB, hold_sessions,
                                      self.shmd.attach_socket, 3)
        self.assertEqual(granted, 3)

    def test_a_greedy_uid_does_not_starve_another(self):
        parent = self.make(quota={"segments": 20},
                           uid_quota={"segments": 10})["name"]
        for _ in range(10):
            self.create_in(parent, uid=ALICE)
        for _ in range(5):
            self.expect_quota(self.try_create(parent, ALICE), "segments", 1, 0,
                              ALICE)
            self.create_in(parent, uid=BOB)
            self.create_in(parent, uid=BOB)
        used = {one["uid"]: one["usage"]["segments"]
                for one in self.get(parent)["uid_usages"]}
        self.assertEqual(used, {ALICE: "10", BOB: "10"})
        self.assertEqual(self.get(parent)["usage"]["segments"], "20")
        own = self.get(parent, uid=BOB)["uid_usages"]
        self.assertEqual([one["uid"] for one in own], [BOB])

    def test_the_owner_is_charged_not_the_maker(self):
        parent = self.make(uid_quota={"segments": 1})["name"]
        made = self.create_in(parent, owner=ALICE, group=ALICE)
        self.expect_quota(self.try_create(parent, ALICE), "segments", 1, 0,
                          ALICE)
        self.ok("UpdateSegment", {"segment": {"name": made["name"],
                                              "owner": BOB}})
        self.create_in(parent, uid=ALICE)
        self.refused("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "UpdateSegment",
                     {"segment": {"name": made["name"], "owner": ALICE}})

    def test_what_is_in_use_cannot_be_deleted(self):
        parent = self.make()["name"]
        made = self.create_in(parent)
        self.refused("FAILED_PRECONDITION", "NAMESPACE_IN_USE",
                     SERVICE + "DeleteNamespace", {"name": parent})
        self.remove(made["name"])
        self.ok(SERVICE + "DeleteNamespace", {"name": parent})
        self.refused("NOT_FOUND", "NAMESPACE_NOT_FOUND", "ListSegments",
                     {"parent": parent})

    def test_namespaces_outlive_a_killed_daemon(self):
        kept = self.make(quota={"segments": 3},
                         entrants={"uids": [ALICE], "gids": [TEAM_GID]})
        gone = self.make()["name"]
        self.ok(SERVICE + "DeleteNamespace", {"name": gone})
        made = self.create_in(kept["name"], uid=ALICE, backend="POSIX")
        self.shmd.kill()
        self.shmd.start()
        found = self.get(kept["name"])
        for field in ("entrants", "quota", "uid_quota", "etag", "create_time"):
            self.assertEqual(found[field], kept[field], field)
        self.assertEqual(found["usage"]["segments"], "1")
        self.assertEqual(
            self.ok("GetSegment", {"name": made["name"]}, uid=ALICE)["uid"],
            made["uid"])
        self.refused("NOT_FOUND", "NAMESPACE_NOT_FOUND", "GetSegment",
                     {"name": made["name"]}, uid=BOB)
        self.refused("NOT_FOUND", "NAMESPACE_NOT_FOUND",
                     SERVICE + "GetNamespace", {"name": gone})

    def test_there_are_a_thousand_at_most(self):
        have = len(self.ok(SERVICE + "ListNamespaces",
                           {"page_size": 1000})["namespaces"])
        stem = self.fresh_id()
        names = ["%s-n%d" % (stem, i) for i in range(1000 - have)]
        self.addCleanup(self.ask_each, "DeleteNamespace", [
            namespace_pb2.DeleteNamespaceRequest(name="namespaces/" + name)
            for name in names])
        self.ask_each("CreateNamespace", [
            namespace_pb2.CreateNamespaceRequest(namespace_id=name)
            for name in names])
        outcome = self.refused(
            "RESOURCE_EXHAUSTED", "NAMESPACE_LIMIT_EXCEEDED",
            SERVICE + "CreateNamespace", {"namespace_id": self.fresh_id()})
        self.assertEqual(outcome.metadata["limit_value"], "1000")

    def ask_each(self, method, requests):
        for request in requests:
            raw_grpc.ask(self.shmd.grpc_socket, SERVICE + method,
                         request.SerializeToString())


if __name__ == "__main__":
    unittest.main()
