"""The same care with primitives and the locks of sessions, while the daemon may
die."""

import os
import struct
import time

from google.protobuf import empty_pb2

import attach_socket
import workload
from attach_socket import READ_WRITE
from stubs import sync_pb2
from workload import DEADLINE_SECONDS, PARENT, Refused

SYNC = "SyncService"

# shm/layout/sync_layout.h
_SLOTS = 4096
_MUTEX, _HOLDING = 1, 2
_MUTEX_HEAD = 0x59530000 | _MUTEX << 8 | 1
_TORN = 1 << 30


class SyncWorkload(workload.Workload):
    """`facts` has the ids of the mutexes that were made."""

    def __init__(self, shmd, heavy=False):
        super().__init__(shmd, "MEMFD", heavy)
        self.page = None
        self._locks = {}  # (generation, mapping) by id

    def close(self):
        super().close()
        if self.page is not None:
            self.page.close()
            self.page = None

    def name_of(self, primitive_id):
        return "%s/syncPrimitives/%s" % (PARENT, primitive_id)

    # --- primitives that stand alone

    def make(self, primitive_id):
        again = self.doubt == ("primitive", primitive_id)
        self.doubt = ("primitive", primitive_id)
        request = sync_pb2.CreateSyncPrimitiveRequest(
            parent=PARENT, sync_primitive_id=primitive_id)
        request.sync_primitive.kind = _MUTEX
        try:
            self.call("CreateSyncPrimitive", request, sync_pb2.SyncPrimitive,
                      SYNC)
        except Refused as refused:
            if not again or refused.code != "ALREADY_EXISTS":
                raise
        self.facts[primitive_id] = None
        self.doubt = None

    def check(self, primitive_id):
        """It is one, also if its creation was not answered."""
        attachment, memory = self._map(self.find(primitive_id).handle)
        with memory:
            head, = struct.unpack_from("<I", memory, 0)
        with self._attach_errors():
            self.connection.detach(attachment.attachment_id)
        if head != _MUTEX_HEAD:
            raise RuntimeError("%s is none: %x" % (primitive_id, head))

    def drop(self, primitive_id):
        again = self.doubt == ("primitive", primitive_id)
        self.doubt = ("primitive", primitive_id)
        try:
            self.call("DeleteSyncPrimitive",
                      sync_pb2.DeleteSyncPrimitiveRequest(
                          name=self.name_of(primitive_id)),
                      empty_pb2.Empty, SYNC)
        except Refused as refused:
            if not again or refused.code != "NOT_FOUND":
                raise
        del self.facts[primitive_id]
        self.doubt = None

    def find(self, primitive_id):
        return self.call("GetSyncPrimitive", sync_pb2.GetSyncPrimitiveRequest(
            name=self.name_of(primitive_id)), sync_pb2.SyncPrimitive, SYNC)

    def listed_primitives(self):
        return {one.name.split("/")[-1] for one in self.call(
            "ListSyncPrimitives",
            sync_pb2.ListSyncPrimitivesRequest(parent=PARENT),
            sync_pb2.ListSyncPrimitivesResponse, SYNC).sync_primitives}

    # --- locks

    def open_page(self):
        opened = self.call("OpenSyncPage", sync_pb2.OpenSyncPageRequest(
            parent=PARENT, session=self.session.session), sync_pb2.SyncPage,
            SYNC)
        _, page = self._map(opened.handle)
        if self.page is not None:
            self.page.close()
        self.locker, self.page = opened.locker, page

    def open_lock(self, primitive_id):
        """What this session is to lock."""
        attachment, memory = self._map(self.find(primitive_id).handle)
        self._locks[primitive_id] = attachment.generation, memory

    def _map(self, handle):
        """(Attachment, mapping)"""
        with self._attach_errors():
            attachment, descriptor = self.connection.attach(handle, READ_WRITE)
        try:
            return attachment, attach_socket.map_descriptor(
                descriptor, attachment.size_bytes, True)
        finally:
            os.close(descriptor)

    def lock(self, primitive_id):
        """As the layout says, and its page tells of it."""
        generation, memory = self._locks[primitive_id]
        struct.pack_into("<III", memory, 0, _MUTEX_HEAD, self.locker, 0)
        struct.pack_into("<QQIIIIQI", self.page, _SLOTS, generation, 0,
                         _HOLDING, _MUTEX, 7, 0, 1, 0)

    def is_torn(self, primitive_id):
        """Whether it was taken away from its owner."""
        return struct.unpack_from("<I", self._locks[primitive_id][1],
                                  4)[0] == _TORN

    def list_locks(self, primitive_id):
        self.call("ListLocks", sync_pb2.ListLocksRequest(
            parent=self.name_of(primitive_id)), sync_pb2.ListLocksResponse,
            SYNC)

    def break_lock(self, primitive_id):
        again = self.doubt == ("lock", primitive_id)
        self.doubt = ("lock", primitive_id)
        try:
            self.call("BreakLock", sync_pb2.BreakLockRequest(
                name=self.name_of(primitive_id)), empty_pb2.Empty, SYNC)
        except Refused as refused:
            if not again or not self.is_torn(primitive_id):
                raise
        assert self.is_torn(primitive_id), "it is held"
        self.doubt = None

    def die_and_await(self, primitive_id):
        """Hangs up with the lock held: the daemon lets go of it."""
        self.hang_up()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not self.is_torn(primitive_id):
            assert time.monotonic() < deadline, "the dead hold it"
            time.sleep(0.002)

    # --- the account

    def verify(self):
        doubted = {self.doubt[1]} if (
            self.doubt and self.doubt[0] == "primitive") else set()
        found = self.listed_primitives()
        assert found - doubted == set(self.facts) - doubted, (
            "%s, not %s" % (found, set(self.facts)))
        if not doubted:
            self._await_memfds(len(self.facts) + (self.page is not None))

    def _await_memfds(self, expected):
        """Of primitives and of the page of the session, if it has one."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.objects() != expected:
            self.sessions()  # so that a death is noticed
            assert time.monotonic() < deadline, (
                "%d memfds, not %d" % (self.objects(), expected))
            time.sleep(0.005)

    # --- while the daemon may die

    def steps(self):
        yield self.greet
        for primitive_id in ("a", "b"):
            yield lambda primitive_id=primitive_id: self.make(primitive_id)
            yield lambda primitive_id=primitive_id: self.check(primitive_id)
        yield self.verify
        for primitive_id in ("a", "b"):
            yield lambda primitive_id=primitive_id: self.drop(primitive_id)
        yield self.hang_up
