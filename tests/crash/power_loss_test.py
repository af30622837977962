"""What was acknowledged of mapped files is there after a power loss: their
names, their bytes that were flushed, and the daemon's records of them. On
each file system for which the daemon counts on more than POSIX promises."""

import argparse
import copy
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import daemon
import isolation
import volatile_disk
from daemon_case import PARENT, encoded, name_of

MIB = 1 << 20

# Kinds of file systems: the command that makes one, and the one by which a
# start of the host mends it before it is mounted.
KINDS = {
    "ext4": (["mkfs.ext4", "-q", "-F"], ["e2fsck", "-fy"]),
    "ext4 without a journal": (
        ["mkfs.ext4", "-q", "-F", "-O", "^has_journal"],
        ["e2fsck", "-fy"]),
    "xfs": (["mkfs.xfs", "-q", "-f"], None),
    "btrfs": (["mkfs.btrfs", "-q", "-f"], None),
}

arguments = argparse.ArgumentParser()
arguments.add_argument("--rounds", type=int, default=1,
                       help="how often each file system is gone through")
options, unittest_arguments = arguments.parse_known_args()


class Instant:
    """What the disk may hold after a power loss at one moment, and what must
    be found then."""

    def __init__(self, image, present, absent, flushed):
        self.image = image
        self.present = copy.deepcopy(present)
        self.absent = set(absent)
        self.flushed = dict(flushed)


class PowerLossTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        isolation.enter()
        os.environ["PATH"] += ":/usr/sbin:/sbin"

    def setUp(self):
        # Images are sparse, and of memory.
        self.folder = tempfile.mkdtemp(prefix="shmd-power-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        isolation.mount("-t", "tmpfs", "-o", "size=4g", "tmpfs", self.folder)
        self.addCleanup(isolation.unmount, self.folder)
        self.mounted = os.path.join(self.folder, "mounted")
        os.mkdir(self.mounted)
        self.instants = []
        self.present = {}  # fields by segment id
        self.absent = set()
        self.flushed = {}  # first bytes by segment id

    def start(self):
        return daemon.Daemon(state_dir=os.path.join(self.mounted, "state"),
                             file_root=os.path.join(self.mounted, "files"))

    def fail_power(self, disk, seed):
        image = os.path.join(self.folder, "image%d" % len(self.instants))
        disk.fail_power(image, seed)
        self.instants.append(
            Instant(image, self.present, self.absent, self.flushed))

    def ok(self, shmd, method, request):
        outcome = shmd.call(method, request)
        self.assertEqual(outcome.code, "OK", (method, request, outcome))
        return outcome.reply

    def create(self, shmd, segment_id, path, size=8192):
        fields = {"file_path": path, "size_bytes": str(size)}
        self.ok(shmd, "CreateSegment", {
            "parent": PARENT, "segment_id": segment_id,
            "segment": {"backend": "MAPPED_FILE", "resizable": True,
                        **fields}})
        self.present[segment_id] = fields

    def resize(self, shmd, segment_id, size):
        self.ok(shmd, "ResizeSegment",
                {"name": name_of(segment_id), "size_bytes": size})
        self.present[segment_id]["size_bytes"] = str(size)

    def label(self, shmd, segment_id, labels):
        self.ok(shmd, "UpdateSegment", {
            "segment": {"name": name_of(segment_id), "labels": labels},
            "update_mask": {"paths": ["labels"]}})
        self.present[segment_id]["labels"] = labels

    def delete(self, shmd, segment_id):
        self.ok(shmd, "DeleteSegment", {"name": name_of(segment_id)})
        self.absent.add(segment_id)
        del self.present[segment_id]

    def write_and_flush(self, shmd, segment_id, data):
        name = name_of(segment_id)
        self.ok(shmd, "WriteSegment",
                {"name": name, "data": encoded(data)})
        self.ok(shmd, "FlushSegment", {"name": name, "mode": "SYNCHRONOUS"})
        self.flushed[segment_id] = data

    def use(self, disk, number):
        """Makes and removes segments; the power may fail after each reply."""
        os.mkdir(os.path.join(self.mounted, "files"))
        os.sync()
        shmd = self.start()
        try:
            for step in range(2):
                seed = None if step == 0 else number
                flat, deep = "flat%d" % step, "deep%d" % step
                self.create(shmd, flat, flat)
                self.fail_power(disk, seed)
                # The folder is as new as the file.
                os.mkdir(os.path.join(self.mounted, "files", "new%d" % step))
                self.create(shmd, deep, "new%d/file" % step, size=MIB)
                self.fail_power(disk, seed)
                self.write_and_flush(shmd, flat, b"flushed %d" % step)
                self.fail_power(disk, seed)
                self.resize(shmd, flat, 16384)
                self.fail_power(disk, seed)
                self.label(shmd, flat, {"step": str(step)})
                self.fail_power(disk, seed)
                self.delete(shmd, deep)
                self.fail_power(disk, seed)
        finally:
            shmd.kill()
            shutil.rmtree(shmd.folder)

    def expect(self, instant):
        """After the host has started again: another boot."""
        boot_id = os.path.join(self.folder, "boot_id")
        with open(boot_id, "w") as file:
            file.write("01234567-89ab-cdef-0123-456789abcdef\n")
        isolation.mount("--bind", boot_id, "/proc/sys/kernel/random/boot_id")
        try:
            shmd = self.start()
        finally:
            isolation.unmount("/proc/sys/kernel/random/boot_id")
        try:
            for segment_id, fields in instant.present.items():
                found = self.ok(shmd, "GetSegment",
                                {"name": name_of(segment_id)})
                path = os.path.join(self.mounted, "files",
                                    fields["file_path"])
                self.assertEqual(os.path.getsize(path),
                                 int(fields["size_bytes"]))
                self.assertEqual({key: found.get(key) for key in fields},
                                 fields)
            for segment_id, data in instant.flushed.items():
                read = self.ok(shmd, "ReadSegment", {
                    "name": name_of(segment_id), "length_bytes": len(data)})
                self.assertEqual(read["data"], encoded(data))
            for segment_id in instant.absent:
                outcome = shmd.call("GetSegment", {"name": name_of(segment_id)})
                self.assertEqual(outcome.code, "NOT_FOUND", outcome)
        finally:
            shmd.close()

    def go_through(self, kind, number):
        make, check = KINDS[kind]
        disk = volatile_disk.VolatileDisk(self.folder, 512 * MIB)
        try:
            subprocess.run(make + [disk.device], check=True,
                           stdout=subprocess.DEVNULL)
            isolation.mount(disk.device, self.mounted)
            self.first_device = os.stat(self.mounted).st_dev
            try:
                self.use(disk, number)
            finally:
                subprocess.run(["umount", self.mounted], check=True)
        finally:
            disk.close()
        self.assertGreater(len(self.instants), 5)
        self.expect_all(check)

    def expect_all(self, check):
        for instant in self.instants:
            if check is not None:
                # 1 and 2: what was wrong is mended.
                self.assertLess(subprocess.run(
                    check + [instant.image],
                    stdout=subprocess.DEVNULL).returncode, 4)
            self.mount_as_another_device(instant.image)
            try:
                self.expect(instant)
            finally:
                subprocess.run(["umount", self.mounted], check=True)
            os.remove(instant.image)

    def mount_as_another_device(self, image):
        """As after a start that has found the disks in another order."""
        devices = []
        try:
            while True:
                devices.append(volatile_disk.LoopDevice(image))
                isolation.mount(devices[-1].path, self.mounted)
                if os.stat(self.mounted).st_dev != self.first_device:
                    return
                subprocess.run(["umount", self.mounted], check=True)
        finally:
            for device in devices:
                device.close()

    def test_ext4(self):
        self.each_round("ext4")

    def test_ext4_without_a_journal(self):
        self.each_round("ext4 without a journal")

    def test_xfs(self):
        self.each_round("xfs")

    def test_btrfs(self):
        self.each_round("btrfs")

    def each_round(self, kind):
        for number in range(options.rounds):
            self.instants = []
            self.present = {}
            self.absent = set()
            self.flushed = {}
            self.go_through(kind, number)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1] + unittest_arguments)
