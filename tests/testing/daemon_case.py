"""The base of tests against a running daemon."""

import base64
import itertools
import os
import unittest

import daemon
import isolation
import ledger

PARENT = "namespaces/default"

_numbers = itertools.count(1)


def name_of(segment_id):
    return "%s/segments/%s" % (PARENT, segment_id)


def encoded(data):
    """bytes as JSON has them."""
    return base64.b64encode(data).decode()


class DaemonCase(unittest.TestCase):
    """One daemon for all tests of a class, in namespaces of its own. After each
    test the leak ledger must be what it was before."""

    FLAGS = ()

    @classmethod
    def setUpClass(cls):
        isolation.enter()
        cls.shmd = cls.make_daemon()
        cls.addClassCleanup(cls.shmd.close)
        # What the daemon makes on its first calls stays.
        for _ in range(3):
            cls.shmd.call("ListSegments", {"parent": PARENT})

    @classmethod
    def make_daemon(cls):
        return daemon.Daemon(*cls.FLAGS)

    def setUp(self):
        if not self.shmd.is_running():
            self.shmd.start()  # an earlier test, which failed, has killed it
        before = ledger.take(self.shmd)
        self.addCleanup(self._expect_unharmed, before)

    def _expect_unharmed(self, before):
        self.assertTrue(self.shmd.is_running())
        ledger.expect_same(self.shmd, before)

    def fresh_id(self):
        """A segment id, or part of a name, that no other test has."""
        return "t%d-%d" % (os.getpid(), next(_numbers))

    def ok(self, method, request, **arguments):
        """Calls and returns the reply; fails unless it is OK."""
        outcome = self.shmd.call(method, request, **arguments)
        self.assertEqual(outcome.code, "OK", outcome)
        return outcome.reply

    def refused(self, code, reason, method, request, **arguments):
        """Calls and returns the outcome; fails unless it is refused so."""
        outcome = self.shmd.call(method, request, **arguments)
        self.assertEqual((outcome.code, outcome.reason), (code, reason),
                         outcome)
        if reason:
            self.assertEqual(outcome.domain, "shmd")
        return outcome

    def create(self, segment=None, segment_id=None, uid=None, groups=None,
               **fields):
        """Creates a segment that ends with the test; returns the reply."""
        request = {
            "parent": PARENT,
            "segment_id": segment_id or self.fresh_id(),
            "segment": {"size_bytes": 4096, **(segment or {}), **fields},
        }
        made = self.ok("CreateSegment", request, uid=uid, groups=groups)
        self.addCleanup(self.remove, made["name"])
        return made

    def remove(self, name):
        """Deletes a segment, if it is still there."""
        outcome = self.shmd.call("DeleteSegment", {"name": name, "force": True})
        self.assertIn(outcome.code, ("OK", "NOT_FOUND"), outcome)
