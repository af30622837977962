"""Strict objects by RPC: what nobody can change, not even who wrote it."""

import ctypes
import mmap
import os
import time
import unittest

import attach_socket
from attach_socket import READ_WRITE
from object_case import DEADLINE_SECONDS, OBJECTS, PAGE, ObjectCase, object_name
from daemon_case import PARENT

PUNCH_HOLE_KEEP_SIZE = 3
libc = ctypes.CDLL(None, use_errno=True)


def what_passes(descriptor, size):
    """Which ways to change what a descriptor is of the kernel lets pass."""

    def punch():
        if libc.fallocate(descriptor, PUNCH_HOLE_KEEP_SIZE, ctypes.c_long(0),
                          ctypes.c_long(PAGE)) != 0:
            raise OSError(ctypes.get_errno(), "fallocate")

    def map_then_protect():
        libc.mmap.restype = ctypes.c_void_p
        address = libc.mmap(None, ctypes.c_size_t(size), mmap.PROT_READ,
                            mmap.MAP_SHARED, descriptor, ctypes.c_long(0))
        if address == ctypes.c_void_p(-1).value:
            raise OSError(ctypes.get_errno(), "mmap")
        if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size),
                         mmap.PROT_READ | mmap.PROT_WRITE) != 0:
            raise OSError(ctypes.get_errno(), "mprotect")

    passed = []
    for what, attempt in (
            ("mmap", lambda: attach_socket.map_descriptor(descriptor, size,
                                                          True)),
            ("mprotect", map_then_protect),
            ("pwrite", lambda: os.pwrite(descriptor, b"x", 0)),
            ("shrink", lambda: os.ftruncate(descriptor, 0)),
            ("grow", lambda: os.ftruncate(descriptor, 2 * size)),
            ("punch", punch)):
        try:
            attempt()
            passed.append(what)
        except OSError:
            pass
    return passed


def in_a_child(attempt, *arguments):
    """Whether `attempt` returns nothing in another process."""
    child = os.fork()
    if child == 0:
        os._exit(1 if attempt(*arguments) else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class StrictObjectTest(ObjectCase):

    def seal(self, program, object_id, data, **more):
        """Publishes it, through a mapping that is gone by then."""
        return self.ok(OBJECTS + "CreateObject", program.creation(
            object_id, data, strict=True, **more))

    def expect_arena_gone(self, program):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.shmd.call("GetSegment", {
                "name": program.arena["segment"]}).code == "OK":
            self.assertLess(time.monotonic(), deadline)

    def test_not_even_who_kept_the_descriptor_can_change_it(self):
        for size in (PAGE, 64 * PAGE, 16 << 20):
            with self.subTest(size):
                program = self.program(size_bytes=size)
                _, kept = program.attach(program.arena["handle"], READ_WRITE)
                self.assertIn("pwrite", what_passes_before(kept))
                made = self.seal(program, "it-%d" % size, b"payload")
                self.assertTrue(made["strict"])
                self.assertEqual(what_passes(kept, size), [])
                self.assertTrue(in_a_child(what_passes, kept, size))
                with self.assertRaises(attach_socket.Refused) as caught:
                    program.attach(program.arena["handle"], READ_WRITE)
                self.assertEqual(caught.exception.reason, "SEGMENT_SEALED")
                self.assertTrue(self.get("it-%d" % size)["strict"])
                self.assertEqual(self.read("it-%d" % size), "payload")
                os.close(kept)

    def test_while_it_is_mapped_writable_it_is_refused(self):
        program = self.program()
        request = program.creation("it", b"payload", strict=True)
        _, kept = program.attach(program.arena["handle"], READ_WRITE)
        mapped = attach_socket.map_descriptor(kept, PAGE, True)
        self.refused_with("FAILED_PRECONDITION", "SEGMENT_IN_USE",
                          "CreateObject", request)
        self.expect_no_object("it")
        mapped[0:1] = b"P"
        mapped.close()
        os.close(kept)
        self.ok(OBJECTS + "CreateObject", request)
        self.assertEqual(self.read("it"), "Payload")

    def test_its_arena_holds_nothing_else(self):
        program = self.program()
        program.put("other", b"other")
        self.refused_with("FAILED_PRECONDITION", "ARENA_SHARED",
                          "CreateObject",
                          program.creation("it", offset=64, strict=True))
        # Nor does it later.
        program.make_arena()
        self.seal(program, "it", b"it")
        for more in ({}, {"strict": True}):
            self.refused_with("FAILED_PRECONDITION", "ARENA_SHARED",
                              "CreateObject",
                              program.creation("more", offset=64, **more))

    def test_its_arena_goes_with_it(self):
        program = self.program()
        self.seal(program, "it", b"it")
        self.ok(OBJECTS + "DeleteObject", {"name": object_name("it")})
        self.expect_arena_gone(program)
        # Of others the arena stays with its writer.
        program.make_arena()
        program.put("it", b"it")
        self.ok(OBJECTS + "DeleteObject", {"name": object_name("it")})
        program.put("it", b"it")

    def test_a_taken_name_leaves_the_arena_as_it_is(self):
        program = self.program()
        program.put("it", b"it")
        program.make_arena()
        request = program.creation("it", b"again", strict=True)
        self.refused_with("ALREADY_EXISTS", "OBJECT_EXISTS", "CreateObject",
                          request)
        program.write(0, b"anew ")
        request["replace_existing"] = True
        self.ok(OBJECTS + "CreateObject", request)
        self.assertEqual(self.read("it"), "anew ")

    def test_a_batch_is_all_or_nothing(self):
        program = self.program()
        first = program.creation("a", b"a", strict=True)
        program.make_arena()
        second = program.creation("b", b"b", strict=True)
        _, kept = program.attach(program.arena["handle"], READ_WRITE)
        mapped = attach_socket.map_descriptor(kept, PAGE, True)
        batch = {"parent": PARENT, "requests": [first, second]}
        outcome = self.refused_with("FAILED_PRECONDITION", "SEGMENT_IN_USE",
                                    "BatchCreateObjects", batch)
        self.assertEqual(outcome.metadata["index"], "1")
        self.assertEqual(self.listed(), [])
        mapped.close()
        os.close(kept)
        made = self.ok(OBJECTS + "BatchCreateObjects", batch)["objects"]
        self.assertEqual([one["strict"] for one in made], [True, True])

    def test_two_in_one_arena_are_refused_as_a_batch_too(self):
        program = self.program()
        outcome = self.refused_with(
            "FAILED_PRECONDITION", "ARENA_SHARED", "BatchCreateObjects",
            {"parent": PARENT, "requests": [
                program.creation("a", strict=True),
                program.creation("b", offset=64, strict=True)]})
        self.assertEqual(outcome.metadata["index"], "1")
        self.assertEqual(self.listed(), [])


def what_passes_before(descriptor):
    return ["pwrite"] if os.pwrite(descriptor, b"x", 0) == 1 else []


if __name__ == "__main__":
    unittest.main()
