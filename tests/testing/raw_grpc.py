"""Unary gRPC requests as bytes, for clients that behave as no library does."""

import base64
import contextlib
import socket
import struct

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _WINDOW_UPDATE = 0, 1, 4, 8
_END_STREAM, _END_HEADERS = 1, 4
_FRAME_BYTES = 16384


def _frame(kind, flags, stream, payload):
    return (struct.pack(">I", len(payload))[1:] +
            struct.pack(">BBI", kind, flags, stream) + payload)


def _header(name, value):
    # HPACK: a literal without indexing and without Huffman coding. Lengths
    # below 127 are one byte.
    name, value = name.encode(), value.encode()
    assert len(name) < 127 and len(value) < 127
    return (b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value)


def opening():
    """What a connection starts with."""
    return _PREFACE + _frame(_SETTINGS, 0, 0, b"")


def call(stream, method, message):
    """One call on an odd `stream` number: `message` is a protobuf message's
    bytes, below 16 KiB; `method` is service/method."""
    headers = b"".join(
        _header(name, value) for name, value in (
            (":method", "POST"), (":scheme", "http"), (":path", "/" + method),
            (":authority", "localhost"), ("content-type", "application/grpc"),
            ("te", "trailers")))
    body = b"\0" + struct.pack(">I", len(message)) + message
    starts = range(0, len(body), _FRAME_BYTES)
    return _frame(_HEADERS, _END_HEADERS, stream, headers) + b"".join(
        _frame(_DATA, _END_STREAM if start == starts[-1] else 0, stream,
               body[start:start + _FRAME_BYTES]) for start in starts)


def send_and_leave(path, method, message, calls=1):
    """Connects, sends the same call `calls` times, and hangs up at once."""
    open_calls(path, method, message, calls).close()


def open_calls(path, method, message, calls):
    """Connects and makes the same call `calls` times; returns the connection,
    whose end is the calls' end."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.sendall(opening() + b"".join(
        call(1 + 2 * number, method, message) for number in range(calls)))
    return client


def ask(path, method, message):
    """Makes one call on a connection of its own; returns the reply message's
    bytes, or None when the call was refused."""
    code, reply = ask_for_code(path, method, message)
    return reply if code == 0 else None


def ask_for_code(path, method, message):
    """The same; returns the number of the status code, and the bytes of the
    reply message or b"". OSError when the connection ends before."""
    return ask_for_details(path, method, message)[:2]


def ask_for_details(path, method, message):
    """The same; returns also the bytes of the google.rpc.Status that a refusal
    carries, or b""."""
    data, trailers = b"", b""
    with contextlib.closing(_frames(path, method, message)) as frames:
        for kind, flags, payload in frames:
            if kind == _DATA:
                data += payload
            elif kind == _HEADERS:
                trailers += payload
            if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                return _status_code(trailers), data[5:], _details(trailers)


def stream_until(path, method, message, is_last):
    """Makes a call with a stream of replies, and hangs up after the first whose
    bytes is_last() is true of. Returns 0 then, and the number of the status
    code when the stream ends before; OSError when the connection does."""
    data, trailers = b"", b""
    with contextlib.closing(_frames(path, method, message)) as frames:
        for kind, flags, payload in frames:
            if kind == _DATA:
                data += payload
            elif kind == _HEADERS:
                trailers += payload
            while len(data) >= 5:
                end = 5 + struct.unpack(">I", data[1:5])[0]
                if len(data) < end:
                    break
                if is_last(data[5:end]):
                    return 0
                data = data[end:]
            if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
                return _status_code(trailers)


def _frames(path, method, message):
    """Makes one call; yields (kind, flags, payload) until the connection ends,
    which is an OSError."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)  # waits while the backlog is full
        client.settimeout(60)
        client.sendall(opening() + call(1, method, message))
        with client.makefile("rb") as stream:
            while True:
                head = stream.read(9)
                if len(head) < 9:
                    raise ConnectionResetError("the call did not end")
                length = int.from_bytes(head[:3], "big")
                yield head[3], head[4], stream.read(length)


class Replies:
    """The replies of one call, at the pace of who reads. Beyond HTTP/2's first
    window of 64 KiB the server has to wait until `open_window`."""

    def __init__(self, path, method, message):
        self.code = None  # of the status, once `next` has returned None
        self._trailers, self._waiting = b"", b""
        self._client = open_calls(path, method, message, 1)
        self._client.settimeout(60)
        self._stream = self._client.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.close()
        self._client.close()

    def open_window(self):
        """Lets a GiB come, of the connection and of the call."""
        increment = struct.pack(">I", 1 << 30)
        self._client.sendall(_frame(_WINDOW_UPDATE, 0, 0, increment) +
                             _frame(_WINDOW_UPDATE, 0, 1, increment))

    def next(self):
        """The bytes of the next message; None at the end of the call."""
        while True:
            size = int.from_bytes(self._waiting[1:5], "big")
            if len(self._waiting) >= 5 + size:
                message = self._waiting[5:5 + size]
                self._waiting = self._waiting[5 + size:]
                return message
            if self.code is not None:
                return None
            self._read_frame()

    def _read_frame(self):
        head = self._stream.read(9)
        if len(head) < 9:
            raise ConnectionResetError("the call did not end")
        payload = self._stream.read(int.from_bytes(head[:3], "big"))
        if head[3] == _DATA:
            self._waiting += payload
        elif head[3] == _HEADERS:
            self._trailers += payload
            if head[4] & _END_STREAM:
                self.code = _status_code(self._trailers)


def _details(trailers):
    rest = trailers.partition(b"grpc-status-details-bin")[2]
    if not rest:
        return b""
    # HPACK: a length with a prefix of 7 bits, and what is too much for that in
    # groups of 7.
    length, at = rest[0] & 0x7f, 1
    if length == 0x7f:
        for shift in range(0, 28, 7):
            length += (rest[at] & 0x7f) << shift
            at += 1
            if rest[at - 1] < 0x80:
                break
    text = _without_huffman(rest[at:at + length])
    return base64.b64decode(text + "=" * (-len(text) % 4))


# RFC 7541, appendix B, as far as base64 needs it: bits of a code, the first of
# these codes, and what it and the next ones stand for.
_HUFFMAN = ((5, 0x00, "012aceiost"), (6, 0x14, " %-./3456789=A_bdfghlmnpru"),
            (7, 0x5c, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
            (8, 0xf8, "&*,;XZ"), (11, 0x7fb, "+"))
_CHARACTERS = {format(first + i, "0%db" % bits): character
               for bits, first, characters in _HUFFMAN
               for i, character in enumerate(characters)}


def _without_huffman(data):
    text, code = "", ""
    for bit in "".join(format(byte, "08b") for byte in data):
        code += bit
        if code in _CHARACTERS:
            text += _CHARACTERS[code]
            code = ""
    return text


def _status_code(trailers):
    # gRPC writes its own headers as literals without Huffman coding: a length
    # and the name, a length and the value.
    name, value = trailers.rpartition(b"\x0bgrpc-status")[1:]
    if not name or not 1 <= value[0] <= 2:
        raise ConnectionResetError("the call has no status")
    return int(value[1:1 + value[0]])
