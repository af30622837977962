"""The RPCs on one existing segment through grpcurl, good and bad input; names
that cannot be are names_test's.

Rows of the tables are (what is wrong, code, reason, RPC, the request); a
request's `name` is that of the test's segment unless it says otherwise.
"""

import base64
import os
import tempfile
import unittest

import served
from daemon_case import DaemonCase, PARENT, encoded, name_of

BAD = "INVALID_ARGUMENT"
PRECONDITION = "FAILED_PRECONDITION"
U63 = 1 << 63
U64 = (1 << 64) - 1

# Of a request, in bytes.
MAX_MESSAGE_BYTES = 1 << 20

GET_NODE = "shmd.v1.NodeService/GetNode"
NODE_WITH_PADDING = """syntax = "proto3";
package shmd.v1;
message GetNodeRequest { string padding = 100; }
message Node {}
service NodeService { rpc GetNode(GetNodeRequest) returns (Node); }
"""

# Every RPC that takes a name, with what else it needs.
NAMED = {
    "GetSegment": {},
    "DeleteSegment": {},
    "RenewLease": {},
    "SealSegment": {},
    "ResizeSegment": {"size_bytes": 8192},
    "FlushSegment": {},
    "DisownSegment": {},
    "ReadSegment": {},
    "WriteSegment": {"data": encoded(b"x")},
    "CreateHandle": {},
}

REFUSED = [
    # Unknown enums.
    ("unknown view", BAD, "FIELD_INVALID", "GetSegment", {"view": 9}),
    ("unknown extent", BAD, "FIELD_INVALID", "SealSegment", {"extent": 9}),
    ("unknown flush", BAD, "FIELD_INVALID", "FlushSegment", {"mode": 9}),
    ("unknown access", BAD, "FIELD_INVALID", "CreateHandle", {"access": 9}),
    # Etags.
    ("etag of delete", "ABORTED", "ETAG_MISMATCH", "DeleteSegment",
     {"etag": "x"}),
    ("etag of seal", "ABORTED", "ETAG_MISMATCH", "SealSegment",
     {"etag": "x"}),
    ("etag of resize", "ABORTED", "ETAG_MISMATCH", "ResizeSegment",
     {"size_bytes": 8192, "etag": "x"}),
    # Sizes.
    ("resize to 0", BAD, "SIZE_INVALID", "ResizeSegment", {"size_bytes": 0}),
    ("resize to nothing", BAD, "SIZE_INVALID", "ResizeSegment", {}),
    ("resize to 2^63", BAD, "SIZE_INVALID", "ResizeSegment",
     {"size_bytes": U63}),
    ("resize to 2^64 - 1", BAD, "SIZE_INVALID", "ResizeSegment",
     {"size_bytes": U64}),
    ("resize to 64 TiB", "RESOURCE_EXHAUSTED", "BUDGET_EXCEEDED",
     "ResizeSegment", {"size_bytes": 1 << 46}),
    ("resize a memfd down", PRECONDITION, "NOT_RESIZABLE", "ResizeSegment",
     {"size_bytes": 1}),
    # Ranges of a segment of 4096 bytes.
    ("read 65537", BAD, "PEEK_TOO_LARGE", "ReadSegment",
     {"length_bytes": 65537}),
    ("read 2^64 - 1", BAD, "PEEK_TOO_LARGE", "ReadSegment",
     {"length_bytes": U64}),
    ("read behind the end", "OUT_OF_RANGE", "RANGE_OUTSIDE_SEGMENT",
     "ReadSegment", {"offset_bytes": 4097}),
    ("read over the end", "OUT_OF_RANGE", "RANGE_OUTSIDE_SEGMENT",
     "ReadSegment", {"offset_bytes": 4095, "length_bytes": 2}),
    ("read at 2^63", "OUT_OF_RANGE", "RANGE_OUTSIDE_SEGMENT", "ReadSegment",
     {"offset_bytes": U63, "length_bytes": 1}),
    ("read, a sum that wraps", "OUT_OF_RANGE", "RANGE_OUTSIDE_SEGMENT",
     "ReadSegment", {"offset_bytes": U64, "length_bytes": 2}),
    ("write 65537", BAD, "PEEK_TOO_LARGE", "WriteSegment",
     {"data": encoded(b"x" * 65537)}),
    ("write over the end", "OUT_OF_RANGE", "RANGE_OUTSIDE_SEGMENT",
     "WriteSegment", {"offset_bytes": 4095, "data": encoded(b"xy")}),
    ("write, a sum that wraps", "OUT_OF_RANGE", "RANGE_OUTSIDE_SEGMENT",
     "WriteSegment", {"offset_bytes": U64, "data": encoded(b"xy")}),
    ("flush behind the end", "OUT_OF_RANGE", "RANGE_OUTSIDE_SEGMENT",
     "FlushSegment", {"offset_bytes": 4097, "length_bytes": 1}),
    ("flush, a sum that wraps", "OUT_OF_RANGE", "RANGE_OUTSIDE_SEGMENT",
     "FlushSegment", {"offset_bytes": 4096, "length_bytes": U64 - 4095}),
    ("flush 2^63 and 2^63", "OUT_OF_RANGE", "RANGE_OUTSIDE_SEGMENT",
     "FlushSegment", {"offset_bytes": U63, "length_bytes": U63}),
    ("handle behind the end", "OUT_OF_RANGE", "RANGE_OUTSIDE_SEGMENT",
     "CreateHandle", {"offset_bytes": 4097}),
    ("handle over the end", "OUT_OF_RANGE", "RANGE_OUTSIDE_SEGMENT",
     "CreateHandle", {"offset_bytes": 1, "length_bytes": 4096}),
    ("handle, a sum that wraps", "OUT_OF_RANGE", "RANGE_OUTSIDE_SEGMENT",
     "CreateHandle", {"offset_bytes": 2, "length_bytes": U64}),
    # A handle's end.
    ("handle for 0 s", BAD, "FIELD_INVALID", "CreateHandle", {"ttl": "0s"}),
    ("handle for -1 s", BAD, "FIELD_INVALID", "CreateHandle", {"ttl": "-1s"}),
    ("handle for 200 years", BAD, "FIELD_INVALID", "CreateHandle",
     {"ttl": "6311520000s"}),
    ("handle for 1 us", BAD, "FIELD_INVALID", "CreateHandle",
     {"ttl": "0.000001s"}),
    # What a memfd has not.
    ("disown a memfd", "UNIMPLEMENTED", "BACKEND_UNSUPPORTED",
     "DisownSegment", {}),
]

# Rows of UpdateSegment: (what is wrong, code, reason, segment, mask).
UPDATES_REFUSED = [
    ("mask names the size", BAD, "FIELD_NOT_UPDATABLE",
     {"size_bytes": 1}, "size_bytes"),
    ("mask names the name", BAD, "FIELD_NOT_UPDATABLE", {}, "name"),
    ("mask names the uid", BAD, "FIELD_NOT_UPDATABLE", {}, "uid"),
    ("mask names nothing known", BAD, "FIELD_NOT_UPDATABLE", {}, "colour"),
    ("mask goes too deep", BAD, "FIELD_NOT_UPDATABLE", {}, "mode.bits"),
    ("mask is empty text", BAD, "FIELD_NOT_UPDATABLE", {}, ""),
    ("one good path, one bad", BAD, "FIELD_NOT_UPDATABLE",
     {"mode": 0o644}, "mode,backend"),
    ("mode 01000", BAD, "MODE_INVALID", {"mode": 0o1000}, "mode"),
    ("mode 0700", BAD, "MODE_INVALID", {"mode": 0o700}, "mode"),
    ("bad label", BAD, "LABEL_INVALID", {"labels": {"A": "b"}}, "labels"),
    ("65 labels", BAD, "LABEL_INVALID",
     {"labels": {"k%d" % n: "" for n in range(65)}}, "labels"),
    ("ttl of 0", BAD, "FIELD_INVALID", {"ttl": "0s"}, "ttl"),
    ("owner of no uid", BAD, "FIELD_INVALID", {"owner": (1 << 32) - 1},
     "owner"),
    ("group of no gid", BAD, "FIELD_INVALID", {"group": (1 << 32) - 1},
     "group"),
    ("wrong etag", "ABORTED", "ETAG_MISMATCH",
     {"mode": 0o644, "etag": "stale"}, "mode"),
]


def around(message, path, text):
    """A request of type `message` with `text` in the field at `path`."""
    field = message.fields_by_name[path[0]]
    inner = (text if len(path) == 1
             else around(field.message_type, path[1:], text))
    repeated = field.label == field.LABEL_REPEATED
    return {path[0]: [inner] if repeated else inner}


def paths(mask):
    """A FieldMask as grpcurl has it."""
    return {"paths": mask.split(",")}


class RequestsTest(DaemonCase):

    def test_tells_what_is_absent(self):
        for method, more in NAMED.items():
            with self.subTest(method):
                self.refused("NOT_FOUND", "SEGMENT_NOT_FOUND", method,
                             {"name": name_of("absent"), **more})
                self.refused("NOT_FOUND", "NAMESPACE_NOT_FOUND", method,
                             {"name": "namespaces/absent/segments/a", **more})
        self.refused("NOT_FOUND", "SEGMENT_NOT_FOUND", "UpdateSegment",
                     {"segment": {"name": name_of("absent"), "mode": 0o600}})

    def test_refuses_empty_requests(self):
        for method in list(NAMED) + ["UpdateSegment", "CreateSegment",
                                     "ListSegments", "AdoptSegment",
                                     "WatchSegments"]:
            with self.subTest(method):
                self.refused(BAD, "NAME_INVALID", method, {})
        for method in ("BatchCreateSegments", "BatchGetSegments",
                       "BatchDeleteSegments"):
            with self.subTest(method):
                self.refused(BAD, "BATCH_TOO_LARGE", method, {})

    def test_refuses_by_code_and_reason(self):
        made = self.create(resizable=True)
        for what, code, reason, method, request in REFUSED:
            with self.subTest(what):
                self.refused(code, reason, method,
                             {"name": made["name"], **request})
        self.assertEqual(self.etag(made), made["etag"])

    def test_refuses_updates_and_changes_nothing(self):
        made = self.create()
        for what, code, reason, segment, mask in UPDATES_REFUSED:
            with self.subTest(what):
                self.refused(code, reason, "UpdateSegment",
                             {"segment": {"name": made["name"], **segment},
                              "update_mask": paths(mask)})
        self.assertEqual(self.etag(made), made["etag"])

    def test_without_a_mask_only_what_can_be_changed_is_set(self):
        made = self.create(resizable=True)
        name = made["name"]
        for fields in ({"size_bytes": 8192}, {"backend": "POSIX"},
                       {"resizable": True, "populate": True},
                       {"numa_policy": {"mode": "BIND", "nodes": [0]}},
                       {"lifetime": "SESSION"}, {"owner_session": ".."}):
            with self.subTest(fields):
                outcome = self.refused(
                    BAD, "FIELD_NOT_UPDATABLE", "UpdateSegment",
                    {"segment": {"name": name, "mode": 0o640, **fields}})
                self.assertEqual(outcome.fields, [
                    "segment." + list(fields)[-1]])
        self.assertEqual(self.etag(made), made["etag"])
        # Who changes what was read gives the rest back as it was.
        read = self.ok("GetSegment", {"name": name})
        changed = self.ok("UpdateSegment",
                          {"segment": {**read, "mode": 0o640}})
        self.assertEqual(changed["mode"], 0o640)

    def test_nothing_is_asked_of_what_is_adopted(self):
        for fields in ({"mode": 0o600}, {"owner": 0}, {"populate": True},
                       {"lifetime": "SESSION"}, {"lock_in_memory": True},
                       {"owner_session": ".."},
                       {"seal_policy": "SEALABLE"}):
            with self.subTest(fields):
                outcome = self.refused(
                    BAD, "FIELD_INVALID", "AdoptSegment",
                    {"parent": PARENT, "segment": {
                        "backend": "POSIX", "posix_name": "/absent",
                        **fields}})
                self.assertEqual(outcome.fields, [
                    "segment." + list(fields)[0]])

    def etag(self, made):
        return self.ok("GetSegment", {"name": made["name"]})["etag"]

    def test_refuses_oversize_messages(self):
        made = self.create(size_bytes=2 * MAX_MESSAGE_BYTES)
        self.oversize("WriteSegment", {
            "name": made["name"], "data": encoded(b"x" * MAX_MESSAGE_BYTES)})
        self.oversize("BatchGetSegments", {"parent": PARENT,
                                           "names": ["n" * 1000] * 1100})
        self.oversize("grpc.health.v1.Health/Check",
                      {"service": "n" * MAX_MESSAGE_BYTES})

    def oversize(self, method, request, **arguments):
        """gRPC refuses, before any code of the daemon's could say why."""
        with self.subTest(method):
            outcome = self.refused("RESOURCE_EXHAUSTED", "", method, request,
                                   **arguments)
            self.assertEqual((outcome.domain, outcome.metadata), ("", {}))

    def test_no_method_takes_an_oversize_message(self):
        empty = set()
        for method, described in served.methods(self.shmd).items():
            path = next((path for path, _ in
                         served.texts(described.input_type)), None)
            if path is None:
                empty.add(method)
                continue
            self.oversize(method, around(described.input_type, path,
                                         "n" * MAX_MESSAGE_BYTES))
        self.assertEqual(empty, {GET_NODE})
        # Only by another idea of the request can there be anything in it.
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "node.proto"), "w") as proto:
                proto.write(NODE_WITH_PADDING)
            self.oversize(GET_NODE, {"padding": "n" * MAX_MESSAGE_BYTES},
                          flags=["-import-path", folder, "-proto",
                                 "node.proto"])

    def test_takes_the_largest_message(self):
        # A key, and a length of three bytes.
        for method in ("GetSegment", "ReadSegment"):
            self.refused(BAD, "NAME_INVALID", method,
                         {"name": "n" * (MAX_MESSAGE_BYTES - 4)})
            self.oversize(method, {"name": "n" * (MAX_MESSAGE_BYTES - 3)})

    def test_adopts_nothing_that_is_absent(self):
        for named in ({"sysv_id": 1 << 30}, {"sysv_id": (1 << 31) - 1},
                      {"sysv_id": -1}, {"sysv_id": -(1 << 31)}):
            with self.subTest(named):
                self.refused("NOT_FOUND", "OBJECT_NOT_FOUND", "AdoptSegment",
                             {"parent": PARENT, **named,
                              "segment": {"backend": "SYSV"}})

    def test_refuses_unknown_json(self):
        made = self.create()
        for method, request in (("GetSegment", {"nam": made["name"]}),
                                ("GetSegment", {"name": 7}),
                                ("GetSegment", "{"),
                                ("SealSegment", {"name": made["name"],
                                                 "extent": "NOBODY"}),
                                ("ResizeSegment", {"name": made["name"],
                                                   "size_bytes": "-1"}),
                                ("ResizeSegment", {"name": made["name"],
                                                   "size_bytes": 1 << 64})):
            with self.subTest(request=request):
                outcome = self.shmd.call(method, request)
                self.assertIn(outcome.code, ("GRPCURL", BAD), outcome)
        self.assertEqual(self.etag(made), made["etag"])

    def test_unknown_fields_are_ignored(self):
        made = self.create()
        self.ok("GetSegment", {"name": made["name"], "novel": {"x": [1]}},
                flags=["-allow-unknown-fields"])

    def test_update_changes_what_the_mask_names(self):
        made = self.create(backend="POSIX", labels={"a": "1", "b": "2"})
        name = made["name"]

        def update(mask, **fields):
            request = {"segment": {"name": name, **fields}}
            if mask is not None:
                request["update_mask"] = paths(mask)
            return self.ok("UpdateSegment", request)

        now = update("mode", mode=0o640, labels={"ignored": "x"})
        self.assertEqual((now["mode"], now["labels"]),
                         (0o640, {"a": "1", "b": "2"}))
        self.assertNotEqual(now["etag"], made["etag"])
        self.assertEqual(
            os.stat("/dev/shm" + made["posix_name"]).st_mode & 0o777, 0o640)
        now = update("labels.c", labels={"c": "3"})
        self.assertEqual(now["labels"], {"a": "1", "b": "2", "c": "3"})
        now = update("labels.a")
        self.assertEqual(now["labels"], {"b": "2", "c": "3"})
        now = update("labels", labels={"z": "26"})
        self.assertEqual(now["labels"], {"z": "26"})
        now = update("ttl", ttl="3600s")
        self.assertIn("expire_time", now)
        now = update("ttl")
        self.assertNotIn("expire_time", now)
        now = update(None, mode=0o600, etag=now["etag"])
        self.assertEqual((now["mode"], now["labels"]), (0o600, {"z": "26"}))
        now = update("owner,group", owner=4001, group=4002)
        status = os.stat("/dev/shm" + made["posix_name"])
        self.assertEqual((status.st_uid, status.st_gid), (4001, 4002))

    def test_resize(self):
        for fields in ({"backend": "MEMFD"}, {"backend": "POSIX"},
                       {"backend": "MAPPED_FILE",
                        "file_path": self.fresh_id()}):
            with self.subTest(fields["backend"]):
                made = self.create(fields, resizable=True)
                name = made["name"]
                grown = self.ok("ResizeSegment",
                                {"name": name, "size_bytes": 8192,
                                 "etag": made["etag"]})
                self.assertEqual(grown["size_bytes"], "8192")
                self.ok("WriteSegment", {"name": name, "offset_bytes": 8191,
                                         "data": encoded(b"!")})
                if fields["backend"] == "MEMFD":
                    self.refused(PRECONDITION, "NOT_RESIZABLE",
                                 "ResizeSegment",
                                 {"name": name, "size_bytes": 4096})
                    continue
                shrunk = self.ok("ResizeSegment",
                                 {"name": name, "size_bytes": 4096})
                self.assertEqual(shrunk["size_bytes"], "4096")
        fixed = self.create()
        self.refused(PRECONDITION, "NOT_RESIZABLE", "ResizeSegment",
                     {"name": fixed["name"], "size_bytes": 8192})

    def test_sysv_cannot_be_resized(self):
        outcome = self.shmd.call(
            "CreateSegment",
            {"parent": PARENT, "segment_id": self.fresh_id(),
             "segment": {"size_bytes": 4096, "backend": "SYSV",
                         "resizable": True}})
        self.assertEqual(outcome.code, "UNIMPLEMENTED", outcome)
        self.assertEqual(outcome.reason, "BACKEND_UNSUPPORTED")
        made = self.create(backend="SYSV")
        outcome = self.shmd.call("ResizeSegment", {"name": made["name"],
                                                   "size_bytes": 8192})
        self.assertIn((outcome.code, outcome.reason),
                      (("UNIMPLEMENTED", "BACKEND_UNSUPPORTED"),
                       (PRECONDITION, "NOT_RESIZABLE")))

    def test_seal(self):
        made = self.create(segment_id=self.fresh_id())
        name = made["name"]
        self.ok("WriteSegment", {"name": name, "data": encoded(b"final")})
        closed = self.ok("SealSegment", {"name": name,
                                         "extent": "NEW_WRITERS"})
        self.assertEqual(closed["state"], "CLOSED_TO_WRITERS")
        sealed = self.ok("SealSegment", {"name": name})
        self.assertEqual(sealed["state"], "SEALED")
        again = self.ok("SealSegment", {"name": name})
        self.assertEqual(again["state"], "SEALED")
        seals = self.ok("GetSegment", {"name": name})["status"]["seals"]
        self.assertLessEqual({"F_SEAL_SHRINK", "F_SEAL_WRITE"}, set(seals))
        self.refused(PRECONDITION, "SEGMENT_SEALED", "WriteSegment",
                     {"name": name, "data": encoded(b"x")})
        reply = self.ok("ReadSegment", {"name": name, "length_bytes": 5})
        self.assertEqual(base64.b64decode(reply["data"]), b"final")

    def test_what_cannot_be_sealed(self):
        never = self.create(seal_policy="NEVER_SEALED")
        self.refused(PRECONDITION, "SEAL_REFUSED", "SealSegment",
                     {"name": never["name"]})
        for fields in ({"backend": "POSIX"}, {"backend": "SYSV"},
                       {"backend": "MAPPED_FILE",
                        "file_path": self.fresh_id()}):
            made = self.create(fields)
            self.refused("UNIMPLEMENTED", "BACKEND_UNSUPPORTED",
                         "SealSegment", {"name": made["name"]})

    def test_a_sealed_segment_does_not_grow(self):
        made = self.create(resizable=True)
        self.ok("SealSegment", {"name": made["name"]})
        self.refused(PRECONDITION, "SEGMENT_SEALED", "ResizeSegment",
                     {"name": made["name"], "size_bytes": 8192})

    def test_read_and_write_up_to_the_last_byte(self):
        for fields in ({"backend": "MEMFD"}, {"backend": "POSIX"},
                       {"backend": "SYSV"},
                       {"backend": "MAPPED_FILE",
                        "file_path": self.fresh_id()}):
            with self.subTest(fields["backend"]):
                made = self.create(fields, size_bytes=70000)
                name = made["name"]
                data = os.urandom(65536)
                self.ok("WriteSegment", {"name": name, "offset_bytes": 4464,
                                         "data": encoded(data)})
                reply = self.ok("ReadSegment", {"name": name,
                                                "offset_bytes": 4464,
                                                "length_bytes": 65536})
                self.assertEqual(base64.b64decode(reply["data"]), data)
                reply = self.ok("ReadSegment", {"name": name,
                                                "offset_bytes": 69999})
                self.assertEqual(base64.b64decode(reply["data"]), data[-1:])
                reply = self.ok("ReadSegment", {"name": name})
                self.assertEqual(len(base64.b64decode(reply["data"])), 65536)

    def test_flush(self):
        made = self.create(backend="MAPPED_FILE", file_path=self.fresh_id())
        for mode in ("SYNCHRONOUS", "ASYNCHRONOUS", "INVALIDATE"):
            self.ok("FlushSegment", {"name": made["name"], "mode": mode})
        self.ok("FlushSegment", {"name": made["name"], "offset_bytes": 1,
                                 "length_bytes": 4095})
        self.ok("FlushSegment", {"name": self.create()["name"]})

    def test_status_is_the_kernels(self):
        made = self.create(backend="POSIX", size_bytes=1 << 20)
        full = self.ok("GetSegment", {"name": made["name"], "view": "FULL"})
        status = full["status"]
        self.assertEqual(status["page_size_bytes"], "4096")
        self.assertEqual(status["resident_bytes"], str(1 << 20))
        self.assertEqual(sum(int(node["pages"])
                             for node in status["node_pages"]), 256)
        basic = self.ok("GetSegment", {"name": made["name"],
                                       "view": "BASIC"})
        self.assertNotIn("node_pages", basic.get("status", {}))

    def test_delete_takes_etag_and_leaves_nothing(self):
        made = self.create(backend="MAPPED_FILE", file_path=self.fresh_id())
        path = os.path.join(self.shmd.file_root, made["file_path"])
        self.assertTrue(os.path.exists(path))
        self.ok("DeleteSegment", {"name": made["name"],
                                  "etag": made["etag"]})
        self.assertFalse(os.path.exists(path))
        self.refused("NOT_FOUND", "SEGMENT_NOT_FOUND", "DeleteSegment",
                     {"name": made["name"]})


if __name__ == "__main__":
    unittest.main()
