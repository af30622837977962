"""Every call of the API, for nth_failure_test: what it takes to make each again
and again, and what is to be undone after it."""

import os
import time

from google.protobuf import empty_pb2

import channel_workload
import object_workload
import sync_workload
import workload
from channel_workload import PUBLISHER, QUEUE, SUBSCRIBER
from stubs import (channel_pb2, namespace_pb2, node_pb2, object_pb2,
                   session_pb2)
from workload import DEADLINE_SECONDS, PARENT, Refused

OBJECTS = object_workload.OBJECTS
NODES = "NodeService"


# Calls that look at all processes of the host: a sample of failures will do.
SCANS = ("users", "list orphans", "delete orphan")


def nothing():
    pass


class Calls:
    """Calls on one daemon; their account is in `work`."""

    def __init__(self, work):
        self.work = work
        self._turn = 0

    def advance(self):
        """Another argument for the next call and its repetition."""
        self._turn += 1

    def warm_up(self):
        """What the daemon makes on its first call stays."""
        self.work.listed()

    def set_up(self):
        """What the calls need."""
        self.work.greet()

    def greet_again(self):
        """The same in another session, where it was the session's."""
        self.work.hang_up()
        self.work.greet()

    def calls(self):
        """(name, what comes before, what to call, what undoes it)"""
        raise NotImplementedError

    def tear_down(self):
        """Nothing is left."""
        raise NotImplementedError


class SegmentCalls(Calls):
    """With segments of one backend; those that are the same for all with one of
    them."""

    def __init__(self, shmd, backend):
        super().__init__(workload.Workload(shmd, backend))

    def set_up(self):
        super().set_up()
        self.work.create("a")
        self.work.create("b")

    def tear_down(self):
        for segment_id in ("a", "b"):
            self._remove_when_free(segment_id)
        self.work.hang_up()

    def _remove_when_free(self, segment_id):
        # An attachment whose answer could not be sent ends with its session,
        # which the daemon comes to when it does.
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                return self.work.remove(segment_id)
            except Refused as refused:
                if (refused.reason != "SEGMENT_IN_USE" or
                        time.monotonic() > deadline):
                    raise
                time.sleep(0.01)

    def calls(self):
        work = self.work
        yield "create", nothing, lambda: work.create("n"), (
            lambda: work.remove("n"))
        if work.is_short:
            yield "create by socket", nothing, (
                lambda: work.create_by_socket("n")), lambda: work.remove("n")
            yield "create alike", nothing, lambda: work.create_alike(3), (
                work.remove_alike)
        yield "delete", lambda: work.create("n"), lambda: work.remove("n"), (
            nothing)
        if work.is_short:
            yield "delete by socket", lambda: work.create("n"), (
                lambda: work.remove_by_socket("n")), nothing
        yield "batch create", nothing, lambda: work.create_batch("x", "y"), (
            lambda: work.remove_batch("x", "y"))
        yield "batch get", nothing, lambda: work.get_batch("a", "b"), nothing
        yield "batch delete", lambda: work.create_batch("x", "y"), (
            lambda: work.remove_batch("x", "y")), nothing
        yield "list", nothing, work.listed, nothing
        yield "get", nothing, lambda: work.get("a"), nothing
        yield "handle", nothing, lambda: work.make_handle("a"), nothing
        yield "update", self.advance, (
            lambda: work.update("a", {"n": str(self._turn)})), nothing
        yield "mode", self.advance, lambda: work.update(
            "a", {}, mode=0o600 | self._turn % 2 << 5), nothing
        yield "renew", nothing, lambda: work.renew("a"), nothing
        yield "flush", nothing, lambda: work.flush("a"), nothing
        yield "watch", nothing, work.watch, nothing
        yield "attach", nothing, lambda: work.write("a"), nothing
        yield "grant", nothing, lambda: work.grant("a"), (
            lambda: work.revoke("a"))
        yield "revoke", lambda: work.grant("a"), lambda: work.revoke("a"), (
            nothing)
        yield "hello", nothing, lambda: (work.hang_up(), work.greet()), nothing
        yield "sessions", nothing, work.sessions, nothing
        yield "peek", nothing, lambda: work.peek("a"), nothing
        yield "poke", self.advance, lambda: work.poke("a", self._turn), nothing
        yield "users", nothing, lambda: self._users("a"), nothing
        yield from self._calls_of_backend()

    def _calls_of_backend(self):
        work, backend = self.work, self.work.backend
        if backend != "SYSV":
            size = work.facts["a"]["size_bytes"]
            yield "grow", self.advance, (
                lambda: work.resize("a", size + 4096 * self._turn)), nothing
        if backend in ("POSIX", "MAPPED_FILE"):
            yield "shrink", (
                lambda: work.resize("a", 3 * 4096)), (
                    lambda: work.resize("a", 2 * 4096)), nothing
        if backend == "MEMFD":
            yield "seal", lambda: work.create("s"), lambda: work.seal("s"), (
                lambda: work.remove("s"))
            yield from self._calls_of_namespaces()
            yield from self._calls_of_the_daemon()
            return
        yield "disown", lambda: work.create("d"), lambda: work.disown("d"), (
            work.drop_disowned)
        yield "adopt", lambda: work.make_object("e"), (
            lambda: work.adopt("e")), lambda: (
                work.remove("e", "DisownSegment"), work.drop_object("e"))
        if backend == "POSIX":
            yield "list orphans", nothing, work.orphans, nothing
            yield "delete orphan", lambda: work.make_object("o"), (
                lambda: work.remove_orphan("o")), nothing

    def _calls_of_namespaces(self):
        work = self.work
        yield "make namespace", nothing, lambda: work.make_space("n"), (
            lambda: work.remove_space("n"))
        yield "remove namespace", lambda: work.make_space("n"), (
            lambda: work.remove_space("n")), nothing
        work.make_space("m")
        yield "change namespace", self.advance, (
            lambda: work.change_space("m", self._turn)), nothing
        yield "list namespaces", nothing, work.listed_spaces, nothing
        yield "get namespace", nothing, self._get_namespace, nothing
        work.remove_space("m")

    def _calls_of_the_daemon(self):
        yield "node", nothing, self._get_node, nothing
        yield "get session", nothing, self._get_session, nothing
        yield "attach by message", nothing, self._attach_message, nothing
        yield "health", nothing, lambda: self.work.call_bytes(
            "grpc.health.v1.Health/Check", b""), nothing
        yield "watch health", nothing, lambda: self.work.stream(
            "grpc.health.v1.Health/Watch", empty_pb2.Empty(),
            lambda _: True), nothing
        # `list_services`
        yield "reflection", nothing, lambda: self.work.call_bytes(
            "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            b"\x3a\x00"), nothing

    def _users(self, segment_id):
        self.work.call("ListSegmentUsers", session_pb2.ListSegmentUsersRequest(
            name=self.work.name(segment_id)),
            session_pb2.ListSegmentUsersResponse, workload.SESSIONS)

    def _get_namespace(self):
        found = self.work.call(
            "GetNamespace", namespace_pb2.GetNamespaceRequest(
                name="namespaces/m"), namespace_pb2.Namespace,
            workload.NAMESPACES)
        assert found.quota.segments == self.work.spaces["m"], found

    def _get_node(self):
        self.work.call("GetNode", node_pb2.GetNodeRequest(), node_pb2.Node,
                       NODES)

    def _get_session(self):
        name = self.work.session.session
        found = self.work.call(
            "GetSession", session_pb2.GetSessionRequest(name=name),
            session_pb2.Session, workload.SESSIONS)
        assert found.name == name and found.pid == os.getpid(), found

    def _attach_message(self):
        self.work.attach_message("a")


class ObjectWork(object_workload.ObjectWorkload):
    """With the calls that a kill takes for granted."""

    ARENA_BYTES = 1 << 20

    def make_arena(self):
        super().make_arena()
        self._used = 0

    def forget_numbers(self):
        """Another directory counts anew."""
        self._last_arena = 0

    def create_batch(self, objects):
        """{id: payload}; none of them exists."""
        again = self.doubt == ("objects", objects)
        self.doubt = ("objects", objects)
        request = object_pb2.BatchCreateObjectsRequest(parent=PARENT)
        for object_id, payload in objects.items():
            one = request.requests.add(parent=PARENT, object_id=object_id)
            one.object.arena = self.arena
            one.object.size_bytes = len(payload)
            one.object.offset_bytes = self._place(payload)
        try:
            self.call("BatchCreateObjects", request,
                      object_pb2.BatchCreateObjectsResponse, OBJECTS)
        except Refused as refused:
            if not again or refused.code != "ALREADY_EXISTS":
                raise
        self.facts.update(objects)
        self.doubt = None

    def remove_batch(self, objects):
        again = self.doubt == ("objects", objects)
        self.doubt = ("objects", objects)
        try:
            self.call("BatchDeleteObjects",
                      object_pb2.BatchDeleteObjectsRequest(
                          parent=PARENT, names=map(self.name_of, objects)),
                      empty_pb2.Empty, OBJECTS)
        except Refused as refused:
            if not again or refused.code != "NOT_FOUND":
                raise
        for object_id in objects:
            del self.facts[object_id]
        self.doubt = None

    def get_batch(self, *object_ids):
        self.call("BatchGetObjects", object_pb2.BatchGetObjectsRequest(
            parent=PARENT, names=map(self.name_of, object_ids)),
            object_pb2.BatchGetObjectsResponse, OBJECTS)

    def get_object(self, object_id):
        found = self.call("GetObject", object_pb2.GetObjectRequest(
            name=self.name_of(object_id)), object_pb2.Object, OBJECTS)
        assert found.size_bytes == len(self.facts[object_id])

    def read(self, object_id):
        assert self._payload(object_id) == self.facts[object_id]

    def watch_objects(self):
        self.stream(
            "shmd.v1.ObjectService/WatchObjects",
            object_pb2.WatchObjectsRequest(parent=PARENT),
            lambda data: object_pb2.WatchObjectsResponse.FromString(
                data).type == object_pb2.WatchObjectsResponse.SYNCED)

    def make_room(self, object_id):
        """The only one that can go, goes. It lies in an arena of this session's:
        that of an earlier one only goes whole."""
        again = self.doubt == ("object", object_id, None)
        if again:
            self.put(object_id, b"again")
        self._begin(object_id, None)
        request = object_pb2.MakeRoomRequest(
            parent=PARENT, session=self.session.session, size_bytes=1)
        self.call("MakeRoom", request, object_pb2.MakeRoomResponse, OBJECTS)
        self._end()

    def attach_arena(self):
        with self._attach_errors():
            granted, descriptor = self.connection.attach_arena(
                "%s/arenas/%d" % (PARENT, self.arena))
            os.close(descriptor)
            self.connection.detach(granted.attachment_id)

    def verify(self):
        """Batches are made and deleted whole or not at all."""
        if self.doubt is None or self.doubt[0] != "objects":
            return super().verify()
        objects, found = self.doubt[1], self.listed_objects()
        assert found & set(objects) in (set(), set(objects)), found
        assert found - set(objects) == set(self.facts) - set(objects), found

    def end_for_good(self):
        self._leave_for_good()
        self.expect_nothing()


class ObjectCalls(Calls):
    """Objects, by call and by the ring."""

    PAIR = {"x": b"one of two", "y": b"the other"}

    def __init__(self, shmd):
        super().__init__(ObjectWork(shmd))

    def warm_up(self):
        """The first session starts what serves rings."""
        self._take_part()
        self.work.put("first", b"the directory is made")
        self.work.remove_object("first")
        self.work.hang_up()
        self.work.expect_nothing()
        self.work.forget_numbers()

    def _take_part(self):
        self.work.greet()
        self.work.open()
        self.work.make_arena()

    def set_up(self):
        self._take_part()
        self.work.set_when_full("EVICT")
        self.work.put("a", b"it stays")
        self.work.lease("a")

    def greet_again(self):
        self.work.hang_up()
        self._take_part()

    def tear_down(self):
        self.work.remove_object("a")
        self.work.set_when_full("REFUSE")
        self.work.end_for_good()

    def calls(self):
        work = self.work
        yield "open directory", lambda: (work.hang_up(), work.greet()), (
            work.open), work.make_arena
        yield "make arena", nothing, work.make_arena, self.greet_again
        yield "attach arena", nothing, work.attach_arena, nothing
        yield "put", nothing, lambda: work.put("n", b"new"), (
            lambda: work.remove_object("n"))
        yield "replace", self.advance, lambda: work.put(
            "a", b"it stays, %d" % self._turn), lambda: work.lease("a")
        yield "get", nothing, lambda: work.get_object("a"), nothing
        yield "list", nothing, work.listed_objects, nothing
        yield "read", nothing, lambda: work.read("a"), nothing
        yield "lease", nothing, lambda: work.lease("a"), nothing
        yield "delete", lambda: work.put("n", b"new"), (
            lambda: work.remove_object("n")), nothing
        yield "batch create", nothing, lambda: work.create_batch(self.PAIR), (
            lambda: work.remove_batch(self.PAIR))
        yield "batch get", nothing, lambda: work.get_batch("a"), nothing
        yield "batch delete", lambda: work.create_batch(self.PAIR), (
            lambda: work.remove_batch(self.PAIR)), nothing
        yield "watch", nothing, work.watch_objects, nothing
        yield "make room", lambda: work.put("cold", b"to be evicted"), (
            lambda: work.make_room("cold")), nothing
        yield "put by the ring", nothing, (
            lambda: work.put_by_ring("n", b"new")), (
                lambda: work.remove_object("n"))
        yield "delete by the ring", lambda: work.put("n", b"new"), (
            lambda: work.remove_by_ring("n")), nothing


class ChannelWork(channel_workload.ChannelWorkload):
    """With the calls that a kill takes for granted."""

    def hang_up(self):
        """Its members go with the session."""
        super().hang_up()
        self.members.clear()

    def end_for_good(self):
        self._leave_for_good()

    def listed_channels(self):
        assert set(self._listed_channels()) == set(self.facts)

    def get_channel(self, channel):
        found = self.call("GetChannel", channel_pb2.GetChannelRequest(
            name=self.name_of(channel)), channel_pb2.Channel,
            channel_workload.CHANNELS)
        assert found.generation == self.facts[channel][1], found

    def watch_channels(self):
        self.stream(
            "shmd.v1.ChannelService/WatchChannels",
            channel_pb2.WatchChannelsRequest(parent=PARENT),
            lambda data: channel_pb2.WatchChannelsResponse.FromString(
                data).type == channel_pb2.WatchChannelsResponse.SYNCED)


class ChannelCalls(Calls):
    """A queue that this session takes part in, and one that it does not."""

    def __init__(self, shmd):
        super().__init__(ChannelWork(shmd))

    def warm_up(self):
        self.set_up()
        self.work.open_parts("queue")
        self.tear_down()

    def set_up(self):
        self.work.ending = False
        self.work.greet()
        self.work.make("queue", QUEUE)
        self.work.make("other", QUEUE)
        self._take_part()

    def _take_part(self):
        self.work.join("queue", PUBLISHER)
        self.work.join("queue", SUBSCRIBER)

    def greet_again(self):
        doubt, self.work.doubt = self.work.doubt, None
        try:
            super().greet_again()
            self._take_part()
        finally:
            self.work.doubt = doubt

    def tear_down(self):
        self.work.end_for_good()
        self.work.drop("queue")
        self.work.drop("other")
        self.work.expect_nothing()

    def calls(self):
        work = self.work
        yield "create", nothing, lambda: work.make("n"), lambda: work.drop("n")
        yield "get", nothing, lambda: work.get_channel("queue"), nothing
        yield "list", nothing, work.listed_channels, nothing
        yield "stats", nothing, lambda: work.stats("queue"), nothing
        yield "watch", nothing, work.watch_channels, nothing
        yield "delete", lambda: work.make("n"), lambda: work.drop("n"), nothing
        yield "delete with members", (
            lambda: (work.make("n", QUEUE), work.join("n", PUBLISHER))), (
                lambda: work.drop("n", force=True)), nothing
        for kind in (PUBLISHER, SUBSCRIBER):
            yield "join of " + kind, nothing, (
                lambda kind=kind: work.join("other", kind)), (
                    lambda kind=kind: work.leave("other", kind))
            yield "leaving of " + kind, (
                lambda kind=kind: work.join("other", kind)), (
                    lambda kind=kind: work.leave("other", kind)), nothing
        yield "join of both", nothing, (
            lambda: work.join_both("other", by_socket=False)), (
                lambda: work.leave_by_socket("other"))
        yield "join by the socket", nothing, (
            lambda: work.join_both("other", by_socket=True)), (
                lambda: work.leave_by_socket("other"))
        yield "leaving by the socket", (
            lambda: work.join_both("other", by_socket=True)), (
                lambda: work.leave_by_socket("other")), nothing
        yield "parts", nothing, lambda: work.open_parts("queue"), nothing


class SyncCalls(Calls):
    """Mutexes that stand alone, and a session that may lock."""

    def __init__(self, shmd):
        super().__init__(sync_workload.SyncWorkload(shmd))

    def warm_up(self):
        self.set_up()
        self.work.lock("a")
        self.tear_down()

    def _take_part(self):
        self.work.greet()
        self.work.open_page()
        self.work.open_lock("a")

    def set_up(self):
        self.work.make("a")
        self._take_part()

    def greet_again(self):
        self.work.hang_up()
        self._take_part()

    def tear_down(self):
        self.work.drop("a")
        self.work.hang_up()
        self.work.verify()

    def calls(self):
        work = self.work
        yield "open page", lambda: (work.hang_up(), work.greet()), (
            work.open_page), self.greet_again
        yield "create", nothing, lambda: work.make("n"), lambda: work.drop("n")
        yield "get", nothing, lambda: work.find("a"), nothing
        yield "list", nothing, work.listed_primitives, nothing
        yield "delete", lambda: work.make("n"), lambda: work.drop("n"), nothing
        yield "list locks", lambda: work.lock("a"), (
            lambda: work.list_locks("a")), nothing
        yield "break lock", lambda: work.lock("a"), (
            lambda: work.break_lock("a")), nothing
        yield "end with a lock", lambda: work.lock("a"), (
            lambda: work.die_and_await("a")), self.greet_again


def make(subject, shmd):
    """Calls by the name of a backend or of a service's resources."""
    kinds = {"OBJECTS": ObjectCalls, "CHANNELS": ChannelCalls,
             "SYNC": SyncCalls}
    if subject in kinds:
        return kinds[subject](shmd)
    return SegmentCalls(shmd, subject)
