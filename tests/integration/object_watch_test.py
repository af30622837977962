"""WatchObjects through grpcurl: what is, then what changes."""

import time
import unittest

import raw_grpc
from daemon_case import PARENT
from object_case import DEADLINE_SECONDS, OBJECTS, ObjectCase, object_name
from stubs import object_pb2

WATCH = OBJECTS + "WatchObjects"
OUT_OF_RANGE = 11
# What the daemon keeps, as docs/operations.md says.
KEPT_CHANGES = 16384

# (what is wrong, code, reason, the request)
REFUSED = [
    ("no parent", "INVALID_ARGUMENT", "NAME_INVALID", {"parent": ""}),
    ("bad parent", "INVALID_ARGUMENT", "NAME_INVALID", {"parent": "/\0"}),
    ("absent", "NOT_FOUND", "NAMESPACE_NOT_FOUND",
     {"parent": "namespaces/absent"}),
    ("token", "INVALID_ARGUMENT", "RESUME_TOKEN_INVALID",
     {"resume_token": "garbage"}),
    ("long token", "INVALID_ARGUMENT", "RESUME_TOKEN_INVALID",
     {"resume_token": "A" * 5000}),
    ("NUL token", "INVALID_ARGUMENT", "RESUME_TOKEN_INVALID",
     {"resume_token": "\0"}),
    ("another's token", "OUT_OF_RANGE", "RESUME_TOKEN_EXPIRED",
     {"resume_token": "ab-1"}),
]


class ObjectWatchTest(ObjectCase):

    def watch(self, **request):
        return self.shmd.grpcurl.stream(WATCH, {"parent": PARENT, **request})

    def expect(self, stream, kind, object_id=None):
        event = stream.next()
        self.assertEqual(event["type"], kind, event)
        if object_id:
            self.assertEqual(event["object"]["name"], object_name(object_id))
        return event

    def delete(self, object_id):
        self.ok(OBJECTS + "DeleteObject", {"name": object_name(object_id)})

    def test_refuses_by_code_and_reason(self):
        for with_objects in (False, True):
            if with_objects:
                self.program().put("it", b"it")
            for what, code, reason, request in REFUSED:
                with self.subTest(what, with_objects=with_objects):
                    self.refused_with(code, reason, "WatchObjects",
                                      {"parent": PARENT, **request})

    def test_sends_what_is_then_what_changes(self):
        program = self.program()
        old = program.put("old", b"old", offset=0, priority=7)
        with self.watch() as stream:
            event = self.expect(stream, "EXISTING", "old")
            self.assertEqual(event["object"], old)
            self.assertNotIn("resume_token", event)
            event = self.expect(stream, "SYNCED")
            self.assertNotIn("object", event)
            self.assertTrue(event["resume_token"])
            new = program.put("new", b"new!", offset=8)
            self.assertEqual(self.expect(stream, "CREATED", "new")["object"],
                             new)
            # What takes the place of another one is told of once.
            newer = program.put("new", b"newer", offset=16, replace=True)
            self.assertEqual(self.expect(stream, "CREATED", "new")["object"],
                             newer)
            self.delete("old")
            event = self.expect(stream, "DELETED", "old")
            self.assertEqual(event["object"], {
                "name": object_name("old"), "generation": old["generation"],
                "size_bytes": "3"})
            self.assertTrue(event["resume_token"])
            program.put("brief", ttl="0.05s")
            self.expect(stream, "CREATED", "brief")
            self.expect(stream, "DELETED", "brief")

    def test_batches_are_told_of_one_by_one(self):
        program = self.program()
        names = ["b%d" % i for i in range(300)]
        with self.watch() as stream:
            self.expect(stream, "SYNCED")
            self.ok(OBJECTS + "BatchCreateObjects", {
                "parent": PARENT,
                "requests": [program.creation(one) for one in names]})
            for name in names:
                self.expect(stream, "CREATED", name)
        # More than a page of what exists; in no order.
        with self.watch() as stream:
            found = [self.expect(stream, "EXISTING")["object"]["name"]
                     for _ in names]
            self.assertEqual(sorted(found),
                             sorted(object_name(one) for one in names))
            self.expect(stream, "SYNCED")
            self.ok(OBJECTS + "BatchDeleteObjects", {
                "parent": PARENT, "names": found})
            gone = [self.expect(stream, "DELETED")["object"]["name"]
                    for _ in names]
            self.assertEqual(sorted(gone), sorted(found))

    def test_only_ids_with_the_prefix(self):
        program = self.program()
        for name in ("frame-1", "other-1"):
            program.put(name)
        with self.watch(id_prefix="frame-") as stream:
            self.expect(stream, "EXISTING", "frame-1")
            self.expect(stream, "SYNCED")
            for name in ("other-2", "frame-2", "frame", "frame-3"):
                program.put(name)
            self.expect(stream, "CREATED", "frame-2")
            self.expect(stream, "CREATED", "frame-3")
            self.delete("other-1")
            self.delete("frame-1")
            self.expect(stream, "DELETED", "frame-1")
        with self.watch(id_prefix="x" * 65) as stream:
            self.expect(stream, "SYNCED")

    def test_resumes_behind_the_token_without_gap_or_repeat(self):
        program = self.program()
        program.put("old")
        with self.watch() as stream:
            self.expect(stream, "EXISTING", "old")
            token = self.expect(stream, "SYNCED")["resume_token"]
        for i in range(5):
            program.put("n%d" % i)
        with self.watch(resume_token=token) as stream:
            for i in range(3):
                token = self.expect(stream, "CREATED",
                                    "n%d" % i)["resume_token"]
        with self.watch(resume_token=token) as stream:
            self.expect(stream, "CREATED", "n3")
            self.expect(stream, "CREATED", "n4")
            self.delete("n0")
            self.expect(stream, "DELETED", "n0")

    def test_waits_where_nothing_was_ever_put(self):
        with self.watch() as stream:
            token = self.expect(stream, "SYNCED")["resume_token"]
            # Nothing is made for who only watches.
            self.assertEqual(self.ok("ListSegments", {"parent": PARENT}), {})
            program = self.program()
            program.put("first", b"x")
            self.expect(stream, "CREATED", "first")
            program.put("second", b"x", offset=8)
            self.expect(stream, "CREATED", "second")
        self.refused_with("OUT_OF_RANGE", "RESUME_TOKEN_EXPIRED",
                          "WatchObjects",
                          {"parent": PARENT, "resume_token": token})
        self.remove_objects()

    def test_a_directory_stays_while_it_is_watched(self):
        program = self.program()
        program.put("it")
        with self.watch() as stream:
            self.expect(stream, "EXISTING", "it")
            self.expect(stream, "SYNCED")
            self.delete("it")
            self.expect(stream, "DELETED", "it")
            program.end()
            other = self.program()
            other.put("it")
            self.expect(stream, "CREATED", "it")

    def test_a_token_of_before_a_restart_has_expired(self):
        program = self.program()
        program.put("it")
        with self.watch() as stream:
            self.expect(stream, "EXISTING", "it")
            token = self.expect(stream, "SYNCED")["resume_token"]
        self.delete("it")
        program.end()
        # Else the next run waits for it to come back.
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.ok("shmd.v1.SessionService/ListSessions", {}):
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual(self.shmd.stop(), 0)
        self.shmd.start()
        self.refused_with("OUT_OF_RANGE", "RESUME_TOKEN_EXPIRED",
                          "WatchObjects",
                          {"parent": PARENT, "resume_token": token})

    def test_who_stops_reading_is_cut_off_and_may_begin_anew(self):
        program = self.program()
        request = object_pb2.WatchObjectsRequest(parent=PARENT)
        event = object_pb2.WatchObjectsResponse()
        count = KEPT_CHANGES + 4000
        with raw_grpc.Replies(self.shmd.grpc_socket, WATCH,
                              request.SerializeToString()) as stopped:
            event.ParseFromString(stopped.next())
            self.assertEqual(event.type, event.SYNCED)
            creations = [program.creation("c%d" % i, replace=True)
                         for i in range(1000)]
            for _ in range(count // 1000):
                # Each replaces that of the last turn.
                self.ok(OBJECTS + "BatchCreateObjects", {
                    "parent": PARENT, "requests": creations})
            stopped.open_window()
            messages = list(iter(stopped.next, None))
        self.assertEqual(stopped.code, OUT_OF_RANGE)
        # What was on its way came, without a gap, and nothing behind it.
        self.assertGreater(len(messages), 0)
        self.assertLess(len(messages), count - KEPT_CHANGES)
        event.ParseFromString(messages[-1])
        self.refused_with("OUT_OF_RANGE", "RESUME_TOKEN_EXPIRED",
                          "WatchObjects",
                          {"parent": PARENT,
                           "resume_token": event.resume_token})
        with self.watch(id_prefix="z") as stream:
            self.expect(stream, "SYNCED")
            program.put("z")
            self.expect(stream, "CREATED", "z")
            self.delete("z")


if __name__ == "__main__":
    unittest.main()
