"""Bytes on the bus as they are: for tests of what the bus must refuse."""

from __future__ import annotations

from collections.abc import Iterable

import zmq

from shared import bus
from shared.bus import Endpoints


def publish_raw(endpoints: Endpoints, frames: Iterable[bytes], *, connect_s: float = 5.0) -> None:
    """Send each frame, once the broker listens."""
    with zmq.Context.instance().socket(zmq.XPUB) as socket:
        socket.set(zmq.LINGER, 1000)
        bus._connect(socket, endpoints.publish)
        socket.poll(round(1000 * connect_s), zmq.POLLIN)
        for frame in frames:
            socket.send(frame)
