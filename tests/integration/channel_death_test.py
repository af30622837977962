"""What is left of who has taken part in a channel and was killed."""

import os
import signal
import struct
import time
import unittest

from channel_case import DEADLINE_SECONDS, ChannelCase, Program, small
from daemon_case import PARENT
from stubs import channel_pb2

# shm/layout/channel_layout.h
PUBLISHED, CURSORS = 64, 4096
HAS_LEFT = 256


class DeathTest(ChannelCase):

    def wait_until(self, is_so):
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not is_so():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.002)

    def test_who_dies_takes_part_no_more(self):
        name = self.channel(kind="QUEUE", **small())
        reader = self.program()
        subscriber = reader.subscribe(name)
        page = reader.page(subscriber)
        ready, told = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                dying = Program(self.shmd)
                publisher = dying.publish(name)
                dying.subscribe(name)
                ring = dying.memory(publisher.ring_handle)
                ring[-5:] = b"alive"
                os.write(told, publisher.SerializeToString())
                signal.pause()
            finally:
                os._exit(1)
        self.addCleanup(os.close, ready)
        os.close(told)
        publisher = channel_pb2.Publisher.FromString(os.read(ready, 4096))
        ring = reader.part(name, "RING", publisher)
        stats = self.stats(name)
        self.assertEqual((len(stats[0]), len(stats[1])), (1, 2))
        self.assertEqual(stats[0][0]["pid"], child)
        before = page.change
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        self.wait_until(lambda: page.change != before)
        self.wait_until(lambda: not page.publishers)
        self.assertEqual(list(page.subscribers), [0])
        self.assertEqual(page.subscribers[0][0], subscriber.generation)
        self.assertEqual(ring[-5:], b"alive")
        self.expect_refused("NOT_FOUND", "MEMBER_NOT_FOUND", reader.part,
                            name, "RING", publisher)
        stats = self.stats(name)
        self.assertEqual((len(stats[0]), len(stats[1])), (0, 1))
        self.wait_until(lambda: len(self.ok(
            "ListSegments", {"parent": PARENT})["segments"]) == 2)


    def test_what_the_dead_published_is_there_for_who_looks_later(self):
        name = self.channel(**small())
        reader = self.program()
        subscriber = reader.subscribe(name)
        cursors = reader.memory(subscriber.page_handle)
        writer = self.program()
        publisher = writer.publish(name)
        ring = writer.memory(publisher.ring_handle)
        struct.pack_into("<Q", ring, PUBLISHED, 1)
        ring[-5:] = b"heard"
        page = reader.page(subscriber)
        writer.end()
        self.wait_until(lambda: self.stats(name)[0][0].get("has_left"))
        self.assertEqual(self.ok("shmd.v1.ChannelService/GetChannel", {
            "name": name}).get("publisher_count", 0), 0)
        self.assertEqual(page.publishers[publisher.index][2], HAS_LEFT)
        for _ in range(2):  # as often as it takes
            self.assertEqual(reader.part(name, "RING", publisher)[-5:],
                             b"heard")
        self.assertEqual(list(page.publishers), [publisher.index])
        struct.pack_into("<Q", cursors, CURSORS + 64 * publisher.index + 8,
                         publisher.generation)
        self.wait_until(lambda: not page.publishers)
        self.assertEqual(self.stats(name)[0], [])

    def test_who_is_sent_away_is_no_publisher_any_more(self):
        name = self.channel(**small())
        reader, writer = self.program(), self.program()
        reader.subscribe(name)
        publisher = writer.publish(name)
        page = writer.page(publisher)
        struct.pack_into("<Q", writer.memory(publisher.ring_handle),
                         PUBLISHED, 1)
        delete = "shmd.v1.ChannelService/DeletePublisher"
        self.ok(delete, {"name": publisher.name})
        self.assertEqual(page.publishers[publisher.index][2], HAS_LEFT)
        # An answer that was lost costs nothing.
        self.refused("NOT_FOUND", "MEMBER_NOT_FOUND", delete,
                     {"name": publisher.name})
        self.assertEqual(list(page.publishers), [publisher.index])


if __name__ == "__main__":
    unittest.main()
