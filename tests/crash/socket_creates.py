"""Segments that a careful program makes, and deletes, on its session's
connection."""

import attach_socket
from stubs import segment_pb2

PARENT = "namespaces/default"
PAGE = 4096


class SocketCreates:
    """Steps of workload.Workload."""

    @property
    def is_short(self):
        """Whether attach.sock makes what it makes: no mapped files, and few
        reserved pages."""
        return self.backend != "MAPPED_FILE" and self.page == PAGE

    def create_by_socket(self, segment_id, **fields):
        """As create() by a call."""
        self.doubt = ("made", segment_id)
        before = self.listed().get(segment_id)
        with self._attach_errors():
            made = self.connection.create(self._creation(segment_id, fields))
        self._learn(segment_id, made, before)

    def create_alike(self, count):
        """So many of one request, on the session's connection."""
        self.doubt = ("alike", count)
        before = self._alike(self.listed())
        request = self._creation("alike", {})
        request.segment_id = ""
        with self._attach_errors():
            made = self.connection.create_batch(
                segment_pb2.BatchCreateSegmentsRequest(
                    parent=PARENT, requests=[request], count=count,
                    view=segment_pb2.HANDLE))
        self.alike = [attach_socket.uid_of(handle) for handle in made]
        assert len(self.alike) == count
        assert before in (set(), set(self.alike)), "made twice"
        found = self.listed()
        for segment_id in self.alike:
            self.facts[segment_id] = self._facts_of(found[segment_id])
        self._made["alike"] += 1

    def remove_by_socket(self, segment_id):
        """As remove() by a call."""
        def ask(name):
            with self._attach_errors():
                self.connection.delete(name)
        self._remove(segment_id, ask)

    def remove_alike(self):
        self.remove_batch(*self.alike)

    def _alike(self, found):
        return {segment_id for segment_id, one in found.items()
                if one.labels["of"] == "alike"}
