"""CreateSegment through grpcurl: what is accepted, and each way to be refused.

A row of REFUSED is (what is wrong, code, reason, field, the request); in the
request, `segment` adds to a segment of 4096 bytes.
"""

import os
import unittest

from daemon_case import DaemonCase, PARENT, name_of

MIB = 1 << 20
GIB = 1 << 30
BAD = "INVALID_ARGUMENT"


def segment(**fields):
    return {"segment": fields}


def backend(kind, **fields):
    return {"segment": {"backend": kind, **fields}}


def labels(count, value="v"):
    return {"k%d" % number: value for number in range(count)}


REFUSED = [
    # The parent.
    ("no parent", BAD, "NAME_INVALID", "parent", {"parent": ""}),
    ("bare parent", BAD, "NAME_INVALID", "parent", {"parent": "default"}),
    ("slash at the end", BAD, "NAME_INVALID", "parent",
     {"parent": PARENT + "/"}),
    ("slash at the start", BAD, "NAME_INVALID", "parent",
     {"parent": "/" + PARENT}),
    ("dots as parent", BAD, "NAME_INVALID", "parent",
     {"parent": "namespaces/.."}),
    ("NUL in parent", BAD, "NAME_INVALID", "parent",
     {"parent": PARENT + "\0"}),
    ("a segment as parent", BAD, "NAME_INVALID", "parent",
     {"parent": name_of("x")}),
    ("300 bytes of parent", BAD, "NAME_INVALID", "parent",
     {"parent": "namespaces/" + "n" * 300}),
    ("another namespace", "NOT_FOUND", "NAMESPACE_NOT_FOUND", None,
     {"parent": "namespaces/absent"}),
    # The segment's id.
    ("dot", BAD, "SEGMENT_ID_INVALID", "segment_id", {"segment_id": "."}),
    ("dots", BAD, "SEGMENT_ID_INVALID", "segment_id", {"segment_id": ".."}),
    ("slash", BAD, "SEGMENT_ID_INVALID", "segment_id", {"segment_id": "a/b"}),
    ("traversal", BAD, "SEGMENT_ID_INVALID", "segment_id",
     {"segment_id": "../../etc/passwd"}),
    ("NUL", BAD, "SEGMENT_ID_INVALID", "segment_id", {"segment_id": "a\0b"}),
    ("space", BAD, "SEGMENT_ID_INVALID", "segment_id", {"segment_id": "a b"}),
    ("line feed", BAD, "SEGMENT_ID_INVALID", "segment_id",
     {"segment_id": "a\n"}),
    ("not ASCII", BAD, "SEGMENT_ID_INVALID", "segment_id",
     {"segment_id": "\u00e4"}),
    ("129 bytes", BAD, "SEGMENT_ID_INVALID", "segment_id",
     {"segment_id": "a" * 129}),
    ("300 bytes", BAD, "SEGMENT_ID_INVALID", "segment_id",
     {"segment_id": "a" * 300}),
    # Sizes.
    ("no size", BAD, "SIZE_INVALID", "segment.size_bytes",
     segment(size_bytes=0)),
    ("2^63 bytes", BAD, "SIZE_INVALID", "segment.size_bytes",
     segment(size_bytes=1 << 63)),
    ("2^64 - 1 bytes", BAD, "SIZE_INVALID", "segment.size_bytes",
     segment(size_bytes=(1 << 64) - 1)),
    ("2^64 - 4096 bytes", BAD, "SIZE_INVALID", "segment.size_bytes",
     segment(size_bytes=(1 << 64) - 4096)),
    ("64 TiB and 1", BAD, "SIZE_INVALID", "segment.size_bytes",
     segment(size_bytes=(1 << 46) + 1)),
    ("64 TiB", "RESOURCE_EXHAUSTED", "BUDGET_EXCEEDED", None,
     segment(size_bytes=1 << 46)),
    # Page sizes.
    ("pages of 3 KiB", BAD, "PAGE_SIZE_MISMATCH", "segment.page_size_bytes",
     segment(page_size_bytes=3072)),
    ("pages of 1", BAD, "PAGE_SIZE_MISMATCH", "segment.page_size_bytes",
     segment(page_size_bytes=1)),
    ("pages of 2^63", BAD, "PAGE_SIZE_MISMATCH", "segment.page_size_bytes",
     segment(page_size_bytes=1 << 63)),
    ("pages of 4 MiB", BAD, "PAGE_SIZE_MISMATCH", "segment.page_size_bytes",
     segment(size_bytes=4 * MIB, page_size_bytes=4 * MIB)),
    ("no multiple of 2 MiB", BAD, "PAGE_SIZE_MISMATCH", "segment.size_bytes",
     segment(size_bytes=2 * MIB + 1, page_size_bytes=2 * MIB)),
    ("less than 1 GiB", BAD, "PAGE_SIZE_MISMATCH", "segment.size_bytes",
     segment(size_bytes=2 * MIB, page_size_bytes=GIB)),
    # Backends, and what belongs to which.
    ("unknown backend", BAD, "BACKEND_INVALID", "segment.backend",
     backend(77)),
    ("negative backend", BAD, "BACKEND_INVALID", "segment.backend",
     backend(-1)),
    ("memfd with a POSIX name", BAD, "BACKEND_INVALID", "segment.posix_name",
     backend("MEMFD", posix_name="/x")),
    ("sysv with a POSIX name", BAD, "BACKEND_INVALID", "segment.posix_name",
     backend("SYSV", posix_name="/x")),
    ("posix with a key", BAD, "BACKEND_INVALID", "segment.sysv_key",
     backend("POSIX", sysv_key=68)),
    ("memfd with a path", BAD, "BACKEND_INVALID", "segment.file_path",
     backend("MEMFD", file_path="x.dat")),
    # POSIX names.
    ("no slash", BAD, "POSIX_NAME_INVALID", "segment.posix_name",
     backend("POSIX", posix_name="hello")),
    ("only a slash", BAD, "POSIX_NAME_INVALID", "segment.posix_name",
     backend("POSIX", posix_name="/")),
    ("posix dots", BAD, "POSIX_NAME_INVALID", "segment.posix_name",
     backend("POSIX", posix_name="/..")),
    ("two parts", BAD, "POSIX_NAME_INVALID", "segment.posix_name",
     backend("POSIX", posix_name="/a/b")),
    ("NUL in POSIX name", BAD, "POSIX_NAME_INVALID", "segment.posix_name",
     backend("POSIX", posix_name="/a\0b")),
    ("POSIX name of 202 bytes", BAD, "POSIX_NAME_INVALID",
     "segment.posix_name", backend("POSIX", posix_name="/" + "p" * 201)),
    ("POSIX name of 300 bytes", BAD, "POSIX_NAME_INVALID",
     "segment.posix_name", backend("POSIX", posix_name="/" + "p" * 299)),
    # Paths. `link` and `pipe` are there.
    ("no path", BAD, "FILE_PATH_INVALID", "segment.file_path",
     backend("MAPPED_FILE")),
    ("parent folder", BAD, "FILE_PATH_INVALID", "segment.file_path",
     backend("MAPPED_FILE", file_path="../x")),
    ("parent folder inside", BAD, "FILE_PATH_INVALID", "segment.file_path",
     backend("MAPPED_FILE", file_path="a/../x")),
    ("outside the roots", BAD, "FILE_PATH_INVALID", "segment.file_path",
     backend("MAPPED_FILE", file_path="/etc/shmd-test")),
    ("through a link", BAD, "FILE_PATH_INVALID", "segment.file_path",
     backend("MAPPED_FILE", file_path="link/x")),
    ("folder is absent", BAD, "FILE_PATH_INVALID", "segment.file_path",
     backend("MAPPED_FILE", file_path="absent/x")),
    ("the root itself", BAD, "FILE_PATH_INVALID", "segment.file_path",
     backend("MAPPED_FILE", file_path=".")),
    ("NUL in path", BAD, "FILE_PATH_INVALID", "segment.file_path",
     backend("MAPPED_FILE", file_path="a\0b")),
    ("name of 300 bytes", BAD, "FILE_PATH_INVALID", "segment.file_path",
     backend("MAPPED_FILE", file_path="f" * 300)),
    ("something is there", "ALREADY_EXISTS", "OBJECT_EXISTS", None,
     backend("MAPPED_FILE", file_path="pipe")),
    # Modes, labels and the rest.
    ("executable", BAD, "MODE_INVALID", "segment.mode", segment(mode=0o777)),
    ("set-uid", BAD, "MODE_INVALID", "segment.mode", segment(mode=0o4600)),
    ("mode 2^32 - 1", BAD, "MODE_INVALID", "segment.mode",
     segment(mode=(1 << 32) - 1)),
    ("owner of no uid", BAD, "FIELD_INVALID", "segment.owner",
     segment(owner=(1 << 32) - 1)),
    ("label with no key", BAD, "LABEL_INVALID", "segment.labels",
     segment(labels={"": "v"})),
    ("capital label", BAD, "LABEL_INVALID", "segment.labels",
     segment(labels={"K": "v"})),
    ("label from a digit", BAD, "LABEL_INVALID", "segment.labels",
     segment(labels={"1k": "v"})),
    ("label's key of 64", BAD, "LABEL_INVALID", "segment.labels",
     segment(labels={"k" * 64: "v"})),
    ("label's value of 256", BAD, "LABEL_INVALID", "segment.labels",
     segment(labels={"k": "v" * 256})),
    ("65 labels", BAD, "LABEL_INVALID", "segment.labels",
     segment(labels=labels(65))),
    ("unknown allocation", BAD, "FIELD_INVALID", "segment.allocation",
     segment(allocation=9)),
    ("unknown advice", BAD, "FIELD_INVALID", "segment.huge_page_advice",
     segment(huge_page_advice=9)),
    ("unknown seal policy", BAD, "FIELD_INVALID", "segment.seal_policy",
     segment(seal_policy=9)),
    ("unknown NUMA mode", BAD, "FIELD_INVALID", "segment.numa_policy.mode",
     segment(numa_policy={"mode": 9, "nodes": [0]})),
    ("NUMA without nodes", BAD, "FIELD_INVALID", "segment.numa_policy.nodes",
     segment(numa_policy={"mode": "BIND"})),
    ("NUMA node that is not there", BAD, "FIELD_INVALID",
     "segment.numa_policy.nodes",
     segment(numa_policy={"mode": "BIND", "nodes": [1023]})),
    ("NUMA node 2^32 - 1", BAD, "FIELD_INVALID", "segment.numa_policy.nodes",
     segment(numa_policy={"mode": "BIND", "nodes": [(1 << 32) - 1]})),
    ("ttl of 0", BAD, "FIELD_INVALID", "segment.ttl", segment(ttl="0s")),
    ("ttl below 0", BAD, "FIELD_INVALID", "segment.ttl", segment(ttl="-1s")),
    ("ttl below 1 ms", BAD, "FIELD_INVALID", "segment.ttl",
     segment(ttl="0.000999s")),
    ("ttl of 200 years", BAD, "FIELD_INVALID", "segment.ttl",
     segment(ttl="6311520000s")),
    ("end in the past", BAD, "FIELD_INVALID", "segment.expire_time",
     segment(expire_time="2001-01-01T00:00:00Z")),
    ("request id of 65", BAD, "REQUEST_ID_INVALID", "request_id",
     {"request_id": "r" * 65}),
    ("request id not printable", BAD, "REQUEST_ID_INVALID", "request_id",
     {"request_id": "a\tb"}),
    ("request id not ASCII", BAD, "REQUEST_ID_INVALID", "request_id",
     {"request_id": "\u00e4"}),
]

ACCEPTED = [
    ("1 byte", {"size_bytes": 1}),
    ("4097 bytes", {"size_bytes": 4097}),
    ("size as text", {"size_bytes": "4096"}),
    ("explicit base page", {"page_size_bytes": 4096}),
    ("posix with a random name", {"backend": "POSIX"}),
    ("POSIX name of 201 bytes",
     {"backend": "POSIX", "posix_name": "/" + "p" * 200}),
    ("sysv without a key", {"backend": "SYSV"}),
    ("sysv, largest key", {"backend": "SYSV", "sysv_key": (1 << 32) - 1}),
    ("file in a folder", {"backend": "MAPPED_FILE", "file_path": "sub/x.dat"}),
    ("mode 0", {"mode": 0}),
    ("mode 0666", {"mode": 0o666}),
    ("64 labels", {"labels": labels(64, "v" * 255)}),
    ("all that can be asked of memory",
     {"allocation": "RESERVED", "populate": True, "lock_in_memory": True,
      "numa_policy": {"mode": "INTERLEAVE", "nodes": [0]},
      "huge_page_advice": "HUGE_PAGES_UNWANTED"}),
    ("never sealed", {"seal_policy": "NEVER_SEALED"}),
    ("resizable", {"resizable": True}),
    ("with an end", {"ttl": "3600s"}),
]


class CreateTest(DaemonCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        root = cls.shmd.file_root
        os.mkdir(root + "/sub")
        os.symlink("sub", root + "/link")
        os.mkfifo(root + "/pipe")

    def test_refuses_by_code_reason_and_field(self):
        for what, code, reason, field, change in REFUSED:
            request = {"parent": PARENT, "segment_id": "refused", **change}
            request["segment"] = {"size_bytes": 4096,
                                  **change.get("segment", {})}
            with self.subTest(what):
                outcome = self.refused(code, reason, "CreateSegment", request)
                if field:
                    self.assertEqual(outcome.fields, [field])

    def test_says_what_was_asked_and_what_is_left(self):
        outcome = self.refused(
            "RESOURCE_EXHAUSTED", "BUDGET_EXCEEDED", "CreateSegment",
            {"parent": PARENT, "segment": {"size_bytes": 1 << 46}})
        self.assertEqual(outcome.metadata["requested"], str(1 << 46))
        self.assertLess(int(outcome.metadata["available"]), 1 << 46)
        self.assertEqual(outcome.metadata["unit"], "bytes")
        self.assertTrue(outcome.metadata["limit"])

    def test_refuses_empty_requests(self):
        self.refused(BAD, "NAME_INVALID", "CreateSegment", {})
        outcome = self.shmd.call("CreateSegment", {"parent": PARENT})
        self.assertEqual(outcome.code, BAD, outcome)
        self.assertIn(outcome.reason, ("FIELD_INVALID", "SIZE_INVALID"))

    def test_refuses_huge_pages_that_the_pool_lacks(self):
        for page_size in (2 * MIB, GIB):
            for kind in ("MEMFD", "SYSV"):
                with self.subTest(page_size=page_size, backend=kind):
                    outcome = self.refused(
                        "RESOURCE_EXHAUSTED", "HUGEPAGES_EXHAUSTED",
                        "CreateSegment",
                        {"parent": PARENT,
                         "segment": {"size_bytes": 8 * GIB, "backend": kind,
                                     "page_size_bytes": page_size}})
                    self.assertEqual(outcome.metadata["requested"],
                                     str(8 * GIB // page_size))
                    self.assertEqual(outcome.metadata["unit"], "pages")

    def test_refuses_huge_pages_where_the_backend_has_none(self):
        for kind, extra in (("POSIX", {}),
                            ("MAPPED_FILE", {"file_path": "huge.dat"})):
            with self.subTest(kind):
                outcome = self.shmd.call(
                    "CreateSegment",
                    {"parent": PARENT,
                     "segment": {"size_bytes": 2 * MIB, "backend": kind,
                                 "page_size_bytes": 2 * MIB, **extra}})
                self.assertIn(
                    (outcome.code, outcome.reason),
                    ((BAD, "PAGE_SIZE_MISMATCH"),
                     ("UNIMPLEMENTED", "BACKEND_UNSUPPORTED")))
                self.assertEqual(outcome.fields, ["segment.page_size_bytes"])

    def test_accepts_and_tells_what_was_made(self):
        for what, fields in ACCEPTED:
            with self.subTest(what):
                made = self.create(fields)
                for key in ("backend", "labels", "mode", "posix_name"):
                    if key in fields:
                        self.assertEqual(made.get(key, 0), fields[key])
                size = int(fields.get("size_bytes", 4096))
                self.assertEqual(made["size_bytes"], str(size))
                self.assertEqual(made["state"], "ACTIVE")
                self.assertRegex(made["uid"], "^[0-9a-f]{32}$")
                self.assertRegex(made["handle_string"], "^shm1[.][\\w-]+$")
                again = self.ok("GetSegment", {"name": made["name"]})
                self.assertEqual(again["uid"], made["uid"])
                self.assertEqual(again["etag"], made["etag"])
                self.remove(made["name"])

    def test_accepts_ids_of_1_and_128_bytes_and_none(self):
        for segment_id in ("a", "-", "Z" * 128, "..."):
            made = self.create(segment_id=segment_id)
            self.assertEqual(made["name"], name_of(segment_id))
        made = self.ok("CreateSegment",
                       {"parent": PARENT, "segment": {"size_bytes": 1}})
        self.addCleanup(self.remove, made["name"])
        self.assertEqual(made["name"], name_of(made["uid"]))

    def test_ignores_what_only_the_daemon_sets(self):
        made = self.create(
            {"name": "namespaces/other/segments/x", "uid": "0" * 32,
             "state": "SEALED", "generation": "7", "adopted": True,
             "create_time": "2001-01-01T00:00:00Z"})
        self.assertEqual(made["state"], "ACTIVE")
        self.assertNotEqual(made["uid"], "0" * 32)
        self.assertNotIn("adopted", made)
        self.assertFalse(made["create_time"].startswith("2001"))

    def test_defaults(self):
        made = self.create()
        self.assertEqual((made["backend"], made["mode"], made["allocation"]),
                         ("MEMFD", 0o600, "LAZY"))
        self.assertEqual(made["page_size_bytes"], "4096")
        posix = self.create(backend="POSIX")
        self.assertEqual(posix["allocation"], "RESERVED")
        self.assertRegex(posix["posix_name"], "^/[A-Za-z0-9._-]+$")

    def test_a_taken_name_is_told_from_a_taken_object(self):
        first = self.create(backend="POSIX", posix_name="/taken-" +
                            self.fresh_id())
        segment_id = first["name"].rpartition("/")[2]
        self.refused("ALREADY_EXISTS", "SEGMENT_EXISTS", "CreateSegment",
                     {"parent": PARENT, "segment_id": segment_id,
                      "segment": {"size_bytes": 1}})
        self.refused("ALREADY_EXISTS", "OBJECT_EXISTS", "CreateSegment",
                     {"parent": PARENT, "segment_id": self.fresh_id(),
                      "segment": {"size_bytes": 1, "backend": "POSIX",
                                  "posix_name": first["posix_name"]}})
        keyed = self.create(backend="SYSV", sysv_key=0x5348)
        self.refused("ALREADY_EXISTS", "OBJECT_EXISTS", "CreateSegment",
                     {"parent": PARENT, "segment_id": self.fresh_id(),
                      "segment": {"size_bytes": 1, "backend": "SYSV",
                                  "sysv_key": keyed["sysv_key"]}})

    def test_a_request_id_makes_it_idempotent(self):
        request_id = self.fresh_id()
        request = {"parent": PARENT, "segment": {"size_bytes": 100},
                   "request_id": request_id}
        first = self.ok("CreateSegment", request)
        self.addCleanup(self.remove, first["name"])
        second = self.ok("CreateSegment", request)
        self.assertEqual((first["name"], first["uid"], first["generation"]),
                         (second["name"], second["uid"],
                          second["generation"]))
        request["segment"]["size_bytes"] = 101
        self.refused(BAD, "REQUEST_ID_REUSED", "CreateSegment", request)
        # Another caller's ids are others.
        request["segment"]["size_bytes"] = 102
        other = self.ok("CreateSegment", request, uid=4001)
        self.addCleanup(self.remove, other["name"])
        self.assertNotEqual(other["uid"], first["uid"])

    def test_it_ends_by_itself(self):
        made = self.create(backend="POSIX", ttl="0.2s",
                           segment_id=self.fresh_id())
        with self.shmd.watch({"parent": PARENT}) as stream:
            event = stream.next()
            while event["type"] != "DELETED" or (
                    event["segment"]["name"] != made["name"]):
                if event["type"] == "SYNCED":
                    outcome = self.shmd.call("GetSegment",
                                             {"name": made["name"]})
                    if outcome.code == "NOT_FOUND":
                        break
                event = stream.next()
        self.refused("NOT_FOUND", "SEGMENT_NOT_FOUND", "GetSegment",
                     {"name": made["name"]})
        self.assertFalse(os.path.exists("/dev/shm" + made["posix_name"]))


if __name__ == "__main__":
    unittest.main()
