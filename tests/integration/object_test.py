"""Objects by their RPCs, with the real grpcurl: for programs that do not find
them in memory."""

import itertools
import os
import threading
import time
import unittest

import attach_socket
from attach_socket import READ, READ_WRITE
from daemon_case import PARENT
from object_case import (DEADLINE_SECONDS, OBJECTS, OTHER, PAGE, WRAP,
                         ObjectCase, Program, object_name)
from stubs import object_pb2

class ObjectTest(ObjectCase):

    def test_an_object_is_created_found_read_and_deleted(self):
        program = self.program(mode=0o644)
        made = program.put("greeting", b"hello, world", offset=64, priority=7)
        self.assertEqual(
            (made["name"], made["size_bytes"], made["offset_bytes"],
             made["arena"], made["priority"], made.get("owner", 0)),
            (object_name("greeting"), "12", "64", program.arena["number"], 7,
             0))
        self.assertNotIn("handle", made)
        found = self.get("greeting", uid=OTHER)
        handle = found.pop("handle")
        self.assertEqual(found, made)
        # The handle is for the payload's range.
        with attach_socket.Connection(self.shmd.attach_socket) as reader:
            attachment, descriptor = reader.attach(handle)
            try:
                self.assertEqual(
                    (attachment.offset_bytes, attachment.length_bytes),
                    (64, 12))
                self.assertEqual(os.pread(descriptor, 12, 64), b"hello, world")
            finally:
                os.close(descriptor)
        self.assertEqual(self.read("greeting"), "hello, world")
        self.assertEqual(self.read("greeting", uid=OTHER, offset_bytes=7,
                                   length_bytes=3), "wor")
        self.ok(OBJECTS + "DeleteObject", {"name": object_name("greeting")})
        self.expect_no_object("greeting")
        self.assertEqual(self.listed(), [])

    def test_what_its_writer_says_of_it_is_shown(self):
        said = object_pb2.ObjectMetadata(
            media_type="text/plain", schema="none", dtype="uint8", shape=[5],
            strides=[1], labels={"who": "me"}).SerializeToString()
        program = self.program()
        # Behind the payload, at the next multiple of 8.
        program.write(8, said)
        program.put("described", b"12345", metadata_bytes=len(said))
        self.assertEqual(self.get("described")["metadata"], {
            "media_type": "text/plain", "schema": "none", "dtype": "uint8",
            "shape": ["5"], "strides": ["1"], "labels": {"who": "me"}})
        program.write(264, b"\xff" * 16)
        program.put("nonsense", b"12345", offset=256, metadata_bytes=16)
        self.assertNotIn("metadata", self.get("nonsense"))
        # Of one without a byte too.
        program.write(512, said)
        program.put("empty", offset=512, metadata_bytes=len(said))
        self.assertEqual(self.get("empty")["metadata"]["dtype"], "uint8")

    def test_what_is_read_is_of_one_object(self):
        program = self.program()
        program.put("changing", b"a" * 64)
        stop = threading.Event()

        def replace():
            for letter in itertools.cycle(b"ab"):
                if stop.is_set():
                    return
                offset = 1024 * (letter - ord("a"))
                program.put("changing", bytes([letter]) * 64, offset=offset,
                            replace=True)

        writer = threading.Thread(target=replace)
        writer.start()
        try:
            for _ in range(20):
                self.assertIn(self.read("changing"), ("a" * 64, "b" * 64))
        finally:
            stop.set()
            writer.join()

    def test_an_object_without_a_byte_has_no_handle(self):
        self.program().put("empty")
        self.assertNotIn("handle", self.get("empty"))
        self.assertEqual(self.read("empty"), "")

    def test_a_session_takes_part_by_three_segments(self):
        program = Program(self)
        opened = program.open_directory()
        handles = (opened.directory_handle, opened.session_page_handle,
                   opened.answers_handle)
        for handle in handles:
            _, descriptor = program.attach(handle)
            os.close(descriptor)
        _, descriptor = program.attach(opened.session_page_handle, READ_WRITE)
        os.close(descriptor)
        # Again, they are the same ones.
        again = self.ok(OBJECTS + "OpenDirectory",
                        {"parent": PARENT, "session": program.session})
        with attach_socket.Connection(self.shmd.attach_socket) as reader:
            for handle, name in zip(handles, (
                    "directory_handle", "session_page_handle",
                    "answers_handle")):
                first, one = reader.attach(handle)
                second, other = reader.attach(again[name])
                os.close(one)
                os.close(other)
                self.assertEqual(first.name, second.name)

    def test_what_the_daemon_writes_nobody_else_does(self):
        program, other = Program(self), Program(self)
        opened = program.open_directory()
        for handle in (opened.directory_handle, opened.answers_handle):
            self.expect_attach_refused(program, handle, "PERMISSION_DENIED",
                                       "CALLER_NOT_ALLOWED")
        # With a handle that would let the caller write.
        segments = {one["name"].rpartition("/")[2]: one for one in self.ok(
            "ListSegments", {"parent": PARENT})["segments"]}
        self.assertIn("shmd.directory", segments)
        for segment_id in ("shmd.directory", opened_id(segments, "answers")):
            name = segments[segment_id]["name"]
            handle = self.ok("CreateHandle", {
                "name": name, "access": "READ_WRITE"})["handle_string"]
            self.expect_attach_refused(program, handle, "FAILED_PRECONDITION",
                                       "SEGMENT_RESERVED")
            for method, more in (("DeleteSegment", {"force": True}),
                                 ("SealSegment", {}),
                                 ("WriteSegment", {"data": "eA=="})):
                self.refused("FAILED_PRECONDITION", "SEGMENT_RESERVED", method,
                             {"name": name, **more})
        # Nor does another session of the same user write this one's page.
        self.expect_attach_refused(other, opened.session_page_handle,
                                   "FAILED_PRECONDITION", "SEGMENT_RESERVED")
        stranger = Program(self, OTHER)
        self.expect_attach_refused(stranger, opened.session_page_handle,
                                   "PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                                   READ)

    def expect_attach_refused(self, connection, handle, code, reason,
                              access=READ_WRITE):
        with self.assertRaises(attach_socket.Refused) as caught:
            connection.attach(handle, access)
        self.assertEqual((caught.exception.code, caught.exception.reason),
                         (code, reason))

    def test_arenas_are_attached_by_name(self):
        program = self.program(mode=0o666)
        program.put("it", b"payload")
        name = "%s/arenas/%d" % (PARENT, program.arena["number"])
        reader = Program(self, OTHER)
        attachment, descriptor = reader.attach_arena(name)
        self.assertEqual(attachment.name, program.arena["segment"])
        self.assertEqual(os.pread(descriptor, 7, 0), b"payload")
        os.close(descriptor)
        # Its mode lets them, but one session writes.
        with self.assertRaises(attach_socket.Refused) as caught:
            reader.attach_arena(name, READ_WRITE)
        self.assertEqual(caught.exception.reason, "SEGMENT_RESERVED")
        for wrong, reason in (
                (PARENT + "/arenas/0", "NAME_INVALID"),
                (PARENT + "/arenas/01", "NAME_INVALID"),
                (PARENT + "/arenas/x", "NAME_INVALID"),
                (PARENT + "/segments/1", "NAME_INVALID"),
                ("", "NAME_INVALID"),
                (PARENT + "/arenas/999999", "SEGMENT_NOT_FOUND"),
                ("namespaces/none/arenas/1", "NAMESPACE_NOT_FOUND")):
            with self.subTest(wrong), \
                    self.assertRaises(attach_socket.Refused) as caught:
                reader.attach_arena(wrong)
            self.assertEqual(caught.exception.reason, reason)

    def test_the_mode_of_an_arena_says_who_reads(self):
        self.program().put("secret", b"secret")
        for method in ("GetObject", "ReadObject"):
            self.refused_with("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                              method, {"name": object_name("secret")},
                              uid=OTHER)
        self.refused_with(
            "PERMISSION_DENIED", "CALLER_NOT_ALLOWED", "BatchGetObjects",
            {"parent": PARENT, "names": [object_name("secret")]}, uid=OTHER)
        reader = Program(self, OTHER)
        with self.assertRaises(attach_socket.Refused) as caught:
            reader.attach_arena(PARENT + "/arenas/1")
        self.assertEqual(caught.exception.reason, "CALLER_NOT_ALLOWED")

    def test_an_object_is_replaced_by_whom_it_belongs_to(self):
        program = self.program(size_bytes=2 * PAGE)
        first = program.put("it", b"old")
        self.refused_with("ALREADY_EXISTS", "OBJECT_EXISTS", "CreateObject",
                          program.creation("it", b"new", offset=PAGE))
        second = program.put("it", b"new", offset=PAGE, replace=True)
        self.assertGreater(int(second["generation"]),
                           int(first["generation"]))
        self.assertEqual(self.read("it"), "new")
        other = self.program(OTHER)
        self.refused_with("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                          "CreateObject",
                          other.creation("it", b"x", replace=True), uid=OTHER)
        for generation, code, reason in (
                (first["generation"], "ABORTED", "ETAG_MISMATCH"),
                (0, "PERMISSION_DENIED", "CALLER_NOT_ALLOWED")):
            self.refused_with(code, reason, "DeleteObject",
                              {"name": object_name("it"),
                               "generation": generation},
                              uid=OTHER if generation == 0 else None)
        self.ok(OBJECTS + "DeleteObject", {
            "name": object_name("it"), "generation": second["generation"]})

    def test_an_object_ends_with_its_ttl(self):
        program = self.program()
        made = program.put("brief", b"x", ttl="0.05s")
        self.assertIn("expire_time", made)
        self.eventually_gone("brief")
        self.assertNotIn("expire_time", program.put("lasting", b"x"))

    def eventually_gone(self, object_id):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.shmd.call(OBJECTS + "GetObject", {
                "name": object_name(object_id)}).code == "OK":
            self.assertLess(time.monotonic(), deadline)

    def test_what_was_published_outlives_its_writer(self):
        program = self.program()
        program.put("left", b"behind")
        program.end()
        self.assertEqual(self.read("left"), "behind")

    def test_pages_list_each_object_once(self):
        program = self.program()
        self.ok(OBJECTS + "BatchCreateObjects", {
            "parent": PARENT,
            "requests": [program.creation("o%d" % i) for i in range(25)]})
        expected = {object_name("o%d" % i) for i in range(25)}
        for page_size in (1, 10, 24, 25, 26):
            found, token = [], ""
            for _ in itertools.count():
                reply = self.ok(OBJECTS + "ListObjects", {
                    "parent": PARENT, "page_size": page_size,
                    "page_token": token})
                self.assertLessEqual(len(reply["objects"]), page_size)
                found += [one["name"] for one in reply["objects"]]
                token = reply.get("next_page_token", "")
                if not token:
                    break
            self.assertEqual(len(found), 25)
            self.assertEqual(set(found), expected)

    def test_where_nothing_was_ever_put_nothing_is_found(self):
        self.assertEqual(self.ok(OBJECTS + "ListObjects", {"parent": PARENT}),
                         {})
        self.expect_no_object("x")
        request = {"parent": PARENT, "object_id": "x", "object": {"arena": 1}}
        self.refused_with("NOT_FOUND", "ARENA_NOT_FOUND", "CreateObject",
                          request)
        self.refused_with("NOT_FOUND", "ARENA_NOT_FOUND", "BatchCreateObjects",
                          {"parent": PARENT, "requests": [request]})


def opened_id(segments, kind):
    return next(one for one in segments if one.startswith("shmd.%s." % kind))


class WaitTest(ObjectCase):

    def wait_for(self, object_id, results):
        request = {"name": object_name(object_id), "wait": "50s"}
        outcome = self.shmd.call(OBJECTS + "GetObject", request)
        # A short wait of the test's own may have had the last place just then.
        while outcome.code == "RESOURCE_EXHAUSTED":
            outcome = self.shmd.call(OBJECTS + "GetObject", request)
        results.append(outcome)

    def test_a_wait_is_answered_by_a_later_create(self):
        program = self.program()
        results = []
        threads = [threading.Thread(target=self.wait_for, args=(one, results))
                   for one in ("late", "late", "never-mind")]
        for thread in threads:
            thread.start()
        program.put("other", b"x")
        late = program.put("late", b"at last", offset=8)
        never_mind = program.put("never-mind")
        for thread in threads:
            thread.join()
        self.assertEqual(
            sorted((one.code, one.reply.get("generation")) for one in results),
            sorted(("OK", one["generation"])
                   for one in (late, late, never_mind)))

    def test_one_user_cannot_take_all_waits(self):
        program = self.program(mode=0o644)
        results, waiting = [], []
        for _ in range(16):
            waiting.append(threading.Thread(target=self.wait_for,
                                            args=("late", results)))
            waiting[-1].start()
        request = {"name": object_name("never"), "wait": "0.001s"}
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (self.shmd.call(OBJECTS + "GetObject", request).code !=
               "RESOURCE_EXHAUSTED"):
            self.assertLess(time.monotonic(), deadline)
        self.refused_with("RESOURCE_EXHAUSTED", "WATCH_LIMIT_EXCEEDED",
                          "BatchGetObjects", {
                              "parent": PARENT, "wait": "1s",
                              "names": [object_name("never")]})
        # Others can, and what is there needs no wait.
        self.refused_with("NOT_FOUND", "OBJECT_NOT_FOUND", "GetObject",
                          request, uid=OTHER)
        program.put("there")
        self.ok(OBJECTS + "GetObject", {"name": object_name("there"),
                                        "wait": "1s"})
        program.put("late", b"x", offset=64)
        for thread in waiting:
            thread.join()
        self.assertEqual([one.code for one in results], ["OK"] * 16)
        self.refused_with("NOT_FOUND", "OBJECT_NOT_FOUND", "GetObject",
                          request)

    def test_a_wait_that_is_over_finds_nothing(self):
        for wait in ("0s", "0.01s"):
            self.refused_with("NOT_FOUND", "OBJECT_NOT_FOUND", "GetObject",
                              {"name": object_name("never"), "wait": wait})

    def test_a_wait_for_what_is_there_ends_at_once(self):
        made = self.program().put("there", b"x")
        found = self.ok(OBJECTS + "GetObject", {
            "name": object_name("there"), "wait": "3600s"})
        self.assertEqual(found["generation"], made["generation"])

    def test_a_wait_has_to_be_a_time(self):
        for wait in ("-1s", "3601s", "-0.5s"):
            self.refused_with("INVALID_ARGUMENT", "FIELD_INVALID", "GetObject",
                              {"name": object_name("x"), "wait": wait}, "wait")


class BatchTest(ObjectCase):

    def names(self, *ids):
        return {"parent": PARENT, "names": [object_name(one) for one in ids]}

    def test_members_are_answered_in_their_order(self):
        program = self.program()
        made = self.ok(OBJECTS + "BatchCreateObjects", {
            "parent": PARENT, "requests": [
                program.creation("b", b"bb", offset=16),
                {**program.creation("a", b"a"), "parent": ""}]})["objects"]
        self.assertEqual([one["name"] for one in made],
                         [object_name("b"), object_name("a")])
        found = self.ok(OBJECTS + "BatchGetObjects",
                        self.names("a", "b", "a"))["objects"]
        for one in found:
            self.assertTrue(one.pop("handle").startswith("shm1."), found)
        self.assertEqual(found, [made[1], made[0], made[1]])
        self.ok(OBJECTS + "BatchDeleteObjects", self.names("a", "b", "a"))
        self.assertEqual(self.listed(), [])

    def test_members_are_waited_for(self):
        program = self.program()
        program.put("there", b"x")
        names = self.names("there", "late")
        self.refused_with("NOT_FOUND", "OBJECT_NOT_FOUND", "BatchGetObjects",
                          {**names, "wait": "0.01s"})
        self.refused_with("INVALID_ARGUMENT", "FIELD_INVALID",
                          "BatchGetObjects", {**names, "wait": "3601s"})
        results = []
        waiting = threading.Thread(target=lambda: results.append(
            self.ok(OBJECTS + "BatchGetObjects", {
                **names, "wait": "%ds" % DEADLINE_SECONDS})))
        waiting.start()
        program.put("late", b"y", offset=64)
        waiting.join()
        self.assertEqual([one["name"] for one in results[0]["objects"]],
                         names["names"])

    def test_it_is_all_or_nothing(self):
        program = self.program()
        program.put("there", b"x")

        def create(*ids, **fields):
            return {"parent": PARENT, "requests": [
                program.creation(one, **fields) for one in ids]}

        for request, code, reason, index in (
                (create("a", "there"), "ALREADY_EXISTS", "OBJECT_EXISTS", "1"),
                (create("a", "a"), "ALREADY_EXISTS", "OBJECT_EXISTS", "1"),
                (create("a", "b", priority=256), "INVALID_ARGUMENT",
                 "FIELD_INVALID", "0"),
                (create("a", "b/c"), "INVALID_ARGUMENT", "OBJECT_ID_INVALID",
                 "1"),
                (create("a", "b", offset=PAGE + 8), "OUT_OF_RANGE",
                 "RANGE_OUTSIDE_SEGMENT", "0")):
            outcome = self.refused_with(code, reason, "BatchCreateObjects",
                                        request)
            self.assertEqual(outcome.metadata["index"], index, outcome)
        self.assertEqual([one["name"] for one in self.listed()],
                         [object_name("there")])
        for method in ("BatchGetObjects", "BatchDeleteObjects"):
            outcome = self.refused_with("NOT_FOUND", "OBJECT_NOT_FOUND",
                                        method, self.names("there", "gone"))
            self.assertEqual(outcome.metadata["index"], "1")
        self.get("there")

    def test_it_has_a_thousand_members_at_most(self):
        program = self.program()
        most = [program.creation("m%d" % i) for i in range(1000)]
        names = [one["object_id"] for one in most]
        for requests in ([], most + [program.creation("x")]):
            self.refused_with("INVALID_ARGUMENT", "BATCH_TOO_LARGE",
                              "BatchCreateObjects",
                              {"parent": PARENT, "requests": requests},
                              "requests")
        self.ok(OBJECTS + "BatchCreateObjects",
                {"parent": PARENT, "requests": most})
        for method in ("BatchGetObjects", "BatchDeleteObjects"):
            for ids in ([], names + ["m0"]):
                self.refused_with("INVALID_ARGUMENT", "BATCH_TOO_LARGE",
                                  method, self.names(*ids), "names")
            self.ok(OBJECTS + method, self.names(*names))
        self.assertEqual(self.listed(), [])

    def test_members_are_of_the_namespace_of_their_parent(self):
        program = self.program()
        wrong = {**program.creation("x"), "parent": "namespaces/other"}
        self.refused_with("INVALID_ARGUMENT", "NAME_INVALID",
                          "BatchCreateObjects",
                          {"parent": PARENT, "requests": [wrong]})
        for method in ("BatchGetObjects", "BatchDeleteObjects"):
            self.refused_with("INVALID_ARGUMENT", "NAME_INVALID", method, {
                "parent": PARENT, "names": ["namespaces/other/objects/x"]})


class RefusalTest(ObjectCase):

    def test_bad_fields_of_an_object(self):
        program = self.program()
        for field, value, reason in (
                ("offset_bytes", "4", "FIELD_INVALID"),
                ("offset_bytes", str(WRAP - 1), "FIELD_INVALID"),
                ("metadata_bytes", 65537, "FIELD_INVALID"),
                ("metadata_bytes", 2 ** 32 - 1, "FIELD_INVALID"),
                ("priority", 256, "FIELD_INVALID"),
                ("expire_time", "2100-01-01T00:00:00Z", "FIELD_INVALID"),
                ("ttl", "-1s", "FIELD_INVALID"),
                ("ttl", "-0.001s", "FIELD_INVALID"),
                ("ttl", "6311520001s", "FIELD_INVALID")):
            with self.subTest(field=field, value=value):
                request = program.creation("x")
                request["object"][field] = value
                self.refused_with("INVALID_ARGUMENT", reason, "CreateObject",
                                  request, "object." + field)
        self.assertEqual(self.listed(), [])

    def test_an_object_lies_within_its_arena(self):
        program = self.program()
        for offset, size, metadata in (
                (0, PAGE + 1, 0), (PAGE - 8, 9, 0), (PAGE + 8, 0, 0),
                (0, PAGE, 1), (0, PAGE - 7, 1), (0, 0, PAGE + 1),
                # What would wrap if it was added.
                (8, WRAP - 1, 0), (8, WRAP - 8, 0), (WRAP - 8, 8, 0),
                (WRAP - 8, 16, 0), (0, WRAP - 1, 1), (0, WRAP - 7, 8),
                (0, WRAP - 1, 65536), (WRAP - 8, WRAP - 1, 65536)):
            with self.subTest(offset=offset, size=size, metadata=metadata):
                request = program.creation("x")
                request["object"].update(
                    offset_bytes=str(offset), size_bytes=str(size),
                    metadata_bytes=metadata)
                self.refused_with("OUT_OF_RANGE", "RANGE_OUTSIDE_SEGMENT",
                                  "CreateObject", request)
        # To the last byte.
        for number, (offset, size, metadata) in enumerate((
                (0, PAGE, 0), (PAGE, 0, 0), (0, PAGE - 8, 8),
                (PAGE - 8, 1, 0))):
            request = program.creation("fits%d" % number)
            request["object"].update(
                offset_bytes=str(offset), size_bytes=str(size),
                metadata_bytes=metadata)
            self.ok(OBJECTS + "CreateObject", request)

    def test_bad_ids_and_names(self):
        program = self.program()
        for bad in ("", ".", "..", "a/b", "a b", "\u00e4", "x" * 65):
            with self.subTest(bad):
                self.refused_with("INVALID_ARGUMENT", "OBJECT_ID_INVALID",
                                  "CreateObject", program.creation(bad),
                                  "object_id")
                for method in ("GetObject", "DeleteObject", "ReadObject"):
                    self.refused_with("INVALID_ARGUMENT", "NAME_INVALID",
                                      method, {"name": object_name(bad)},
                                      "name")
        program.put("x" * 64)
        self.get("x" * 64)
        for method in ("CreateObject", "ListObjects", "OpenDirectory",
                       "CreateArena"):
            self.refused_with(
                "INVALID_ARGUMENT", "NAME_INVALID", method,
                {"parent": "default", **({"object_id": "x"} if
                                         method == "CreateObject" else {})},
                "parent")

    def test_pages_that_are_none(self):
        self.program().put("x")
        self.refused_with("INVALID_ARGUMENT", "PAGE_SIZE_INVALID",
                          "ListObjects", {"parent": PARENT, "page_size": -1},
                          "page_size")
        self.refused_with("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID",
                          "ListObjects",
                          {"parent": PARENT, "page_token": "AAAA"},
                          "page_token")

    def test_arenas_of_others_and_of_nobody(self):
        mine, others = self.program(), self.program(OTHER)
        request = mine.creation("x")
        request["object"]["arena"] = 999
        self.refused_with("NOT_FOUND", "ARENA_NOT_FOUND", "CreateObject",
                          request)
        self.refused_with("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                          "CreateObject", mine.creation("x"), uid=OTHER)
        # The session is the caller's own: nobody else's, not even for root.
        for method, more in (("CreateArena", {"arena": {"size_bytes": PAGE}}),
                             ("OpenDirectory", {})):
            for session, caller in ((mine.session, OTHER),
                                    (others.session, None),
                                    ("sessions/" + "0" * 32, None)):
                self.refused_with("NOT_FOUND", "SESSION_NOT_FOUND", method, {
                    "parent": PARENT, "session": session, **more}, uid=caller)
            self.refused_with("INVALID_ARGUMENT", "NAME_INVALID", method, {
                "parent": PARENT, "session": "x", **more}, "session")

    def test_a_directory_that_is_refused_is_not_left(self):
        # A directory of root's, which grpcurl is not.
        program = Program(self)
        self.refused_with("NOT_FOUND", "SESSION_NOT_FOUND", "OpenDirectory", {
            "parent": PARENT, "session": program.session})

    def test_bad_fields_of_an_arena(self):
        program = Program(self)
        huge = 2 << 20
        for arena, reason, field in (
                ({}, "SIZE_INVALID", "size_bytes"),
                ({"size_bytes": str(WRAP - 1)}, "SIZE_INVALID", "size_bytes"),
                ({"size_bytes": str(2 ** 46 + 1)}, "SIZE_INVALID",
                 "size_bytes"),
                ({"size_bytes": PAGE, "mode": 0o1600}, "MODE_INVALID", "mode"),
                ({"size_bytes": PAGE, "mode": 0o700}, "MODE_INVALID", "mode"),
                ({"size_bytes": PAGE, "page_size_bytes": 8192},
                 "PAGE_SIZE_MISMATCH", "page_size_bytes"),
                ({"size_bytes": PAGE, "page_size_bytes": huge},
                 "PAGE_SIZE_MISMATCH", "size_bytes")):
            with self.subTest(arena=arena):
                self.refused_with(
                    "INVALID_ARGUMENT", reason, "CreateArena",
                    {"parent": PARENT, "session": program.session,
                     "arena": arena}, "arena." + field)

    def test_namespaces_that_are_not_there_or_not_open(self):
        program = self.program()
        closed = self.fresh_id()
        self.ok("shmd.v1.NamespaceService/CreateNamespace", {
            "namespace_id": closed, "namespace": {"entrants": {"uids": [7]}}})
        self.addCleanup(self.ok, "shmd.v1.NamespaceService/DeleteNamespace",
                        {"name": "namespaces/" + closed})
        for space, caller in (("none", None), (closed, OTHER)):
            parent = "namespaces/" + space
            name = parent + "/objects/x"
            for method, request in (
                    ("OpenDirectory", {"parent": parent,
                                       "session": program.session}),
                    ("CreateArena", {"parent": parent,
                                     "session": program.session,
                                     "arena": {"size_bytes": PAGE}}),
                    ("CreateObject", {**program.creation("x"),
                                      "parent": parent}),
                    ("GetObject", {"name": name}),
                    ("GetObject", {"name": name, "wait": "9s"}),
                    ("ListObjects", {"parent": parent}),
                    ("DeleteObject", {"name": name}),
                    ("BatchGetObjects", {"parent": parent, "names": [name]}),
                    ("BatchDeleteObjects", {"parent": parent,
                                            "names": [name]}),
                    ("ReadObject", {"name": name})):
                self.refused_with("NOT_FOUND", "NAMESPACE_NOT_FOUND", method,
                                  request, uid=caller)
        # One namespace's arenas and objects are not another's.
        program.put("x", b"x")
        parent = "namespaces/" + closed
        self.refused_with("NOT_FOUND", "OBJECT_NOT_FOUND", "GetObject",
                          {"name": parent + "/objects/x"})
        self.refused_with("NOT_FOUND", "ARENA_NOT_FOUND", "CreateObject",
                          {**program.creation("y"), "parent": parent})

    def test_a_peek_is_small_and_within_the_object(self):
        size = 65536 + 8
        program = self.program(size_bytes=2 * 65536)
        program.put("big", b"x" * size)
        name = object_name("big")
        self.refused_with("INVALID_ARGUMENT", "PEEK_TOO_LARGE", "ReadObject",
                          {"name": name, "length_bytes": 65537})
        self.assertEqual(len(self.read("big")), 65536)
        self.assertEqual(self.read("big", offset_bytes=size - 3), "xxx")
        self.assertEqual(self.read("big", offset_bytes=size), "")
        # Never what lies behind it in its arena.
        for offset, length in ((size, 1), (size - 1, 2), (size + 1, 0),
                               (WRAP - 1, 2), (1, WRAP - 1)):
            self.refused_with(
                "OUT_OF_RANGE", "RANGE_OUTSIDE_SEGMENT", "ReadObject",
                {"name": name, "offset_bytes": str(offset),
                 "length_bytes": str(length)})


if __name__ == "__main__":
    unittest.main()
