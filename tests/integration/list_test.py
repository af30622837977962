"""ListSegments, BatchGetSegments and the other batches, through grpcurl."""

import os
import unittest

import ledger
from daemon_case import DaemonCase, PARENT, name_of

BAD = "INVALID_ARGUMENT"

# (what is wrong, reason, the request)
LISTS_REFUSED = [
    ("negative page", "PAGE_SIZE_INVALID", {"page_size": -1}),
    ("unknown view", "FIELD_INVALID", {"view": 9}),
    ("garbage as token", "PAGE_TOKEN_INVALID", {"page_token": "garbage"}),
    ("NUL as token", "PAGE_TOKEN_INVALID", {"page_token": "\0"}),
    ("long token", "PAGE_TOKEN_INVALID", {"page_token": "A" * 10000}),
    ("not a comparison", "FILTER_INVALID", {"filter": "backend"}),
    ("unknown field", "FILTER_INVALID", {"filter": "colour = RED"}),
    ("unknown backend", "FILTER_INVALID", {"filter": "backend = FLOPPY"}),
    ("unknown state", "FILTER_INVALID", {"filter": "state = ASLEEP"}),
    ("open quote", "FILTER_INVALID", {"filter": 'labels.a = "x'}),
    ("ends with AND", "FILTER_INVALID", {"filter": "backend = MEMFD AND"}),
    ("OR", "FILTER_INVALID",
     {"filter": "backend = MEMFD OR backend = POSIX"}),
    ("order", "FILTER_INVALID", {"filter": "backend < MEMFD"}),
    ("NUL", "FILTER_INVALID", {"filter": "backend = MEMFD\0"}),
    ("bad key", "FILTER_INVALID", {"filter": "labels:"}),
    ("64 KiB of parentheses", "FILTER_INVALID", {"filter": "(" * 65536}),
]


class ListTest(DaemonCase):

    def setUp(self):
        super().setUp()
        self.tag = self.fresh_id()
        self.mine = 'labels.tag = "%s"' % self.tag

    def listed(self, **request):
        reply = self.ok("ListSegments", {"parent": PARENT, **request})
        return ([segment["name"] for segment in reply.get("segments", [])],
                reply.get("next_page_token", ""))

    def make(self, segment_id, **fields):
        labels = {"tag": self.tag, **fields.pop("labels", {})}
        return self.create(segment_id=self.tag + segment_id, labels=labels,
                           **fields)["name"]

    def test_a_page_is_no_more_than_any_client_takes(self):
        # What the labels may hold, 20 KiB to a segment.
        labels = {"k%d" % n: "v" * 255 for n in range(63)}
        requests = [{"segment": {"size_bytes": 4096, "labels": {
            **labels, "tag": self.tag}}} for _ in range(40)]
        made = []
        for _ in range(5):
            made += self.ok("BatchCreateSegments", {
                "parent": PARENT, "requests": requests})["segments"]
        self.addCleanup(self.ok, "BatchDeleteSegments", {
            "parent": PARENT, "names": [segment["name"] for segment in made]})
        listed, token, pages = [], None, 0
        while token != "":
            names, token = self.listed(filter=self.mine, page_size=1000,
                                       page_token=token or "")
            listed += names
            pages += 1
        self.assertEqual(sorted(listed),
                         sorted(segment["name"] for segment in made))
        self.assertGreater(pages, 1)

    def test_refuses_by_reason(self):
        for what, reason, request in LISTS_REFUSED:
            with self.subTest(what):
                self.refused(BAD, reason, "ListSegments",
                             {"parent": PARENT, **request})
        for parent in ("", "default", PARENT + "/segments", "namespaces/\0"):
            self.refused(BAD, "NAME_INVALID", "ListSegments",
                         {"parent": parent})
        self.refused("NOT_FOUND", "NAMESPACE_NOT_FOUND", "ListSegments",
                     {"parent": "namespaces/absent"})

    def test_filters(self):
        a = self.make("a", labels={"x": "1"})
        b = self.make("b", backend="POSIX", labels={"x": "2"})
        c = self.make("c", backend="SYSV")
        self.ok("SealSegment", {"name": a})
        for condition, expected in (
                ("", [a, b, c]),
                ("backend = POSIX", [b]),
                ("backend != POSIX", [a, c]),
                ("state = SEALED", [a]),
                ("state != SEALED", [b, c]),
                ("state = ACTIVE AND backend = SYSV", [c]),
                ('labels.x = "2"', [b]),
                ("labels:x", [a, b]),
                ('labels.x = "nobody"', [])):
            with self.subTest(condition):
                both = " AND ".join(filter(None, [self.mine, condition]))
                self.assertEqual(self.listed(filter=both), (expected, ""))

    def test_pages_give_each_segment_once_and_in_order(self):
        made = [self.make("%03d" % number) for number in range(7)]
        seen, token, pages = [], "", 0
        while True:
            names, token = self.listed(filter=self.mine, page_size=3,
                                       page_token=token)
            self.assertLessEqual(len(names), 3)
            seen += names
            pages += 1
            if not token:
                break
        self.assertEqual((seen, pages), (made, 3))

    def test_a_page_token_is_of_its_list_only(self):
        for number in range(3):
            self.make("%d" % number)
        _, token = self.listed(filter=self.mine, page_size=1)
        self.refused(BAD, "PAGE_TOKEN_INVALID", "ListSegments",
                     {"parent": PARENT, "filter": "backend = MEMFD",
                      "page_size": 1, "page_token": token})

    def test_pages_survive_deletion_in_between(self):
        made = [self.make("%d" % number) for number in range(4)]
        first, token = self.listed(filter=self.mine, page_size=2)
        self.ok("DeleteSegment", {"name": made[1]})
        self.ok("DeleteSegment", {"name": made[2]})
        rest, _ = self.listed(filter=self.mine, page_size=2, page_token=token)
        self.assertEqual(first + rest, made[:2] + made[3:])


class BatchTest(DaemonCase):

    def requests(self, count, prefix=None, **fields):
        prefix = prefix or self.fresh_id()
        return [{"segment_id": "%s-%04d" % (prefix, number),
                 "segment": {"size_bytes": 1, **fields}}
                for number in range(count)]

    def batch(self, requests, **arguments):
        return self.shmd.call("BatchCreateSegments",
                              {"parent": PARENT, "requests": requests},
                              **arguments)

    def test_refuses_none_and_1001(self):
        for method, key, members in (
                ("BatchCreateSegments", "requests", self.requests(1001)),
                ("BatchGetSegments", "names", [name_of("a")] * 1001),
                ("BatchDeleteSegments", "names", [name_of("a")] * 1001)):
            for some in ([], members):
                with self.subTest(method=method, count=len(some)):
                    self.refused(BAD, "BATCH_TOO_LARGE", method,
                                 {"parent": PARENT, key: some})

    def test_makes_gets_and_deletes_1000(self):
        outcome = self.batch(self.requests(1000))
        self.assertEqual(outcome.code, "OK", outcome)
        made = outcome.reply["segments"]
        names = [segment["name"] for segment in made]
        self.assertEqual((len(names), names), (1000, sorted(names)))
        self.assertNotIn("handle", made[0])
        self.assertTrue(made[0]["handle_string"])
        got = self.ok("BatchGetSegments", {"parent": PARENT, "names": names})
        self.assertEqual([segment["uid"] for segment in got["segments"]],
                         [segment["uid"] for segment in made])
        self.ok("BatchDeleteSegments", {"parent": PARENT, "names": names})
        self.refused("NOT_FOUND", "SEGMENT_NOT_FOUND", "BatchGetSegments",
                     {"parent": PARENT, "names": names[:1]})

    def test_identity_is_what_it_says_and_nothing_else(self):
        requests = self.requests(20)
        outcome = self.shmd.call("BatchCreateSegments", {
            "parent": PARENT, "requests": requests[1:], "view": "IDENTITY"})
        self.assertEqual(outcome.code, "OK", outcome)
        alone = self.ok("CreateSegment", {
            "parent": PARENT, "view": "IDENTITY", **requests[0]})
        for made in [alone] + outcome.reply["segments"]:
            self.assertEqual(
                set(made), {"name", "uid", "generation", "handle_string"})
            basic = self.ok("GetSegment", {"name": made["name"],
                                           "view": "BASIC"})
            self.assertEqual({key: basic[key] for key in made}, made)
        self.assertEqual(self.ok("GetSegment", {"name": alone["name"],
                                                "view": "IDENTITY"}), alone)
        # Without a view the metadata is there.
        again = self.batch(self.requests(1)).reply["segments"][0]
        self.assertEqual(again["size_bytes"], "1")
        self.refused(BAD, "FIELD_INVALID", "BatchCreateSegments",
                     {"parent": PARENT, "requests": self.requests(1),
                      "view": 9})
        self.refused(BAD, "FIELD_INVALID", "CreateSegment",
                     {"parent": PARENT, **self.requests(1)[0], "view": 9})
        self.ok("BatchDeleteSegments", {"parent": PARENT, "names": [
            made["name"]
            for made in [alone, again] + outcome.reply["segments"]]})

    def test_one_bad_member_and_nothing_is_made(self):
        taken = self.create()["name"].rpartition("/")[2]
        for what, code, reason, bad in (
                ("size", BAD, "SIZE_INVALID",
                 {"segment": {"size_bytes": 0}}),
                ("id", BAD, "SEGMENT_ID_INVALID",
                 {"segment_id": "..", "segment": {"size_bytes": 1}}),
                ("parent", BAD, "NAME_INVALID",
                 {"parent": "namespaces/other",
                  "segment": {"size_bytes": 1}}),
                ("taken", "ALREADY_EXISTS", "SEGMENT_EXISTS",
                 {"segment_id": taken, "segment": {"size_bytes": 1}}),
                ("object", "ALREADY_EXISTS", "OBJECT_EXISTS",
                 {"segment": {"size_bytes": 1, "backend": "POSIX",
                              "posix_name": "/squatter"}}),
                ("too much", "RESOURCE_EXHAUSTED", "BUDGET_EXCEEDED",
                 {"segment": {"size_bytes": 1 << 46}})):
            with self.subTest(what):
                with open("/dev/shm/squatter", "w"):
                    self.addCleanup(remove_if_there, "/dev/shm/squatter")
                before = ledger.take(self.shmd)
                requests = self.requests(20, backend="POSIX")
                requests.insert(13, bad)
                outcome = self.batch(requests)
                self.assertEqual((outcome.code, outcome.reason),
                                 (code, reason), outcome)
                self.assertEqual(outcome.metadata.get("index"), "13")
                ledger.expect_same(self.shmd, before)
                self.refused("NOT_FOUND", "SEGMENT_NOT_FOUND", "GetSegment",
                             {"name": name_of(requests[0]["segment_id"])})

    def test_an_error_names_the_field_of_the_member(self):
        for bad, field in (({"size_bytes": 0}, "segment.size_bytes"),
                           ({"size_bytes": 1, "mode": 0o1000},
                            "segment.mode")):
            with self.subTest(field):
                requests = self.requests(3)
                requests[2]["segment"] = bad
                outcome = self.batch(requests)
                self.assertEqual(outcome.code, BAD, outcome)
                self.assertEqual(outcome.metadata.get("index"), "2")
                self.assertEqual(outcome.fields, ["requests[2]." + field])

    def test_two_members_of_one_name(self):
        twice = self.requests(1) * 2
        outcome = self.batch(twice)
        self.assertEqual((outcome.code, outcome.reason),
                         ("ALREADY_EXISTS", "SEGMENT_EXISTS"), outcome)
        self.assertEqual(outcome.metadata.get("index"), "1")

    def test_delete_is_all_or_nothing(self):
        names = [self.create()["name"] for _ in range(3)]
        outcome = self.refused(
            "NOT_FOUND", "SEGMENT_NOT_FOUND", "BatchDeleteSegments",
            {"parent": PARENT, "names": names + [name_of("absent")]})
        self.assertEqual(outcome.metadata["index"], "3")
        outcome = self.refused(
            BAD, "FIELD_INVALID", "BatchDeleteSegments",
            {"parent": PARENT, "names": names + names[1:2]})
        self.assertEqual(outcome.metadata["index"], "3")
        self.ok("BatchGetSegments", {"parent": PARENT, "names": names})
        self.refused(BAD, "NAME_INVALID", "BatchDeleteSegments",
                     {"parent": PARENT, "names": names + [".."]})
        self.ok("BatchGetSegments", {"parent": PARENT, "names": names})
        foreign = self.create(owner=4001)["name"]
        mine = self.create(uid=4002)["name"]
        self.refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                     "BatchDeleteSegments",
                     {"parent": PARENT, "names": [mine, foreign]}, uid=4002)
        self.ok("GetSegment", {"name": mine})

    def test_no_reply_is_larger_than_clients_take(self):
        labels = {"k%d" % i: "v" * 255 for i in range(64)}
        name = self.create(labels=labels)["name"]
        outcome = self.refused(BAD, "BATCH_TOO_LARGE", "BatchGetSegments",
                               {"parent": PARENT, "names": [name] * 400})
        self.assertEqual(outcome.fields, ["names[%s]" %
                                          outcome.metadata["index"]])
        whole = self.ok("BatchGetSegments", {"parent": PARENT, "view": "HANDLE",
                                             "names": [name] * 400})
        self.assertEqual(len(whole["segments"]), 400)
        before = ledger.take(self.shmd)
        alike = {"parent": PARENT, "count": 400, "requests": [
            {"segment": {"size_bytes": 4096, "labels": labels,
                         "lifetime": "UNTIL_DELETED"}}]}
        self.refused(BAD, "BATCH_TOO_LARGE", "BatchCreateSegments", alike)
        ledger.expect_same(self.shmd, before)
        made = self.ok("BatchCreateSegments", {**alike, "view": "IDENTITY"})
        names = [segment["name"] for segment in made["segments"]]
        self.ok("BatchDeleteSegments", {"parent": PARENT, "names": names})

    def test_a_batch_is_idempotent_by_its_members_ids(self):
        requests = self.requests(5)
        for request in requests:
            request["request_id"] = request["segment_id"]
        first = self.batch(requests).reply["segments"]
        for segment in first:
            self.addCleanup(self.remove, segment["name"])
        second = self.batch(requests)
        self.assertEqual(second.code, "OK", second)
        self.assertEqual([s["uid"] for s in second.reply["segments"]],
                         [s["uid"] for s in first])


def remove_if_there(path):
    if os.path.exists(path):
        os.remove(path)


if __name__ == "__main__":
    unittest.main()
