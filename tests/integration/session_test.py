"""Sessions: who is listed with what, and what ends with them. By grpcurl and
by hand on the attach socket."""

import json
import os
import signal
import sys
import time
import unittest

import attach_socket
import isolation
import raw_grpc
from attach_socket import Connection
from daemon_case import DaemonCase, PARENT, name_of
from stubs import attach_pb2, segment_pb2

BACKENDS = ("MEMFD", "POSIX", "SYSV", "MAPPED_FILE")
SERVICE = "shmd.v1.SegmentService/"
GET = "shmd.v1.SessionService/GetSession"
LIST = "shmd.v1.SessionService/ListSessions"
OTHER = 1001
DEADLINE_SECONDS = 60


def create_owned(shmd, session, segment_id, backend, lifetime="SESSION"):
    """Creates a segment that ends with a session of this very process."""
    request = segment_pb2.CreateSegmentRequest(
        parent=PARENT, segment_id=segment_id)
    segment = request.segment
    segment.size_bytes = 4096
    segment.backend = segment_pb2.Segment.Backend.Value(backend)
    segment.lifetime = segment_pb2.Segment.Lifetime.Value(lifetime)
    segment.owner_session = session
    if backend == "MAPPED_FILE":
        segment.file_path = segment_id
    data = raw_grpc.ask(shmd.grpc_socket, SERVICE + "CreateSegment",
                        request.SerializeToString())
    if data is None:
        raise AssertionError("CreateSegment was refused")
    return segment_pb2.Segment.FromString(data)


def exists(shmd, name):
    request = segment_pb2.GetSegmentRequest(name=name)
    return raw_grpc.ask(shmd.grpc_socket, SERVICE + "GetSegment",
                        request.SerializeToString()) is not None


class Program:
    """A process with a session that owns one segment of each backend, until it
    is killed. `with_child` it has a child that keeps its socket open until
    close()."""

    def __init__(self, shmd, prefix, with_child=False):
        told, tell = os.pipe()
        hold, self._release = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self._release)
                with Connection(shmd.attach_socket) as connection:
                    self._run(shmd, connection, prefix, with_child, tell, hold)
            finally:
                os._exit(1)
        os.close(tell)
        os.close(hold)
        with os.fdopen(told) as pipe:
            said = json.loads(pipe.readline())
        self.session, self.names = said["session"], said["names"]

    @staticmethod
    def _run(shmd, connection, prefix, with_child, tell, hold):
        session = connection.hello().session
        names = []
        for backend in BACKENDS:
            made = create_owned(shmd, session, prefix + backend.lower(),
                                backend)
            connection.attach(made.handle_string)
            names.append(made.name)
        if not with_child or os.fork() != 0:
            os.write(tell, json.dumps(
                {"session": session, "names": names}).encode() + b"\n")
        os.close(tell)
        os.read(hold, 1)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def close(self):
        os.close(self._release)


class SessionTest(DaemonCase):

    def connect(self):
        connection = Connection(self.shmd.attach_socket)
        self.addCleanup(connection.socket.close)
        return connection

    def eventually(self, condition, what):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)

    def test_it_is_listed_with_what_it_holds(self):
        first = self.create(size_bytes=4096)
        second = self.create(size_bytes=8192)
        connection = self.connect()
        name = connection.hello().session
        for made, access in ((first, attach_socket.READ),
                             (second, attach_socket.READ_WRITE)):
            attachment, descriptor = connection.attach(made["handle_string"],
                                                       access)
            os.close(descriptor)
        found = self.ok(GET, {"name": name})
        with open("/proc/self/comm") as comm:
            command = comm.read().strip()
        self.assertEqual(
            (found["state"], found.get("uid", 0), found["pid"],
             found["command"], found["holding_count"], found["held_bytes"]),
            ("CONNECTED", 0, os.getpid(), command, "2", "12288"))
        self.assertEqual(
            [(one["segment"], one["access"], one["size_bytes"])
             for one in found["holdings"]],
            [(first["name"], "READ", "4096"),
             (second["name"], "READ_WRITE", "8192")])
        listed = self.ok(LIST, {"segment": second["name"]})["sessions"]
        self.assertEqual([one["name"] for one in listed], [name])
        connection.detach(attachment.attachment_id)
        self.eventually(
            lambda: self.ok(GET, {"name": name})["held_bytes"] == "4096",
            "the detach counts")

    def test_another_user_sees_nothing_of_it(self):
        name = self.connect().hello().session
        self.assertEqual(self.ok(LIST, {}, uid=OTHER), {})
        self.refused("NOT_FOUND", "SESSION_NOT_FOUND", GET, {"name": name},
                     uid=OTHER)

    def test_what_a_killed_program_owned_is_gone(self):
        program = Program(self.shmd, self.fresh_id())
        self.addCleanup(program.close)
        found = self.ok(GET, {"name": program.session})
        self.assertEqual((found["pid"], found["owned_segment_count"]),
                         (program.pid, "4"))
        began = time.monotonic()
        program.kill()
        for name in program.names:
            self.eventually(lambda: not exists(self.shmd, name), name)
        sys.stderr.write("4 segments were gone %.1f ms after the kill\n" %
                         ((time.monotonic() - began) * 1000))
        self.refused("NOT_FOUND", "SESSION_NOT_FOUND", GET,
                     {"name": program.session})

    def test_a_child_that_keeps_the_socket_open_keeps_no_session(self):
        program = Program(self.shmd, self.fresh_id(), with_child=True)
        self.addCleanup(program.close)
        program.kill()
        for name in program.names:
            self.eventually(lambda: not exists(self.shmd, name), name)
        self.refused("NOT_FOUND", "SESSION_NOT_FOUND", GET,
                     {"name": program.session})

    def test_sealed_work_of_a_program_stays(self):
        connection = self.connect()
        session = connection.hello().session
        names = []
        for _ in range(2):
            made = create_owned(self.shmd, session, self.fresh_id(), "MEMFD",
                                "SESSION_UNTIL_SEALED")
            names.append(made.name)
        self.addCleanup(self.remove, names[1])
        self.ok("SealSegment", {"name": names[1]})
        connection.socket.close()
        self.eventually(lambda: not exists(self.shmd, names[0]), "unsealed")
        self.assertTrue(exists(self.shmd, names[1]))

    def test_nobody_names_the_session_of_another_process(self):
        session = self.connect().hello().session
        segment = {"size_bytes": 4096, "lifetime": "SESSION"}
        for owner in (session, "sessions/" + "0" * 32):
            # grpcurl is a process of its own.
            self.refused("NOT_FOUND", "SESSION_NOT_FOUND", "CreateSegment", {
                "parent": PARENT,
                "segment": {**segment, "owner_session": owner}})

    def test_a_lease_is_renewed(self):
        made = self.create(ttl="60s")
        self.assertEqual(made["lease_ttl"], "60s")
        renewed = self.ok("RenewLease", {"name": made["name"]})
        self.assertGreater(renewed["expire_time"], made["expire_time"])
        longer = self.ok("RenewLease", {"name": made["name"], "ttl": "7200s"})
        self.assertEqual(longer["lease_ttl"], "7200s")
        self.assertGreater(longer["expire_time"], renewed["expire_time"])
        endless = self.create()
        self.refused("FAILED_PRECONDITION", "LEASE_MISSING", "RenewLease",
                     {"name": endless["name"]})
        self.refused("INVALID_ARGUMENT", "FIELD_INVALID", "RenewLease",
                     {"name": made["name"], "ttl": "0s"})
        self.refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED", "RenewLease",
                     {"name": made["name"]}, uid=OTHER)
        self.refused("NOT_FOUND", "SEGMENT_NOT_FOUND", "RenewLease",
                     {"name": name_of(self.fresh_id())})

    def test_it_is_resumed_by_its_token_and_user_alone(self):
        connection = self.connect()
        welcome = connection.hello()
        made = create_owned(self.shmd, welcome.session, self.fresh_id(),
                            "POSIX")
        self.shmd.kill()
        self.shmd.start()
        self.assertEqual(self.ok(GET, {"name": welcome.session})["state"],
                         "AWAITED")
        wrong = attach_pb2.Welcome(session=welcome.session,
                                   resume_token=b"\0" * 16)
        self.assertFalse(self.connect().hello(resume=wrong).resumed)
        self.assertFalse(isolation.run_as(
            OTHER, resumes, self.shmd.attach_socket,
            welcome.SerializeToString()))
        again = self.connect()
        resumed = again.hello(resume=welcome)
        self.assertTrue(resumed.resumed)
        self.assertEqual(resumed.session, welcome.session)
        self.assertTrue(exists(self.shmd, made.name))
        again.socket.close()
        self.eventually(lambda: not exists(self.shmd, made.name), "its end")


def resumes(path, welcome):
    with Connection(path) as connection:
        return connection.hello(
            resume=attach_pb2.Welcome.FromString(welcome)).resumed


if __name__ == "__main__":
    unittest.main()
