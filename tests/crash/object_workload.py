"""The same care with objects: put, replace, delete and expire, by call and by
the ring, while the daemon may die."""

import contextlib
import os
import select
import socket
import struct
import time

from google.protobuf import empty_pb2

import attach_socket
import workload
from stubs import namespace_pb2, object_pb2, segment_pb2
from workload import (DEADLINE_SECONDS, NAMESPACES, PARENT, Died,
                       Refused)

OBJECTS = "ObjectService"
PUBLISH, DELETE, MAKE_ROOM = 1, 2, 4
REPLACE_EXISTING = 1

# shm/layout/session_layout.h, in words of 8 bytes
_SUBMITTED, _READ, _LOST_BEFORE, _PRODUCED = 8, 16, 3, 8
# In bytes, and how many.
_SUBMISSIONS, _RING = 4096, 256
_ANSWERS, _ANSWER_RING = 4096, 1024


class Ring:
    """The rings of one session, on the side of the program. They outlive the
    daemon."""

    def __init__(self, page, answers):
        self._page, self._answers = page, answers
        # Its words are read and written whole; pack_into() clears first, and
        # the daemon would see a counter go back.
        self._page_words = memoryview(page).cast("Q")
        self._answers_words = memoryview(answers).cast("Q")
        self._cookie = 0

    def close(self):
        for view in (self._page_words, self._answers_words):
            view.release()
        self._page.close()
        self._answers.close()

    def submit(self, kind, object_id, arena, offset, size, flags):
        """Returns the submission's number, and its cookie."""
        self._cookie += 1
        number = self._page_words[_SUBMITTED]
        name = object_id.encode()
        struct.pack_into(
            "<IIQIIQQQII64sQ", self._page,
            _SUBMISSIONS + 128 * (number % _RING), kind, flags, self._cookie,
            arena, 0, offset, size, 0, len(name), 0, name, 0)
        self._page_words[_SUBMITTED] = number + 1
        return number, self._cookie

    def answer(self, cookie):
        """The code of the answer to `cookie`, or None as long as there is
        none. All others are read and dropped."""
        read = self._page_words[_READ]
        code = None
        while code is None and read < self._answers_words[_PRODUCED]:
            kind, result, of, _, _, _ = struct.unpack_from(
                "<IIQQII", self._answers,
                _ANSWERS + 32 * (read % _ANSWER_RING))
            read += 1
            self._page_words[_READ] = read
            if kind == 1 and of == cookie:
                code = result
        return code

    def is_lost(self, number):
        """Whether a daemon that died has taken it and not answered."""
        return number < self._answers_words[_LOST_BEFORE]


class ObjectWorkload(workload.Workload):
    """`facts` are the payloads of the objects, by id."""

    ARENA_BYTES = 16384

    def __init__(self, shmd, heavy=False):
        super().__init__(shmd, "MEMFD", heavy)
        self.ring = self.arena = self.memory = None
        self._used = self._last_arena = 0

    def close(self):
        super().close()
        if self.ring is not None:
            self.ring.close()
            self.ring = None
        if self.memory is not None:
            self.memory.close()
            self.memory = None

    # --- taking part

    def _map(self, handle, size, access):
        with self._attach_errors():
            _, descriptor = self.connection.attach(handle, access)
        try:
            return attach_socket.map_descriptor(
                descriptor, size, access == attach_socket.READ_WRITE)
        finally:
            os.close(descriptor)

    def open(self):
        opened = self.call(
            "OpenDirectory", object_pb2.OpenDirectoryRequest(
                parent=PARENT, session=self.session.session),
            object_pb2.Directory, OBJECTS)
        page = self._map(opened.session_page_handle, 167936,
                         attach_socket.READ_WRITE)
        self.ring = Ring(page, self._map(opened.answers_handle, 36864,
                                         attach_socket.READ))

    def _create_arena(self, session):
        """Numbers are never used again: somebody may have one mapped."""
        request = object_pb2.CreateArenaRequest(parent=PARENT, session=session)
        request.arena.size_bytes = self.ARENA_BYTES
        made = self.call("CreateArena", request, object_pb2.Arena, OBJECTS)
        assert made.number > self._last_arena, "a number was used again"
        self._last_arena = made.number
        return made

    def make_arena(self):
        """One that was made without an answer goes with the session."""
        made = self._create_arena(self.session.session)
        memory = self._map(made.handle, self.ARENA_BYTES,
                           attach_socket.READ_WRITE)
        if self.memory is not None:
            self.memory.close()
        self.arena, self.memory = made.number, memory

    def lose_arena(self):
        """Another session's, which goes with it."""
        with self._attach_errors(), self.connect() as other:
            self._create_arena(other.hello().session)

    def _place(self, payload):
        """No byte is used twice."""
        offset, self._used = self._used, self._used + len(payload) + 7 & ~7
        self.memory[offset:offset + len(payload)] = payload
        return offset

    # --- by calls

    def name_of(self, object_id):
        return "%s/objects/%s" % (PARENT, object_id)

    def _begin(self, object_id, payload):
        """Returns whether it is the repetition of what was not answered."""
        doubt, self.doubt = self.doubt, ("object", object_id, payload)
        return doubt == self.doubt

    def _end(self):
        _, object_id, payload = self.doubt
        self.facts.pop(object_id, None)
        if payload is not None:
            self.facts[object_id] = payload
        self.doubt = None

    def put(self, object_id, payload, ttl_ms=0):
        again = self._begin(object_id, payload)
        request = object_pb2.CreateObjectRequest(
            parent=PARENT, object_id=object_id,
            replace_existing=object_id in self.facts)
        request.object.arena = self.arena
        request.object.size_bytes = len(payload)
        request.object.offset_bytes = self._place(payload)
        if ttl_ms:
            request.object.ttl.nanos = ttl_ms * 1000000
        try:
            self.call("CreateObject", request, object_pb2.Object, OBJECTS)
        except Refused as refused:
            if not again or refused.code != "ALREADY_EXISTS":
                raise
        self._end()

    def remove_object(self, object_id):
        again = self._begin(object_id, None)
        try:
            self.call("DeleteObject", object_pb2.DeleteObjectRequest(
                name=self.name_of(object_id)), empty_pb2.Empty, OBJECTS)
        except Refused as refused:
            if not again or refused.code != "NOT_FOUND":
                raise
        self._end()

    def expire(self, object_id, payload):
        self.put(object_id, payload, ttl_ms=20)
        self.doubt = ("object", object_id, None)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while object_id in self.listed_objects():
            assert time.monotonic() < deadline, "it does not expire"
            time.sleep(0.002)
        self._end()

    # --- by the ring

    def put_by_ring(self, object_id, payload):
        self._begin(object_id, payload)
        self._run(PUBLISH, object_id, self._place(payload), len(payload),
                  REPLACE_EXISTING)
        self._end()

    def remove_by_ring(self, object_id):
        again = self._begin(object_id, None)
        try:
            self._run(DELETE, object_id)
        except Refused as refused:
            if not again or refused.code != "NOT_FOUND":
                raise
        self._end()

    def _run(self, kind, object_id, offset=0, size=0, flags=0):
        number, cookie = self.ring.submit(kind, object_id, self.arena, offset,
                                          size, flags)
        with self._attach_errors():
            self.connection.wake()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            code = self.ring.answer(cookie)
            if code == 0:
                return
            if code is not None:
                raise Refused("ring", code)
            if self._is_hung_up() or self.ring.is_lost(number):
                raise Died("ring")
            assert time.monotonic() < deadline, "the ring is not served"
            time.sleep(0.0005)

    def _is_hung_up(self):
        ready, _, _ = select.select([self.connection.socket], [], [], 0)
        try:
            return bool(ready) and not self.connection.socket.recv(
                1, socket.MSG_PEEK)
        except ConnectionResetError:
            return True

    # --- when memory is full

    def set_when_full(self, policy):
        """Twice is as good as once."""
        request = namespace_pb2.UpdateNamespaceRequest()
        request.namespace.name = PARENT
        request.namespace.when_full = (
            namespace_pb2.Namespace.WhenFull.Value(policy))
        self.call("UpdateNamespace", request, namespace_pb2.Namespace,
                  NAMESPACES)

    def lease(self, object_id):
        self.call("LeaseObject", object_pb2.LeaseObjectRequest(
            name=self.name_of(object_id), ttl={"seconds": 3600}),
            object_pb2.Object, OBJECTS)

    def _make_room(self, size):
        """False when nothing can go."""
        request = object_pb2.MakeRoomRequest(
            parent=PARENT, session=self.session.session, size_bytes=size)
        try:
            self.call("MakeRoom", request, object_pb2.MakeRoomResponse,
                      OBJECTS)
        except Refused as refused:
            if refused.code != "RESOURCE_EXHAUSTED":
                raise
            return False
        return True

    def spill(self, *object_ids):
        """All that lies in an arena of the session's; they stay objects."""
        while self._make_room(1):
            pass
        self._expect_spilled(object_ids)

    def spill_by_ring(self, *object_ids):
        while True:
            try:
                self._run(MAKE_ROOM, "", size=1)
            except Refused as refused:
                if refused.code != "RESOURCE_EXHAUSTED":
                    raise
                break
        self._expect_spilled(object_ids)

    def _expect_spilled(self, object_ids):
        found = {one.name.split("/")[-1] for one in self._listed()
                 if one.spilled}
        assert found == set(object_ids), found

    def evict(self, object_id):
        """The only one that can go."""
        again = self._begin(object_id, None)
        assert self._make_room(1) or again, "nothing can go"
        assert object_id not in self.listed_objects()
        self._end()

    def expect_no_files(self):
        """They go with the last object in them."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while os.listdir(self.shmd.file_root):
            self.sessions()  # so that a death is noticed
            assert time.monotonic() < deadline, "files are left"
            time.sleep(0.005)

    # --- the account

    def arenas_of(self, pid):
        """Ids of the segments that a program's objects lie in."""
        names = {one.name for one in self.sessions().sessions
                 if one.pid == pid}
        return [segment_id for segment_id, one in self.listed().items()
                if segment_id.startswith("shmd.arena.") and
                one.owner_session in names]

    def resident_bytes(self, segment_id):
        return self.call(
            "GetSegment",
            segment_pb2.GetSegmentRequest(name=self.name(segment_id)),
            segment_pb2.Segment).status.resident_bytes

    def _listed(self):
        return self.call("ListObjects", object_pb2.ListObjectsRequest(
            parent=PARENT), object_pb2.ListObjectsResponse, OBJECTS).objects

    def listed_objects(self):
        return {one.name.split("/")[-1] for one in self._listed()}

    def _payload(self, object_id):
        return self.call("ReadObject", object_pb2.ReadObjectRequest(
            name=self.name_of(object_id)), object_pb2.ReadObjectResponse,
                         OBJECTS).data

    def verify(self):
        """All that was acknowledged is there as it was, and nothing else."""
        doubted, asked = None, None
        if self.doubt is not None and self.doubt[0] == "object":
            _, doubted, asked = self.doubt
        found = self.listed_objects() - {doubted}
        expected = set(self.facts) - {doubted}
        assert found == expected, "%s, not %s" % (found, expected)
        for object_id in expected:
            assert self._payload(object_id) == self.facts[object_id]
        with contextlib.suppress(Refused):  # there may be none
            assert self._payload(doubted or "none") in (
                asked, self.facts.get(doubted)), doubted

    def _leave_for_good(self):
        """The session ends; what it has published stays."""
        self.ending = True
        self.close()
        self.expect_no_sessions()
        self.session = None

    def expect_nothing(self):
        """Arena and directory go with the last object."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.objects():
            self.sessions()  # so that a death is noticed
            assert time.monotonic() < deadline, "memfds are left"
            time.sleep(0.005)

    def steps(self):
        yield self.greet
        yield self.open
        yield self.make_arena
        yield self.lose_arena
        yield lambda: self.put("called", b"by a call")
        yield lambda: self.put_by_ring("rung", b"by the ring")
        yield lambda: self.put("called", b"by another call")
        yield lambda: self.put_by_ring("rung", b"by the ring, again")
        yield lambda: self.put("brief", b"soon gone")
        yield lambda: self.remove_object("brief")
        yield lambda: self.put_by_ring("brief", b"soon gone")
        yield lambda: self.remove_by_ring("brief")
        yield lambda: self.expire("mortal", b"at its time")
        yield self.make_arena
        yield lambda: self.put("later", b"in another arena")
        yield lambda: self.remove_object("later")
        yield lambda: self.set_when_full("EVICT")
        yield lambda: self.lease("called")
        yield lambda: self.lease("rung")
        yield lambda: self.put("cold", b"to be evicted")
        yield lambda: self.evict("cold")
        yield lambda: self.put("called", b"without a lease")
        yield lambda: self.put_by_ring("rung", b"without one too")
        yield lambda: self.set_when_full("SPILL")
        yield lambda: self.spill("called", "rung")
        yield lambda: self.put("warm", b"after the others")
        yield lambda: self.spill_by_ring("called", "rung", "warm")
        yield lambda: self.remove_object("warm")
        yield lambda: self.set_when_full("REFUSE")
        yield self._leave_for_good
        yield lambda: self.remove_object("called")
        yield lambda: self.remove_object("rung")
        yield self.expect_nothing
        yield self.expect_no_files
