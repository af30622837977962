"""WatchSegments through grpcurl: what is, then what changes."""

import time
import unittest

import raw_grpc
from daemon_case import DaemonCase, PARENT, name_of
from stubs import segment_pb2

WATCH = "shmd.v1.SegmentService/WatchSegments"
OUT_OF_RANGE = 11
# What the daemon keeps, as docs/operations.md says.
KEPT_CHANGES = 16384

# (what is wrong, code, reason, the request)
REFUSED = [
    ("no parent", "INVALID_ARGUMENT", "NAME_INVALID", {"parent": ""}),
    ("bad parent", "INVALID_ARGUMENT", "NAME_INVALID", {"parent": "/\0"}),
    ("absent", "NOT_FOUND", "NAMESPACE_NOT_FOUND",
     {"parent": "namespaces/absent"}),
    ("filter", "INVALID_ARGUMENT", "FILTER_INVALID", {"filter": "((("}),
    ("token", "INVALID_ARGUMENT", "RESUME_TOKEN_INVALID",
     {"resume_token": "garbage"}),
    ("long token", "INVALID_ARGUMENT", "RESUME_TOKEN_INVALID",
     {"resume_token": "A" * 5000}),
    ("NUL token", "INVALID_ARGUMENT", "RESUME_TOKEN_INVALID",
     {"resume_token": "\0"}),
]


class WatchTest(DaemonCase):

    def watch(self, **request):
        return self.shmd.watch({"parent": PARENT, **request})

    def expect(self, stream, kind, name=None):
        event = stream.next()
        self.assertEqual(event["type"], kind, event)
        if name:
            self.assertEqual(event["segment"]["name"], name)
        return event

    def test_refuses_by_code_and_reason(self):
        for what, code, reason, request in REFUSED:
            with self.subTest(what):
                self.refused(code, reason, "WatchSegments",
                             {"parent": PARENT, **request})

    def test_sends_what_is_then_what_changes(self):
        tag = self.fresh_id()
        condition = 'labels.tag = "%s"' % tag
        old = self.create(labels={"tag": tag})["name"]
        self.create()
        with self.watch(filter=condition) as stream:
            event = self.expect(stream, "EXISTING", old)
            self.assertNotIn("resume_token", event)
            self.assertNotIn("handle", event["segment"])
            self.assertNotIn("status", event["segment"])
            event = self.expect(stream, "SYNCED")
            self.assertNotIn("segment", event)
            new = self.create(labels={"tag": tag})["name"]
            self.expect(stream, "CREATED", new)
            self.ok("UpdateSegment",
                    {"segment": {"name": new, "mode": 0o640},
                     "update_mask": {"paths": ["mode"]}})
            event = self.expect(stream, "UPDATED", new)
            self.assertEqual(event["segment"]["mode"], 0o640)
            self.ok("SealSegment", {"name": new})
            event = self.expect(stream, "UPDATED", new)
            self.assertEqual(event["segment"]["state"], "SEALED")
            self.ok("DeleteSegment", {"name": old})
            event = self.expect(stream, "DELETED", old)
            self.assertEqual(event["segment"]["state"], "DELETED")
            self.assertTrue(event["resume_token"])

    def test_resumes_behind_the_token_without_gap_or_repeat(self):
        tag = self.fresh_id()
        condition = 'labels.tag = "%s"' % tag
        with self.watch(filter=condition) as stream:
            token = self.expect(stream, "SYNCED")["resume_token"]
        names = [self.create(labels={"tag": tag})["name"] for _ in range(5)]
        with self.watch(filter=condition, resume_token=token) as stream:
            for name in names[:3]:
                token = self.expect(stream, "CREATED", name)["resume_token"]
        with self.watch(filter=condition, resume_token=token) as stream:
            for name in names[3:]:
                self.expect(stream, "CREATED", name)
            self.ok("DeleteSegment", {"name": names[0]})
            self.expect(stream, "DELETED", names[0])

    def test_a_token_of_before_a_restart_has_expired(self):
        with self.watch() as stream:
            event = stream.next()
            while event["type"] != "SYNCED":
                event = stream.next()
            token = event["resume_token"]
        self.assertEqual(self.shmd.stop(), 0)
        self.shmd.start()
        self.refused("OUT_OF_RANGE", "RESUME_TOKEN_EXPIRED", "WatchSegments",
                     {"parent": PARENT, "resume_token": token})

    def test_shows_a_caller_only_what_it_may_read(self):
        tag = self.fresh_id()
        request = {"parent": PARENT, "filter": 'labels.tag = "%s"' % tag}
        self.create(labels={"tag": tag})
        mine = self.create(labels={"tag": tag}, owner=4001)["name"]
        with self.shmd.watch(request, uid=4001) as stream:
            self.expect(stream, "EXISTING", mine)
            self.expect(stream, "SYNCED")
            self.create(labels={"tag": tag})
            shared = self.create(labels={"tag": tag}, mode=0o644)["name"]
            self.expect(stream, "CREATED", shared)

    def test_who_may_no_longer_read_learns_of_the_end_and_no_more(self):
        tag = self.fresh_id()
        request = {"parent": PARENT, "filter": 'labels.tag = "%s"' % tag}
        name = self.create(labels={"tag": tag}, mode=0o644)["name"]
        with self.shmd.watch(request, uid=4001) as stream:
            self.expect(stream, "EXISTING", name)
            self.expect(stream, "SYNCED")
            self.ok("UpdateSegment",
                    {"segment": {"name": name, "mode": 0o600,
                                 "labels": {"tag": tag, "now": "secret"}}})
            event = self.expect(stream, "DELETED", name)
            self.assertEqual(event["segment"]["labels"], {"tag": tag})

    def test_expiry_is_told(self):
        tag = self.fresh_id()
        with self.watch(filter='labels.tag = "%s"' % tag) as stream:
            self.expect(stream, "SYNCED")
            made = self.create(labels={"tag": tag}, ttl="0.05s")["name"]
            self.expect(stream, "CREATED", made)
            self.expect(stream, "DELETED", made)
        self.refused("NOT_FOUND", "SEGMENT_NOT_FOUND", "GetSegment",
                     {"name": made})

    def test_watches_are_limited_and_end_with_their_connection(self):
        service = "shmd.v1.NamespaceService/"
        found = self.ok(service + "GetNamespace", {"name": PARENT})
        self.addCleanup(self.ok, service + "UpdateNamespace",
                        {"namespace": {"name": PARENT,
                                       "uid_quota": found["uid_quota"]}})
        # Else the limit of one user would come first.
        self.ok(service + "UpdateNamespace",
                {"namespace": {"name": PARENT, "uid_quota": {}}})
        request = segment_pb2.WatchSegmentsRequest(parent=PARENT)
        connections = [
            raw_grpc.open_calls(self.shmd.grpc_socket, WATCH,
                                request.SerializeToString(), 50)
            for _ in range(21)]  # 1050 watches, more than the limit
        try:
            self.wait_for("RESOURCE_EXHAUSTED")
            outcome = self.refused("RESOURCE_EXHAUSTED",
                                   "WATCH_LIMIT_EXCEEDED", "WatchSegments",
                                   {"parent": PARENT})
            self.assertEqual(outcome.metadata["unit"], "watches")
            self.ok("ListSegments", {"parent": PARENT})
        finally:
            for connection in connections:
                connection.close()
        self.wait_for("DEADLINE_EXCEEDED")

    def wait_for(self, code):
        """Watches for a moment, again and again, until it ends like that: with
        DEADLINE_EXCEEDED when it could go on."""
        deadline = time.monotonic() + 60
        while True:
            outcome = self.shmd.call("WatchSegments", {"parent": PARENT},
                                     flags=["-max-time", "0.5"])
            if outcome.code == code:
                return
            self.assertLess(time.monotonic(), deadline, outcome)

    def make_changes(self, count, batch=400):
        for _ in range(count // (2 * batch)):
            made = self.ok("BatchCreateSegments", {
                "parent": PARENT,
                "requests": [{"segment": {"size_bytes": 4096}}] * batch})
            self.ok("BatchDeleteSegments", {
                "parent": PARENT,
                "names": [segment["name"] for segment in made["segments"]]})

    def test_who_stops_reading_is_cut_off_and_may_begin_anew(self):
        request = segment_pb2.WatchSegmentsRequest(parent=PARENT)
        event = segment_pb2.WatchSegmentsResponse()
        with raw_grpc.Replies(self.shmd.grpc_socket, WATCH,
                              request.SerializeToString()) as stopped:
            while event.type != event.SYNCED:
                event.ParseFromString(stopped.next())
            count = KEPT_CHANGES + 4000
            self.make_changes(count)
            stopped.open_window()
            messages = list(iter(stopped.next, None))
        self.assertEqual(stopped.code, OUT_OF_RANGE)
        # What was on its way came, without a gap, and nothing behind it.
        self.assertGreater(len(messages), 0)
        self.assertLess(len(messages), count - KEPT_CHANGES)
        event.ParseFromString(messages[-1])
        self.refused("OUT_OF_RANGE", "RESUME_TOKEN_EXPIRED", "WatchSegments",
                     {"parent": PARENT, "resume_token": event.resume_token})
        with self.watch() as stream:
            while stream.next()["type"] != "SYNCED":
                pass
            self.expect(stream, "CREATED", self.create()["name"])

    def test_a_name_used_anew_is_another_segment(self):
        segment_id = self.fresh_id()
        with self.watch() as stream:
            while stream.next()["type"] != "SYNCED":
                pass
            first = self.create(segment_id=segment_id)
            self.ok("DeleteSegment", {"name": first["name"]})
            second = self.create(segment_id=segment_id)
            events = [stream.next() for _ in range(3)]
        self.assertEqual([event["type"] for event in events],
                         ["CREATED", "DELETED", "CREATED"])
        self.assertEqual(events[0]["segment"]["uid"], first["uid"])
        self.assertEqual(events[2]["segment"]["uid"], second["uid"])
        self.assertEqual(second["name"], name_of(segment_id))


if __name__ == "__main__":
    unittest.main()
