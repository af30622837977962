"""What a careful program asks of a daemon that may die at any moment: it asks
again, under the same request id, and keeps account of what it was told."""

import collections
import contextlib
import mmap
import os
import time

from google.protobuf import empty_pb2

import attach_socket
import grpcurl
import raw_grpc
import sysv
from socket_creates import SocketCreates
from stubs import (error_details_pb2, grant_pb2, namespace_pb2, orphan_pb2,
                   segment_pb2, session_pb2, status_pb2)

PARENT = "namespaces/default"
PAGE = 4096
HUGE_PAGE = 2 << 20
STRANGER = 4242  # a uid that may nothing by itself
DEADLINE_SECONDS = 30
_UNAVAILABLE = grpcurl.CODES.index("UNAVAILABLE")
SEGMENTS, GRANTS, SESSIONS = "SegmentService", "GrantService", "SessionService"
NAMESPACES, ORPHANS = "NamespaceService", "OrphanService"


class Died(Exception):
    """The daemon has gone before it answered."""


class Refused(Exception):
    """The daemon said no."""

    def __init__(self, method, code, reason=""):
        self.method, self.code = method, grpcurl.CODES[code]
        self.reason = reason
        super().__init__("%s: %s %s" % (method, self.code, reason))


class Connection(attach_socket.Connection):
    """One that tells what it is asked for: the action of the request, with what
    an attach refers to."""

    def __init__(self, path, asked):
        self._asked = asked
        super().__init__(path)

    def send(self, request):
        action = request.WhichOneof("action")
        if action == "attach":
            action = request.attach.WhichOneof("reference")
        if action == "channel_part":
            part = request.attach.channel_part
            action += " " + part.Kind.Name(part.kind)
        self._asked.add("attach.sock/%s" % action)
        super().send(request)


def _reason_of(details):
    """The reason in the google.rpc.Status that a refusal carries, or ""."""
    for detail in status_pb2.Status.FromString(details).details:
        found = error_details_pb2.ErrorInfo()
        if detail.Unpack(found):
            return found.reason
    return ""


def pattern(segment_id, size):
    return (segment_id.encode() * size)[:size]


class Workload(SocketCreates):
    """Steps on one daemon. `facts` has what was acknowledged: by segment id a
    dict of fields. `doubt` has what was asked for and not answered: what was
    done to which id, or to which ids at once. The backend "HUGE" is memfds of
    huge pages."""

    def __init__(self, shmd, backend, heavy=False):
        self.shmd, self.heavy = shmd, heavy
        self.backend, self.page = backend, PAGE
        if backend == "HUGE":
            self.backend, self.page = "MEMFD", HUGE_PAGE
        self.facts, self.doubt = {}, None
        self.leases = {}  # their ends in ns, by id
        self.spaces = {}  # quotas in segments, by namespace
        self._made = collections.Counter()  # how often, by id
        self._objects = []  # of those that were disowned
        self.disowned = set()  # ids, whose objects are there all the same
        self.session = self.connection = None
        self.recoveries = 0
        self.asked = set()  # names of the methods and of what attach.sock has

    # --- calls

    def call(self, method, request, reply, service=SEGMENTS):
        return reply.FromString(self.call_bytes(
            "shmd.v1.%s/%s" % (service, method), request.SerializeToString()))

    def call_bytes(self, method, request):
        """`method` by its full name, messages by their bytes."""
        self.asked.add(method)
        with self._call_errors(method):
            code, data, details = raw_grpc.ask_for_details(
                self.shmd.grpc_socket, method, request)
        self._expect_granted(method, code, _reason_of(details))
        return data

    def stream(self, method, request, is_last):
        """A call with a stream of replies, until `is_last` of one's bytes."""
        self.asked.add(method)
        with self._call_errors(method):
            code = raw_grpc.stream_until(self.shmd.grpc_socket, method,
                                         request.SerializeToString(), is_last)
        self._expect_granted(method, code, "")

    @contextlib.contextmanager
    def _call_errors(self, method):
        try:
            yield
        except OSError:
            raise Died(method) from None

    def _expect_granted(self, method, code, reason):
        if code == _UNAVAILABLE:
            raise Died(method)
        if code != 0:
            raise Refused(method, code, reason)

    def connect(self):
        """Another connection to attach.sock."""
        return Connection(self.shmd.attach_socket, self.asked)

    def name(self, segment_id):
        return "%s/segments/%s" % (PARENT, segment_id)

    def close(self):
        if self.connection is not None:
            self.connection.socket.close()
            self.connection = None

    @contextlib.contextmanager
    def _attach_errors(self):
        try:
            yield
        except attach_socket.Refused as refused:
            raise Refused("attach", grpcurl.CODES.index(refused.code),
                          refused.reason) from None
        except (OSError, AssertionError) as error:
            raise Died("attach: %s" % error) from None

    # --- sessions

    def greet(self):
        with self._attach_errors():
            connection = self.connect()
            try:
                welcome = connection.hello(resume=self.session)
            except BaseException:
                connection.socket.close()
                raise
        if self.session is not None and not self.ending:
            assert welcome.resumed, "the session was lost"
        self.session = welcome
        self.connection = connection

    ending = False

    def hang_up(self):
        """The next greeting is that of another session."""
        self.close()
        self.session = None

    def end_session(self):
        self.ending = True
        self.doubt = ("gone", "b")
        if self.connection is not None:
            self.connection.socket.close()
            self.connection = None
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.exists("b"):
            assert time.monotonic() < deadline, "the session's segment remains"
            time.sleep(0.002)
        self.facts.pop("b", None)

    # --- segments

    def exists(self, segment_id):
        try:
            self.call("GetSegment",
                      segment_pb2.GetSegmentRequest(name=self.name(segment_id)),
                      segment_pb2.Segment)
        except Refused as refused:
            assert refused.code == "NOT_FOUND", refused
            return False
        return True

    def _creation(self, segment_id, fields):
        request = segment_pb2.CreateSegmentRequest(
            parent=PARENT, segment_id=segment_id,
            request_id="%s-%d" % (segment_id, self._made[segment_id]))
        segment = request.segment
        segment.size_bytes = 2 * self.page
        segment.backend = segment_pb2.Segment.Backend.Value(self.backend)
        if self.page != PAGE:
            segment.page_size_bytes = self.page
        segment.resizable = self.backend != "SYSV"
        segment.labels["of"] = segment_id
        if self.backend == "MAPPED_FILE":
            segment.file_path = segment_id
        for field, value in fields.items():
            setattr(segment, field, value)
        return request

    def _learn(self, segment_id, made, before):
        """`before` is what the daemon had made without an answer."""
        if before is not None:
            assert before.uid == made.uid, "made twice"
            assert before.generation == made.generation
        self._made[segment_id] += 1
        self.facts[segment_id] = self._facts_of(made)

    @staticmethod
    def _facts_of(made):
        return {
            "uid": made.uid, "generation": made.generation,
            "size_bytes": made.size_bytes, "mode": made.mode,
            "labels": dict(made.labels), "state": made.state,
            "content": bytes(PAGE)}

    def create(self, segment_id, **fields):
        self.doubt = ("made", segment_id)
        # What a call that was not answered has made is what this one returns.
        before = self.listed().get(segment_id)
        made = self.call("CreateSegment", self._creation(segment_id, fields),
                         segment_pb2.Segment)
        self._learn(segment_id, made, before)

    def create_batch(self, *segment_ids):
        self.doubt = ("made",) + segment_ids
        before = self.listed()
        made = self.call(
            "BatchCreateSegments", segment_pb2.BatchCreateSegmentsRequest(
                parent=PARENT,
                requests=[self._creation(one, {}) for one in segment_ids]),
            segment_pb2.BatchCreateSegmentsResponse).segments
        assert len(made) == len(segment_ids)
        for segment_id, one in zip(segment_ids, made):
            self._learn(segment_id, one, before.get(segment_id))

    def get_batch(self, *segment_ids):
        found = self.call(
            "BatchGetSegments", segment_pb2.BatchGetSegmentsRequest(
                parent=PARENT, names=[self.name(one) for one in segment_ids]),
            segment_pb2.BatchGetSegmentsResponse).segments
        assert [one.uid for one in found] == [
            self.facts[one]["uid"] for one in segment_ids]

    def remove_batch(self, *segment_ids):
        again = self.doubt == ("gone",) + segment_ids
        self.doubt = ("gone",) + segment_ids
        try:
            self.call("BatchDeleteSegments",
                      segment_pb2.BatchDeleteSegmentsRequest(
                          parent=PARENT,
                          names=[self.name(one) for one in segment_ids]),
                      empty_pb2.Empty)
        except Refused as refused:
            if not again or refused.code != "NOT_FOUND":
                raise
            for segment_id in set(segment_ids) & set(self.listed()):
                self.facts.pop(segment_id)
                self.call("DeleteSegment", segment_pb2.DeleteSegmentRequest(
                    name=self.name(segment_id)), empty_pb2.Empty)
        for segment_id in segment_ids:
            self.facts.pop(segment_id, None)
        self.doubt = None

    def write(self, segment_id, uid=None):
        """Attaches, as another uid perhaps with a grant, and writes."""
        handle = self.handle if uid else self.get(segment_id).handle_string
        self.doubt = ("changed", segment_id, {
            "content": pattern(segment_id + str(uid or ""), PAGE)})
        with self._attach_errors():
            connection, own = self.connection, None
            if uid is not None:
                os.seteuid(uid)
                try:
                    own = self.connect()
                finally:
                    os.seteuid(0)
                connection = own
            try:
                granted, descriptor = connection.attach(
                    handle, attach_socket.READ_WRITE)
                self._store(granted, descriptor, self.doubt[2]["content"])
                connection.detach(granted.attachment_id)
                # Requests are answered in order: all before has been seen.
                with contextlib.suppress(attach_socket.Refused):
                    connection.attach("", attach_socket.READ)
            finally:
                if own is not None:
                    own.socket.close()
        self._settle()

    def _store(self, granted, descriptor, data):
        if descriptor is None:
            with sysv.Attached(granted.sysv_id) as memory:
                memory.write(data)
            return
        try:
            # Whole pages: less of a huge one cannot be unmapped.
            with mmap.mmap(descriptor, self.page) as memory:
                memory[:len(data)] = data
        finally:
            os.close(descriptor)

    def _settle(self):
        """What was in doubt has been answered."""
        self.facts[self.doubt[1]].update(self.doubt[2])
        self.doubt = None

    def attach_message(self, segment_id):
        """By the handle as a message."""
        handle = self.get(segment_id).handle
        with self._attach_errors():
            granted, descriptor = self.connection.attach(handle)
            if descriptor is not None:
                os.close(descriptor)
            self.connection.detach(granted.attachment_id)

    def peek(self, segment_id):
        assert self._content(segment_id) == self.facts[segment_id]["content"]

    def _content(self, segment_id):
        return self.call("ReadSegment", segment_pb2.ReadSegmentRequest(
            name=self.name(segment_id), length_bytes=PAGE),
            segment_pb2.ReadSegmentResponse).data

    def poke(self, segment_id, number):
        data = pattern("%s%d" % (segment_id, number), PAGE)
        self.doubt = ("changed", segment_id, {"content": data})
        self.call("WriteSegment", segment_pb2.WriteSegmentRequest(
            name=self.name(segment_id), data=data), empty_pb2.Empty)
        self._settle()

    def get(self, segment_id):
        return self.call(
            "GetSegment",
            segment_pb2.GetSegmentRequest(name=self.name(segment_id)),
            segment_pb2.Segment)

    def update(self, segment_id, labels, mode=None):
        self.doubt = ("changed", segment_id, {"labels": labels})
        request = segment_pb2.UpdateSegmentRequest()
        request.segment.name = self.name(segment_id)
        request.segment.labels.update(labels)
        request.update_mask.paths.append("labels")
        if mode is not None:
            self.doubt[2]["mode"] = mode
            request.segment.mode = mode
            request.update_mask.paths.append("mode")
        self.call("UpdateSegment", request, segment_pb2.Segment)
        self._settle()

    def resize(self, segment_id, size_bytes):
        self.doubt = ("changed", segment_id, {"size_bytes": size_bytes})
        self.call("ResizeSegment",
                  segment_pb2.ResizeSegmentRequest(
                      name=self.name(segment_id), size_bytes=size_bytes),
                  segment_pb2.Segment)
        self._settle()

    def seal(self, segment_id):
        self.doubt = ("changed", segment_id,
                      {"state": segment_pb2.Segment.SEALED})
        self.call("SealSegment",
                  segment_pb2.SealSegmentRequest(name=self.name(segment_id)),
                  segment_pb2.Segment)
        self._settle()

    def renew(self, segment_id):
        request = segment_pb2.RenewLeaseRequest(name=self.name(segment_id))
        request.ttl.seconds = 3600
        renewed = self.call("RenewLease", request, segment_pb2.Segment)
        self.leases[segment_id] = renewed.expire_time.ToNanoseconds()

    def flush(self, segment_id):
        self.call("FlushSegment", segment_pb2.FlushSegmentRequest(
            name=self.name(segment_id)), empty_pb2.Empty)

    def make_handle(self, segment_id):
        request = segment_pb2.CreateHandleRequest(name=self.name(segment_id))
        request.access = attach_socket.READ
        self.call("CreateHandle", request, segment_pb2.CreateHandleResponse)

    def watch(self):
        """Until all that exists was told."""
        told = set()

        def is_last(data):
            event = segment_pb2.WatchSegmentsResponse.FromString(data)
            if event.type == segment_pb2.WatchSegmentsResponse.SYNCED:
                return True
            told.add(event.segment.name.split("/")[-1])
            return False

        self.stream("shmd.v1.SegmentService/WatchSegments",
                    segment_pb2.WatchSegmentsRequest(parent=PARENT), is_last)
        assert told == set(self.facts), told

    # --- objects of other programs

    def make_object(self, segment_id):
        """What another program would have made, to be adopted."""
        size = 2 * self.page
        if self.backend == "SYSV":
            self._foreign = sysv.get(0, size)
        else:
            self._foreign = "/shmd-crash-%s" % segment_id
            if self.backend == "MAPPED_FILE":
                self._foreign = segment_id
            with open(self._foreign_path(), "wb") as file:
                file.truncate(size)
        self.disowned.add(segment_id)

    def _foreign_path(self):
        if self.backend == "POSIX":
            return "/dev/shm" + self._foreign
        return os.path.join(self.shmd.file_root, self._foreign)

    def drop_object(self, segment_id):
        if self.backend == "SYSV":
            sysv.remove(self._foreign)
        else:
            os.remove(self._foreign_path())
        self.disowned.remove(segment_id)

    def adopt(self, segment_id):
        again = self.doubt == ("made", segment_id)
        self.doubt = ("made", segment_id)
        request = segment_pb2.AdoptSegmentRequest(
            parent=PARENT, segment_id=segment_id)
        request.segment.backend = segment_pb2.Segment.Backend.Value(
            self.backend)
        if self.backend == "SYSV":
            request.sysv_id = self._foreign
        elif self.backend == "POSIX":
            request.segment.posix_name = self._foreign
        else:
            request.segment.file_path = self._foreign
        try:
            made = self.call("AdoptSegment", request, segment_pb2.Segment)
        except Refused as refused:
            if not again or refused.code != "ALREADY_EXISTS":
                raise
            made = self.get(segment_id)
        assert made.adopted
        self._learn(segment_id, made, None)
        self.doubt = None

    def orphans(self):
        """Objects of other programs that nobody uses."""
        return self.call("ListOrphans", orphan_pb2.ListOrphansRequest(),
                         orphan_pb2.ListOrphansResponse, ORPHANS).orphans

    def remove_orphan(self, segment_id):
        """The object that make_object() has made."""
        again = self.doubt == ("gone", segment_id)
        self.doubt = ("gone", segment_id)
        found = [one for one in self.orphans()
                 if one.location == self._foreign]
        assert found or again, "a list without it"
        for one in found:
            self.call("DeleteOrphan", orphan_pb2.DeleteOrphanRequest(
                name=one.name, etag=one.etag), empty_pb2.Empty, ORPHANS)
        self.disowned.remove(segment_id)
        self.doubt = None

    # --- namespaces

    def make_space(self, space):
        again = self.doubt == ("space", space, 7)
        self.doubt = ("space", space, 7)
        request = namespace_pb2.CreateNamespaceRequest(namespace_id=space)
        request.namespace.quota.segments = 7
        try:
            self.call("CreateNamespace", request, namespace_pb2.Namespace,
                      NAMESPACES)
        except Refused as refused:
            if not again or refused.code != "ALREADY_EXISTS":
                raise
        self.spaces[space] = 7
        self.doubt = None

    def change_space(self, space, segments):
        self.doubt = ("space", space, segments)
        request = namespace_pb2.UpdateNamespaceRequest()
        request.namespace.name = "namespaces/" + space
        request.namespace.quota.segments = segments
        request.update_mask.paths.append("quota")
        self.call("UpdateNamespace", request, namespace_pb2.Namespace,
                  NAMESPACES)
        self.spaces[space] = segments
        self.doubt = None

    def remove_space(self, space):
        again = self.doubt == ("space", space, None)
        self.doubt = ("space", space, None)
        try:
            self.call("DeleteNamespace", namespace_pb2.DeleteNamespaceRequest(
                name="namespaces/" + space), empty_pb2.Empty, NAMESPACES)
        except Refused as refused:
            if not again or refused.code != "NOT_FOUND":
                raise
        self.spaces.pop(space, None)
        self.doubt = None

    def listed_spaces(self):
        """Their quotas."""
        reply = self.call(
            "ListNamespaces", namespace_pb2.ListNamespacesRequest(),
            namespace_pb2.ListNamespacesResponse, NAMESPACES)
        found = {one.name.split("/")[-1]: one.quota.segments
                 for one in reply.namespaces}
        found.pop("default")
        return found

    def _verify_spaces(self):
        found, expected = self.listed_spaces(), dict(self.spaces)
        if self.doubt is not None and self.doubt[0] == "space":
            _, space, asked = self.doubt
            if found.get(space) == asked:
                expected.pop(space, None)
                found.pop(space, None)
        assert found == expected, "%s, not %s" % (found, expected)

    def remove(self, segment_id, method="DeleteSegment"):
        request = (segment_pb2.DeleteSegmentRequest
                   if method == "DeleteSegment" else
                   segment_pb2.DisownSegmentRequest)
        self._remove(segment_id, lambda name: self.call(
            method, request(name=name), empty_pb2.Empty))
        if method == "DisownSegment":
            self.disowned.add(segment_id)

    def _remove(self, segment_id, ask):
        again = self.doubt == ("gone", segment_id)
        self.doubt = ("gone", segment_id)
        try:
            ask(self.name(segment_id))
        except Refused as refused:
            if not again or refused.code != "NOT_FOUND":
                raise
        self.facts.pop(segment_id, None)
        self.doubt = None

    def disown(self, segment_id):
        if self.doubt != ("gone", segment_id):
            found = self.call(
                "GetSegment", segment_pb2.GetSegmentRequest(
                    name=self.name(segment_id), view=segment_pb2.FULL),
                segment_pb2.Segment)
            self._objects.append(found)
        self.remove(segment_id, "DisownSegment")

    # --- grants

    def grant(self, segment_id):
        request = grant_pb2.CreateGrantRequest(parent=self.name(segment_id))
        request.grant.access = attach_socket.READ_WRITE
        request.grant.max_uses = 5
        request.grant.uid = STRANGER
        reply = self.call("CreateGrant", request,
                          grant_pb2.CreateGrantResponse, GRANTS)
        self.handle = reply.handle_string

    def revoke(self, segment_id):
        """Deletes all grants: one whose creation was not answered as well."""
        listing = self.call(
            "ListGrants",
            grant_pb2.ListGrantsRequest(parent=self.name(segment_id)),
            grant_pb2.ListGrantsResponse, GRANTS)
        for one in listing.grants:
            try:
                self.call("DeleteGrant",
                          grant_pb2.DeleteGrantRequest(name=one.name),
                          empty_pb2.Empty, GRANTS)
            except Refused as refused:
                if refused.code != "NOT_FOUND":
                    raise

    # --- the account

    def listed(self):
        reply = self.call("ListSegments", segment_pb2.ListSegmentsRequest(
            parent=PARENT), segment_pb2.ListSegmentsResponse)
        return {one.name.split("/")[-1]: one for one in reply.segments}

    def verify(self):
        """The daemon has what it has acknowledged, and nothing else."""
        found = self.listed()
        made, gone = set(), set()
        if self.doubt is not None:
            made = set(self.doubt[1:]) if self.doubt[0] == "made" else made
            gone = set(self.doubt[1:]) if self.doubt[0] == "gone" else gone
            if self.doubt[0] == "alike":
                made = self._alike(found)
                assert len(made) in (0, self.doubt[1]), made
        missing = set(self.facts) - set(found)
        assert missing <= gone, "lost: %s" % missing
        extra = set(found) - set(self.facts)
        assert extra <= made, "left over: %s" % extra
        # Batches are made whole or not at all.
        assert not extra or extra == made - set(self.facts), extra
        for segment_id in set(self.facts) & set(found) - gone:
            self._verify_one(segment_id, found[segment_id])
        self._verify_spaces()
        self._verify_objects(set(found), gone)

    def _verify_one(self, segment_id, segment):
        expected = self.facts[segment_id]
        now = {field: getattr(segment, field)
               for field in expected if field != "content"}
        now["labels"] = dict(segment.labels)
        now["content"] = self._content(segment_id)
        asked = {}
        if self.doubt is not None and self.doubt[:2] == ("changed",
                                                         segment_id):
            asked = self.doubt[2]
        # Whole again after a restart.
        assert segment.expire_time.ToNanoseconds() >= self.leases.get(
            segment_id, 0), "a lease has become shorter"
        if self.backend == "MAPPED_FILE":
            self._verify_file(segment_id, segment.size_bytes,
                              "size_bytes" in asked)
        for field, value in now.items():
            assert value in (expected[field], asked.get(field, value)) and (
                field in asked or value == expected[field]), (
                    "%s of %s is %r, not %r" % (
                        field, segment_id, value, expected[field]))

    def _verify_file(self, segment_id, size_bytes, in_doubt):
        """Less would be a SIGBUS, more is beyond what it was charged for."""
        size = os.path.getsize(os.path.join(self.shmd.file_root, segment_id))
        assert size == size_bytes or (in_doubt and size > size_bytes), (
            "%s has %d bytes, not %d" % (segment_id, size, size_bytes))

    def _verify_objects(self, found, gone):
        """Each segment has its kernel object, and no object is beyond them."""
        least = len(found | (self.disowned - gone))
        most = len(found | self.disowned | (
            {"d"} if gone == {"d"} and self.backend != "MEMFD" else set()))
        least -= len(gone & found)  # a file whose removal could not be synced
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            count = self.objects()
            if least <= count <= most:
                return
            assert time.monotonic() < deadline, (
                "%d objects, not %d to %d" % (count, least, most))
            time.sleep(0.005)

    def objects(self):
        if self.backend == "MEMFD":
            return self.shmd.kept_memfds()
        if self.backend == "SYSV":
            return len(sysv.read_table())
        folder = ("/dev/shm" if self.backend == "POSIX" else
                  self.shmd.file_root)
        return len(os.listdir(folder))

    def drop_disowned(self):
        """They are the test's to remove."""
        for segment in self._objects:
            with contextlib.suppress(OSError):
                if self.backend == "POSIX":
                    os.remove("/dev/shm" + segment.posix_name)
                elif self.backend == "SYSV":
                    sysv.remove(segment.status.sysv_id)
                else:
                    os.remove(os.path.join(self.shmd.file_root,
                                           segment.file_path))
        self._objects.clear()
        self.disowned.clear()

    def drop_all(self):
        """After a failure: nothing is left to the next case."""
        for name in os.listdir("/dev/shm"):
            os.remove(os.path.join("/dev/shm", name))
        for shmid in sysv.read_table():
            sysv.remove(shmid)

    def recover(self):
        """After a death: the session is back, and everything as it was."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            self.recoveries += 1
            if self.connection is not None:
                self.connection.socket.close()
                self.connection = None
            self.shmd.wait_until_connectable()
            try:
                if self.session is not None:
                    self.greet()
                self.verify()
            except Died:
                # A daemon that is being killed on a busy machine can be
                # connected to until the kernel has closed its sockets.
                time.sleep(0.005)
                continue
            return
        raise AssertionError("it dies again and again")

    def steps(self):
        named, grows = self.backend != "MEMFD", self.backend != "SYSV"
        yield self.greet
        yield lambda: self.create("a")
        yield lambda: self.write("a")
        yield lambda: self.create(
            "b", lifetime=segment_pb2.Segment.SESSION,
            owner_session=self.session.session)
        yield lambda: self.update("a", {"of": "a", "x": "y"}, mode=0o640)
        if grows:
            yield lambda: self.resize("a", 4 * self.page)
        if grows and named:
            yield lambda: self.resize("a", 3 * self.page)
        yield lambda: self.grant("a")
        yield lambda: self.write("a", uid=STRANGER)
        yield lambda: (self.create_by_socket if self.is_short
                       else self.create)("c")
        yield lambda: self.revoke("a")
        if not named:
            yield lambda: self.seal("a")
        yield lambda: (self.remove_by_socket if self.is_short
                       else self.remove)("c")
        if named:
            yield lambda: self.create("d")
            yield lambda: self.disown("d")
        if self.backend == "POSIX":  # they are the same for all
            yield lambda: self.make_space("n")
            yield lambda: self.change_space("n", 8)
            yield lambda: self.remove_space("n")
        if self.heavy:
            for number in range(260):
                labels = {"k%d" % i: ("%d-" % number).ljust(255, "x")
                          for i in range(64)}
                yield lambda labels=labels: self.update("a", labels)
        yield self.end_session
        yield lambda: self.remove("a")

    def run(self):
        """All steps, each again until it is answered."""
        for step in self.steps():
            for _ in range(10):
                try:
                    step()
                    break
                except Died:
                    self.recover()
            else:
                raise AssertionError("a step is never answered")
            self.doubt = None

    def sessions(self):
        return self.call("ListSessions", session_pb2.ListSessionsRequest(),
                         session_pb2.ListSessionsResponse, SESSIONS)

    def settle(self):
        """After the last death: all is told, and the sessions have ended."""
        try:
            self.verify()
        except Died:
            self.recover()
        if self.connection is not None:  # recover() has opened one
            self.connection.socket.close()
            self.connection = None
        self.expect_no_sessions()

    def expect_no_sessions(self):
        """Those end as well that nobody can resume."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            listing = self.sessions()
            if not listing.sessions:
                return
            assert time.monotonic() < deadline, listing
            time.sleep(0.02)
