"""What every venue's WebSocket session has in common: no sockets, frames in, frames out."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, Protocol

from services.simulator.events import Event


class Frame(NamedTuple):
    """One text frame to send. Only data frames can be spoiled by a fault; a close code ends the connection after it."""

    text: str
    is_data: bool = True
    close_code: int | None = None


class Session(Protocol):
    """One client's connection to one venue."""

    venue: str

    def on_connect(self) -> list[Frame]:
        """Frames the venue sends unasked."""

    def on_text(self, text: str, now_ms: int, /) -> list[Frame]:
        """Answers to a client's frame."""

    def on_event(self, event: Event) -> list[Frame]:
        """What this client sees of an event."""


def control(text: str) -> Frame:
    """A frame that is not market data."""
    return Frame(text, is_data=False)


def parse_object(text: str) -> dict[str, Any] | None:
    """The JSON object in a client's frame; None when it is not one."""
    try:
        message = json.loads(text)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None
