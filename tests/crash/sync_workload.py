"""The same care with primitives that stand alone: made and deleted, while the
daemon may die."""

import mmap
import os

from google.protobuf import empty_pb2

import workload
from attach_socket import READ_WRITE
from stubs import sync_pb2
from workload import PARENT, Refused

SYNC = "SyncService"
COUNT = 3


class SyncWorkload(workload.Workload):
    """`facts` has the ids of those that there are."""

    def __init__(self, shmd, heavy=False):
        super().__init__(shmd, "MEMFD", heavy)

    def name_of(self, primitive):
        return "%s/syncPrimitives/%s" % (PARENT, primitive)

    def make(self, primitive):
        again = self.doubt == ("made", primitive)
        self.doubt = ("made", primitive)
        request = sync_pb2.CreateSyncPrimitiveRequest(
            parent=PARENT, sync_primitive_id=primitive)
        request.sync_primitive.kind = sync_pb2.SyncPrimitive.SEMAPHORE
        request.sync_primitive.initial_count = COUNT
        try:
            self.call("CreateSyncPrimitive", request, sync_pb2.SyncPrimitive,
                      SYNC)
        except Refused as refused:
            if not again or refused.code != "ALREADY_EXISTS":
                raise
        self._check(primitive)
        self.facts[primitive] = True
        self.doubt = None

    def _check(self, primitive):
        """It is one, also if its creation was not answered."""
        found = self.call("GetSyncPrimitive", sync_pb2.GetSyncPrimitiveRequest(
            name=self.name_of(primitive)), sync_pb2.SyncPrimitive, SYNC)
        with self._attach_errors():
            attachment, descriptor = self.connection.attach(found.handle,
                                                            READ_WRITE)
            self.connection.detach(attachment.attachment_id)
        try:
            with mmap.mmap(descriptor, attachment.size_bytes) as memory:
                head, count = (int.from_bytes(memory[at:at + 4], "little")
                               for at in (0, 4))
        finally:
            os.close(descriptor)
        if not head or count != COUNT:
            raise RuntimeError("%s is none: %x %d" % (primitive, head, count))

    def drop(self, primitive):
        again = self.doubt == ("gone", primitive)
        self.doubt = ("gone", primitive)
        try:
            self.call("DeleteSyncPrimitive",
                      sync_pb2.DeleteSyncPrimitiveRequest(
                          name=self.name_of(primitive)), empty_pb2.Empty, SYNC)
        except Refused as refused:
            if not again or refused.code != "NOT_FOUND":
                raise
        del self.facts[primitive]
        self.doubt = None

    def _listed_primitives(self):
        return {one.name.split("/")[-1] for one in self.call(
            "ListSyncPrimitives", sync_pb2.ListSyncPrimitivesRequest(
                parent=PARENT), sync_pb2.ListSyncPrimitivesResponse,
            SYNC).sync_primitives}

    def verify(self):
        """All that was acknowledged is there, and nothing else."""
        found = self._listed_primitives()
        in_doubt = set(self.doubt[1:]) if self.doubt else set()
        assert found - in_doubt == set(self.facts) - in_doubt, found
        for primitive in found - in_doubt:
            self._check(primitive)

    def steps(self):
        yield self.greet
        for primitive in ("a", "b"):
            yield lambda primitive=primitive: self.make(primitive)
        yield self.verify
        for primitive in ("a", "b"):
            yield lambda primitive=primitive: self.drop(primitive)
        yield self.leave
