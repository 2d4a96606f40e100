"""Forty rollovers: whatever the system remembers of periods stays of one size."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from services.simulator import params
from shared.messages import Message
from tests.system.virtual import Virtual

MINUTES = 40
SETTLED_S = 1_300.0  # what is kept longest is an unsettled period, for 15 minutes
CACHES = ("LadderBook",)  # bounded by its own limit, and of no period
OURS = ("services", "shared", "builtins", "collections")


def parts_of(thing: Any) -> Iterator[Any]:
    if isinstance(thing, dict):
        yield from thing.keys()
        yield from thing.values()
    elif isinstance(thing, list | tuple | set | frozenset | deque):
        yield from thing
    else:
        yield from getattr(thing, "__dict__", {}).values()
        for kind in type(thing).__mro__:
            for name in getattr(kind, "__slots__", ()):
                if hasattr(thing, name):
                    yield getattr(thing, name)


def census(*roots: Any) -> Counter[str]:
    """How many things of each kind can be reached; a message counts as one."""
    counts: Counter[str] = Counter()
    seen: set[int] = set()
    waiting = list(roots)
    while waiting:
        thing = waiting.pop()
        if (
            isinstance(thing, str | bytes | int | float | type | ModuleType | np.ndarray | np.generic)
            or id(thing) in seen
        ):
            counts["number or text"] += isinstance(thing, str | bytes | int | float)
            continue
        seen.add(id(thing))
        counts[type(thing).__name__] += 1
        if type(thing).__name__ in CACHES or isinstance(thing, Message):
            continue
        if type(thing).__module__.split(".")[0] in OURS:
            waiting.extend(parts_of(thing))
    return counts


def sizes_of(system: Virtual) -> dict[str, int]:
    """How many things each part holds that knows of periods, and the world that makes them."""
    held: dict[str, object] = {**system.cores}
    for venue in ("chainlink", "polymarket"):
        held |= {venue: system.venues.protocols[venue], f"freshness of {venue}": system.venues.freshness[venue]}
    world = {"periods": len(system.world.periods), "planned": len(system.world.schedule)}
    return {name: census(part).total() for name, part in held.items()} | world


def test_rollovers_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FAIR_REFRESH_MS", "NEXT_FAIR_REFRESH_MS", "COINBASE_BATCH_MS"):  # a slow world: what counts is time
        monkeypatch.setattr(params, name, 5_000)
    system = Virtual(
        "btc-1m",
        start_s=30.0,
        book_rate=0.02,
        quote_rate=0.02,
        timer_ms=1_000,
        history_s=180,
        keeps_journal=False,
        feeds=("bybit", "chainlink", "polymarket"),
    )
    system.run(SETTLED_S)
    before = sizes_of(system)
    system.run(MINUTES * 60.0 - SETTLED_S)
    after = sizes_of(system)
    assert len(system.settlements) >= MINUTES - 4
    assert {name: (before[name], after[name]) for name in before if after[name] > 1.1 * before[name] + 60} == {}
