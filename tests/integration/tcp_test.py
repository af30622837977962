"""TCP with TLS: who gets in, as what, and who does not."""

import os
import re
import socket
import ssl
import subprocess
import tempfile
import unittest

import certificates
import daemon
import grpcurl
from daemon_case import DaemonCase, PARENT

ADMINISTRATOR = "admin.example"
OWNER = 4001

# Answers of gRPC itself; no request has reached the daemon's services.
NO_CONNECTION = ("GRPCURL", "UNAVAILABLE", "DEADLINE_EXCEEDED")

READ_ONLY_CALLS = (
    ("shmd.v1.SegmentService/ListSegments", {"parent": PARENT}),
    ("shmd.v1.SegmentService/GetSegment",
     {"name": PARENT + "/segments/none"}),
    ("shmd.v1.SegmentService/WatchSegments", {"parent": PARENT}),
    ("shmd.v1.SessionService/ListSessions", {}),
    ("shmd.v1.OrphanService/ListOrphans", {}),
    ("shmd.v1.NodeService/GetNode", {}),
)


def port_of(shmd):
    """The port that the daemon says it serves."""
    return int(re.findall(r"serves TCP on 127\.0\.0\.1:(\d+)",
                          shmd.log_text())[-1])


def proto_flags():
    protos = os.path.join(os.environ["SHMD_SOURCES"], "protos")
    flags = ["-import-path", protos,
             "-import-path", os.environ["SHMD_GOOGLEAPIS"]]
    for name in ("segment", "session", "orphan", "node"):
        flags += ["-proto", "shmd/v1/%s.proto" % name]
    return flags + ["-proto", "google/rpc/error_details.proto",
                    "-proto", "grpc/health/v1/health.proto"]


class TcpTest(DaemonCase):

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(dir=os.environ["TEST_TMPDIR"])
        cls.authority = certificates.Authority(cls.folder + "/ours")
        cls.stranger = certificates.Authority(cls.folder + "/another")
        certificate, key = cls.authority.issue(
            "shmd", ("DNS:localhost", "IP:127.0.0.1"))
        cls.TLS = ("--tls_certificate=" + certificate, "--tls_key=" + key,
                   "--tls_client_ca=" + cls.authority.certificate)
        cls.FLAGS = cls.TLS + ("--tcp_address=127.0.0.1:0",
                               "--admin_certificate=" + ADMINISTRATOR)
        cls.admin = cls.authority.issue("somebody",
                                        ("DNS:x", "DNS:" + ADMINISTRATOR))
        super().setUpClass()

    def remote(self, identity, shmd=None, protos=True):
        """grpcurl over TCP with a (certificate, key), or none."""
        shmd = shmd or self.shmd
        flags = ["-cacert", self.authority.certificate,
                 "-connect-timeout", "5"]
        if identity is not None:
            flags += ["-cert", identity[0], "-key", identity[1]]
        return grpcurl.Grpcurl("127.0.0.1:%d" % port_of(shmd), shmd.folder,
                               flags + (proto_flags() if protos else []))

    def call(self, identity, method, request):
        return self.remote(identity).call("shmd.v1." + method, request)

    def expect_no_connection(self, transport):
        outcome = transport.call("shmd.v1.NodeService/GetNode", {})
        self.assertIn(outcome.code, NO_CONNECTION, outcome)
        self.assertEqual(outcome.reason, "")

    def test_an_administrator_may_everything(self):
        made = self.create(uid=OWNER)
        outcome = self.call(self.admin, "SegmentService/GetSegment",
                            {"name": made["name"]})
        self.assertEqual(outcome.code, "OK", outcome)
        outcome = self.call(self.admin, "SegmentService/CreateSegment",
                            {"parent": PARENT, "segment_id": self.fresh_id(),
                             "segment": {"size_bytes": 1, "owner": OWNER,
                                         "group": OWNER}})
        self.assertEqual(outcome.code, "OK", outcome)
        self.assertEqual(outcome.reply["owner"], OWNER)
        outcome = self.call(self.admin, "SegmentService/DeleteSegment",
                            {"name": outcome.reply["name"]})
        self.assertEqual(outcome.code, "OK", outcome)
        with self.remote(self.admin).stream(
                "shmd.v1.SegmentService/WatchSegments",
                {"parent": PARENT}) as events:
            self.assertEqual(events.next()["type"], "EXISTING")
            self.assertEqual(events.next()["type"], "SYNCED")

    def test_who_has_no_uid_names_the_owner(self):
        outcome = self.call(self.admin, "SegmentService/CreateSegment",
                            {"parent": PARENT, "segment_id": self.fresh_id(),
                             "segment": {"size_bytes": 1}})
        self.assertEqual((outcome.code, outcome.reason),
                         ("INVALID_ARGUMENT", "FIELD_INVALID"), outcome)
        self.assertIn("segment.owner", outcome.message)

    def test_other_certificates_may_nothing(self):
        # The common name counts only where there are no DNS names.
        for name, names in (("other.example", ()),
                            (ADMINISTRATOR, ("DNS:other.example",)),
                            ("root", ("DNS:x." + ADMINISTRATOR,)),
                            ("uid:0", ("URI:" + ADMINISTRATOR,))):
            identity = self.authority.issue(name, names)
            for method, request in READ_ONLY_CALLS:
                with self.subTest(name=name, method=method):
                    outcome = self.remote(identity).call(method, request)
                    self.assertEqual(
                        (outcome.code, outcome.reason),
                        ("PERMISSION_DENIED", "CALLER_NOT_ALLOWED"), outcome)

    def test_a_namespace_lets_its_certificates_in(self):
        guest = self.authority.issue("x", ("DNS:guest.example",))
        made = self.ok("shmd.v1.NamespaceService/CreateNamespace",
                       {"namespace_id": self.fresh_id(), "namespace": {
                           "entrants": {
                               "certificate_names": ["guest.example"]}}})
        name = made["name"]
        try:
            outcome = self.call(guest, "SegmentService/ListSegments",
                                {"parent": name})
            self.assertEqual(outcome.code, "OK", outcome)
            # Not that which lets in everybody of this host.
            outcome = self.call(guest, "SegmentService/ListSegments",
                                {"parent": PARENT})
            self.assertEqual((outcome.code, outcome.reason),
                             ("NOT_FOUND", "NAMESPACE_NOT_FOUND"), outcome)
        finally:
            self.ok("shmd.v1.NamespaceService/DeleteNamespace",
                    {"name": name})
        outcome = self.call(guest, "SegmentService/ListSegments",
                            {"parent": name})
        self.assertEqual(outcome.code, "PERMISSION_DENIED", outcome)

    def test_the_name_of_the_subject_will_do(self):
        outcome = self.call(self.authority.issue(ADMINISTRATOR),
                            "NodeService/GetNode", {})
        self.assertEqual(outcome.code, "OK", outcome)

    def test_no_connection_without_a_good_certificate(self):
        san = ("DNS:" + ADMINISTRATOR,)
        for title, identity in (
                ("none", None),
                ("of another authority",
                 self.stranger.issue(ADMINISTRATOR, san)),
                ("expired",
                 self.authority.issue(ADMINISTRATOR, san, days=0))):
            with self.subTest(title):
                self.expect_no_connection(self.remote(identity))

    def test_no_connection_without_tls(self):
        self.expect_no_connection(grpcurl.Grpcurl(
            "127.0.0.1:%d" % port_of(self.shmd), self.shmd.folder,
            ["-plaintext", "-connect-timeout", "5"] + proto_flags()))

    def handshake(self, version):
        context = ssl.create_default_context(cafile=self.authority.certificate)
        context.load_cert_chain(*self.admin)
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.set_alpn_protocols(["h2"])
        context.minimum_version = context.maximum_version = version
        with socket.create_connection(("127.0.0.1", port_of(self.shmd)),
                                      timeout=30) as plain:
            with context.wrap_socket(plain,
                                     server_hostname="localhost") as client:
                return client.version()

    def test_old_versions_of_tls_are_refused(self):
        self.assertEqual(self.handshake(ssl.TLSVersion.TLSv1_2), "TLSv1.2")
        self.assertEqual(self.handshake(ssl.TLSVersion.TLSv1_3), "TLSv1.3")
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with self.subTest(version), self.assertRaises(
                    (ssl.SSLError, ConnectionError)):
                self.handshake(version)

    def test_reflection_is_for_the_unix_socket(self):
        self.assertIn("shmd.v1.SegmentService", self.shmd.grpcurl.plain("list"))
        with self.assertRaises(subprocess.CalledProcessError):
            self.remote(self.admin, protos=False).plain("list")

    def test_reflection_by_flag(self):
        own = daemon.Daemon(*self.FLAGS, "--tcp_reflection")
        self.addCleanup(own.close)
        self.assertIn("shmd.v1.SegmentService",
                      self.remote(self.admin, own, protos=False).plain("list"))

    def test_health_is_for_every_good_certificate(self):
        outcome = self.remote(self.authority.issue("monitor")).call(
            "grpc.health.v1.Health/Check", {})
        self.assertEqual((outcome.code, outcome.reply),
                         ("OK", {"status": "SERVING"}))

    def start(self, *flags):
        """(exit code, what it says) of a daemon that cannot start."""
        # The paths of sockets are short.
        folder = tempfile.mkdtemp(dir=self.shmd.folder)
        done = subprocess.run(
            [os.environ["SHMD_BINARY"], "--socket_dir=" + folder + "/s",
             "--state_dir=" + folder + "/t", *flags],
            capture_output=True, text=True, timeout=60)
        return done.returncode, done.stderr

    def test_no_start_without_tls(self):
        address = "--tcp_address=127.0.0.1:0"
        for left_out in range(len(self.TLS)):
            flags = self.TLS[:left_out] + self.TLS[left_out + 1:]
            code, text = self.start(address, *flags)
            self.assertEqual(code, 2)
            self.assertIn("there is no TCP without TLS", text)
        code, text = self.start(*self.TLS)
        self.assertEqual(code, 2)
        self.assertIn("--tcp_address", text)

    def test_no_start_on_what_is_no_address(self):
        for address in ("1", "127.0.0.1", "127.0.0.1:65536", "unix:1",
                        "unix:/tmp/x", "a b:1", ":1"):
            code, text = self.start("--tcp_address=" + address, *self.TLS)
            self.assertEqual(code, 2, address)
            self.assertIn("is no HOST:PORT", text)

    def test_no_start_when_something_is_missing(self):
        missing = self.folder + "/missing"
        code, text = self.start("--tcp_address=127.0.0.1:0", *self.TLS[:2],
                                "--tls_client_ca=" + missing)
        self.assertEqual(code, 1)
        self.assertIn(missing, text)
        code, text = self.start(
            "--tcp_address=127.0.0.1:%d" % port_of(self.shmd), *self.TLS)
        self.assertEqual(code, 1)
        self.assertIn("the address is not to be had", text)
        other_key = "--tls_key=" + self.admin[1]
        code, text = self.start("--tcp_address=127.0.0.1:0", self.TLS[0],
                                other_key, self.TLS[2])
        self.assertEqual(code, 1)
        self.assertIn("are no pair", text)


if __name__ == "__main__":
    unittest.main()
