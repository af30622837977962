"""Who may do what: owner, group, others and administrators, for each backend,
each as processes of those uids."""

import os
import unittest

import attach_socket
import daemon
import isolation
import sysv
from attach_socket import READ, READ_WRITE
from daemon_case import DaemonCase, PARENT, encoded

OWNER, MEMBER, OTHER = 4001, 4002, 4003
GROUP = 4100

# name: (uid, groups, which of the mode's digits is for it)
CALLERS = {
    "owner": (OWNER, [OWNER], 6),
    "owner in the group": (OWNER, [OWNER, GROUP], 6),
    "first group": (MEMBER, [GROUP], 3),
    "another of its groups": (MEMBER, [MEMBER, GROUP], 3),
    "other": (OTHER, [OTHER], 0),
    "root": (0, [0], None),
}

MODES = (0o600, 0o640, 0o660, 0o604, 0o666, 0o400, 0o044, 0o062, 0o000)

DENIED = ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED")


def may(mode, digit, access):
    # Who may write but not read may do neither through a mapping.
    wanted = 4 if access == READ else 6
    return digit is None or mode >> digit & wanted == wanted


class AccessTest(DaemonCase):

    def each_backend(self):
        return ({"backend": "MEMFD"}, {"backend": "POSIX"},
                {"backend": "SYSV"},
                {"backend": "MAPPED_FILE", "file_path": self.fresh_id()})

    def make(self, fields=None, **more):
        return self.create(fields, owner=OWNER, group=GROUP, **more)

    def expect(self, allowed, outcome):
        if allowed:
            self.assertEqual(outcome.code, "OK", outcome)
        else:
            self.assertEqual((outcome.code, outcome.reason), DENIED, outcome)

    def test_mode_decides_over_rpcs(self):
        for fields in self.each_backend():
            made = self.make(fields)
            name = made["name"]
            for mode in MODES:
                self.ok("UpdateSegment", {"segment": {"name": name,
                                                      "mode": mode},
                                          "update_mask": {"paths": ["mode"]}})
                for caller, (uid, groups, digit) in CALLERS.items():
                    with self.subTest(backend=fields["backend"],
                                      mode=oct(mode), caller=caller):
                        self.expect_by_rpc(name, uid, groups,
                                           may(mode, digit, READ),
                                           may(mode, digit, READ_WRITE))

    def expect_by_rpc(self, name, uid, groups, reads, writes):
        for allowed, method, more in (
                (reads, "GetSegment", {}),
                (reads, "ReadSegment", {"length_bytes": 1}),
                (writes, "WriteSegment", {"data": encoded(b"x")})):
            self.expect(allowed, self.shmd.call(
                method, {"name": name, **more}, uid=uid, groups=groups))

    def test_mode_decides_over_attaching(self):
        for fields in self.each_backend():
            made = self.make(fields)
            for mode in MODES:
                self.ok("UpdateSegment",
                        {"segment": {"name": made["name"], "mode": mode},
                         "update_mask": {"paths": ["mode"]}})
                for caller, (uid, groups, digit) in CALLERS.items():
                    for access in (READ, READ_WRITE):
                        with self.subTest(backend=fields["backend"],
                                          mode=oct(mode), caller=caller,
                                          access=access):
                            result = isolation.run_as(
                                uid, attach_socket.refusal,
                                self.shmd.attach_socket,
                                made["handle_string"], access, groups=groups)
                            self.assertEqual(
                                result, ("OK", "") if may(mode, digit, access)
                                else DENIED)

    def test_a_handle_is_for_no_more_than_its_maker_may(self):
        made = self.make(mode=0o644)
        request = {"name": made["name"], "access": "READ_WRITE"}
        self.refused(*DENIED, "CreateHandle", request, uid=OTHER)
        request["access"] = "READ"
        self.ok("CreateHandle", request, uid=OTHER)
        seen = self.ok("GetSegment", {"name": made["name"]}, uid=OTHER)
        self.assertEqual(seen["handle"]["access"], "READ")

    def test_only_owner_and_administrators_change_it(self):
        for fields in self.each_backend():
            made = self.make(fields, mode=0o666)
            request = {"name": made["name"]}
            for method, more in (("DeleteSegment", {}),
                                 ("DeleteSegment", {"force": True}),
                                 ("SealSegment", {}),
                                 ("ResizeSegment", {"size_bytes": 8192}),
                                 ("DisownSegment", {})):
                for uid, groups in ((OTHER, [OTHER]), (MEMBER, [GROUP])):
                    with self.subTest(method=method, uid=uid, **fields):
                        self.refused(*DENIED, method, {**request, **more},
                                     uid=uid, groups=groups)
            for change in ({"mode": 0o600}, {"labels": {"a": "b"}},
                           {"owner": OTHER}, {"group": OTHER},
                           {"ttl": "1s"}):
                with self.subTest(change=change, **fields):
                    self.refused(*DENIED, "UpdateSegment",
                                 {"segment": {**request, **change}},
                                 uid=OTHER)
            self.refused(*DENIED, "UpdateSegment",
                         {"segment": {**request, "owner": OTHER},
                          "update_mask": {"paths": ["owner"]}}, uid=OWNER)
            self.ok("UpdateSegment",
                    {"segment": {**request, "mode": 0o600},
                     "update_mask": {"paths": ["mode"]}}, uid=OWNER)
            self.ok("DeleteSegment", request, uid=OWNER)

    def test_only_administrators_create_for_others(self):
        base = {"parent": PARENT, "segment_id": self.fresh_id()}
        for change in ({"owner": OTHER}, {"owner": 0}, {"group": GROUP}):
            with self.subTest(change):
                self.refused(*DENIED, "CreateSegment",
                             {**base, "segment": {"size_bytes": 1, **change}},
                             uid=OWNER)
        made = self.create(owner=OWNER, uid=OWNER)
        self.assertEqual(made["owner"], OWNER)
        made = self.create(group=GROUP, uid=OWNER, groups=[OWNER, GROUP])
        self.assertEqual((made["owner"], made["group"]), (OWNER, GROUP))
        made = self.create(uid=OWNER)
        self.assertEqual((made["owner"], made["group"], made["mode"]),
                         (OWNER, OWNER, 0o600))
        self.assertEqual(self.make()["owner"], OWNER)

    def test_the_kernels_object_belongs_to_the_owner(self):
        posix = self.make(backend="POSIX", mode=0o640)
        file = self.make(backend="MAPPED_FILE", file_path=self.fresh_id(),
                         mode=0o640)
        for path in ("/dev/shm" + posix["posix_name"],
                     os.path.join(self.shmd.file_root, file["file_path"])):
            status = os.stat(path)
            self.assertEqual(
                (status.st_uid, status.st_gid, status.st_mode & 0o7777),
                (OWNER, GROUP, 0o640))
        made = self.make(backend="SYSV", mode=0o640)
        shmid = self.ok("GetSegment",
                        {"name": made["name"]})["status"].get("sysv_id", 0)
        row = sysv.read_table()[shmid]
        self.assertEqual((row["uid"], row["gid"], row["perms"] % 1000),
                         (OWNER, GROUP, 640))

    def test_a_list_shows_what_the_caller_may_read(self):
        tag = self.fresh_id()
        labels = {"tag": tag}
        self.make(labels=labels)
        shared = self.make(labels=labels, mode=0o644)["name"]
        request = {"parent": PARENT, "filter": 'labels.tag = "%s"' % tag}
        seen = self.ok("ListSegments", request, uid=OTHER)["segments"]
        self.assertEqual([segment["name"] for segment in seen], [shared])
        self.assertEqual(len(self.ok("ListSegments", request,
                                     uid=OWNER)["segments"]), 2)

    def test_metadata_is_no_identity(self):
        name = self.make()["name"]
        for header in ("uid: 4001", "x-uid: 4001", "authorization: root",
                       "peer: fd:1", "x-forwarded-for: 4001",
                       "shmd-uid: 0", "user-agent: root"):
            with self.subTest(header):
                outcome = self.shmd.call("GetSegment", {"name": name},
                                         uid=OTHER, headers=[header])
                self.assertEqual((outcome.code, outcome.reason), DENIED)

    def test_errors_tell_strangers_no_secrets(self):
        secret = "secret-" + self.fresh_id()
        made = self.make(backend="POSIX", posix_name="/" + secret,
                         labels={"key": secret})
        outcome = self.refused(*DENIED, "GetSegment", {"name": made["name"]},
                               uid=OTHER)
        told = outcome.message + str(outcome.metadata)
        for word in (secret, made["uid"], str(OWNER), "/dev/shm",
                     self.shmd.folder):
            self.assertNotIn(word, told)

    def test_an_administrator_by_flag(self):
        own = daemon.Daemon("--admin_uid=%d" % OTHER)
        self.addCleanup(own.close)
        outcome = own.call("CreateSegment",
                           {"parent": PARENT, "segment_id": "a",
                            "segment": {"size_bytes": 1, "owner": OWNER}},
                           uid=OTHER)
        self.assertEqual(outcome.code, "OK", outcome)
        outcome = own.call("DeleteSegment",
                           {"name": outcome.reply["name"]}, uid=OTHER)
        self.assertEqual(outcome.code, "OK", outcome)


if __name__ == "__main__":
    unittest.main()
