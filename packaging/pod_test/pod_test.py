"""packaging/kubernetes/pod.yaml under podman: memory crosses containers and
uids, and whoever is killed, the others go on."""

import array
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import unittest

import memory_cgroup
from pod import DEADLINE_SECONDS, Pod, await_that
from podman import Podman

# Whether memfd segments are segments again after the daemon's death; their
# mappings live on in any case.
MEMFD_COMES_BACK = True

FRAME_BYTES = 256 << 20
NUMBERS = FRAME_BYTES // 8
SUM_LINE = "%d bytes, sum %d" % (FRAME_BYTES, NUMBERS * (NUMBERS - 1) // 2)
UIDS = {"shmd": 65532, "writer": 10001, "reader": 10002}
GROUP = 20000

NOT_FOUND, PERMISSION_DENIED, UNAVAILABLE = 3, 5, 9

files = {}  # what BUILD names, by the last part of its path


def frame_digest():
    digest, step = hashlib.sha256(), 1 << 20
    for start in range(0, NUMBERS, step):
        digest.update(array.array("Q", range(start, start + step)).tobytes())
    return digest.hexdigest()


def status_of(pid):
    """/proc/PID/status as a dictionary."""
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f)


def children_of(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(child) for child in f.read().split()]


def mounts_of(pid):
    """The options of each mount, by its path."""
    with open("/proc/%d/mountinfo" % pid) as f:
        fields = [line.split() for line in f]
    return {field[4]: field[5].split(",") for field in fields}


def probe_commands():
    """The commands of all probes in the manifest."""
    with open(files["pod.yaml"]) as f:
        lines = re.findall(r"Probe:\n\s*exec:\n\s*command: \[(.*)\]", f.read())
    return [line.split(", ") for line in lines]


def build_images(podman):
    podman.command(
        [files["build"]], BUILDAH=" ".join(podman.buildah),
        SHMD_STATIC=files["shmd_static"], SHM_STATIC=files["shm_static"])
    context = os.path.join(podman.folder, "example")
    os.mkdir(context)
    for source, name in (("reader", "reader"), ("writer", "writer"),
                         ("shm_static", "shm")):
        shutil.copy(files[source], os.path.join(context, name))
    podman.command(podman.buildah + [
        "bud", "--isolation=chroot", "--quiet",
        "--tag=localhost/shmd-example:0.1.0",
        "--file=" + files["Containerfile"], context])
    shutil.rmtree(context)


def setUpModule():
    global podman, manifest
    try:
        podman = Podman()
        unittest.addModuleCleanup(podman.close)
        build_images(podman)
        podman("run", "--rm", "--network=none", "localhost/shmd:0.1.0",
               "--version")
    except (AssertionError, OSError) as error:
        raise AssertionError(
            "this machine cannot build or run containers, so nothing is known "
            "of the manifests; root with the right to mount can: %s" %
            error) from error
    manifest = os.path.join(podman.folder, "podman.yaml")
    with open(manifest, "w") as f:
        f.write(podman.command(
            ["sed", "-f", files["podman.sed"], files["pod.yaml"]]))


class PodCase(unittest.TestCase):
    """Has `pod`, a Pod of the manifest in which the frame has crossed."""

    @classmethod
    def start_pod(cls, add_cleanup):
        cls.pod = Pod(podman, manifest, "frames", "shmd", probe_commands()[0])
        add_cleanup(cls.pod.remove)
        add_cleanup(cls.show_logs)

    @classmethod
    def show_logs(cls):
        for container in UIDS:
            sys.stderr.write("-- %s\n%s" % (
                container, cls.pod.log(container)[-2000:]))

    def await_sums(self, count):
        """Waits until the reader has summed the frame up so often; what it
        prints is the right sum each time."""
        def enough():
            lines = [line for line in self.pod.log("reader").splitlines()
                     if "sum" in line]
            self.assertEqual(set(lines) - {SUM_LINE}, set())
            return len(lines) >= count
        await_that("the reader printed %d sums" % count, enough)
        return self.pod.log("reader").count(SUM_LINE)

    def daemon_pid(self):
        """The keeper's child."""
        children = children_of(self.pod.pid("shmd"))
        return children[0] if len(children) == 1 else None

    def create(self, container, name, *options):
        """Creates a segment as the user of a container; returns it."""
        return json.loads(self.pod(container, "/shm", "create", name, "--size",
                                   "64k", "--json", *options))


class LivePodTest(PodCase):
    """What leaves the Pod as it is."""

    @classmethod
    def setUpClass(cls):
        cls.start_pod(cls.addClassCleanup)

    def setUp(self):
        self.await_sums(1)

    def test_a_frame_of_256_mib_crosses_containers_and_uids(self):
        frame = json.loads(self.pod("reader", "/shm", "sum", "--json",
                                    "frame"))
        self.assertEqual(frame["size_bytes"], FRAME_BYTES)
        self.assertEqual(frame["sha256"], frame_digest())
        pids = {name: self.pod.pid(name) for name in UIDS}
        for name, uid in UIDS.items():
            status = status_of(pids[name])
            self.assertEqual(set(status["Uid"].split()), {str(uid)})
            self.assertEqual(int(status["CapEff"], 16), 0)
            self.assertEqual(status["NoNewPrivs"], "1")
            self.assertEqual(status["Seccomp"], "2")  # filtered
            self.assertIn("ro", mounts_of(pids[name])["/"])
            shm = os.statvfs("/proc/%d/root/dev/shm" % pids[name])
            self.assertLessEqual(shm.f_blocks * shm.f_frsize, 64 << 20)
            self.assertEqual(shm.f_bfree, shm.f_blocks)
        for kind in ("pid", "mnt"):
            spaces = {os.readlink("/proc/%d/ns/%s" % (pid, kind))
                      for pid in pids.values()}
            self.assertEqual(len(spaces), len(UIDS))
        with open("/proc/%d/maps" % pids["reader"]) as f:
            mapped = [line for line in f if "/memfd:" in line]
        self.assertEqual([line.split()[1] for line in mapped], ["r--s"])

    def test_the_kernel_tells_the_callers_apart(self):
        secret = self.create("writer", "secret", "--mode", "600")
        self.assertEqual((secret["owner"], secret["group"]),
                         (UIDS["writer"], GROUP))
        refused = self.pod.run("reader", "/shm", "sum", secret["handle"])
        self.assertEqual(refused.returncode, PERMISSION_DENIED, refused)
        self.assertIn("CALLER_NOT_ALLOWED", refused.stderr)
        for mode in ("640", "604"):
            shared = self.create("writer", "shared-" + mode, "--mode",
                                 mode)
            allowed = self.pod.run("reader", "/shm", "sum", shared["handle"])
            # With 0604 the group, to which the reader belongs, has nothing.
            self.assertEqual(allowed.returncode == 0, mode == "640", allowed)

    def test_applications_cannot_take_the_place_of_the_daemon(self):
        for name in ("writer", "reader"):
            self.assertIn("ro", mounts_of(self.pod.pid(name))["/run/shmd"])
        state = os.stat("/proc/%d/root/var/lib/shmd/state" %
                        self.pod.pid("shmd"))
        self.assertEqual(state.st_mode & 0o777, 0o700)

    def test_the_probes_of_the_manifest_tell(self):
        probes = probe_commands()
        self.assertGreaterEqual(len(probes), 2)
        for probe in probes:
            self.assertEqual(self.pod("shmd", *probe), "SERVING\n")
        os.kill(self.daemon_pid(), signal.SIGSTOP)
        try:
            hung = self.pod.run("shmd", *probes[0])
        finally:
            os.kill(self.daemon_pid(), signal.SIGCONT)
        self.assertEqual(hung.returncode, UNAVAILABLE, hung)

    def test_the_first_process_reaps(self):
        keeper, daemon = self.pod.pid("shmd"), self.daemon_pid()
        # A process of the container, whose parent leaves it behind.
        orphan = subprocess.Popen(
            ["nsenter", "--pid", "--target", str(keeper), "sh", "-c",
             "exec 3<&0; cat <&3 &"], stdin=subprocess.PIPE)
        self.assertEqual(orphan.wait(DEADLINE_SECONDS), 0)
        self.assertEqual(len(children_of(keeper)), 2)
        orphan.stdin.close()
        await_that("only the daemon is left",
                   lambda: children_of(keeper) == [daemon])

    def test_who_writes_a_page_first_pays_for_it(self):
        used = {name: memory_cgroup.used_bytes(self.pod.pid(name))
                for name in UIDS}
        self.assertGreater(used["writer"], FRAME_BYTES)
        self.assertLess(used["reader"] + used["shmd"], FRAME_BYTES // 4)


class KilledPodTest(PodCase):
    """One is killed, the others go on."""

    def setUp(self):
        self.start_pod(self.addCleanup)
        self.await_sums(1)
        self.named = self.create("shmd", "named", "--backend", "posix",
                                 "--mode", "604")
        self.pids = {name: self.pod.pid(name) for name in UIDS}

    def assert_others_go_on(self, killed):
        """Same processes, and the reader still sees what it saw."""
        others = [name for name in UIDS if name != killed]
        self.assertEqual({name: self.pod.pid(name) for name in others},
                         {name: self.pids[name] for name in others})
        sums = self.await_sums(1)
        self.await_sums(sums + 2)

    def assert_segments_are_back(self, memfd):
        """The daemon serves, and has what it had."""
        await_that("it serves", lambda: self.pod.run(
            "shmd", *probe_commands()[0]).returncode == 0)
        found = json.loads(self.pod("reader", "/shm", "stat", "named",
                                    "--json"))
        self.assertEqual(found["uid"], self.named["uid"])
        self.pod("reader", "/shm", "sum", self.named["handle"])
        frame = self.pod.run("reader", "/shm", "sum", "frame")
        self.assertEqual(frame.returncode, 0 if memfd else NOT_FOUND, frame)
        # And what is made from now on goes the same way as ever.
        again = self.create("writer", "again", "--mode", "640")
        self.pod("reader", "/shm", "sum", again["handle"])

    def test_the_daemon(self):
        before = self.daemon_pid()
        os.kill(before, signal.SIGKILL)
        await_that("another daemon", lambda: self.daemon_pid() not in
                   (before, None))
        self.assert_others_go_on("nobody")
        self.assert_segments_are_back(MEMFD_COMES_BACK)

    def test_the_container_of_the_daemon(self):
        os.kill(self.pids["shmd"], signal.SIGKILL)
        await_that("another container", lambda: self.pod.pid("shmd") not in
                   (self.pids["shmd"], 0))
        self.assert_others_go_on("shmd")
        # The keeper held the memfds, and has died with the container.
        self.assert_segments_are_back(memfd=False)

    def test_the_writer(self):
        os.kill(self.pids["writer"], signal.SIGKILL)
        self.assert_others_go_on("writer")
        await_that("it wrote another frame", lambda: self.pod.log(
            "writer").count("wrote %d numbers" % NUMBERS) == 2)

    def test_the_reader(self):
        os.kill(self.pids["reader"], signal.SIGKILL)
        await_that("another reader", lambda: self.pod.pid("reader") not in
                   (self.pids["reader"], 0))
        self.assert_others_go_on("reader")


class DaemonSetTest(unittest.TestCase):
    """The daemon of a node, and a program in a container that has mounted its
    folder."""

    def setUp(self):
        with open(files["daemonset.yaml"]) as f:
            template = f.read().partition("  template:\n")[2]
        text = "apiVersion: v1\nkind: Pod\n" + textwrap.dedent(template)
        for path in ("/run/shmd", "/var/lib/shmd"):
            text = text.replace(" path: " + path,
                                " path: %s/node%s" % (podman.folder, path))
        path = os.path.join(podman.folder, "node.yaml")
        with open(path, "w") as f:
            f.write(text)
        self.addCleanup(shutil.rmtree, podman.folder + "/node",
                        ignore_errors=True)
        self.pod = Pod(podman, path, "shmd", "shmd", probe_commands()[0])
        self.addCleanup(self.pod.remove)

    def shm(self, uid, *arguments):
        """Runs shm in a container of its own; returns the
        subprocess.CompletedProcess."""
        return podman.run(
            "run", "--rm", "--network=none", "--read-only", "--cap-drop=all",
            "--user=%d:%d" % (uid, uid), "--volume=%s:/run/shmd:ro" %
            (podman.folder + "/node/run/shmd"),
            "localhost/shmd-example:0.1.0", "/shm", *arguments)

    def test_containers_share_over_the_folder_of_the_node(self):
        for backend in ("memfd", "posix"):
            made = self.shm(10001, "create", backend, "--size=64k", "--json",
                            "--mode=600", "--backend=" + backend)
            self.assertEqual(made.returncode, 0, made)
            self.assertEqual(json.loads(made.stdout)["owner"], 10001)
        mode = os.stat(podman.folder + "/node/var/lib/shmd/state").st_mode
        self.assertEqual(mode & 0o777, 0o700)
        for backend in ("memfd", "posix"):
            self.assertEqual(self.shm(10001, "sum", backend).returncode, 0)
            refused = self.shm(10002, "sum", backend)
            self.assertEqual(refused.returncode, PERMISSION_DENIED, refused)
        os.kill(children_of(self.pod.pid("shmd"))[0], signal.SIGKILL)
        found = await_that("it serves", lambda: (
            lambda done: done if done.returncode != UNAVAILABLE else None)(
                self.shm(10001, "sum", "posix")))
        self.assertEqual(found.returncode, 0, found)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        files[os.path.basename(argument)] = os.path.abspath(argument)
    # Bazel's word at its deadline; unittest would run no clean-up.
    signal.signal(signal.SIGTERM, lambda *_: (podman.close(), os._exit(1)))
    unittest.main(argv=sys.argv[:1])
