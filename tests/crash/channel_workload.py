"""The same care with channels: made, joined, left and deleted, while the daemon
may die."""

import os
import time

from google.protobuf import empty_pb2

import attach_socket
import workload
from attach_socket import READ, READ_WRITE
from stubs import channel_pb2, grant_pb2
from workload import DEADLINE_SECONDS, PARENT, Died, Refused

CHANNELS = "ChannelService"
PUBLISHER, SUBSCRIBER = "publishers", "subscribers"
QUEUE = "QUEUE"


class ChannelWorkload(workload.Workload):
    """`facts` has by channel its kind and generation; `members` by name what
    was told of those of this session."""

    def __init__(self, shmd, heavy=False):
        super().__init__(shmd, "MEMFD", heavy)
        self.members = {}
        self._generations = set()  # of members, with their channel's

    def name_of(self, channel):
        return "%s/channels/%s" % (PARENT, channel)

    # --- channels

    def make(self, channel, kind="PUBLISH"):
        self.doubt = ("channel", channel)
        request = channel_pb2.CreateChannelRequest(
            parent=PARENT, channel_id=channel, allow_existing=True)
        request.channel.kind = channel_pb2.Channel.Kind.Value(kind)
        request.channel.slots = 16
        request.channel.payload_bytes = 4096
        made = self.call("CreateChannel", request, channel_pb2.Channel,
                         CHANNELS)
        self.facts[channel] = (kind, made.generation)
        self.doubt = None

    def drop(self, channel, force=False):
        again = self.doubt == ("channel", channel)
        self.doubt = ("channel", channel)
        try:
            self.call("DeleteChannel", channel_pb2.DeleteChannelRequest(
                name=self.name_of(channel), force=force), empty_pb2.Empty,
                      CHANNELS)
        except Refused as refused:
            if not again or refused.code != "NOT_FOUND":
                raise
        self._forget(channel)
        self.doubt = None

    def _forget(self, channel):
        self.facts.pop(channel, None)
        for name in self._known(channel):
            del self.members[name]

    def _known(self, channel, kind=""):
        prefix = "%s/%s" % (self.name_of(channel), kind)
        return {name for name in self.members if name.startswith(prefix)}

    # --- members

    def _request(self, channel, kind, session):
        request = (channel_pb2.CreatePublisherRequest if kind == PUBLISHER else
                   channel_pb2.CreateSubscriberRequest)
        return request(parent=self.name_of(channel), session=session)

    def _join(self, channel, kind, session):
        method, reply = (
            ("CreatePublisher", channel_pb2.Publisher) if kind == PUBLISHER
            else ("CreateSubscriber", channel_pb2.Subscriber))
        made = self.call(method, self._request(channel, kind, session), reply,
                         CHANNELS)
        generations = (self.facts[channel][1], made.generation)
        assert generations not in self._generations, "given out twice"
        self._generations.add(generations)
        return made

    def join(self, channel, kind):
        """What an unanswered call has made is found, and sent away."""
        self.doubt = ("member", channel, kind)
        for name in self._own(channel, kind) - self._known(channel, kind):
            self._send_away(name)
        made = self._join(channel, kind, self.session.session)
        self.members[made.name] = made
        self.doubt = None
        self._open(made)

    def join_both(self, channel, by_socket):
        """Both kinds by one call, or by one exchange that hands over what they
        map."""
        for name in self._own(channel) - self._known(channel):
            self._send_away(name)
        self.doubt = ("member", channel, "")
        request = channel_pb2.JoinChannelRequest(
            name=self.name_of(channel), session=self.session.session)
        request.publisher.SetInParent()
        request.subscriber.SetInParent()
        if by_socket:
            made = self._join_by_socket(request)
        else:
            made = self.call("JoinChannel", request,
                             channel_pb2.JoinChannelResponse, CHANNELS)
        for one in (made.publisher, made.subscriber):
            self.members[one.name] = one
        self.doubt = None

    def _join_by_socket(self, request):
        with self._attach_errors():
            joined, descriptors = self.connection.join(request)
            for granted in zip(joined.attachments, descriptors, strict=True):
                self._let_go(*granted)
        return joined.members

    def leave_by_socket(self, channel):
        self.doubt = ("member", channel, "")
        for name in self._known(channel):
            try:
                with self._attach_errors():
                    self.connection.leave_by_socket(name)
            except Refused as refused:
                if refused.code != "NOT_FOUND":
                    raise
            del self.members[name]
        self.doubt = None

    # --- grants

    def grant(self, channel):
        request = grant_pb2.CreateGrantRequest(parent=self.name_of(channel))
        request.grant.roles.append(grant_pb2.Grant.SUBSCRIBER)
        request.grant.max_uses = 100
        self.handle = self.call("CreateGrant", request,
                                grant_pb2.CreateGrantResponse,
                                workload.GRANTS).handle_string

    def join_by_grant(self, channel):
        """As another user, whom the mode does not let in; and leaves."""
        os.seteuid(workload.STRANGER)
        try:
            with self._attach_errors(), \
                    attach_socket.Connection(self.shmd.attach_socket) as other:
                request = self._request(channel, SUBSCRIBER,
                                        other.hello().session)
                request.grant_handle = self.handle
                self.call("CreateSubscriber", request, channel_pb2.Subscriber,
                          CHANNELS)
        finally:
            os.seteuid(0)
        self._await_only_own(channel)

    def revoke(self, channel):
        """All of them: one whose creation was not answered as well."""
        listing = self.call("ListGrants", grant_pb2.ListGrantsRequest(
            parent=self.name_of(channel)), grant_pb2.ListGrantsResponse,
                            workload.GRANTS)
        for one in listing.grants:
            try:
                self.call("DeleteGrant",
                          grant_pb2.DeleteGrantRequest(name=one.name),
                          empty_pb2.Empty, workload.GRANTS)
            except Refused as refused:
                if refused.code != "NOT_FOUND":
                    raise

    def leave(self, channel, kind):
        """The only one of its kind."""
        self.doubt = ("member", channel, kind)
        for name in self._known(channel, kind):
            self._send_away(name)
            del self.members[name]
        self.doubt = None

    def _send_away(self, name):
        method, request = (
            ("DeletePublisher", channel_pb2.DeletePublisherRequest)
            if "/publishers/" in name else
            ("DeleteSubscriber", channel_pb2.DeleteSubscriberRequest))
        try:
            self.call(method, request(name=name), empty_pb2.Empty, CHANNELS)
        except Refused as refused:
            if refused.code != "NOT_FOUND":
                raise

    def _open(self, member):
        """Its own parts, as far as it can."""
        handles = [member.channel_handle] + [
            getattr(member, field) for field in (
                "ring_handle", "claims_handle", "page_handle")
            if getattr(member, field, "")]
        for handle in handles:
            with self._attach_errors():
                self._let_go(*self.connection.attach(
                    handle, READ if handle == handles[0] else READ_WRITE))

    def _let_go(self, attachment, descriptor):
        os.close(descriptor)
        if attachment.attachment_id:
            self.connection.detach(attachment.attachment_id)

    def open_parts(self, channel):
        """Of each by the other."""
        for name in self._known(channel):
            member = self.members[name]
            parts = ((("RING", READ), ("CLAIMS", READ_WRITE))
                     if "/publishers/" in name else
                     (("PAGE", READ), ("BELL", READ), ("BELL", READ_WRITE)))
            for kind, access in parts:
                with self._attach_errors():
                    self._let_go(*self.connection.attach_part(
                        self.name_of(channel), kind, member.index,
                        member.generation, access))

    def lose_member(self, channel):
        """Another session's, which goes with it."""
        with self._attach_errors(), self.connect() as other:
            session = other.hello().session
            self._join(channel, PUBLISHER, session)
            self._join(channel, SUBSCRIBER, session)
        self._await_only_own(channel)

    def _await_only_own(self, channel):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self._all(channel) != self._own(channel):
            assert time.monotonic() < deadline, "the dead take part"
            time.sleep(0.002)

    # --- the account

    def stats(self, channel):
        return self.call("GetChannelStats", channel_pb2.GetChannelStatsRequest(
            name=self.name_of(channel)), channel_pb2.ChannelStats, CHANNELS)

    def _all(self, channel, session=None):
        """Names of who takes part."""
        found = self.stats(channel)
        return {one.name for one in
                [one.publisher for one in found.publishers] +
                [one.subscriber for one in found.subscribers]
                if session in (None, one.session)}

    def _own(self, channel, kind=""):
        if self.session is None:
            return set()
        return {name for name in self._all(channel, self.session.session)
                if "/%s" % kind in name}

    def _listed_channels(self):
        return {one.name.split("/")[-1]: one for one in self.call(
            "ListChannels", channel_pb2.ListChannelsRequest(parent=PARENT),
            channel_pb2.ListChannelsResponse, CHANNELS).channels}

    def verify(self):
        """All that was acknowledged is there as it was, and nothing else."""
        doubted = self.doubt or ("", "")
        found = self._listed_channels()
        in_doubt = {doubted[1]} if doubted[0] == "channel" else set()
        assert set(found) - in_doubt == set(self.facts) - in_doubt, (
            "%s, not %s" % (set(found), set(self.facts)))
        for channel in set(self.facts) - in_doubt:
            kind, generation = self.facts[channel]
            assert found[channel].generation == generation
            assert channel_pb2.Channel.Kind.Name(found[channel].kind) == kind
            self._verify_members(channel, doubted)
        if self.doubt is None:
            self._verify_segments()

    def _verify_members(self, channel, doubted):
        if self.ending and self.session is not None:
            return  # it takes part until its end has been noticed
        own, known = self._own(channel), self._known(channel)
        if doubted[:2] == ("member", channel):
            assert len(own ^ known) <= (1 if doubted[2] else 2), (
                "%s, not %s" % (own, known))
            known = {name for name in known if doubted[2] not in name}
            own = {name for name in own if doubted[2] not in name}
        assert own == known, "%s, not %s" % (own, known)

    def _verify_segments(self):
        """Each has its parts, and the keeper no memfd beyond them."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            expected = len(self.facts)
            for channel, (kind, _) in self.facts.items():
                for name in self._all(channel):
                    expected += 2 if (kind == QUEUE and
                                      "/publishers/" in name) else 1
            if len(self.listed()) == self.objects() == expected:
                return
            assert time.monotonic() < deadline, (
                "%d segments, %d memfds, not %d" % (
                    len(self.listed()), self.objects(), expected))
            time.sleep(0.005)

    def _leave_for_good(self):
        """The session ends, and takes part in nothing any more."""
        self.ending = True
        self.members.clear()
        self.close()
        self.expect_no_sessions()
        self.session = None
        for channel in self.facts:
            self._await_only_own(channel)

    def expect_nothing(self):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.objects():
            self.sessions()  # so that a death is noticed
            assert time.monotonic() < deadline, "memfds are left"
            time.sleep(0.005)

    def steps(self):
        yield self.greet
        yield lambda: self.make("queue", QUEUE)
        yield lambda: self.make("plain")
        yield lambda: self.join("queue", PUBLISHER)
        yield lambda: self.join("queue", SUBSCRIBER)
        yield self.verify
        yield lambda: self.open_parts("queue")
        yield lambda: self.join("plain", SUBSCRIBER)
        yield lambda: self.lose_member("queue")
        yield lambda: self.grant("queue")
        yield lambda: self.join_by_grant("queue")
        yield lambda: self.revoke("queue")
        yield lambda: self.leave("queue", SUBSCRIBER)
        yield lambda: self.leave("queue", PUBLISHER)
        yield lambda: self.join_both("queue", by_socket=True)
        yield self.verify
        yield lambda: self.leave_by_socket("queue")
        yield lambda: self.join_both("queue", by_socket=False)
        yield lambda: self.make("short", QUEUE)
        yield lambda: self.join("short", PUBLISHER)
        yield lambda: self.drop("short", force=True)
        yield lambda: self.make("short")
        yield lambda: self.drop("short")
        yield self.verify  # as long as its parts can be left over
        yield self._leave_for_good
        yield lambda: self.drop("queue")
        yield lambda: self.drop("plain")
        yield self.expect_nothing
