"""The attach socket, spoken by hand: datagrams and SCM_RIGHTS."""

import array
import base64
import itertools
import mmap
import os
import socket

import grpcurl
from stubs import attach_pb2, error_details_pb2, handle_pb2

READ = handle_pb2.READ
READ_WRITE = handle_pb2.READ_WRITE

DEADLINE_SECONDS = 30


class Refused(Exception):
    """An AttachReply with an error: `code` by name, `reason`, `metadata`."""

    def __init__(self, status):
        self.code = grpcurl.CODES[status.code]
        self.reason = ""
        self.metadata = {}
        for detail in status.details:
            found = error_details_pb2.ErrorInfo()
            if detail.Unpack(found):
                self.reason = found.reason
                self.metadata = dict(found.metadata)
        super().__init__("%s %s %s" % (self.code, self.reason, status.message))


class Connection:
    """One connection; the identity is that of the process which makes it. A
    context manager."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(DEADLINE_SECONDS)
        self.socket.connect(path)
        self._sequence = itertools.count(1)

    def send(self, request):
        """One AttachRequest."""
        self.socket.send(request.SerializeToString())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def receive(self):
        """One AttachReply and its descriptors; None when the daemon closed."""
        try:
            data, ancillary, flags, _ = self.socket.recvmsg(
                262144, socket.CMSG_SPACE(8 * 4))
        except ConnectionResetError:
            return None
        if not data:
            return None
        if flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
            raise AssertionError("the reply was cut")
        descriptors = array.array("i")
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(payload)
        return attach_pb2.AttachReply.FromString(data), list(descriptors)

    def attach(self, handle, access=READ):
        """Attaches by text or Handle; returns (Attachment, descriptor or None)
        or raises Refused. The descriptor is the caller's to close."""
        request = attach_pb2.AttachRequest()
        if isinstance(handle, str):
            request.attach.handle_string = handle
        else:
            request.attach.handle.CopyFrom(handle)
        return self._attach(request, access)

    def attach_arena(self, name, access=READ):
        """The same for an arena, by its name."""
        request = attach_pb2.AttachRequest()
        request.attach.arena = name
        return self._attach(request, access)

    def attach_part(self, channel, kind, index, generation, access=READ):
        """The same for a part of a channel; `kind` is a ChannelPart.Kind's
        name."""
        request = attach_pb2.AttachRequest()
        part = request.attach.channel_part
        part.channel = channel
        part.kind = attach_pb2.ChannelPart.Kind.Value(kind)
        part.index, part.generation = index, generation
        return self._attach(request, access)

    def join(self, join):
        """Takes part in a channel by a JoinChannelRequest; returns the Joined
        and its descriptors, which are the caller's to close."""
        request = attach_pb2.AttachRequest(join=join)
        reply, descriptors = self._ask(request)
        if len(descriptors) != len(reply.joined.attachments):
            raise AssertionError("%d descriptors" % len(descriptors))
        return reply.joined, descriptors

    def create(self, request, may_take_long=False):
        """Makes a segment by a CreateSegmentRequest; returns the Segment or
        raises Refused."""
        reply, _ = self._ask(attach_pb2.AttachRequest(
            create=request, may_take_long=may_take_long))
        return reply.created

    def create_batch(self, request, may_take_long=False):
        """The same by a BatchCreateSegmentsRequest; returns their handles."""
        reply, _ = self._ask(attach_pb2.AttachRequest(
            create_batch=request, may_take_long=may_take_long))
        return list(reply.created_batch.handle_strings)

    def delete(self, name, force=False, may_take_long=False):
        """Deletes a segment, or raises Refused."""
        request = attach_pb2.AttachRequest(may_take_long=may_take_long)
        request.delete.name = name
        request.delete.force = force
        self._ask(request)

    def leave_by_socket(self, name):
        request = attach_pb2.AttachRequest()
        request.leave.name = name
        self._ask(request)

    def _ask(self, request):
        request.sequence = next(self._sequence)
        self.send(request)
        received = self.receive()
        if received is None:
            raise AssertionError("the daemon closed the connection")
        reply, descriptors = received
        if reply.sequence != request.sequence:
            raise AssertionError("the answer is to another request")
        if reply.HasField("error"):
            if descriptors:
                raise AssertionError("a refusal came with a descriptor")
            raise Refused(reply.error)
        return reply, descriptors

    def _attach(self, request, access):
        request.attach.access = access
        reply, descriptors = self._ask(request)
        expected = 0 if reply.attachment.HasField("sysv_id") else 1
        if len(descriptors) != expected:
            raise AssertionError("%d descriptors" % len(descriptors))
        return reply.attachment, descriptors[0] if descriptors else None

    def hello(self, name_space="", resume=None):
        """Says Hello, to be the session of an earlier Welcome if one is given;
        returns the Welcome or raises Refused."""
        request = attach_pb2.AttachRequest(sequence=next(self._sequence))
        request.hello.namespace = name_space
        request.hello.SetInParent()
        if resume is not None:
            request.hello.resume_session = resume.session
            request.hello.resume_token = resume.resume_token
        self.send(request)
        received = self.receive()
        if received is None:
            raise AssertionError("the daemon closed the connection")
        reply, _ = received
        if reply.HasField("error"):
            raise Refused(reply.error)
        return reply.welcome

    def wake(self):
        """Says that the session's ring has submissions."""
        request = attach_pb2.AttachRequest(sequence=next(self._sequence))
        request.wake.SetInParent()
        self.send(request)

    def detach(self, attachment_id):
        request = attach_pb2.AttachRequest(sequence=next(self._sequence))
        request.detach.attachment_id = attachment_id
        self.send(request)


def uid_of(handle):
    """The uid in a handle's text, in hexadecimal (shm/handle.h)."""
    text = handle.removeprefix("shm1.")
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return data[12:28].hex()


def refusal(path, handle, access=READ):
    """(code, reason) with which one attach is refused, ("OK", "") if it is
    not. For run_as."""
    with Connection(path) as connection:
        return _refusal(lambda: connection.attach(handle, access))


def refusal_of_arena(path, name):
    """The same for an arena by its name, to read."""
    with Connection(path) as connection:
        return _refusal(lambda: connection.attach_arena(name))


def refusal_of_deletion(path, name):
    """The same for the deletion of a segment."""
    with Connection(path) as connection:
        return _refusal(lambda: (
            connection.delete(name, may_take_long=True), None))


def _refusal(attach):
    try:
        _, descriptor = attach()
    except Refused as refused:
        return refused.code, refused.reason
    if descriptor is not None:
        os.close(descriptor)
    return "OK", ""


def map_descriptor(descriptor, length, writable=False):
    """A mapping, shared, of a whole descriptor."""
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    return mmap.mmap(descriptor, length, mmap.MAP_SHARED, protection)
