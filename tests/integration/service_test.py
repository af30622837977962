"""What is around SegmentService: reflection, health, the node, start and
stop."""

import os
import socket
import subprocess
import unittest

import daemon
from daemon_case import DaemonCase, PARENT, name_of

RPCS = [
    "AdoptSegment", "BatchCreateSegments", "BatchDeleteSegments",
    "BatchGetSegments", "CreateHandle", "CreateSegment", "DeleteSegment",
    "DisownSegment", "FlushSegment", "GetSegment", "ListSegments",
    "ReadSegment", "RenewLease", "ResizeSegment", "SealSegment", "UpdateSegment",
    "WatchSegments", "WriteSegment"
]


class ServiceTest(DaemonCase):

    def test_reflection_lists_and_describes(self):
        services = self.shmd.grpcurl.plain("list").split()
        for service in ("shmd.v1.SegmentService", "shmd.v1.NodeService",
                        "grpc.health.v1.Health",
                        "grpc.reflection.v1alpha.ServerReflection"):
            self.assertIn(service, services)
        methods = self.shmd.grpcurl.plain(
            "list", "shmd.v1.SegmentService").split()
        self.assertEqual(sorted(methods),
                         ["shmd.v1.SegmentService." + rpc for rpc in RPCS])
        for symbol, word in (("shmd.v1.SegmentService.CreateSegment",
                              "CreateSegmentRequest"),
                             ("shmd.v1.Segment", "posix_name"),
                             ("shmd.v1.AttachRequest", "Detach"),
                             ("shmd.v1.ErrorReason", "QUOTA_EXCEEDED"),
                             ("google.rpc.ErrorInfo", "reason")):
            with self.subTest(symbol):
                self.assertIn(word,
                              self.shmd.grpcurl.plain("describe", symbol))

    def test_health(self):
        for service in ("", "shmd.v1.SegmentService"):
            with self.subTest(service):
                reply = self.ok("grpc.health.v1.Health/Check",
                                {"service": service})
                self.assertEqual(reply["status"], "SERVING")
        outcome = self.shmd.call("grpc.health.v1.Health/Check",
                                 {"service": "absent"})
        self.assertEqual(outcome.code, "NOT_FOUND", outcome)

    def test_node_counts_segments(self):
        before = self.node()
        self.create(size_bytes=12345)
        after = self.node()
        self.assertEqual(count(after, "segment_count"),
                         count(before, "segment_count") + 1)
        self.assertGreaterEqual(count(after, "segment_bytes"),
                                count(before, "segment_bytes") + 12345)
        self.assertEqual(after["node"], before["node"])
        self.assertRegex(after["version"], r"^\d+\.\d+\.\d+")
        self.assertGreater(count(after, "budget_bytes"), 0)
        shm = os.statvfs("/dev/shm")
        self.assertEqual(count(after, "posix_available_bytes"),
                         shm.f_bavail * shm.f_bsize)
        pools = {count(pool, "page_size_bytes")
                 for pool in after.get("huge_page_pools", [])}
        self.assertEqual(pools, {
            int(name.partition("-")[2][:-2]) << 10
            for name in os.listdir("/sys/kernel/mm/hugepages")})

    def node(self):
        return self.ok("shmd.v1.NodeService/GetNode", {}, uid=4001)

    def test_the_handle_is_of_this_node(self):
        made = self.create()
        self.assertEqual(made["handle"]["node"], self.node()["node"])

    def test_absent_methods(self):
        for method in ("shmd.v1.SegmentService/Absent", "shmd.v2.None/Get"):
            outcome = self.shmd.call(method, {})
            self.assertNotEqual(outcome.code, "OK")

    def test_words_that_are_not_grpc_harm_nobody(self):
        for words in (b"", b"GET / HTTP/1.0\r\n\r\n", os.urandom(5000),
                      b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 4096):
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(60)
                client.connect(self.shmd.grpc_socket)
                try:
                    client.sendall(words)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(65536):
                        pass
                except (BrokenPipeError, ConnectionResetError):
                    pass
        self.node()

    def test_the_sockets_let_everybody_in(self):
        for path in (self.shmd.grpc_socket, self.shmd.attach_socket):
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o666)


class LifeTest(DaemonCase):
    """Start, stop and what stays."""

    def test_named_segments_outlive_the_daemon(self):
        own = daemon.Daemon()
        self.addCleanup(own.close)

        def call(method, request):
            outcome = own.call(method, request)
            self.assertEqual(outcome.code, "OK", outcome)
            return outcome.reply

        made = []
        for number, fields in enumerate((
                {"backend": "POSIX"}, {"backend": "SYSV"},
                {"backend": "MAPPED_FILE", "file_path": "stays"},
                {"backend": "MEMFD"})):
            made.append(call("CreateSegment", {
                "parent": PARENT, "segment_id": "s%d" % number,
                "segment": {"size_bytes": 5000, "labels": {"a": "b"},
                            **fields}}))
            call("WriteSegment", {"name": made[-1]["name"],
                                  "data": "c3RheXM="})
        self.assertEqual(own.stop(), 0)
        for path in (own.grpc_socket, own.attach_socket):
            self.assertFalse(os.path.exists(path))
        own.start()
        for segment in made[:3]:
            with self.subTest(segment["backend"]):
                again = call("GetSegment", {"name": segment["name"]})
                for key in ("uid", "generation", "labels", "size_bytes",
                            "create_time", "handle_string", "owner", "mode"):
                    self.assertEqual(again.get(key), segment.get(key), key)
                reply = call("ReadSegment", {"name": segment["name"],
                                             "length_bytes": 5})
                self.assertEqual(reply["data"], "c3RheXM=")
        gone = own.call("GetSegment", {"name": name_of("s3")})
        self.assertEqual(gone.code, "NOT_FOUND", gone)
        for segment in made[:3]:
            call("DeleteSegment", {"name": segment["name"]})

    def test_a_generation_is_never_given_twice(self):
        own = daemon.Daemon()
        self.addCleanup(own.close)
        seen = set()
        for _ in range(3):
            for _ in range(3):
                outcome = own.call("CreateSegment", {
                    "parent": PARENT, "segment_id": "again",
                    "segment": {"size_bytes": 1}})
                self.assertEqual(outcome.code, "OK", outcome)
                self.assertNotIn(outcome.reply["generation"], seen)
                seen.add(outcome.reply["generation"])
                own.call("DeleteSegment", {"name": name_of("again")})
            self.assertEqual(own.stop(), 0)
            own.start()

    def test_flags(self):
        binary = os.environ["SHMD_BINARY"]

        def run(*flags):
            return subprocess.run([binary, *flags], capture_output=True,
                                  text=True, timeout=60)

        self.assertEqual(run("--version").returncode, 0)
        self.assertIn("--file_root", run("--help").stdout)
        for bad in (["--absent"], ["--budget_bytes=much"],
                    ["--budget_bytes=-1"], ["--quota_bytes=-1"],
                    ["--quota_segments=-5"], ["--admin_uid=-1"],
                    ["--log_level=shout"], ["--socket_mode=9"], ["word"]):
            with self.subTest(bad):
                done = run("--socket_dir=/nowhere/at/all", *bad)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertTrue(done.stderr)

    def test_a_second_daemon_on_the_same_folders_is_refused(self):
        done = subprocess.run(
            [os.environ["SHMD_BINARY"],
             "--socket_dir=" + self.shmd.socket_dir,
             "--state_dir=" + self.shmd.state_dir],
            capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.ok("ListSegments", {"parent": PARENT})


def count(reply, key):
    return int(reply.get(key, 0))


if __name__ == "__main__":
    unittest.main()
