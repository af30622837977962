"""Segments that are made by one exchange on the attach socket, and many of one
request."""

import os
import time
import unittest

import attach_socket
from attach_socket import Connection, READ_WRITE, Refused
from daemon_case import DaemonCase, PARENT
from stubs import segment_pb2

Segment = segment_pb2.Segment
BASIC = segment_pb2.BASIC
HANDLE = segment_pb2.HANDLE
DEADLINE_SECONDS = 30
BAD = "INVALID_ARGUMENT"


def creation(backend="MEMFD", size=4096, **fields):
    request = segment_pb2.CreateSegmentRequest(parent=PARENT)
    request.segment.size_bytes = size
    request.segment.backend = Segment.Backend.Value(backend)
    for field, value in fields.items():
        setattr(request.segment, field, value)
    return request


def batch(count, request=None, **fields):
    return segment_pb2.BatchCreateSegmentsRequest(
        parent=PARENT, requests=[request or creation()], count=count,
        **{"view": HANDLE, **fields})


class AttachCreateTest(DaemonCase):

    def connect(self):
        connection = Connection(self.shmd.attach_socket)
        self.addCleanup(connection.socket.close)
        return connection

    def expect_refused(self, code, reason, call, *arguments):
        with self.assertRaises(Refused) as raised:
            call(*arguments)
        self.assertEqual((raised.exception.code, raised.exception.reason),
                         (code, reason))
        return raised.exception

    def remove(self, *names):
        self.ok("BatchDeleteSegments", {
            "parent": PARENT, "names": names, "force": True})

    def name_of(self, handle):
        return "%s/segments/%s" % (PARENT, attach_socket.uid_of(handle))

    def test_it_is_the_segment_that_the_call_makes(self):
        program = self.connect()
        for backend in ("MEMFD", "POSIX", "SYSV"):
            with self.subTest(backend):
                request = creation(backend)
                made = program.create(request)
                self.addCleanup(self.remove, made.name)
                got = self.ok("GetSegment",
                              {"name": made.name, "view": "BASIC"})
                self.assertEqual(got["uid"], made.uid)
                self.assertEqual(got["handle_string"], made.handle_string)
                self.assertEqual(int(got["size_bytes"]), made.size_bytes)
                self.assertEqual(got["backend"], backend)
                attachment, descriptor = program.attach(made.handle_string,
                                                        READ_WRITE)
                self.assertEqual(attachment.name, made.name)
                if descriptor is not None:
                    self.assertEqual(os.pwrite(descriptor, b"there", 0), 5)
                    os.close(descriptor)
                    self.assertEqual(self.peek(made.name, 5), b"there")

    def peek(self, name, length):
        with Connection(self.shmd.attach_socket) as other:
            handle = self.ok("CreateHandle", {"name": name})["handle_string"]
            _, descriptor = other.attach(handle)
            try:
                return os.pread(descriptor, length, 0)
            finally:
                os.close(descriptor)

    def test_the_view_is_the_request_s(self):
        program = self.connect()
        request = creation()
        request.view = HANDLE
        made = program.create(request)
        self.addCleanup(self.remove, self.name_of(made.handle_string))
        self.assertEqual([field.name for field, _ in made.ListFields()],
                         ["handle_string"])
        got = self.ok("GetSegment", {
            "name": self.name_of(made.handle_string), "view": "HANDLE"})
        self.assertEqual(got, {"handle_string": made.handle_string})

    def test_a_request_id_is_known_by_both_ways(self):
        program, other = self.connect(), self.connect()
        request = creation()
        request.request_id = self.fresh_id()
        made = program.create(request)
        self.addCleanup(self.remove, made.name)
        self.assertEqual(other.create(request).uid, made.uid)
        again = self.ok("CreateSegment", {
            "parent": PARENT, "request_id": request.request_id,
            "segment": {"size_bytes": 4096, "backend": "MEMFD"}})
        self.assertEqual(again["uid"], made.uid)
        request.segment.size_bytes = 8192
        self.expect_refused(BAD, "REQUEST_ID_REUSED", program.create, request)

    def test_a_session_s_segment_is_this_session_s(self):
        program = self.connect()
        session = program.hello().session
        request = creation(lifetime=Segment.SESSION)
        made = program.create(request)
        self.assertEqual(made.owner_session, session)
        alike = program.create_batch(batch(3, request))
        names = [made.name] + [self.name_of(handle) for handle in alike]
        for name in names:
            self.assertEqual(
                self.ok("GetSegment", {"name": name})["owner_session"],
                session)
        # Another's cannot be named.
        other = self.connect()
        other.hello()
        request.segment.owner_session = "sessions/" + "0" * 32
        self.expect_refused("NOT_FOUND", "SESSION_NOT_FOUND", other.create,
                            request)
        program.socket.close()
        for name in names:
            self.await_gone(name)

    def await_gone(self, name):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.shmd.call("GetSegment", {"name": name}).code != "NOT_FOUND":
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)

    def test_deletes_what_was_detached_before(self):
        program = self.connect()
        for backend in ("MEMFD", "POSIX", "SYSV"):
            with self.subTest(backend):
                made = program.create(creation(backend))
                attachment, descriptor = program.attach(made.handle_string)
                if descriptor is not None:
                    os.close(descriptor)
                self.expect_refused(
                    "FAILED_PRECONDITION", "SEGMENT_IN_USE", program.delete,
                    made.name)
                program.detach(attachment.attachment_id)
                program.delete(made.name)
                self.expect_refused("NOT_FOUND", "SEGMENT_NOT_FOUND",
                                    program.delete, made.name)

    def test_what_takes_long_to_delete_must_be_let(self):
        program = self.connect()
        for fields in ({"backend": "MAPPED_FILE", "file_path": "slow"},
                       {"size_bytes": (1 << 20) + 1}):
            with self.subTest(**fields):
                made = self.ok("CreateSegment", {"parent": PARENT, "segment": {
                    "size_bytes": 4096, **fields}})
                self.expect_refused(BAD, "REQUEST_INVALID", program.delete,
                                    made["name"])
                program.delete(made["name"], may_take_long=True)
                self.refused("NOT_FOUND", "SEGMENT_NOT_FOUND", "GetSegment",
                             {"name": made["name"]})

    def test_many_of_one_request(self):
        program = self.connect()
        for count in (1, 15, 16, 1000):
            with self.subTest(count):
                request = creation()
                request.segment.labels["of"] = "many"
                made = program.create_batch(batch(count, request))
                self.assertEqual(len(made), count)
                names = [self.name_of(handle) for handle in made]
                self.assertEqual(len(set(names)), count)
                got = self.ok("BatchGetSegments", {
                    "parent": PARENT, "names": names, "view": "BASIC"})
                self.assertEqual({one["labels"]["of"]
                                  for one in got["segments"]}, {"many"})
                _, descriptor = program.attach(made[-1])
                self.assertEqual(os.fstat(descriptor).st_size, 4096)
                os.close(descriptor)
                self.remove(*names)

    def test_many_are_repeated_under_their_request_id(self):
        program, other = self.connect(), self.connect()
        request = creation()
        request.request_id = self.fresh_id()
        made = program.create_batch(batch(20, request))
        self.addCleanup(lambda: self.remove(
            *[self.name_of(handle) for handle in made]))
        self.assertEqual(other.create_batch(batch(20, request)), made)
        # More or less of it is another request, and so is one of it; one of
        # them that is gone is told as such.
        for count in (19, 21):
            self.expect_refused(BAD, "REQUEST_ID_REUSED", other.create_batch,
                                batch(count, request))
        self.expect_refused(BAD, "REQUEST_ID_REUSED", other.create, request)
        self.remove(self.name_of(made[7]))
        self.expect_refused("NOT_FOUND", "SEGMENT_NOT_FOUND",
                            other.create_batch, batch(20, request))
        del made[7]

    def test_the_call_makes_many_too(self):
        made = self.ok("BatchCreateSegments", {
            "parent": PARENT, "count": 5, "view": "IDENTITY",
            "requests": [{"segment": {"size_bytes": 1}}]})["segments"]
        self.addCleanup(self.remove, *[one["name"] for one in made])
        self.assertEqual(len({one["uid"] for one in made}), 5)
        brief = self.ok("BatchCreateSegments", {
            "parent": PARENT, "count": 5, "view": "HANDLE",
            "requests": [{"segment": {"size_bytes": 1}}]})
        self.assertEqual(list(brief), ["handle_strings"])
        names = [self.name_of(handle) for handle in brief["handle_strings"]]
        self.addCleanup(self.remove, *names)
        self.assertEqual(len(set(names)), 5)
        for request in (
                {"count": 2, "requests": []},
                {"count": 2, "requests": [{"segment": {"size_bytes": 1}}] * 2},
                {"count": 1001, "requests": [{"segment": {"size_bytes": 1}}]},
                {"count": -1, "requests": [{"segment": {"size_bytes": 1}}]},
                {"count": 2, "requests": [
                    {"segment_id": "one", "segment": {"size_bytes": 1}}]},
                {"count": 2, "requests": [{"segment": {
                    "size_bytes": 1, "backend": "POSIX",
                    "posix_name": "/one"}}]},
                {"count": 2, "requests": [{"segment": {
                    "size_bytes": 1, "backend": "SYSV", "sysv_key": 7}}]},
                {"count": 2, "requests": [{"segment": {
                    "size_bytes": 1, "backend": "MAPPED_FILE",
                    "file_path": "one"}}]}):
            with self.subTest(request):
                outcome = self.shmd.call("BatchCreateSegments",
                                         {"parent": PARENT, **request})
                self.assertEqual(outcome.code, BAD, outcome)
                self.assertIn(outcome.reason,
                              ("FIELD_INVALID", "BATCH_TOO_LARGE"))

    def test_what_takes_long_must_be_let(self):
        program = self.connect()
        mib = 1 << 20
        reserved = Segment.RESERVED
        for request in (
                creation("MAPPED_FILE", file_path=self.fresh_id()),
                creation("POSIX", mib + 1),
                creation("MEMFD", mib + 1, allocation=reserved),
                creation("MEMFD", mib + 1, populate=True),
                creation("SYSV", mib + 1, allocation=reserved)):
            with self.subTest(request):
                self.expect_refused(BAD, "REQUEST_INVALID", program.create,
                                    request)
                made = program.create(request, may_take_long=True)
                self.assertEqual(int(made.size_bytes),
                                 request.segment.size_bytes)
                attachment, descriptor = program.attach(made.handle_string)
                if descriptor is not None:
                    os.close(descriptor)
                program.detach(attachment.attachment_id)
                program.delete(made.name, may_take_long=True)
        many = batch(257, creation(allocation=reserved))
        self.expect_refused(BAD, "REQUEST_INVALID", program.create_batch, many)
        made = program.create_batch(many, may_take_long=True)
        self.remove(*[self.name_of(handle) for handle in made])
        for request in (creation("MEMFD", 1 << 30), creation("SYSV", 1 << 30),
                        creation("POSIX", mib)):
            with self.subTest(request):
                self.remove(program.create(request).name)

    def test_what_is_refused_leaves_nothing(self):
        program = self.connect()
        self.expect_refused(BAD, "SIZE_INVALID", program.create,
                            creation(size=0))
        request = creation()
        request.parent = "namespaces/../x"
        self.expect_refused(BAD, "NAME_INVALID", program.create, request)
        request.parent = "namespaces/absent"
        self.expect_refused("NOT_FOUND", "NAMESPACE_NOT_FOUND", program.create,
                            request)
        self.expect_refused(BAD, "REQUEST_INVALID", program.create_batch,
                            batch(3, view=BASIC))
        self.expect_refused(BAD, "BATCH_TOO_LARGE", program.create_batch,
                            batch(1001))
        self.expect_refused(
            "RESOURCE_EXHAUSTED", "BUDGET_EXCEEDED", program.create_batch,
            batch(1000, creation(size=1 << 40)))
        # The connection goes on.
        made = program.create(creation())
        self.remove(made.name)


if __name__ == "__main__":
    unittest.main()
