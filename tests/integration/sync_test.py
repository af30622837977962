"""Locks in memory that programs share, and what the daemon does for them. The
program here has no library: what docs/memory_layout.md says is enough."""

import ctypes
import mmap
import os
import random
import signal
import struct
import threading
import unittest

import attach_socket
import daemon
import isolation
import raw_grpc
from attach_socket import READ_WRITE
from daemon_case import DaemonCase, PARENT, encoded, name_of
from stubs import sync_pb2

SYNC = "shmd.v1.SyncService/"
PAGE_BYTES = 69632
OTHER = 1001
DEADLINE_SECONDS = 60

MUTEX, RW_LOCK, SEMAPHORE, EVENT, BARRIER, CONDITION, VALUE = range(1, 8)
WAITING, HOLDING, WAKING = range(1, 4)
TORN = 1 << 30
BROKEN = 1 << 31

_libc = ctypes.CDLL(None, use_errno=True)
_SYS_FUTEX = {"x86_64": 202, "aarch64": 98}[os.uname().machine]


def head(kind):
    return 0x59530000 | kind << 8 | 1


def primitive_name(primitive_id):
    return "%s/syncPrimitives/%s" % (PARENT, primitive_id)


class Memory:
    """A mapping of a descriptor, by words."""

    def __init__(self, descriptor, size):
        self.bytes = attach_socket.map_descriptor(descriptor, size, True)

    def word(self, offset):
        return struct.unpack_from("<I", self.bytes, offset)[0]

    def put(self, offset, *words):
        struct.pack_into("<%dI" % len(words), self.bytes, offset, *words)

    def sleep(self, offset, expected):
        """Until it is woken, or the word is another; not for ever."""
        word = ctypes.c_uint32.from_buffer(self.bytes, offset)
        timeout = (ctypes.c_long * 2)(DEADLINE_SECONDS, 0)
        _libc.syscall(_SYS_FUTEX, ctypes.byref(word), 0, expected, timeout,
                      None, 0)


class Program(attach_socket.Connection):
    """A session of this process with its page."""

    def __init__(self, case, shmd=None, uid=None):
        self.shmd = shmd or case.shmd
        self.uid = uid
        if uid is not None:
            os.setegid(uid)
            os.seteuid(uid)
        try:
            super().__init__(self.shmd.attach_socket)
            case.addCleanup(self.socket.close)
            self.welcome = self.hello()
            self.session = self.welcome.session
            self.opened = self.open_page()
        finally:
            os.seteuid(0)
            os.setegid(0)
        self.locker = self.opened.locker
        self.page = self.map(self.opened.handle, PAGE_BYTES)

    def open_page(self):
        request = sync_pb2.OpenSyncPageRequest(parent=PARENT,
                                               session=self.session)
        data = raw_grpc.ask(self.shmd.grpc_socket, SYNC + "OpenSyncPage",
                            request.SerializeToString())
        return sync_pb2.SyncPage.FromString(data)

    def map(self, handle, size):
        attachment, descriptor = self.attach(handle, READ_WRITE)
        try:
            self.generation = attachment.generation
            return Memory(descriptor, size)
        finally:
            os.close(descriptor)

    def say(self, number, offset, state, kind, detail=0, counted=0,
            generation=None):
        """Writes a slot."""
        struct.pack_into(
            "<QQIIIIQI", self.page.bytes, 4096 + 64 * number,
            self.generation if generation is None else generation, offset,
            state, kind, 7, detail, 1, counted)

    def die(self):
        self.socket.close()


class SyncTest(DaemonCase):

    def segment(self, program=None, **fields):
        """A segment that `program` has mapped: its reply and the mapping."""
        made = self.create(**fields)
        program = program or self.program
        return made, program.map(made["handle_string"], 4096)

    def setUp(self):
        super().setUp()
        self.program = Program(self)
        self.other = Program(self)

    def await_word(self, memory, offset, wanted):
        """Sleeps until the word is that."""
        def run():
            while memory.word(offset) != wanted:
                memory.sleep(offset, memory.word(offset))
        waiter = threading.Thread(target=run, daemon=True)
        waiter.start()
        waiter.join(DEADLINE_SECONDS)
        self.assertEqual(memory.word(offset), wanted)

    def test_page_is_the_sessions_own(self):
        magic, version, locker = struct.unpack_from("<8sII",
                                                    self.program.page.bytes)
        self.assertEqual((magic, version), (b"SHMDSYNC", 1))
        self.assertEqual(locker, self.program.locker)
        self.assertNotEqual(locker, 0)
        self.assertNotEqual(locker, self.other.locker)
        again = self.program.open_page()
        self.assertEqual(again.locker, locker)
        # Nobody else writes it, whoever has the handle.
        with self.assertRaises(attach_socket.Refused) as refused:
            self.other.attach(self.program.opened.handle, READ_WRITE)
        self.assertEqual(refused.exception.reason, "SEGMENT_RESERVED")

    def test_page_is_refused(self):
        self.refused("INVALID_ARGUMENT", "NAME_INVALID", SYNC + "OpenSyncPage",
                     {"parent": "default", "session": self.program.session})
        self.refused("INVALID_ARGUMENT", "NAME_INVALID", SYNC + "OpenSyncPage",
                     {"parent": PARENT, "session": "sessions/x"})
        self.refused("NOT_FOUND", "NAMESPACE_NOT_FOUND", SYNC + "OpenSyncPage",
                     {"parent": "namespaces/nowhere",
                      "session": self.program.session})
        self.refused("NOT_FOUND", "SESSION_NOT_FOUND", SYNC + "OpenSyncPage",
                     {"parent": PARENT, "session": "sessions/" + "0" * 32})
        self.refused("NOT_FOUND", "SESSION_NOT_FOUND", SYNC + "OpenSyncPage",
                     {"parent": PARENT, "session": self.program.session},
                     uid=OTHER)

    def test_dead_owner_is_marked_and_waiters_are_woken(self):
        for backend in ("MEMFD", "POSIX", "SYSV", "MAPPED_FILE"):
            with self.subTest(backend=backend):
                program = Program(self)
                fields = {"backend": backend}
                if backend == "MAPPED_FILE":
                    fields["file_path"] = self.fresh_id()
                made = self.create(**fields)
                if backend == "SYSV":
                    # Its mapping takes shmat(2); the peek does as well.
                    self._expect_marked_by_peek(program, made)
                    continue
                memory = program.map(made["handle_string"], 4096)
                memory.put(128, head(MUTEX), program.locker, 1)
                program.say(3, 128, HOLDING, MUTEX)
                program.die()
                self.await_word(memory, 132, TORN)
                self.assertEqual(memory.word(136), 1)

    def _expect_marked_by_peek(self, program, made):
        self.ok("WriteSegment", {
            "name": made["name"], "data": encoded(
                struct.pack("<3I", head(MUTEX), program.locker, 0))})
        attachment, _ = program.attach(made["handle_string"], READ_WRITE)
        program.say(0, 0, HOLDING, MUTEX, generation=attachment.generation)
        program.die()
        word = encoded(struct.pack("<I", TORN))
        while self.ok("ReadSegment", {"name": made["name"], "offset_bytes": 4,
                                      "length_bytes": 4})["data"] != word:
            pass

    def test_dead_reader_leaves_and_barrier_breaks(self):
        _, memory = self.segment()
        locker = self.program.locker
        memory.put(64, head(RW_LOCK), 0, 0, 5)
        memory.put(64 + 64 + 4 * 9, locker, self.other.locker)
        memory.put(512, head(BARRIER), 2, 2, 3)
        memory.put(576, head(BARRIER), 1 << 16, 0, 3)
        memory.put(640, head(CONDITION), 8, 1)
        self.program.say(0, 64, HOLDING, RW_LOCK, detail=1)
        self.program.say(1, 512, WAITING, BARRIER, detail=0, counted=1)
        self.program.say(2, 576, WAITING, BARRIER, detail=0)
        self.program.say(3, 640, WAITING, CONDITION, counted=1)
        self.program.die()
        self.await_word(memory, 516, BROKEN | 2)
        self.await_word(memory, 644, 9)
        self.await_word(memory, 164, 0)
        self.assertEqual(memory.word(168), self.other.locker)
        self.assertEqual(memory.word(76), 6)
        self.assertEqual(memory.word(520), 1)
        # That round is over.
        self.assertEqual(memory.word(580), 1 << 16)

    def test_what_the_dead_could_not_write_is_left_alone(self):
        victim = self.create(mode=0o600)
        stranger = Program(self, uid=OTHER)
        own = self.map_of(victim)
        own.put(0, head(MUTEX), stranger.locker, 0)
        stranger.say(0, 0, HOLDING, MUTEX, generation=int(
            victim["generation"]))
        # One of its own, which shows when all has been done.
        mine = self.create(uid=OTHER)
        memory = stranger.map(mine["handle_string"], 4096)
        memory.put(0, head(MUTEX), stranger.locker, 0)
        stranger.say(1, 0, HOLDING, MUTEX)
        stranger.die()
        self.await_word(memory, 4, TORN)
        self.await_no_session(stranger.session)
        self.assertEqual(own.word(4), stranger.locker)

    def map_of(self, made):
        return Program(self).map(made["handle_string"], 4096)

    def await_no_session(self, session):
        while self.shmd.call("shmd.v1.SessionService/GetSession",
                             {"name": session}).code == "OK":
            pass

    def test_hostile_page_harms_nobody(self):
        chance = random.Random(11)
        made, memory = self.segment(self.other)
        memory.put(1024, head(MUTEX), self.other.locker, 0)
        for _ in range(5):
            hostile = Program(self)
            theirs = hostile.map(made["handle_string"], 4096)
            generation = hostile.generation
            hostile.page.bytes[:] = chance.randbytes(PAGE_BYTES)
            for number in range(1024):
                hostile.say(number,
                            chance.choice((0, 1, 60, 64, 1024, 4032, 4096,
                                           2 ** 63, 2 ** 64 - 64)),
                            chance.randrange(6), chance.randrange(10),
                            chance.randrange(2 ** 32), chance.randrange(2),
                            chance.choice((generation, generation,
                                           chance.randrange(2 ** 64))))
            self.ok(SYNC + "ListLocks", {"parent": made["name"],
                                         "page_size": 1000})
            theirs.put(64, head(RW_LOCK), *[hostile.locker] * 78)
            hostile.die()
            self.await_word(theirs, 68, TORN)
            self.assertEqual(memory.word(1028), self.other.locker)

    def test_lists_who_holds_and_waits(self):
        made, memory = self.segment()
        name = made["name"]
        self.other.map(made["handle_string"], 4096)
        memory.put(64, head(MUTEX), self.program.locker, 1)
        self.program.say(0, 64, HOLDING, MUTEX)
        self.other.say(5, 64, WAITING, MUTEX)
        self.other.say(6, 0, WAITING, RW_LOCK, detail=1)
        locks = self.ok(SYNC + "ListLocks", {"parent": name})["locks"]
        self.assertEqual(
            [(lock.get("offset_bytes", "0"), lock["kind"], lock["state"],
              lock.get("shared", False), lock["pid"]) for lock in locks[:1]],
            [("0", "RW_LOCK", "WAITING", True, os.getpid())])
        self.assertEqual({(lock["session"], lock["state"])
                          for lock in locks[1:]},
                         {(self.program.session, "HOLDING"),
                          (self.other.session, "WAITING")})
        # By pages.
        found, token = [], ""
        while True:
            page = self.ok(SYNC + "ListLocks", {
                "parent": name, "page_size": 1, "page_token": token})
            found += page["locks"]
            token = page.get("next_page_token", "")
            if not token:
                break
        for lock in found + locks:
            del lock["since_time"]  # by two clocks, read one after the other
        self.assertEqual(found, locks)
        other, _ = self.segment()
        self.assertEqual(self.ok(SYNC + "ListLocks",
                                 {"parent": other["name"]}), {})
        self.refused("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID",
                     SYNC + "ListLocks",
                     {"parent": name, "page_token": "x"})
        self.refused("INVALID_ARGUMENT", "PAGE_SIZE_INVALID",
                     SYNC + "ListLocks", {"parent": name, "page_size": -1})
        self.refused("INVALID_ARGUMENT", "NAME_INVALID", SYNC + "ListLocks",
                     {"parent": "x"})
        self.refused("NOT_FOUND", "SEGMENT_NOT_FOUND", SYNC + "ListLocks",
                     {"parent": name_of("nothing")})
        self.refused("NOT_FOUND", "SYNC_PRIMITIVE_NOT_FOUND",
                     SYNC + "ListLocks",
                     {"parent": primitive_name("nothing")})
        self.refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                     SYNC + "ListLocks", {"parent": name}, uid=OTHER)

    def test_breaks_locks(self):
        made, memory = self.segment()
        name = made["name"]
        memory.put(64, head(MUTEX), self.program.locker, 0)
        memory.put(128, head(SEMAPHORE), 1, 0)
        self.refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                     SYNC + "BreakLock", {"name": name, "offset_bytes": 64},
                     uid=OTHER)
        self.assertEqual(memory.word(68), self.program.locker)
        self.ok(SYNC + "BreakLock", {"name": name, "offset_bytes": 64})
        self.assertEqual(memory.word(68), TORN)
        self.refused("FAILED_PRECONDITION", "LOCK_NOT_HELD",
                     SYNC + "BreakLock", {"name": name, "offset_bytes": 64})
        for offset in (0, 1, 68, 128, 4096, 2 ** 64 - 64):
            self.refused("FAILED_PRECONDITION", "SYNC_PRIMITIVE_INVALID",
                         SYNC + "BreakLock",
                         {"name": name, "offset_bytes": str(offset)})
        self.refused("INVALID_ARGUMENT", "NAME_INVALID", SYNC + "BreakLock",
                     {"name": "segments/x"})
        self.refused("NOT_FOUND", "SEGMENT_NOT_FOUND", SYNC + "BreakLock",
                     {"name": name_of("nothing")})

    def make(self, primitive_id=None, uid=None, **fields):
        """A primitive that ends with the test."""
        primitive_id = primitive_id or self.fresh_id()
        made = self.ok(SYNC + "CreateSyncPrimitive", {
            "parent": PARENT, "sync_primitive_id": primitive_id,
            "sync_primitive": fields}, uid=uid)
        self.addCleanup(self.shmd.call, SYNC + "DeleteSyncPrimitive",
                        {"name": made["name"]})
        return made

    def test_primitives_stand_alone(self):
        for kind, words, fields in (
                ("MUTEX", (head(MUTEX), 0), {}),
                ("RW_LOCK", (head(RW_LOCK), 0), {}),
                ("SEMAPHORE", (head(SEMAPHORE), 3), {"initial_count": 3}),
                ("EVENT", (head(EVENT), 1, 0, 1),
                 {"initial_count": 1, "automatic_reset": True}),
                ("BARRIER", (head(BARRIER), 0, 0, 2), {"parties": 2}),
                ("VALUE", (head(VALUE), 0, 0, 16), {"value_bytes": 16})):
            with self.subTest(kind=kind):
                made = self.make(kind=kind, **fields)
                self.assertEqual(made["kind"], kind)
                for key, value in fields.items():
                    self.assertEqual(made[key], value)
                self.assertEqual(made["mode"], 0o600)
                found = self.ok(SYNC + "GetSyncPrimitive",
                                {"name": made["name"]})
                self.assertEqual(found, made)
                # Any session that may write does.
                size = {"RW_LOCK": 320, "VALUE": 256}.get(kind, 64)
                for program in (self.program, self.other):
                    memory = program.map(found["handle"], size)
                    self.assertEqual(
                        struct.unpack_from("<%dI" % len(words),
                                           memory.bytes), words)

    def test_one_that_exists_is_as_good(self):
        request = {"parent": PARENT, "sync_primitive_id": self.fresh_id(),
                   "allow_existing": True, "sync_primitive": {
                       "kind": "SEMAPHORE", "initial_count": 3,
                       "mode": 0o660}}
        made = self.ok(SYNC + "CreateSyncPrimitive", request)
        self.addCleanup(self.shmd.call, SYNC + "DeleteSyncPrimitive",
                        {"name": made["name"]})
        # What it began with counts not, as with sem_open(3).
        request["sync_primitive"]["initial_count"] = 5
        self.assertEqual(self.ok(SYNC + "CreateSyncPrimitive", request), made)
        self.refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                     SYNC + "CreateSyncPrimitive", request, uid=OTHER)
        self.refused("ALREADY_EXISTS", "SYNC_PRIMITIVE_EXISTS",
                     SYNC + "CreateSyncPrimitive",
                     {**request, "sync_primitive": {"kind": "MUTEX"}})
        self.refused("ALREADY_EXISTS", "SYNC_PRIMITIVE_EXISTS",
                     SYNC + "CreateSyncPrimitive",
                     {**request, "allow_existing": False})

    def test_lists_and_deletes_primitives(self):
        names = [self.make(kind="MUTEX")["name"] for _ in range(3)]
        listed, token = [], ""
        while True:
            page = self.ok(SYNC + "ListSyncPrimitives", {
                "parent": PARENT, "page_size": 2, "page_token": token})
            listed += [one["name"] for one in page["sync_primitives"]]
            token = page.get("next_page_token", "")
            if not token:
                break
        self.assertEqual(listed, sorted(names))
        self.assertEqual(self.ok(SYNC + "ListSyncPrimitives",
                                 {"parent": PARENT}, uid=OTHER), {})
        # Segments of the daemon's own, which nobody changes as such.
        segment = name_of("shmd.sync." + names[0].split("/")[-1])
        self.refused("FAILED_PRECONDITION", "SEGMENT_RESERVED",
                     "DeleteSegment", {"name": segment, "force": True})
        self.refused("FAILED_PRECONDITION", "SEGMENT_RESERVED",
                     "WriteSegment", {"name": segment, "data": encoded(b"x")})
        self.refused("PERMISSION_DENIED", "CALLER_NOT_ALLOWED",
                     SYNC + "DeleteSyncPrimitive", {"name": names[0]},
                     uid=OTHER)
        for name in names:
            self.ok(SYNC + "DeleteSyncPrimitive", {"name": name})
            self.refused("NOT_FOUND", "SYNC_PRIMITIVE_NOT_FOUND",
                         SYNC + "GetSyncPrimitive", {"name": name})
            self.refused("NOT_FOUND", "SYNC_PRIMITIVE_NOT_FOUND",
                         SYNC + "DeleteSyncPrimitive", {"name": name})
        for method in ("GetSyncPrimitive", "DeleteSyncPrimitive"):
            self.refused("INVALID_ARGUMENT", "NAME_INVALID", SYNC + method,
                         {"name": name_of("x")})
        self.refused("INVALID_ARGUMENT", "NAME_INVALID",
                     SYNC + "ListSyncPrimitives", {"parent": "x"})
        self.refused("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID",
                     SYNC + "ListSyncPrimitives",
                     {"parent": PARENT, "page_token": "x"})
        self.refused("INVALID_ARGUMENT", "PAGE_SIZE_INVALID",
                     SYNC + "ListSyncPrimitives",
                     {"parent": PARENT, "page_size": -1})

    def test_primitive_is_refused(self):
        def refused(code, reason, primitive_id="x", parent=PARENT, **fields):
            self.refused(code, reason, SYNC + "CreateSyncPrimitive", {
                "parent": parent, "sync_primitive_id": primitive_id,
                "sync_primitive": fields})
        refused("INVALID_ARGUMENT", "NAME_INVALID", parent="x", kind="MUTEX")
        refused("NOT_FOUND", "NAMESPACE_NOT_FOUND",
                parent="namespaces/nowhere", kind="MUTEX")
        for primitive_id in ("", "..", "a/b", "x" * 65):
            refused("INVALID_ARGUMENT", "SYNC_ID_INVALID", primitive_id,
                    kind="MUTEX")
        refused("INVALID_ARGUMENT", "MODE_INVALID", kind="MUTEX", mode=0o777)
        for fields in ({}, {"kind": "CONDITION"}, {"kind": 77},
                       {"kind": "BARRIER"}, {"kind": "VALUE"},
                       {"kind": "BARRIER", "parties": 65536},
                       {"kind": "MUTEX", "parties": 1},
                       {"kind": "MUTEX", "initial_count": 1},
                       {"kind": "EVENT", "initial_count": 2},
                       {"kind": "SEMAPHORE", "initial_count": 2 ** 31},
                       {"kind": "MUTEX", "automatic_reset": True},
                       {"kind": "VALUE", "value_bytes": 12},
                       {"kind": "VALUE", "value_bytes": 2 ** 20 + 8},
                       {"kind": "EVENT", "value_bytes": 8}):
            refused("INVALID_ARGUMENT", "FIELD_INVALID", **fields)
        primitive_id = self.fresh_id()
        self.make(primitive_id, kind="MUTEX", mode=0o666)
        refused("ALREADY_EXISTS", "SYNC_PRIMITIVE_EXISTS", primitive_id,
                kind="EVENT")

    def test_dead_owner_of_a_primitive_that_stands_alone(self):
        made = self.make(kind="MUTEX")
        program = Program(self)
        memory = program.map(made["handle"], 64)
        memory.put(4, program.locker)
        program.say(0, 0, HOLDING, MUTEX)
        held = self.ok(SYNC + "ListLocks", {"parent": made["name"]})["locks"]
        self.assertEqual([lock["session"] for lock in held],
                         [program.session])
        program.die()
        self.await_word(memory, 4, TORN)
        memory.put(4, self.other.locker)
        self.ok(SYNC + "BreakLock", {"name": made["name"]})
        self.assertEqual(memory.word(4), TORN)


class RestartTest(unittest.TestCase):
    """With a keeper, which memfds outlive the daemon by."""

    def setUp(self):
        isolation.enter()
        self.shmd = daemon.Daemon("--keeper", "--session_grace_seconds=1")
        self.addCleanup(self.shmd.close)

    def kill_daemon(self):
        path = "/proc/%d/task/%d/children" % (self.shmd.pid, self.shmd.pid)
        with open(path) as children:
            os.kill(int(children.read()), signal.SIGKILL)
        self.shmd.wait_until_ready()

    def test_sessions_that_are_gone_after_a_restart_are_let_go_for(self):
        made = self.shmd.call("CreateSegment", {
            "parent": PARENT, "segment_id": "shared",
            "segment": {"size_bytes": 4096}}).reply
        named = self.shmd.call(SYNC + "CreateSyncPrimitive", {
            "parent": PARENT, "sync_primitive_id": "door",
            "sync_primitive": {"kind": "SEMAPHORE", "initial_count": 2}}).reply
        program = Program(self, self.shmd)
        memory = program.map(made["handle_string"], 4096)
        memory.put(0, head(MUTEX), program.locker, 0)
        program.say(0, 0, HOLDING, MUTEX)
        program.die()
        # It never comes back; whether its end was seen before is chance.
        self.kill_daemon()
        while memory.word(4) != TORN:
            memory.sleep(4, memory.word(4))
        found = self.shmd.call(SYNC + "GetSyncPrimitive",
                               {"name": named["name"]}).reply
        self.assertEqual(found, named)
        again = Program(self, self.shmd)
        self.assertGreater(again.locker, program.locker)
        door = again.map(found["handle"], 64)
        self.assertEqual(door.word(4), 2)


if __name__ == "__main__":
    unittest.main()
