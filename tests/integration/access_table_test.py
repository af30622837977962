"""The access table of docs/security_model.md, cell by cell: every call, made
by every identity, for every backend. The daemon runs as root, and once more
under a uid of its own."""

import itertools
import os
import re
import unittest

import access_calls
import attach_socket
import channel_case
import daemon
import isolation
import raw_grpc
import sysv
from daemon_case import DaemonCase, PARENT, name_of
from stubs import (channel_pb2, namespace_pb2, object_pb2, segment_pb2,
                   sync_pb2)

OWN, OTHER, ADMINISTRATOR, DAEMON = 4001, 4002, 4003, 4004

# Column of the table: the caller, and the mode of the subject.
COLUMNS = {
    "own uid": (OWN, 0o600),
    "other uid": (OTHER, 0o600),
    "other, 0666": (OTHER, 0o666),
    "administrator": (ADMINISTRATOR, 0o600),
    "root": (0, 0o600),
}

BACKENDS = ("memfd", "posix", "sysv", "mapped_file")

CELLS = {
    "denied": ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED"),
    "absent": ("NOT_FOUND", "SESSION_NOT_FOUND"),
}

# As "absent" reads for a namespace.
NO_NAMESPACE = ("NOT_FOUND", "NAMESPACE_NOT_FOUND")

SERVICE = "shmd.v1.SegmentService/"
OBJECTS = "shmd.v1.ObjectService/"
CHANNELS = "shmd.v1.ChannelService/"
NAMESPACES = "shmd.v1.NamespaceService/"


class Row:
    """One row: `key` is (call, of), `cells` by column."""

    def __init__(self, line):
        call, of, *cells, backends = [
            cell.strip() for cell in line.strip("|\n").split("|")]
        self.key = (call, of)
        self.cells = dict(zip(COLUMNS, cells, strict=True))
        self.backends = BACKENDS
        self.unable, self.refusal = (), None
        rule, _, names = backends.partition(": ")
        if rule == "only":
            self.backends = names.split(", ")
        elif rule:
            self.unable = names.split(", ")
            self.refusal = tuple(rule.split(" "))


def read_table():
    path = os.path.join(os.environ["SHMD_SOURCES"], "docs/security_model.md")
    with open(path) as page:
        table = re.search(r"<!-- access table -->\n(.*)\n"
                          r"<!-- end of the access table -->", page.read(),
                          re.DOTALL).group(1)
    header, _, *lines = table.strip().split("\n")
    titles = [title.strip() for title in header.strip("|").split("|")]
    if titles != ["call", "of", *COLUMNS, "backends"]:
        raise ValueError(titles)
    return [Row(line) for line in lines]


class Subject:
    """What a call is about: a segment that belongs to OWN, and on demand what
    hangs on it. A context manager that leaves nothing behind."""

    _numbers = itertools.count(1)

    def __init__(self, shmd, backend, mode, uid):
        self.shmd, self.backend, self.mode = shmd, backend, mode
        self.id = "subject-%d-%d" % (os.getpid(), next(self._numbers))
        self.caller, self.own_uid, self.new_owner = uid, OWN, OTHER
        self._undo = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for undo in reversed(self._undo):
            undo()

    def on_exit(self, undo):
        self._undo.append(undo)

    def fields(self, segment_id):
        """The `segment` of a request to create one like this."""
        fields = {"size_bytes": 4096, "backend": self.backend.upper(),
                  "mode": self.mode, "resizable": self.backend != "sysv"}
        if self.backend == "mapped_file":
            fields["file_path"] = segment_id
        return fields

    def remove_later(self, segment_id):
        request = segment_pb2.DeleteSegmentRequest(name=name_of(segment_id),
                                                   force=True)
        self.on_exit(lambda: raw_grpc.ask(
            self.shmd.grpc_socket, SERVICE + "DeleteSegment",
            request.SerializeToString()))

    def segment(self, **more):
        """Makes the segment, with further fields; returns it."""
        segment = self._create(more)
        # What is left of it after DisownSegment.
        if self.backend == "sysv":
            shmid = segment.status.sysv_id
            self._undo.insert(0, lambda: shmid in sysv.read_table()
                              and sysv.remove(shmid))
        elif self.backend != "memfd":
            path = ("/dev/shm" + segment.posix_name
                    if self.backend == "posix"
                    else os.path.join(self.shmd.file_root, self.id))
            self._undo.insert(0, lambda: os.path.exists(path)
                              and os.unlink(path))
        return segment

    def _create(self, more):
        request = segment_pb2.CreateSegmentRequest(parent=PARENT,
                                                   segment_id=self.id)
        kind = segment_pb2.Segment.Backend.Value(self.backend.upper())
        fields = dict(self.fields(self.id), backend=kind, owner=OWN, group=OWN,
                      **more)
        for field, value in fields.items():
            setattr(request.segment, field, value)
        self.remove_later(self.id)
        reply = raw_grpc.ask(self.shmd.grpc_socket, SERVICE + "CreateSegment",
                             request.SerializeToString())
        if reply is None:
            raise AssertionError("no %s segment was made" % self.backend)
        return segment_pb2.Segment.FromString(reply)

    def foreign_object(self):
        """An object of OWN's that shmd does not know: the fields that name it
        in AdoptSegment, and its orphan's name."""
        if self.backend == "sysv":
            shmid = isolation.run_as(OWN, sysv.get, 0, 4096,
                                     sysv.IPC_CREAT | self.mode)
            self.on_exit(lambda: shmid in sysv.read_table()
                         and sysv.remove(shmid))
            return {"sysv_id": shmid}, "orphans/sysv-%d" % shmid
        root = ("/dev/shm" if self.backend == "posix"
                else self.shmd.file_root)
        path = os.path.join(root, self.id)
        with open(path, "xb") as file:
            os.posix_fallocate(file.fileno(), 0, 4096)
            os.fchown(file.fileno(), OWN, OWN)
            os.fchmod(file.fileno(), self.mode)
            inode = os.fstat(file.fileno()).st_ino
        self.on_exit(lambda: os.path.exists(path) and os.unlink(path))
        if self.backend == "posix":
            return {"posix_name": "/" + self.id}, "orphans/posix-%d" % inode
        return {"file_path": self.id}, None

    def name_space(self):
        """A namespace that OWN may enter; returns its name."""
        self.remove_namespace_later()
        made = self.shmd.call("shmd.v1.NamespaceService/CreateNamespace",
                              {"namespace_id": self.id,
                               "namespace": {"entrants": {"uids": [OWN]}}})
        return made.reply["name"]

    def remove_namespace_later(self):
        self.on_exit(lambda: self.shmd.call(
            "shmd.v1.NamespaceService/DeleteNamespace",
            {"name": "namespaces/" + self.id}))

    def _as_own(self, function, *arguments):
        """In this very process, where run_as() makes another."""
        os.setegid(OWN)
        os.seteuid(OWN)
        try:
            return function(*arguments)
        finally:
            os.seteuid(0)
            os.setegid(0)

    def session(self):
        """A session of OWN's; returns its name."""
        connection = self._as_own(attach_socket.Connection,
                                  self.shmd.attach_socket)
        self.on_exit(connection.socket.close)
        return connection.hello().session

    def opened_session(self):
        """One that has opened the directory; returns its name."""
        request = object_pb2.OpenDirectoryRequest(parent=PARENT,
                                                  session=self.session())
        self._ask_as_own("OpenDirectory", request)
        return request.session

    def opened_sync_session(self):
        """One that has its page for locks; returns its name."""
        request = sync_pb2.OpenSyncPageRequest(parent=PARENT,
                                               session=self.session())
        self._ask_as_own("OpenSyncPage", request,
                         "shmd.v1.SyncService/")
        return request.session

    def _ask_as_own(self, method, request, service=OBJECTS):
        code, reply, details = self._as_own(
            raw_grpc.ask_for_details, self.shmd.grpc_socket, service + method,
            request.SerializeToString())
        if code != 0:
            raise AssertionError("%s was refused: %d, %r"
                                 % (method, code, details))
        return reply

    def published_object(self):
        """Makes an object of OWN's in an arena of the mode, self.arena, which
        self.writer may write; returns its name."""
        creation = object_pb2.CreateArenaRequest(parent=PARENT,
                                                 session=self.session())
        creation.arena.size_bytes = 4096
        creation.arena.mode = self.mode
        arena = object_pb2.Arena.FromString(
            self._ask_as_own("CreateArena", creation))
        self.arena, self.writer = arena.number, creation.session
        request = object_pb2.CreateObjectRequest(parent=PARENT,
                                                 object_id=self.id)
        request.object.arena = self.arena
        request.object.size_bytes = 8
        made = object_pb2.Object.FromString(
            self._ask_as_own("CreateObject", request))
        for name in (made.name, made.name + "-made"):
            deletion = object_pb2.DeleteObjectRequest(name=name)
            self.on_exit(lambda deletion=deletion: raw_grpc.ask(
                self.shmd.grpc_socket, OBJECTS + "DeleteObject",
                deletion.SerializeToString()))
        return made.name

    def channel(self):
        """Makes a channel of OWN's with the mode; returns its name."""
        request = channel_pb2.CreateChannelRequest(parent=PARENT,
                                                   channel_id=self.id)
        request.channel.mode = self.mode
        request.channel.slots, request.channel.payload_bytes = 2, 4096
        name = "%s/channels/%s" % (PARENT, self.id)
        self.remove_channel_later(name)
        self._as_own(raw_grpc.ask, self.shmd.grpc_socket,
                     CHANNELS + "CreateChannel", request.SerializeToString())
        return name

    def channel_member(self, kind):
        """A Publisher or Subscriber of OWN's in such a channel."""
        name = self.channel()
        program = channel_case.Program(self.shmd, OWN)
        self.on_exit(program.end)
        return program.publish(name) if kind == "Publisher" else (
            program.subscribe(name))

    def remove_channel_later(self, name):
        request = channel_pb2.DeleteChannelRequest(name=name, force=True)
        self.on_exit(lambda: raw_grpc.ask(
            self.shmd.grpc_socket, CHANNELS + "DeleteChannel",
            request.SerializeToString()))

    def evict_when_full(self):
        """Until the end, in the namespace."""
        for policy in ("EVICT", "REFUSE"):
            request = namespace_pb2.UpdateNamespaceRequest()
            request.namespace.name = PARENT
            request.namespace.when_full = (
                namespace_pb2.Namespace.WhenFull.Value(policy))
            def update(request=request):
                raw_grpc.ask(self.shmd.grpc_socket, NAMESPACES +
                             "UpdateNamespace", request.SerializeToString())
            if policy == "EVICT":
                update()
            else:
                self.on_exit(update)

    def secrets(self):
        """What no stranger may be told."""
        others = [] if self.caller == OWN else [str(OWN)]
        return others + [self.id, "/dev/shm", self.shmd.folder, "/proc",
                         str(self.shmd.pid), str(os.getpid())]


class AccessTableTest(DaemonCase):

    FLAGS = ("--admin_uid=%d" % ADMINISTRATOR, "--orphan_age_seconds=0")

    def expect_cell(self, shmd, row, backend, column, uid=None):
        """Makes the call of one cell and compares."""
        caller, mode = COLUMNS[column]
        caller = caller if uid is None else uid
        wanted = row.cells[column]
        with self.subTest(call=row.key, backend=backend, caller=column), \
                Subject(shmd, backend, mode, caller) as subject:
            outcome, shown = access_calls.CALLS[row.key](subject)
            result = (outcome.code, outcome.reason)
            if wanted in ("OK", "unseen"):
                if backend in row.unable:
                    self.assertEqual(result, row.refusal, outcome)
                    return
                self.assertEqual(result, ("OK", ""), outcome)
                self.assertEqual(shown, wanted == "OK")
                return
            if wanted == "absent" and row.key[0].startswith("Namespace"):
                # Its name is the caller's own word.
                self.assertEqual(result, NO_NAMESPACE, outcome)
                return
            self.assertEqual(result, CELLS[wanted], outcome)
            told = outcome.message + str(outcome.metadata)
            for secret in subject.secrets():
                # A short number may stand by chance in the random digits of
                # a session's name; alone it tells something.
                self.assertNotRegex(
                    told, r"(?<![0-9a-z])%s(?![0-9a-z])" % re.escape(secret))

    def test_every_cell(self):
        for row in read_table():
            for backend in row.backends:
                for column in COLUMNS:
                    self.expect_cell(self.shmd, row, backend, column)

    def test_every_cell_of_a_daemon_that_is_not_root(self):
        # Objects with an owner in the kernel, other users' at that, are
        # beyond such a daemon.
        shmd = daemon.Daemon(*self.FLAGS, uid=DAEMON)
        self.addCleanup(shmd.close)
        for row in read_table():
            if "memfd" not in row.backends:
                continue
            for column in COLUMNS:
                self.expect_cell(shmd, row, "memfd", column)
            self.expect_cell(shmd, row, "memfd", "administrator", uid=DAEMON)

    def test_every_row_is_driven(self):
        self.assertEqual(sorted(row.key for row in read_table()),
                         sorted(access_calls.CALLS))

    def test_every_call_that_is_served_has_a_row(self):
        rows = {row.key[0] for row in read_table()}
        served = set()
        for service in self.shmd.grpcurl.plain("list").split():
            for method in self.shmd.grpcurl.plain("list", service).split():
                served.add(".".join(method.split(".")[-2:]))
        self.assertIn("SegmentService.CreateSegment", served)
        self.assertEqual(served - rows, set())
        self.assertEqual({row for row in rows - served
                          if not row.startswith("attach socket: ")}, set())


if __name__ == "__main__":
    unittest.main()
