"""What goes when memory is full, by the RPCs: MakeRoom, LeaseObject, and the
namespace's when_full."""

import os
import threading
import time
import unittest

from daemon_case import PARENT
from object_test import (DEADLINE_SECONDS, OBJECTS, OTHER, PAGE, ObjectCase,
                         object_name)

NAMESPACES = "shmd.v1.NamespaceService/"
DAY_SECONDS = 86400


class RoomCase(ObjectCase):

    def setUp(self):
        super().setUp()
        self.addCleanup(self.set_namespace, when_full="REFUSE",
                        quota={"segments": "100000"})

    def set_namespace(self, **fields):
        """Returns the namespace as it is then."""
        return self.ok(NAMESPACES + "UpdateNamespace", {
            "namespace": {"name": PARENT, **fields}})

    def ask(self, program, size_bytes=1, **fields):
        return {"parent": PARENT, "session": program.session,
                "size_bytes": str(size_bytes), **fields}

    def make_room(self, program, size_bytes=1, uid=None, **fields):
        """How many bytes went."""
        return int(self.ok(OBJECTS + "MakeRoom",
                           self.ask(program, size_bytes, **fields),
                           uid=uid)["freed_bytes"])

    def expect_no_room(self, program, size_bytes=1, **fields):
        self.refused_with("RESOURCE_EXHAUSTED", "OBJECTS_IN_USE", "MakeRoom",
                          self.ask(program, size_bytes, **fields))

    def ids(self):
        return sorted(one["name"].rpartition("/")[2] for one in self.listed())

    def spilled(self):
        return sorted(one["name"].rpartition("/")[2] for one in self.listed()
                      if one.get("spilled"))


class MakeRoomTest(RoomCase):

    def put_three(self):
        program = self.program()
        for number, object_id in enumerate("abc"):
            program.put(object_id, object_id.encode() * 64, offset=number * 64)
        return program

    def test_nothing_goes_unless_the_namespace_says_so(self):
        program = self.put_three()
        self.expect_no_room(program)
        self.expect_no_room(program, wait="60s")
        self.assertEqual(self.ids(), ["a", "b", "c"])
        for policy in ("WHEN_FULL_UNSPECIFIED", "REFUSE"):
            self.ok(NAMESPACES + "UpdateNamespace", {
                "namespace": {"name": PARENT, "when_full": policy},
                "update_mask": {"paths": ["when_full"]}})
            self.expect_no_room(program)

    def test_when_full_is_shown_and_changed_alone(self):
        before = self.ok(NAMESPACES + "GetNamespace", {"name": PARENT})
        self.assertEqual(before["when_full"], "REFUSE")
        after = self.set_namespace(when_full="SPILL")
        self.assertEqual(after["when_full"], "SPILL")
        self.assertEqual(after["quota"], before["quota"])
        self.assertNotEqual(after["etag"], before["etag"])
        self.refused("INVALID_ARGUMENT", "FIELD_INVALID",
                     NAMESPACES + "UpdateNamespace",
                     {"namespace": {"name": PARENT, "when_full": 77}})

    def test_evicted_objects_are_gone_and_the_oldest_is_first(self):
        self.set_namespace(when_full="EVICT")
        program = self.put_three()
        self.assertEqual(self.make_room(program), 64)
        self.assertEqual(self.ids(), ["b", "c"])
        self.expect_no_object("a")
        self.assertEqual(self.make_room(program, 100), 128)
        self.assertEqual(self.ids(), [])
        self.expect_no_room(program)

    def test_what_would_not_be_one_piece_stays(self):
        self.set_namespace(when_full="EVICT")
        program = self.put_three()
        self.expect_no_room(program, 193)
        self.ok(OBJECTS + "LeaseObject", {"name": object_name("b"),
                                          "ttl": "60s"})
        self.expect_no_room(program, 65)
        self.assertEqual(self.ids(), ["a", "b", "c"])

    def test_whole_arenas_of_ended_writers_go(self):
        self.set_namespace(when_full="EVICT")
        gone, program = self.put_three(), self.program()
        program.put("mine", b"x")
        name = gone.arena["segment"]
        gone.end()
        self.make_room(program)
        self.assertEqual(self.ids(), ["a", "b", "c"])
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            outcome = self.shmd.call(OBJECTS + "MakeRoom", self.ask(program))
            if outcome.code == "OK":
                break
            # The daemon learns of the end in its own time.
            self.assertEqual(outcome.reason, "OBJECTS_IN_USE", outcome)
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual(outcome.reply["freed_bytes"], str(PAGE))
        self.assertEqual(self.ids(), [])
        # Its quota is there again with the answer.
        self.refused("NOT_FOUND", "SEGMENT_NOT_FOUND", "GetSegment",
                     {"name": name})

    def test_arenas_of_other_writers_are_left_alone(self):
        self.set_namespace(when_full="EVICT")
        self.put_three()
        self.expect_no_room(self.program())
        self.assertEqual(self.ids(), ["a", "b", "c"])

    def test_a_wait_ends_when_something_can_go(self):
        self.set_namespace(when_full="EVICT")
        program = self.program()
        self.expect_no_room(program, wait="0.02s")
        results = []
        thread = threading.Thread(target=lambda: results.append(
            self.shmd.call(OBJECTS + "MakeRoom",
                           self.ask(program, wait="60s"))))
        thread.start()
        program.put("late", b"x")
        thread.join()
        self.assertEqual(results[0].code, "OK", results[0])
        self.assertEqual(self.ids(), [])

    def test_requests_are_checked(self):
        program = self.program()
        for fields, reason, field in (
                ({"parent": "x"}, "NAME_INVALID", "parent"),
                ({"session": "x"}, "NAME_INVALID", "session"),
                ({"size_bytes": "0"}, "FIELD_INVALID", "size_bytes"),
                ({"size_bytes": str(2 ** 64 - 1)}, "FIELD_INVALID",
                 "size_bytes"),
                ({"wait": "-1s"}, "FIELD_INVALID", "wait"),
                ({"wait": "3601s"}, "FIELD_INVALID", "wait")):
            self.refused_with("INVALID_ARGUMENT", reason, "MakeRoom",
                              {**self.ask(program), **fields}, field)
        self.refused_with("NOT_FOUND", "NAMESPACE_NOT_FOUND", "MakeRoom",
                          {**self.ask(program), "parent": "namespaces/none"})
        # Not for the sessions of others.
        self.refused_with("NOT_FOUND", "SESSION_NOT_FOUND", "MakeRoom",
                          self.ask(program), uid=OTHER)


class SpillTest(RoomCase):

    def setUp(self):
        super().setUp()
        self.set_namespace(when_full="SPILL")

    def usage(self):
        found = self.ok(NAMESPACES + "GetNamespace", {"name": PARENT})
        return {key: int(value) for key, value in found["usage"].items()}

    def test_spilled_objects_are_read_as_before(self):
        program = self.program(mode=0o644)
        made = program.put("it", b"it is spilled", ttl="3600s", priority=3)
        before = self.usage()
        self.assertEqual(self.make_room(program), 16)
        found = self.get("it")
        self.assertTrue(found.pop("spilled"))
        self.assertNotEqual(found["arena"], made["arena"])
        for field in ("arena", "offset_bytes", "handle"):
            found.pop(field, None)
            made.pop(field, None)
        self.assertEqual(found, made)
        self.assertEqual(self.read("it", uid=OTHER), "it is spilled")
        after = self.usage()
        self.assertGreater(after["spilled_bytes"], 0)
        self.assertLessEqual(after["bytes"], before["bytes"])
        self.assertLessEqual(after["segments"], before["segments"])
        self.assertEqual(len(os.listdir(self.shmd.file_root)), 1)
        self.ok(OBJECTS + "DeleteObject", {"name": object_name("it")})
        self.eventually(lambda: self.usage()["spilled_bytes"] == 0)
        self.assertEqual(os.listdir(self.shmd.file_root), [])

    def eventually(self, condition):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), deadline)

    def test_spilled_objects_end_and_are_replaced(self):
        program = self.program()
        # Long enough to be spilled first.
        program.put("brief", b"brief", ttl="5s")
        program.put("it", b"old", offset=64)
        self.make_room(program, 16)
        self.assertEqual(self.spilled(), ["brief", "it"])
        program.put("it", b"new", offset=128, replace=True)
        self.assertEqual(self.read("it"), "new")
        self.eventually(lambda: self.ids() == ["it"])
        self.assertEqual(self.spilled(), [])

    def test_nobody_publishes_where_objects_are_spilled_to(self):
        program = self.program()
        program.put("it", b"x")
        self.make_room(program)
        request = program.creation("other")
        request["object"]["arena"] = self.get("it")["arena"]
        self.refused_with("NOT_FOUND", "ARENA_NOT_FOUND", "CreateObject",
                          request)

    def test_files_have_a_quota(self):
        program = self.program()
        program.put("it", b"x")
        self.set_namespace(quota={"spilled_bytes": str(PAGE - 1)})
        self.expect_no_room(program)
        self.assertEqual(self.read("it"), "x")
        self.set_namespace(quota={"spilled_bytes": str(PAGE)})
        self.make_room(program)
        self.assertEqual(self.usage()["spilled_bytes"], PAGE)
        self.assertEqual(self.spilled(), ["it"])


class LeaseTest(RoomCase):

    def lease(self, object_id, ttl, **fields):
        return self.ok(OBJECTS + "LeaseObject", {
            "name": object_name(object_id), "ttl": ttl, **fields})

    def test_a_leased_object_stays_until_its_end(self):
        self.set_namespace(when_full="EVICT")
        program = self.program()
        made = program.put("it", b"x")
        self.assertNotIn("lease_expire_time", made)
        leased = self.lease("it", "5s")
        self.assertGreater(leased["lease_expire_time"], made["create_time"])
        self.expect_no_room(program)
        self.make_room(program, wait="60s")
        self.expect_no_object("it")

    def test_the_longest_of_several_holds(self):
        program = self.program()
        made = program.put("it", b"x")
        longest = self.lease("it", "3600s")["lease_expire_time"]
        self.assertEqual(self.lease("it", "1s")["lease_expire_time"], longest)
        self.assertEqual(self.get("it")["lease_expire_time"], longest)
        # It is the object's, not the name's.
        again = program.put("it", b"y", offset=8, replace=True)
        self.assertNotIn("lease_expire_time", again)
        self.refused_with("ABORTED", "ETAG_MISMATCH", "LeaseObject",
                          {"name": object_name("it"), "ttl": "1s",
                           "generation": made["generation"]})
        self.lease("it", "1s", generation=again["generation"])

    def test_requests_are_checked(self):
        self.program().put("it", b"x")
        for ttl in ("0s", "-1s", "%d.1s" % DAY_SECONDS):
            self.refused_with("INVALID_ARGUMENT", "FIELD_INVALID",
                              "LeaseObject",
                              {"name": object_name("it"), "ttl": ttl}, "ttl")
        self.refused_with("INVALID_ARGUMENT", "FIELD_INVALID", "LeaseObject",
                          {"name": object_name("it")}, "ttl")
        self.refused_with("INVALID_ARGUMENT", "NAME_INVALID", "LeaseObject",
                          {"name": "x", "ttl": "1s"}, "name")
        self.refused_with("NOT_FOUND", "OBJECT_NOT_FOUND", "LeaseObject",
                          {"name": object_name("none"), "ttl": "1s"})
        self.refused_with("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                          "LeaseObject",
                          {"name": object_name("it"), "ttl": "1s"}, uid=OTHER)


if __name__ == "__main__":
    unittest.main()
