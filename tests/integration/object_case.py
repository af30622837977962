"""The base of tests of objects: sessions of this process that write arenas."""

import base64
import os

import attach_socket
import raw_grpc
from attach_socket import READ_WRITE
from daemon_case import DaemonCase, PARENT
from stubs import object_pb2

OBJECTS = "shmd.v1.ObjectService/"
OTHER = 1001
PAGE = 4096
WRAP = 2 ** 64
DEADLINE_SECONDS = 60


def object_name(object_id):
    return "%s/objects/%s" % (PARENT, object_id)


def text_of(reply):
    """`data` of a reply, as text."""
    return base64.b64decode(reply.get("data", "")).decode()


class Program(attach_socket.Connection):
    """A session of this process, with an arena to write when one is made."""

    def __init__(self, case, uid=None):
        if uid is not None:
            os.setegid(uid)
            os.seteuid(uid)
        try:
            super().__init__(case.shmd.attach_socket)
        finally:
            os.seteuid(0)
            os.setegid(0)
        self.case, self.uid = case, uid
        case.addCleanup(self.end)
        self.session = self.hello().session

    def end(self):
        self.socket.close()

    def open_directory(self):
        """As only the session's own process can."""
        request = object_pb2.OpenDirectoryRequest(parent=PARENT,
                                                  session=self.session)
        data = raw_grpc.ask(self.case.shmd.grpc_socket,
                            OBJECTS + "OpenDirectory",
                            request.SerializeToString())
        return object_pb2.Directory.FromString(data)

    def make_arena(self, size_bytes=PAGE, **fields):
        self.arena = self.case.ok(OBJECTS + "CreateArena", {
            "parent": PARENT, "session": self.session,
            "arena": {"size_bytes": size_bytes, **fields}}, uid=self.uid)
        return self.arena

    def write(self, offset, data):
        """By a mapping of the descriptor that the arena's handle is redeemed
        for."""
        attachment, descriptor = self.attach(self.arena["handle"], READ_WRITE)
        try:
            with attach_socket.map_descriptor(
                    descriptor, int(self.arena["size_bytes"]), True) as memory:
                memory[offset:offset + len(data)] = data
        finally:
            os.close(descriptor)
        self.detach(attachment.attachment_id)

    def creation(self, object_id, data=b"", offset=0, replace=False, **fields):
        """The request; `data` is written first."""
        if data:
            self.write(offset, data)
        return {"parent": PARENT, "object_id": object_id,
                "replace_existing": replace,
                "object": {"arena": self.arena["number"],
                           "offset_bytes": str(offset),
                           "size_bytes": str(len(data)), **fields}}

    def put(self, object_id, data=b"", **fields):
        return self.case.ok(OBJECTS + "CreateObject",
                            self.creation(object_id, data, **fields),
                            uid=self.uid)


class ObjectCase(DaemonCase):

    def program(self, uid=None, size_bytes=PAGE, **arena):
        program = Program(self, uid)
        program.make_arena(size_bytes, **arena)
        # What is left of an arena is its objects.
        self.addCleanup(self.remove_objects)
        return program

    def remove_objects(self):
        names = [one["name"] for one in self.listed(page_size=1000)]
        if names:
            self.ok(OBJECTS + "BatchDeleteObjects",
                    {"parent": PARENT, "names": names})

    def listed(self, **request):
        return self.ok(OBJECTS + "ListObjects",
                       {"parent": PARENT, **request}).get("objects", [])

    def get(self, object_id, **arguments):
        return self.ok(OBJECTS + "GetObject", {"name": object_name(object_id)},
                       **arguments)

    def read(self, object_id, uid=None, **request):
        return text_of(self.ok(OBJECTS + "ReadObject", {
            "name": object_name(object_id), **request}, uid=uid))

    def refused_with(self, code, reason, method, request, field=None, **rest):
        outcome = self.refused(code, reason, OBJECTS + method, request, **rest)
        if field is not None:
            self.assertEqual(outcome.fields, [field], outcome)
        return outcome

    def expect_no_object(self, object_id):
        self.refused_with("NOT_FOUND", "OBJECT_NOT_FOUND", "GetObject",
                          {"name": object_name(object_id)})
