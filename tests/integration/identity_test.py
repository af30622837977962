"""Identity under haste: connections of two uids come and go so fast that their
descriptor numbers are used anew while their calls are still queued."""

import threading
import unittest

import isolation
import raw_grpc
from daemon_case import DaemonCase, PARENT
from stubs import segment_pb2

SERVICE = "shmd.v1.SegmentService/"
UIDS = (4001, 4002)
CONNECTIONS = 1500  # of each uid


def create_and_leave(path, uid, tag):
    """Creates segments that are labelled with the caller's true uid, and does
    not wait for the replies. The daemon may drop any of them."""
    request = segment_pb2.CreateSegmentRequest(parent=PARENT)
    request.segment.size_bytes = 1
    request.segment.labels["tag"] = tag
    request.segment.labels["by"] = str(uid)
    for number in range(CONNECTIONS):
        request.segment_id = "%s-%d-%d" % (tag, uid, number)
        leave(path, "CreateSegment", request.SerializeToString())


def attack_and_leave(path, names):
    """Changes and deletes what is another uid's."""
    update = segment_pb2.UpdateSegmentRequest()
    update.segment.labels["owned"] = "by me"
    update.update_mask.paths.append("labels.owned")
    for number in range(CONNECTIONS):
        name = names[number % len(names)]
        if number % 2:
            update.segment.name = name
            leave(path, "UpdateSegment", update.SerializeToString())
        else:
            leave(path, "DeleteSegment", segment_pb2.DeleteSegmentRequest(
                name=name, force=True).SerializeToString())


def read_own(path, names):
    """What gives the attack its chance: the owner's connections."""
    for number in range(CONNECTIONS):
        leave(path, "GetSegment", segment_pb2.GetSegmentRequest(
            name=names[number % len(names)]).SerializeToString())


def ask_for(path, names, allowed):
    """Reads segments over connections of its own, and waits for each answer:
    all of them must be alike. Returns how many were not."""
    wrong = 0
    for number in range(CONNECTIONS):
        name = names[number % len(names)]
        reply = raw_grpc.ask(
            path, SERVICE + "GetSegment",
            segment_pb2.GetSegmentRequest(name=name).SerializeToString())
        wrong += (reply is not None) != allowed
        if allowed and reply is not None:
            wrong += segment_pb2.Segment.FromString(reply).name != name
    return wrong


def leave(path, method, message):
    try:
        raw_grpc.send_and_leave(path, SERVICE + method, message, calls=2)
    except (BrokenPipeError, ConnectionResetError):
        pass


class IdentityTest(DaemonCase):

    def run_together(self, *jobs):
        """Runs each (uid, function, arguments) as that uid, at once."""
        failures, results = [], []

        def run(uid, function, arguments):
            try:
                results.append(isolation.run_as(uid, function, *arguments))
            except AssertionError as error:
                failures.append(error)

        threads = [threading.Thread(target=run, args=job) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        return results

    def test_every_creation_is_its_callers(self):
        tag = self.fresh_id()
        path = self.shmd.grpc_socket
        self.run_together(*((uid, create_and_leave, (path, uid, tag))
                            for uid in UIDS))
        made = self.list_all(tag)
        for segment in made:
            self.addCleanup(self.remove, segment["name"])
            self.assertEqual(str(segment["owner"]), segment["labels"]["by"])

    def test_no_call_is_ever_given_anothers_rights(self):
        path = self.shmd.grpc_socket
        tag = self.fresh_id()
        made = [self.create(uid=UIDS[0], labels={"tag": tag})
                for _ in range(20)]
        names = [segment["name"] for segment in made]
        self.run_together((UIDS[0], read_own, (path, names)),
                          (UIDS[1], attack_and_leave, (path, names)),
                          (0, read_own, (path, names)))
        self.assertEqual({segment["name"]: segment["etag"]
                          for segment in self.list_all(tag)},
                         {segment["name"]: segment["etag"]
                          for segment in made})

    def test_every_answer_is_to_the_caller(self):
        path = self.shmd.grpc_socket
        names = [self.create(uid=UIDS[0])["name"] for _ in range(5)]
        results = self.run_together(
            (UIDS[0], ask_for, (path, names, True)),
            (UIDS[1], ask_for, (path, names, False)),
            (UIDS[0], read_own, (path, names)),
            (UIDS[1], read_own, (path, names)))
        self.assertEqual([result for result in results if result is not None],
                         [0, 0])

    def list_all(self, tag):
        # A call that was sent before is served before or dropped; this waits
        # until the daemon has no more to serve.
        found, token, before = [], "", None
        while before != len(found) or token:
            if not token:
                before, found = len(found), []
            reply = self.ok("ListSegments",
                            {"parent": PARENT, "page_size": 1000,
                             "page_token": token,
                             "filter": 'labels.tag = "%s"' % tag})
            found += reply.get("segments", [])
            token = reply.get("next_page_token", "")
        return found


if __name__ == "__main__":
    unittest.main()
