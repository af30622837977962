"""How to make each call of the access table. A call takes a Subject of
access_table_test and returns its grpcurl.Outcome, and whether it showed the
subject (True where there is nothing to show)."""

import struct

import attach_socket
import channel_case
import grpcurl
import isolation
from daemon_case import PARENT, encoded

CALLS = {}


def call(method, of=""):
    """Registers a function as the call of one row."""
    def register(function):
        CALLS[(method, of)] = function
        return function
    return register


def ask(subject, method, request):
    return subject.shmd.call(method, request, uid=subject.caller)


def on_segment(method, more=None, of="", named="name"):
    """A row whose call names the segment and says no more than `more`."""
    service, bare = method.split(".")

    @call(method, of)
    def make(subject):
        segment = subject.segment()
        names = ([segment.name] if named == "names" else segment.name)
        request = {**(more or {}), named: names}
        if named == "names":
            request["parent"] = PARENT
        return ask(subject, "shmd.v1.%s/%s" % (service, bare), request), True


on_segment("SegmentService.GetSegment")
on_segment("SegmentService.BatchGetSegments", named="names")
on_segment("SegmentService.RenewLease", {"ttl": "60s"})
on_segment("SegmentService.SealSegment")
on_segment("SegmentService.ResizeSegment", {"size_bytes": 8192})
on_segment("SegmentService.FlushSegment")
on_segment("SegmentService.ReadSegment", {"length_bytes": 1})
on_segment("SegmentService.WriteSegment", {"data": encoded(b"x")})
on_segment("SegmentService.CreateHandle", {"access": "READ"}, of="READ")
on_segment("SegmentService.CreateHandle", {"access": "READ_WRITE"},
           of="READ_WRITE")
on_segment("SegmentService.DisownSegment")
on_segment("SegmentService.DeleteSegment")
on_segment("SegmentService.DeleteSegment", {"force": True}, of="force")
on_segment("SegmentService.BatchDeleteSegments", named="names")
on_segment("GrantService.CreateGrant", named="parent")
on_segment("GrantService.ListGrants", named="parent")
on_segment("SessionService.ListSegmentUsers")
on_segment("SessionService.ListSessions", of="the segment", named="segment")


@call("SegmentService.DeleteSegment", "revoke_memory")
def revoke(subject):
    return ask(subject, "DeleteSegment",
               {"name": subject.segment(revocable=True).name,
                "revoke_memory": True}), True


def creation(subject, owner):
    segment_id = subject.id + "-made"
    subject.remove_later(segment_id)
    segment = subject.fields(segment_id)
    if owner is not None:
        segment["owner"] = owner
    return {"parent": PARENT, "segment_id": segment_id, "segment": segment}


def create_one(subject, owner=None):
    return ask(subject, "CreateSegment", creation(subject, owner)), True


def create_batch(subject, owner=None):
    return ask(subject, "BatchCreateSegments",
               {"parent": PARENT,
                "requests": [creation(subject, owner)]}), True


call("SegmentService.CreateSegment", "its own")(create_one)
call("SegmentService.CreateSegment", "own uid's")(
    lambda subject: create_one(subject, subject.own_uid))
call("SegmentService.BatchCreateSegments", "its own")(create_batch)
call("SegmentService.BatchCreateSegments", "own uid's")(
    lambda subject: create_batch(subject, subject.own_uid))


def update(subject, path, value):
    return ask(subject, "UpdateSegment",
               {"segment": {"name": subject.segment().name, path: value},
                "update_mask": {"paths": [path]}}), True


call("SegmentService.UpdateSegment", "labels")(
    lambda subject: update(subject, "labels", {"a": "b"}))
call("SegmentService.UpdateSegment", "mode")(
    lambda subject: update(subject, "mode", 0o640))
call("SegmentService.UpdateSegment", "owner")(
    lambda subject: update(subject, "owner", subject.new_owner))


def listed(outcome, field, name):
    return outcome, any(one["name"] == name
                        for one in outcome.reply.get(field, []))


@call("SegmentService.ListSegments")
def list_segments(subject):
    name = subject.segment().name
    return listed(ask(subject, "ListSegments",
                      {"parent": PARENT, "page_size": 1000}),
                  "segments", name)


@call("SegmentService.WatchSegments")
def watch_segments(subject):
    name, shown = subject.segment().name, False
    with subject.shmd.watch({"parent": PARENT}, uid=subject.caller) as stream:
        while True:
            event = stream.next()
            if event["type"] == "SYNCED":
                return grpcurl.Outcome("OK"), shown
            shown = shown or event["segment"]["name"] == name


@call("SegmentService.AdoptSegment")
def adopt(subject):
    fields, _ = subject.foreign_object()
    request = {"parent": PARENT, "segment_id": subject.id,
               "segment": {"backend": subject.backend.upper()}}
    (request if "sysv_id" in fields else request["segment"]).update(fields)
    subject.remove_later(subject.id)
    return ask(subject, "AdoptSegment", request), True


@call("GrantService.DeleteGrant")
def delete_grant(subject):
    made = subject.shmd.call("shmd.v1.GrantService/CreateGrant",
                             {"parent": subject.segment().name},
                             uid=subject.own_uid)
    return ask(subject, "shmd.v1.GrantService/DeleteGrant",
               {"name": made.reply["grant"]["name"]}), True


@call("SessionService.ListSessions")
def list_sessions(subject):
    name = subject.session()
    return listed(ask(subject, "shmd.v1.SessionService/ListSessions", {}),
                  "sessions", name)


@call("SessionService.GetSession")
def get_session(subject):
    return ask(subject, "shmd.v1.SessionService/GetSession",
               {"name": subject.session()}), True


@call("OrphanService.ListOrphans")
def list_orphans(subject):
    _, name = subject.foreign_object()
    return listed(ask(subject, "shmd.v1.OrphanService/ListOrphans", {}),
                  "orphans", name)


@call("OrphanService.DeleteOrphan")
def delete_orphan(subject):
    _, name = subject.foreign_object()
    found = subject.shmd.call("shmd.v1.OrphanService/ListOrphans", {})
    etags = {one["name"]: one["etag"] for one in found.reply["orphans"]}
    return ask(subject, "shmd.v1.OrphanService/DeleteOrphan",
               {"name": name, "etag": etags[name]}), True


OBJECTS = "shmd.v1.ObjectService/"


def on_object(method, more=None, named="name"):
    """A row whose call names an object in an arena of the subject's mode."""

    @call("ObjectService." + method)
    def make(subject):
        name = subject.published_object()
        request = {**(more or {}), named: [name] if named == "names" else name}
        if named == "names":
            request["parent"] = PARENT
        return ask(subject, OBJECTS + method, request), True


on_object("GetObject")
on_object("BatchGetObjects", named="names")
on_object("ReadObject")
on_object("LeaseObject", {"ttl": "1s"})
on_object("DeleteObject")
on_object("BatchDeleteObjects", named="names")


@call("ObjectService.MakeRoom")
def make_room(subject):
    subject.published_object()
    subject.evict_when_full()
    return ask(subject, OBJECTS + "MakeRoom", {
        "parent": PARENT, "session": subject.writer, "size_bytes": 1}), True


@call("ObjectService.ListObjects")
def list_objects(subject):
    name = subject.published_object()
    return listed(ask(subject, OBJECTS + "ListObjects",
                      {"parent": PARENT, "page_size": 1000}), "objects", name)


@call("ObjectService.WatchObjects")
def watch_objects(subject):
    name, shown = subject.published_object(), False
    with subject.shmd.grpcurl.stream(OBJECTS + "WatchObjects",
                                     {"parent": PARENT},
                                     uid=subject.caller) as stream:
        while True:
            event = stream.next()
            if event["type"] == "SYNCED":
                return grpcurl.Outcome("OK"), shown
            shown = shown or event["object"]["name"] == name


def publication(subject, replace):
    """In the subject's arena: a new object, or in place of the subject's."""
    subject.published_object()
    return {"parent": PARENT, "replace_existing": replace,
            "object_id": subject.id + ("" if replace else "-made"),
            "object": {"arena": subject.arena}}


for OF, REPLACE in (("", False), ("replace_existing", True)):
    call("ObjectService.CreateObject", OF)(
        lambda subject, replace=REPLACE: (
            ask(subject, OBJECTS + "CreateObject",
                publication(subject, replace)), True))
    call("ObjectService.BatchCreateObjects", OF)(
        lambda subject, replace=REPLACE: (
            ask(subject, OBJECTS + "BatchCreateObjects", {
                "parent": PARENT,
                "requests": [publication(subject, replace)]}), True))


@call("ObjectService.CreateArena")
def create_arena(subject):
    return ask(subject, OBJECTS + "CreateArena", {
        "parent": PARENT, "session": subject.session(),
        "arena": {"size_bytes": 4096}}), True


@call("ObjectService.OpenDirectory")
def open_directory(subject):
    return ask(subject, OBJECTS + "OpenDirectory", {
        "parent": PARENT, "session": subject.opened_session()}), True


@call("attach socket: Attach", "arena")
def attach_by_name(subject):
    subject.published_object()
    code, reason = isolation.run_as(
        subject.caller, attach_socket.refusal_of_arena,
        subject.shmd.attach_socket,
        "%s/arenas/%d" % (PARENT, subject.arena))
    outcome = grpcurl.Outcome(code)
    outcome.reason = reason
    return outcome, True


CHANNELS = "shmd.v1.ChannelService/"


def on_channel(method, **more):
    """A row whose call names a channel of OWN's with the subject's mode."""

    @call("ChannelService." + method)
    def make(subject):
        return ask(subject, CHANNELS + method,
                   {"name": subject.channel(), **more}), True


GRANTS = "shmd.v1.GrantService/"


def channel_grant(subject, channel):
    """One of OWN's, for all; what CreateGrant replies."""
    return subject.shmd.call(GRANTS + "CreateGrant", {
        "parent": channel, "grant": {"roles": ["PUBLISHER", "SUBSCRIBER"]}},
        uid=subject.own_uid).reply


call("GrantService.CreateGrant", "a channel")(
    lambda subject: (ask(subject, GRANTS + "CreateGrant", {
        "parent": subject.channel(), "grant": {"roles": ["PUBLISHER"]}}), True))
call("GrantService.ListGrants", "a channel")(
    lambda subject: (ask(subject, GRANTS + "ListGrants",
                         {"parent": subject.channel()}), True))
call("GrantService.DeleteGrant", "a channel")(
    lambda subject: (ask(subject, GRANTS + "DeleteGrant", {
        "name": channel_grant(subject, subject.channel())["grant"]["name"]}),
                     True))

on_channel("GetChannel")
on_channel("GetChannelStats")
on_channel("DeleteChannel")


def create_channel(subject, name, **more):
    subject.remove_channel_later(name)
    return ask(subject, CHANNELS + "CreateChannel", {
        "parent": PARENT, "channel_id": name.rpartition("/")[2], **more}), True


call("ChannelService.CreateChannel")(
    lambda subject: create_channel(subject, subject.channel() + "-made"))
call("ChannelService.CreateChannel", "own uid's")(
    lambda subject: create_channel(subject, subject.channel() + "-made",
                                   channel={"owner": subject.own_uid}))
call("ChannelService.CreateChannel", "allow_existing")(
    lambda subject: create_channel(
        subject, subject.channel(), allow_existing=True,
        channel={"slots": 2, "payload_bytes": 4096}))


@call("ChannelService.ListChannels")
def list_channels(subject):
    name = subject.channel()
    return listed(ask(subject, CHANNELS + "ListChannels",
                      {"parent": PARENT, "page_size": 1000}), "channels", name)


@call("ChannelService.WatchChannels")
def watch_channels(subject):
    name, shown = subject.channel(), False
    with subject.shmd.grpcurl.stream(CHANNELS + "WatchChannels",
                                     {"parent": PARENT},
                                     uid=subject.caller) as stream:
        while True:
            event = stream.next()
            if event["type"] == "SYNCED":
                return grpcurl.Outcome("OK"), shown
            shown = shown or event["channel"]["name"] == name


def refusal(code, reason):
    outcome = grpcurl.Outcome(code)
    outcome.reason = reason
    return outcome


def join_by_grant(subject, method):
    channel = subject.channel()
    return refusal(*isolation.run_as(
        subject.caller, channel_case.refusal_of_joining, subject.shmd, method,
        channel, channel_grant(subject, channel)["handle_string"])), True


for METHOD in ("CreatePublisher", "CreateSubscriber", "JoinChannel"):
    call("ChannelService." + METHOD, "with a grant")(
        lambda subject, method=METHOD: join_by_grant(subject, method))
    # By a session of the caller's.
    call("ChannelService." + METHOD)(
        lambda subject, method=METHOD: (refusal(*isolation.run_as(
            subject.caller, channel_case.refusal_of_joining, subject.shmd,
            method, subject.channel())), True))

for METHOD in ("DeletePublisher", "DeleteSubscriber"):
    # OWN's, in a channel of OWN's.
    call("ChannelService." + METHOD)(
        lambda subject, method=METHOD: (ask(
            subject, CHANNELS + method,
            {"name": subject.channel_member(method[6:]).name}), True))


@call("attach socket: join")
def join_by_socket(subject):
    return refusal(*isolation.run_as(
        subject.caller, channel_case.refusal_of_joining, subject.shmd, "join",
        subject.channel())), True


@call("attach socket: Leave")
def leave_by_socket(subject):
    """OWN's, in a channel of OWN's."""
    return refusal(*isolation.run_as(
        subject.caller, channel_case.refusal_of_leaving, subject.shmd,
        subject.channel_member("Publisher").name)), True


@call("attach socket: delete")
def delete_by_socket(subject):
    return refusal(*isolation.run_as(
        subject.caller, attach_socket.refusal_of_deletion,
        subject.shmd.attach_socket, subject.segment().name)), True


@call("attach socket: Attach", "channel part")
def attach_channel_part(subject):
    """By a session that does not take part."""
    member = subject.channel_member("Publisher")
    return refusal(*isolation.run_as(
        subject.caller, channel_case.refusal_of_part, subject.shmd,
        member.name.rpartition("/publishers/")[0], member.index,
        member.generation)), True


SYNC = "shmd.v1.SyncService/"


@call("SyncService.OpenSyncPage")
def open_sync_page(subject):
    return ask(subject, SYNC + "OpenSyncPage", {
        "parent": PARENT, "session": subject.opened_sync_session()}), True


@call("SyncService.ListLocks")
def list_locks(subject):
    return ask(subject, SYNC + "ListLocks",
               {"parent": subject.segment().name}), True


@call("SyncService.BreakLock")
def break_lock(subject):
    name = subject.segment().name
    # A mutex that somebody has.
    subject.shmd.call("WriteSegment", {
        "name": name, "data": encoded(struct.pack("<3I", 0x59530101, 5, 0))},
        uid=subject.own_uid)
    return ask(subject, SYNC + "BreakLock", {"name": name}), True


def creation_of_primitive(subject):
    return {"parent": PARENT, "sync_primitive_id": subject.id,
            "sync_primitive": {"kind": "MUTEX", "mode": subject.mode}}


def sync_primitive(subject):
    """One of the own uid's; returns its name."""
    made = subject.shmd.call(SYNC + "CreateSyncPrimitive",
                             creation_of_primitive(subject),
                             uid=subject.own_uid)
    remove_primitive_later(subject)
    return made.reply["name"]


def remove_primitive_later(subject):
    name = "%s/syncPrimitives/%s" % (PARENT, subject.id)
    subject.on_exit(lambda: subject.shmd.call(SYNC + "DeleteSyncPrimitive",
                                              {"name": name}))


@call("SyncService.CreateSyncPrimitive")
def create_primitive(subject):
    remove_primitive_later(subject)
    return ask(subject, SYNC + "CreateSyncPrimitive",
               creation_of_primitive(subject)), True


@call("SyncService.ListSyncPrimitives")
def list_primitives(subject):
    name = sync_primitive(subject)
    return listed(ask(subject, SYNC + "ListSyncPrimitives",
                      {"parent": PARENT}), "sync_primitives", name)


for METHOD in ("GetSyncPrimitive", "DeleteSyncPrimitive"):
    call("SyncService." + METHOD)(
        lambda subject, method=METHOD: (
            ask(subject, SYNC + method, {"name": sync_primitive(subject)}),
            True))


NAMESPACES = "shmd.v1.NamespaceService/"


@call("NamespaceService.CreateNamespace")
def create_namespace(subject):
    subject.remove_namespace_later()
    return ask(subject, NAMESPACES + "CreateNamespace",
               {"namespace_id": subject.id}), True


@call("NamespaceService.ListNamespaces")
def list_namespaces(subject):
    name = subject.name_space()
    return listed(ask(subject, NAMESPACES + "ListNamespaces",
                      {"page_size": 1000}), "namespaces", name)


call("NamespaceService.GetNamespace")(
    lambda subject: (ask(subject, NAMESPACES + "GetNamespace",
                         {"name": subject.name_space()}), True))
call("NamespaceService.UpdateNamespace")(
    lambda subject: (ask(subject, NAMESPACES + "UpdateNamespace",
                         {"namespace": {"name": subject.name_space(),
                                        "quota": {"segments": 7}},
                          "update_mask": {"paths": ["quota"]}}), True))
call("NamespaceService.DeleteNamespace")(
    lambda subject: (ask(subject, NAMESPACES + "DeleteNamespace",
                         {"name": subject.name_space()}), True))


@call("NodeService.GetNode")
def get_node(subject):
    return ask(subject, "shmd.v1.NodeService/GetNode", {}), True


@call("Health.Check")
def check_health(subject):
    return ask(subject, "grpc.health.v1.Health/Check", {}), True


@call("Health.Watch")
def watch_health(subject):
    with subject.shmd.grpcurl.stream("grpc.health.v1.Health/Watch", {},
                                     uid=subject.caller) as stream:
        return grpcurl.Outcome("OK"), stream.next()["status"] == "SERVING"


@call("ServerReflection.ServerReflectionInfo")
def reflect(subject):
    services = subject.shmd.grpcurl.plain("list", uid=subject.caller)
    return grpcurl.Outcome("OK"), "shmd.v1.SegmentService" in services


def attach(subject, access):
    handle = subject.segment().handle
    # As root's handle may write, only who redeems it decides.
    code, reason = isolation.run_as(
        subject.caller, attach_socket.refusal, subject.shmd.attach_socket,
        handle, access)
    outcome = grpcurl.Outcome(code)
    outcome.reason = reason
    return outcome, True


call("attach socket: Attach", "READ")(
    lambda subject: attach(subject, attach_socket.READ))
call("attach socket: Attach", "READ_WRITE")(
    lambda subject: attach(subject, attach_socket.READ_WRITE))


def greet(path):
    with attach_socket.Connection(path) as connection:
        return connection.hello().session


@call("attach socket: Hello")
def hello(subject):
    session = isolation.run_as(subject.caller, greet,
                               subject.shmd.attach_socket)
    return grpcurl.Outcome("OK"), session.startswith("sessions/")
