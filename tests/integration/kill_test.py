"""What the daemon has acknowledged survives kill -9 of it, at any moment."""

import os
import random
import threading
import unittest

import raw_grpc
import sysv
from daemon_case import DaemonCase, PARENT, name_of
from stubs import segment_pb2

BACKENDS = ("POSIX", "SYSV", "MAPPED_FILE")
ROUNDS = 5
PAGE = 20  # raw_grpc takes replies of one frame
SERVICE = "shmd.v1.SegmentService/"
DEADLINE_SECONDS = 60


def ask(shmd, method, request, reply):
    """One call; False when the daemon died before it replied."""
    try:
        data = raw_grpc.ask(shmd.grpc_socket, SERVICE + method,
                            request.SerializeToString())
    except OSError:
        return False
    if data is None:
        raise AssertionError("%s was refused" % method)
    reply.ParseFromString(data)
    return True


class Stream(threading.Thread):
    """Creates segments of one backend until the daemon dies, and deletes every
    fourth of them again."""

    def __init__(self, shmd, backend, prefix, on_reply):
        super().__init__(daemon=True)
        self._shmd, self._backend, self._prefix = shmd, backend, prefix
        self._on_reply = on_reply
        self.kept = {}        # segment id -> the acknowledged segment
        self.deleted = set()  # ids whose deletion was acknowledged
        self.failure = None

    def run(self):
        try:
            number = 0
            while self._make("%s-%d" % (self._prefix, number)):
                if number % 4 == 3 and not self._unmake(
                        "%s-%d" % (self._prefix, number - 1)):
                    break
                number += 1
        except Exception as error:  # noqa: the main thread tells of it
            self.failure = error

    def _make(self, segment_id):
        request = segment_pb2.CreateSegmentRequest(
            parent=PARENT, segment_id=segment_id)
        segment = request.segment
        segment.size_bytes = 4096
        segment.backend = segment_pb2.Segment.Backend.Value(self._backend)
        segment.labels["of"] = segment_id
        if self._backend == "MAPPED_FILE":
            segment.file_path = segment_id
        made = segment_pb2.Segment()
        if not ask(self._shmd, "CreateSegment", request, made):
            return False
        self.kept[segment_id] = made
        self._on_reply()
        return True

    def _unmake(self, segment_id):
        # From here on both are right: it is there, or not.
        del self.kept[segment_id]
        request = segment_pb2.DeleteSegmentRequest(name=name_of(segment_id))
        if not ask(self._shmd, "DeleteSegment", request,
                   segment_pb2.Segment()):
            return False
        self.deleted.add(segment_id)
        self._on_reply()
        return True


class KillTest(DaemonCase):

    def _kill_within_a_stream(self, round_number, replies):
        """Kills the daemon after so many replies; returns the streams."""
        enough = threading.Semaphore(0)
        streams = [
            Stream(self.shmd, backend, "%s-%d-%s" % (
                self.fresh_id(), round_number, backend.lower()),
                enough.release)
            for backend in BACKENDS]
        for stream in streams:
            stream.start()
        for _ in range(replies):
            self.assertTrue(enough.acquire(timeout=DEADLINE_SECONDS))
        self.shmd.kill()
        for stream in streams:
            stream.join(DEADLINE_SECONDS)
            self.assertFalse(stream.is_alive())
            self.assertIsNone(stream.failure)
        return streams

    def _found(self):
        """All segments that the daemon has, by id."""
        found, token = {}, ""
        while True:
            reply = segment_pb2.ListSegmentsResponse()
            self.assertTrue(ask(
                self.shmd, "ListSegments",
                segment_pb2.ListSegmentsRequest(
                    parent=PARENT, page_size=PAGE, page_token=token), reply))
            for segment in reply.segments:
                found[segment.name.split("/")[-1]] = segment
            token = reply.next_page_token
            if not token:
                return found

    def test_no_acknowledged_segment_is_lost(self):
        self.addCleanup(self._remove_what_a_create_left)
        dice = random.Random(os.getpid())
        kept, deleted = {}, set()
        for round_number in range(ROUNDS):
            for stream in self._kill_within_a_stream(round_number,
                                                     dice.randint(10, 150)):
                kept.update(stream.kept)
                deleted |= stream.deleted
            self.shmd.start()
            found = self._found()
            for segment_id, made in kept.items():
                self.assertIn(segment_id, found)
                self.assertEqual(found[segment_id].uid, made.uid)
                self.assertEqual(found[segment_id].generation,
                                 made.generation)
                self.assertEqual(dict(found[segment_id].labels),
                                 {"of": segment_id})
            self.assertFalse(deleted & set(found))
        generations = [made.generation for made in kept.values()]
        self.assertEqual(len(generations), len(set(generations)))
        for segment_id in self._found():
            self.remove(name_of(segment_id))

    def _remove_what_a_create_left(self):
        """Objects that were made, but neither recorded nor acknowledged."""
        for folder in ("/dev/shm", self.shmd.file_root):
            for name in os.listdir(folder):
                os.remove(os.path.join(folder, name))
        for shmid in sysv.read_table():
            sysv.remove(shmid)


if __name__ == "__main__":
    unittest.main()
