"""Records what a venue protocol is told, so that the replay can tell it the same again.

A recording holds a protocol's inputs, not only its frames: that the socket opened or closed, and the answers to its
requests, too. The source of a record is `<venue>` for a frame, as it came, and `<venue>.open`, `.close`, `.response`
for the rest (a response is a MessagePack array of request, status and body).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.feeds.protocol import Act, VenueProtocol
from shared.segments_io import SegmentWriter

OPEN, CLOSE, RESPONSE = ".open", ".close", ".response"


class RecordedProtocol:
    """A venue protocol that writes down its inputs before it acts on them."""

    def __init__(self, protocol: VenueProtocol, writer: SegmentWriter) -> None:
        self.venue = protocol.venue
        self._protocol = protocol
        self._writer = writer

    def on_open(self, ts_ns: int) -> Sequence[Act]:
        """As the protocol's."""
        self._writer.write(ts_ns, b"", source=self.venue + OPEN)
        return self._protocol.on_open(ts_ns)

    def on_frame(self, frame: str | bytes, ts_recv_ns: int) -> Sequence[Act]:
        """As the protocol's."""
        self._writer.write(ts_recv_ns, frame, source=self.venue)
        return self._protocol.on_frame(frame, ts_recv_ns)

    def on_response(self, request: str, status: int, body: bytes, ts_recv_ns: int) -> Sequence[Act]:
        """As the protocol's."""
        self._writer.write(ts_recv_ns, pack_response(request, status, body), source=self.venue + RESPONSE)
        return self._protocol.on_response(request, status, body, ts_recv_ns)

    def on_timer(self, ts_ns: int) -> Sequence[Act]:
        """As the protocol's. Timers are not recorded: the replay makes its own."""
        return self._protocol.on_timer(ts_ns)

    def on_close(self, ts_ns: int) -> Sequence[Act]:
        """As the protocol's."""
        self._writer.write(ts_ns, b"", source=self.venue + CLOSE)
        return self._protocol.on_close(ts_ns)


def pack_response(request: str, status: int, body: bytes) -> bytes:
    """The payload of a `.response` record."""
    return msgspec.msgpack.encode((request, status, body))


def unpack_response(payload: bytes) -> tuple[str, int, bytes]:
    """Request, status and body of a `.response` record; raises msgspec.DecodeError."""
    return msgspec.msgpack.decode(payload, type=tuple[str, int, bytes])
