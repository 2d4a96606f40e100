"""Worlds, sessions and recorded frames for the simulator's tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.simulator.events import Event
from services.simulator.session import Frame
from services.simulator.world import World, WorldConfig

PERIOD_S = 1_791_241_200  # start of a 15-minute period
START_MS = PERIOD_S * 1000 + 400_000
SHARED_DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def make_world(*, start_ms: int = START_MS, **config: Any) -> World:
    return World(WorldConfig(**{"series": ("btc-15m",), "missing_share": 0.0, **config}), start_ms=start_ms)


def play(world: World, seconds: float, *, step_ms: int = 100) -> list[Event]:
    """Everything that happens in the next seconds."""
    events: list[Event] = []
    end_ms = world.now_ms + int(seconds * 1000)
    while world.now_ms < end_ms:
        world.advance(min(end_ms, world.now_ms + step_ms), events.append)
    return events


def play_session(world: World, session: Any, seconds: float) -> list[Any]:
    """The session's data frames of the next seconds, parsed, rendered while the world is in that state."""
    frames: list[Frame] = []
    world.advance(world.now_ms + int(seconds * 1000), lambda event: frames.extend(session.on_event(event)))
    return [json.loads(frame.text) for frame in frames]


def ask(session: Any, message: dict[str, Any] | str, now_ms: int) -> list[Any]:
    """The parsed answers to a client's frame."""
    text = message if isinstance(message, str) else json.dumps(message)
    return [json.loads(frame.text) for frame in session.on_text(text, now_ms)]


def recorded(path: str) -> str:
    """The text of a recorded file; skips the test where the recordings are absent."""
    file = SHARED_DATA / path
    if not file.exists():
        pytest.skip(f"no recording {file}: ../shared/data is absent")
    return file.read_text().rstrip("\n")


def recorded_json(path: str) -> Any:
    return json.loads(recorded(path))


def shape(message: Any) -> Any:
    """Keys in order and the kind of every leaf; a list is the shape of its first element."""
    if isinstance(message, dict):
        return {key: shape(inner) for key, inner in message.items()}
    if isinstance(message, list):
        return [shape(message[0])] if message else []
    if isinstance(message, bool) or message is None:
        return type(message).__name__
    return "number" if isinstance(message, int | float) else type(message).__name__


def assert_same_shape(ours: Any, real: Any, *, ours_also: tuple[str, ...] = ()) -> None:
    """Same keys, order and kinds; `ours_also` are keys that the old recording lacks."""
    pruned = {key: inner for key, inner in ours.items() if key not in ours_also} if isinstance(ours, dict) else ours
    assert json.dumps(shape(pruned)) == json.dumps(shape(real))


def spacing(text: str) -> bool:
    """Whether the text has a space after its commas."""
    return '", "' in text or '}, {"' in text
