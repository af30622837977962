"""The base of tests of channels: sessions of this process that take part."""

import contextlib
import mmap
import os
import struct

import attach_socket
import grpcurl
import raw_grpc
from attach_socket import READ, READ_WRITE
from daemon_case import DaemonCase, PARENT
from google.protobuf import empty_pb2, json_format
from google.rpc import error_details_pb2, status_pb2
from stubs import channel_pb2

CHANNELS = "shmd.v1.ChannelService/"
OTHER = 1001
DEADLINE_SECONDS = 60
SLOTS, PAYLOAD = 16, 4096  # of small()

# shm/layout/channel_layout.h
PAGE_BYTES = 12288
MEMBER_BYTES, PUBLISHERS_AT, SUBSCRIBERS_AT = 64, 4096, 8192
CHANGE_AT, CLOSED_AT = 64, 128
SEALS = 0x0001 | 0x0002 | 0x0004  # SEAL, SHRINK, GROW


def small(**fields):
    return {"slots": SLOTS, "payload_bytes": PAYLOAD, **fields}


class Refused(Exception):
    """A call of a session's own that was refused."""

    def __init__(self, code, details):
        status = status_pb2.Status.FromString(details)
        self.code, self.reason = grpcurl.CODES[code], ""
        for detail in status.details:
            found = error_details_pb2.ErrorInfo()
            if detail.Unpack(found):
                self.reason = found.reason
        super().__init__("%s %s %s" % (self.code, self.reason, status.message))


@contextlib.contextmanager
def as_user(uid):
    """Connects as another user, in this very process."""
    if uid is None:
        yield
        return
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


class Page:
    """A channel's page as a member has mapped it."""

    def __init__(self, descriptor):
        self.memory = mmap.mmap(descriptor, PAGE_BYTES, mmap.MAP_SHARED,
                                mmap.PROT_READ)
        os.close(descriptor)

    def word(self, at, form="<I"):
        return struct.unpack_from(form, self.memory, at)[0]

    @property
    def change(self):
        return self.word(CHANGE_AT)

    @property
    def closed(self):
        return self.word(CLOSED_AT) != 0

    def _members(self, start):
        """{index: (generation, role, policy, part_bytes, uid, pid)}"""
        found = {}
        for index in range(64):
            generation, role, policy, part, _, _, uid, pid = struct.unpack_from(
                "<QIIQQQIi", self.memory, start + MEMBER_BYTES * index)
            if generation:
                found[index] = (generation, role, policy, part, uid, pid)
        return found

    @property
    def publishers(self):
        return self._members(PUBLISHERS_AT)

    @property
    def subscribers(self):
        return self._members(SUBSCRIBERS_AT)


class Program(attach_socket.Connection):
    """A session of this process."""

    def __init__(self, shmd, uid=None, resume=None):
        with as_user(uid):
            super().__init__(shmd.attach_socket)
        self.shmd, self.uid = shmd, uid
        try:
            self.welcome = self.hello(resume=resume)
        except BaseException:
            self.end()
            raise
        self.session = self.welcome.session

    def end(self):
        self.socket.close()

    def ask(self, method, request, reply):
        with as_user(self.uid):
            code, data, details = raw_grpc.ask_for_details(
                self.shmd.grpc_socket, CHANNELS + method,
                request.SerializeToString())
        if code != 0:
            raise Refused(code, details)
        return reply.FromString(data)

    def publish(self, channel, role=0, grant="", request_id=""):
        request = channel_pb2.CreatePublisherRequest(
            parent=channel, session=self.session, grant_handle=grant,
            request_id=request_id)
        request.publisher.role = role
        return self.ask("CreatePublisher", request, channel_pb2.Publisher)

    def subscribe(self, channel, role=0, policy=0, grant="", request_id=""):
        request = channel_pb2.CreateSubscriberRequest(
            parent=channel, session=self.session, grant_handle=grant,
            request_id=request_id)
        request.subscriber.role = role
        request.subscriber.slow_policy = policy
        return self.ask("CreateSubscriber", request, channel_pb2.Subscriber)

    def leave(self, member):
        if isinstance(member, channel_pb2.Publisher):
            request = channel_pb2.DeletePublisherRequest(name=member.name)
            return self.ask("DeletePublisher", request, empty_pb2.Empty)
        request = channel_pb2.DeleteSubscriberRequest(name=member.name)
        return self.ask("DeleteSubscriber", request, empty_pb2.Empty)

    def join_channel(self, channel, **fields):
        """By the RPC: a JoinChannelResponse."""
        return self.ask("JoinChannel", join_request(channel, **{
            "session": self.session, **fields}),
                        channel_pb2.JoinChannelResponse)

    def page(self, member):
        """The channel's page, mapped."""
        attachment, descriptor = self.attach(member.channel_handle)
        assert attachment.size_bytes == PAGE_BYTES
        return Page(descriptor)

    def memory(self, handle, access=READ_WRITE):
        """All of a segment of its own, mapped."""
        attachment, descriptor = self.attach(handle, access)
        return _mapped(attachment, descriptor, access)

    def part(self, channel, kind, member, access=READ):
        """A part of another's, mapped."""
        attachment, descriptor = self.attach_part(
            channel, kind, member.index, member.generation, access)
        return _mapped(attachment, descriptor, access)


def join_request(channel, **fields):
    """Fields as of JoinChannelRequest, messages as dictionaries."""
    return json_format.ParseDict({"name": channel, **fields},
                                 channel_pb2.JoinChannelRequest())


def refusal_of_joining(shmd, method, channel, grant=""):
    """(code, reason) of one call, ("OK", "") where it is none. For run_as."""
    program = Program(shmd)
    fields = {"publisher": {}, "grant_handle": grant}
    join = {"CreatePublisher": lambda: program.publish(channel, grant=grant),
            "CreateSubscriber": lambda: program.subscribe(channel, grant=grant),
            "JoinChannel": lambda: program.join_channel(channel, **fields),
            "join": lambda: program.join(
                join_request(channel, **fields))}[method]
    return _refusal(join)


def refusal_of_leaving(shmd, member):
    """The same for who would have a member leave by the attach socket."""
    program = Program(shmd)
    return _refusal(lambda: program.leave_by_socket(member))


def refusal_of_part(shmd, channel, index, generation):
    """The same for an attach of a publisher's ring."""
    program = Program(shmd)
    return _refusal(lambda: os.close(
        program.attach_part(channel, "RING", index, generation)[1]))


def _refusal(call):
    try:
        call()
    except (Refused, attach_socket.Refused) as refused:
        return refused.code, refused.reason
    return "OK", ""


def _mapped(attachment, descriptor, access):
    try:
        assert os.fstat(descriptor).st_size == attachment.size_bytes
        assert attachment.seals & SEALS == SEALS
        return attach_socket.map_descriptor(
            descriptor, attachment.size_bytes, access == READ_WRITE)
    finally:
        os.close(descriptor)


class ChannelCase(DaemonCase):

    def channel(self, channel_id=None, uid=None, **fields):
        """Makes one that ends with the test; returns its name."""
        made = self.make(channel_id, uid, **fields)
        return made["name"]

    def make(self, channel_id=None, uid=None, allow_existing=False, **fields):
        made = self.ok(CHANNELS + "CreateChannel", {
            "parent": PARENT, "channel_id": channel_id or self.fresh_id(),
            "allow_existing": allow_existing, "channel": fields}, uid=uid)
        self.addCleanup(self.drop, made["name"])
        return made

    def drop(self, name):
        outcome = self.shmd.call(CHANNELS + "DeleteChannel",
                                 {"name": name, "force": True})
        self.assertIn(outcome.code, ("OK", "NOT_FOUND"), outcome)

    def program(self, uid=None):
        program = Program(self.shmd, uid)
        self.addCleanup(program.end)
        return program

    def get(self, name, **arguments):
        return self.ok(CHANNELS + "GetChannel", {"name": name}, **arguments)

    def stats(self, name):
        found = self.ok(CHANNELS + "GetChannelStats", {"name": name})
        return found.get("publishers", []), found.get("subscribers", [])

    def refused_with(self, code, reason, method, request, field=None, **rest):
        outcome = self.refused(code, reason, CHANNELS + method, request, **rest)
        if field is not None:
            self.assertEqual(outcome.fields, [field], outcome)
        return outcome

    def expect_refused(self, code, reason, call, *arguments, **more):
        """Of calls and attachments of a Program."""
        with self.assertRaises((Refused, attach_socket.Refused)) as caught:
            call(*arguments, **more)
        self.assertEqual((caught.exception.code, caught.exception.reason),
                         (code, reason), caught.exception)
