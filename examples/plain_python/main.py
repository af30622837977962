"""Shares memory through shmd with nothing but generated stubs, a Unix socket
and mmap.

    main.py write TEXT     makes a segment, writes TEXT, prints its handle
    main.py read HANDLE    prints what the segment holds

The folder of the sockets is $SHMD_SOCKET_DIR; the stubs' is on PYTHONPATH.
"""

import array
import mmap
import os
import socket
import sys

import grpc

from shmd.v1 import attach_pb2, handle_pb2, segment_pb2, segment_pb2_grpc

SOCKET_DIR = os.environ["SHMD_SOCKET_DIR"]


def create(size_bytes):
    """Creates a memfd segment by RPC; returns its handle as text."""
    with grpc.insecure_channel("unix:" + SOCKET_DIR + "/grpc.sock") as channel:
        segment = segment_pb2_grpc.SegmentServiceStub(channel).CreateSegment(
            segment_pb2.CreateSegmentRequest(
                parent="namespaces/default",
                segment=segment_pb2.Segment(size_bytes=size_bytes)))
    return segment.handle_string


def attach(handle, access):
    """Redeems a handle: returns the open connection, which is what keeps the
    segment attached, and a mapping of the whole segment."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.connect(SOCKET_DIR + "/attach.sock")
    request = attach_pb2.AttachRequest(sequence=1)
    request.attach.handle_string = handle
    request.attach.access = access
    connection.send(request.SerializeToString())

    data, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(4))
    reply = attach_pb2.AttachReply.FromString(data)
    if reply.HasField("error"):
        sys.exit(reply.error.message)
    (_, _, rights), = ancillary  # exactly one descriptor comes with it
    descriptor, = array.array("i", rights)
    size = reply.attachment.size_bytes
    if os.fstat(descriptor).st_size < size:
        sys.exit("the segment is smaller than it was said to be")
    protection = mmap.PROT_READ
    if reply.attachment.access == handle_pb2.READ_WRITE:
        protection |= mmap.PROT_WRITE
    memory = mmap.mmap(descriptor, size, mmap.MAP_SHARED, protection)
    os.close(descriptor)  # the mapping stays
    return connection, memory


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: main.py write TEXT | main.py read HANDLE")
    verb, argument = sys.argv[1:]
    if verb == "write":
        text = argument.encode()
        handle = create(len(text))
        connection, memory = attach(handle, handle_pb2.READ_WRITE)
        memory[:] = text
        print(handle)
    else:
        connection, memory = attach(argument, handle_pb2.READ)
        print(memory[:].decode())
    memory.close()
    connection.close()


main()
