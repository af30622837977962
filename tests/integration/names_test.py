"""Names that cannot be, in every field of every call that takes a name, through
grpcurl."""

import re
import unittest

import served
from daemon_case import DaemonCase, PARENT, encoded, name_of
from google.api import resource_pb2

BAD = "INVALID_ARGUMENT"
ABSENT_SESSION = "sessions/" + "0" * 32
CHANNEL = PARENT + "/channels/absent"

# Stands in a request where the bad name goes.
HERE = object()

# The forms of names, to be filled with the last part; an id is that alone.
NAMESPACE = "namespaces/%s"
SEGMENT = PARENT + "/segments/%s"
GRANT = name_of("absent") + "/grants/%s"
CHANNEL_GRANT = CHANNEL + "/grants/%s"
CHANNELS = PARENT + "/channels/%s"
PUBLISHER = CHANNEL + "/publishers/%s"
SUBSCRIBER = CHANNEL + "/subscribers/%s"
OBJECT = PARENT + "/objects/%s"
PRIMITIVE = PARENT + "/syncPrimitives/%s"
SESSION = "sessions/%s"
ORPHAN = "orphans/%s"
ID = "%s"

# What is the last part of no name.
BAD_IDS = ["", ".", "..", "a/b", "/", "a\0b", "a b", "x" * 129, "x" * 300,
           "\u00e4"]

# Of these, what each field is tried with; those of the first of a form also
# with all the others, as one function reads a form wherever it stands.
FEW_BAD_IDS = ["..", "a/b", "a\0b", "x" * 300]

# What is no name at all.
BAD_NAMES = ["", "hello", "/", "..", "\0", "x" * 300, "/" + name_of("a"),
             PARENT + "/", PARENT + "/segments", PARENT + "/segments/",
             "namespaces//segments/a", "namespaces/../segments/a",
             "namespaces/a\0b/segments/a", "namespaces/%s/segments/a" %
             ("x" * 300)]


class Row:
    """A field that takes a name, and a request with HERE in its place. `field`
    is as the refusal has it. What is `optional` may be empty."""

    _forms = set()  # those that a row has

    def __init__(self, call, field, form, request, reason="NAME_INVALID",
                 optional=False):
        service, method = call.split("/")
        self.path = "shmd.v1.%sService/%s" % (service, method)
        self.field, self.request, self.reason = field, request, reason
        is_first = form not in Row._forms
        Row._forms.add(form)
        bad = [form % bad for bad in (BAD_IDS if is_first else FEW_BAD_IDS)]
        if is_first and form != ID:
            bad += BAD_NAMES
        self.names = [name for name in bad if name or not optional]

    @property
    def taken(self):
        return self.path, re.sub(r"\[\d+\]", "", self.field)

    @property
    def index(self):
        """That of the bad member in a batch; None of a call for one thing."""
        found = re.search(r"\[(\d+)\]", self.field)
        return found and found.group(1)


def plain(form, field, calls):
    """Rows of calls that need nothing else, or that look at the name first."""
    return [Row(call, field, form, {field: HERE}) for call in calls.split()]


def with_parent(call, **more):
    """A row of a `parent` that is a namespace."""
    return Row(call, "parent", NAMESPACE, {"parent": HERE, **more})


SIZED = {"size_bytes": 4096}
IN_DEFAULT = {"parent": PARENT}

ROWS = [
    *plain(SEGMENT, "name", """
        Segment/GetSegment Segment/DeleteSegment Segment/RenewLease
        Segment/SealSegment Segment/FlushSegment Segment/DisownSegment
        Segment/ReadSegment Segment/CreateHandle Session/ListSegmentUsers
        Sync/BreakLock"""),
    Row("Segment/ResizeSegment", "name", SEGMENT,
        {"name": HERE, "size_bytes": 8192}),
    Row("Segment/WriteSegment", "name", SEGMENT,
        {"name": HERE, "data": encoded(b"x")}),
    Row("Segment/UpdateSegment", "segment.name", SEGMENT,
        {"segment": {"name": HERE, "mode": 0o600}}),
    Row("Session/ListSessions", "segment", SEGMENT, {"segment": HERE},
        optional=True),
    *plain(SEGMENT, "parent",
           "Grant/CreateGrant Grant/ListGrants Sync/ListLocks"),
    *plain(CHANNELS, "parent", "Grant/CreateGrant Grant/ListGrants"),
    *plain(GRANT, "name", "Grant/DeleteGrant"),
    *plain(CHANNEL_GRANT, "name", "Grant/DeleteGrant"),
    *plain(SESSION, "name", "Session/GetSession"),
    *plain(ORPHAN, "name", "Orphan/DeleteOrphan"),
    *plain(PRIMITIVE, "name", """
        Sync/GetSyncPrimitive Sync/DeleteSyncPrimitive Sync/BreakLock"""),
    *plain(PRIMITIVE, "parent", "Sync/ListLocks"),
    *plain(NAMESPACE, "parent", """
        Segment/ListSegments Segment/WatchSegments Object/ListObjects
        Object/WatchObjects Channel/ListChannels Channel/WatchChannels
        Sync/ListSyncPrimitives"""),
    *plain(NAMESPACE, "name", """
        Namespace/GetNamespace Namespace/DeleteNamespace"""),
    *plain(ID, "namespace_id", "Namespace/CreateNamespace"),
    Row("Namespace/UpdateNamespace", "namespace.name", NAMESPACE,
        {"namespace": {"name": HERE, "quota": {}}}),
    # Segments that are made, and batches.
    with_parent("Segment/CreateSegment", segment=SIZED),
    with_parent("Segment/AdoptSegment",
                segment={"backend": "SYSV", "sysv_key": 1}),
    with_parent("Segment/BatchCreateSegments", requests=[{"segment": SIZED}]),
    with_parent("Segment/BatchGetSegments", names=[name_of("a")]),
    with_parent("Segment/BatchDeleteSegments", names=[name_of("a")]),
    Row("Segment/CreateSegment", "segment_id", ID,
        {**IN_DEFAULT, "segment_id": HERE, "segment": SIZED},
        "SEGMENT_ID_INVALID", optional=True),
    Row("Segment/AdoptSegment", "segment_id", ID,
        {**IN_DEFAULT, "segment_id": HERE, "sysv_id": 1 << 30,
         "segment": {"backend": "SYSV"}},
        "SEGMENT_ID_INVALID", optional=True),
    Row("Segment/BatchCreateSegments", "requests[1].parent", NAMESPACE,
        {**IN_DEFAULT, "requests": [
            {"segment": SIZED}, {"parent": HERE, "segment": SIZED}]},
        optional=True),
    Row("Segment/BatchCreateSegments", "requests[1].segment_id", ID,
        {**IN_DEFAULT, "requests": [
            {"segment": SIZED}, {"segment_id": HERE, "segment": SIZED}]},
        "SEGMENT_ID_INVALID", optional=True),
    Row("Segment/CreateSegment", "segment.owner_session", SESSION,
        {**IN_DEFAULT, "segment": {
            **SIZED, "lifetime": "SESSION", "owner_session": HERE}},
        optional=True),
    Row("Segment/BatchCreateSegments", "requests[1].segment.owner_session",
        SESSION, {**IN_DEFAULT, "requests": [{"segment": SIZED}, {"segment": {
            **SIZED, "lifetime": "SESSION", "owner_session": HERE}}]},
        optional=True),
    *[Row("Segment/Batch%sSegments" % verb, "names[1]", SEGMENT,
          {**IN_DEFAULT, "names": [name_of("a"), HERE]})
      for verb in ("Get", "Delete")],
    # Objects.
    *plain(OBJECT, "name", """
        Object/GetObject Object/DeleteObject Object/ReadObject
        Object/LeaseObject"""),
    with_parent("Object/CreateObject", object_id="a"),
    with_parent("Object/BatchCreateObjects", requests=[{"object_id": "a"}]),
    with_parent("Object/BatchGetObjects", names=[OBJECT % "a"]),
    with_parent("Object/BatchDeleteObjects", names=[OBJECT % "a"]),
    Row("Object/CreateObject", "object_id", ID,
        {**IN_DEFAULT, "object_id": HERE}, "OBJECT_ID_INVALID"),
    Row("Object/BatchCreateObjects", "requests[1].object_id", ID,
        {**IN_DEFAULT, "requests": [{"object_id": "a"}, {"object_id": HERE}]},
        "OBJECT_ID_INVALID"),
    Row("Object/BatchCreateObjects", "requests[1].parent", NAMESPACE,
        {**IN_DEFAULT, "requests": [
            {"object_id": "a"}, {"object_id": "b", "parent": HERE}]},
        optional=True),
    *[Row("Object/Batch%sObjects" % verb, "names[1]", OBJECT,
          {**IN_DEFAULT, "names": [OBJECT % "a", HERE]})
      for verb in ("Get", "Delete")],
    # Calls that take a session besides.
    *[row for call, more in (
        ("Object/OpenDirectory", {}),
        ("Object/CreateArena", {"arena": SIZED}),
        ("Object/MakeRoom", SIZED),
        ("Sync/OpenSyncPage", {}))
      for row in (with_parent(call, session=ABSENT_SESSION, **more),
                  Row(call, "session", SESSION,
                      {**IN_DEFAULT, "session": HERE, **more}))],
    # Channels.
    *plain(CHANNELS, "name", """
        Channel/GetChannel Channel/DeleteChannel Channel/GetChannelStats"""),
    *plain(PUBLISHER, "name", "Channel/DeletePublisher"),
    *plain(SUBSCRIBER, "name", "Channel/DeleteSubscriber"),
    with_parent("Channel/CreateChannel", channel_id="a"),
    Row("Channel/CreateChannel", "channel_id", ID,
        {**IN_DEFAULT, "channel_id": HERE}, "CHANNEL_ID_INVALID"),
    *[row for call in ("Channel/CreatePublisher", "Channel/CreateSubscriber")
      for row in (Row(call, "parent", CHANNELS,
                      {"parent": HERE, "session": ABSENT_SESSION}),
                  Row(call, "session", SESSION,
                      {"parent": CHANNEL, "session": HERE}))],
    Row("Channel/JoinChannel", "name", CHANNELS,
        {"name": HERE, "session": ABSENT_SESSION, "publisher": {}}),
    Row("Channel/JoinChannel", "session", SESSION,
        {"name": CHANNEL, "session": HERE, "publisher": {}}),
    with_parent("Sync/CreateSyncPrimitive", sync_primitive_id="a"),
    Row("Sync/CreateSyncPrimitive", "sync_primitive_id", ID,
        {**IN_DEFAULT, "sync_primitive_id": HERE}, "SYNC_ID_INVALID"),
]

# Refused whatever it is, as requests_test says: it never changes, and nothing
# is asked of what is adopted.
REFUSED_ANYWAY = {
    ("shmd.v1.SegmentService/UpdateSegment", "segment.owner_session"),
    ("shmd.v1.SegmentService/AdoptSegment", "segment.owner_session"),
}


def filled(request, name):
    """`request` with `name` where HERE stands."""
    if request is HERE:
        return name
    if isinstance(request, dict):
        return {key: filled(one, name) for key, one in request.items()}
    if isinstance(request, list):
        return [filled(one, name) for one in request]
    return request


def is_name(method, path, field):
    """Whether a field of a request holds a resource's name or its last part."""
    if field.GetOptions().HasExtension(resource_pb2.resource_reference):
        return True
    if path[-1] == "name":
        # What is made gets its name from the daemon.
        return len(path) == 1 or method.name.startswith("Update")
    return path[-1] in ("names", "parent") or (
        path[-1].endswith("_id") and path[-1] != "request_id")


class NamesTest(DaemonCase):

    def test_bad_ones_are_refused_everywhere(self):
        for row in ROWS:
            for name in row.names:
                with self.subTest(call=row.path, field=row.field, name=name):
                    outcome = self.refused(BAD, row.reason, row.path,
                                           filled(row.request, name))
                    self.assertEqual(outcome.fields, [row.field])
                    self.assertEqual(outcome.metadata.get("index"), row.index)

    def test_every_field_for_a_name_has_a_row(self):
        taken = {(call, ".".join(path))
                 for call, method in served.methods(self.shmd).items()
                 for path, field in served.texts(method.input_type)
                 if is_name(method, path, field)}
        self.assertIn(("shmd.v1.SegmentService/GetSegment", "name"), taken)
        rows = {row.taken for row in ROWS}
        self.assertEqual(taken - rows - REFUSED_ANYWAY, set())
        self.assertEqual((rows | REFUSED_ANYWAY) - taken, set())


if __name__ == "__main__":
    unittest.main()
