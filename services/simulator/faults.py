"""Faults on demand, each named by what it stands for in the catalogue of the field's faults.

freeze            F1, F13  data stops, pings are still answered
gap               F2, F3   a share of the frames is lost (skipped Bybit `u`, PolyBolt `seq`, oracle seconds)
crossed_book      F4       a best bid at or above the best ask
wrong_side        F4, F10  a book update or trade names the wrong side
tick_size_change  F5       the running markets switch to the 0.001 tick
late_strike       F3, F20  the value at a period's start is missing in the TWAP stream and at the website
disconnect        F16      connections are closed; new ones are refused (503) while it lasts
http_errors       F16, F17 every REST call answers 500 or 429 with Retry-After, in turn
slow              F25, F14 frames arrive late (a slow reader's view)
garbage           F8       every fifth frame is malformed, truncated, NaN or huge
clock_skew        -        all the venue's timestamps are an hour ahead
out_of_order      F23      neighbouring frames change places
duplicate         F10      every frame arrives twice
ghost_book        F26      REST books show 0.01 / 0.99 and nothing between

Pure: time is an argument. `FaultBoard` knows what is on; a `FaultyLine` spoils one connection's frames.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from services.simulator.session import Frame
from services.simulator.wire import iso, parse_iso_s

VENUES = ("bybit", "coinbase", "gamma", "clob", "website", "market", "polybolt", "rtds")
NAMES = (
    "freeze",
    "gap",
    "crossed_book",
    "wrong_side",
    "tick_size_change",
    "late_strike",
    "disconnect",
    "http_errors",
    "slow",
    "garbage",
    "clock_skew",
    "out_of_order",
    "duplicate",
    "ghost_book",
)
SKEW_MS = 3_600_000
GAP_EVERY = 3  # with `gap`, one frame in so many is lost
GARBAGE_EVERY = 5
DEFAULT_SLOW_S = 3.0
HUGE_CHARACTERS = 2_000_000


class Fault(NamedTuple):
    """One fault; `venue` is one of VENUES or `*`, `until_ms` None means until cleared."""

    name: str
    venue: str
    until_ms: int | None
    delay_s: float


class FaultBoard:
    """Which faults are on."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []

    def start(
        self,
        name: str,
        venue: str = "*",
        *,
        now_ms: int,
        duration_s: float | None = None,
        delay_s: float = DEFAULT_SLOW_S,
    ) -> Fault:
        """Switch a fault on; raises ValueError for a name or venue nobody knows."""
        if name not in NAMES:
            raise ValueError(f"no fault {name!r}: known are {', '.join(NAMES)}")
        if venue not in (*VENUES, "*"):
            raise ValueError(f"no venue {venue!r}: known are {', '.join(VENUES)} and *")
        until_ms = None if duration_s is None else now_ms + int(duration_s * 1000.0)
        fault = Fault(name, venue, until_ms, delay_s)
        self._faults.append(fault)
        return fault

    def clear(self, *, name: str | None = None, venue: str | None = None) -> int:
        """Switch off every fault of that name and venue (None: any); returns how many."""
        kept = [f for f in self._faults if (name not in (None, f.name)) or (venue not in (None, f.venue))]
        cleared = len(self._faults) - len(kept)
        self._faults = kept
        return cleared

    def find(self, name: str, venue: str, now_ms: int) -> Fault | None:
        """The fault if it is on for that venue now."""
        for fault in self._faults:
            if (
                fault.name == name
                and fault.venue in (venue, "*")
                and (fault.until_ms is None or now_ms < fault.until_ms)
            ):
                return fault
        return None

    def is_on(self, name: str, venue: str, now_ms: int) -> bool:
        return bool(self._faults) and self.find(name, venue, now_ms) is not None

    def active(self, now_ms: int) -> list[Fault]:
        """Every fault that is on; those that ran out are forgotten."""
        self._faults = [f for f in self._faults if f.until_ms is None or now_ms < f.until_ms]
        return list(self._faults)


class Outgoing(NamedTuple):
    """A frame and how long the line holds it back."""

    frame: Frame
    delay_s: float


class FaultyLine:
    """What a connection's frames become on their way out."""

    def __init__(self, board: FaultBoard, venue: str) -> None:
        self._board = board
        self._venue = venue
        self._seen = 0
        self._held: Frame | None = None

    def send(self, frames: list[Frame], now_ms: int) -> list[Outgoing]:
        """Control frames pass; data frames meet every fault that is on for the venue."""
        on = {fault.name: fault for fault in self._board.active(now_ms) if fault.venue in (self._venue, "*")}
        if not on and self._held is None:
            return [Outgoing(frame, 0.0) for frame in frames]
        sent: list[Outgoing] = []
        for frame in frames:
            if not frame.is_data:
                sent.append(Outgoing(frame, 0.0))
                continue
            delay_s = on["slow"].delay_s if "slow" in on else 0.0
            sent += [Outgoing(spoiled, delay_s) for spoiled in self._spoil(frame, on)]
        return sent

    def _spoil(self, frame: Frame, on: dict[str, Fault]) -> list[Frame]:
        self._seen += 1
        if "freeze" in on or ("gap" in on and self._seen % GAP_EVERY == 0):
            return []
        text = frame.text
        for name, change in (("crossed_book", crossed), ("wrong_side", wrong_sided)):
            if name in on:
                text = rewritten(text, change)
        if "clock_skew" in on:
            text = skewed(text)
        if "garbage" in on and self._seen % GARBAGE_EVERY == 0:
            text = spoiled_text(text, self._seen // GARBAGE_EVERY)
        frames = [frame._replace(text=text)] * (2 if "duplicate" in on else 1)
        if "out_of_order" in on and self._held is None:
            self._held = frames[-1]
            return frames[:-1]
        if self._held is not None:
            frames.append(self._held)
            self._held = None
        return frames


def rewritten(text: str, change: Callable[[dict[str, Any]], None]) -> str:
    """The frame after `change` has edited each of its objects, with the separators it had."""
    message = json.loads(text)
    for part in message if isinstance(message, list) else [message]:
        change(part)
    comma = ", " if '", "' in text else ","
    return json.dumps(message, separators=(comma, ":"), ensure_ascii=False)


def crossed(message: dict[str, Any]) -> None:
    """Make a quote, ticker or book cross itself."""
    inner = message.get("data")
    if isinstance(inner, dict) and inner.get("b") and inner.get("a"):
        inner["b"][0][0], inner["a"][0][0] = inner["a"][0][0], inner["b"][0][0]
    if message.get("type") == "ticker":
        message["best_bid"], message["best_ask"] = message["best_ask"], message["best_bid"]
    if message.get("type") == "l2update":
        for row in message["changes"]:
            row[0] = "sell" if row[0] == "buy" else "buy"
    if message.get("event_type") == "book" and message["bids"] and message["asks"]:
        message["bids"].append({"price": message["asks"][-1]["price"], "size": message["bids"][-1]["size"]})
    for leg in message.get("price_changes", []):
        leg["best_bid"], leg["best_ask"] = leg["best_ask"], leg["best_bid"]
        leg["price"] = leg["best_bid"] if leg["side"] == "BUY" else leg["best_ask"]


def wrong_sided(message: dict[str, Any]) -> None:
    """Turn the side of every update and trade."""
    other = {"BUY": "SELL", "SELL": "BUY", "buy": "sell", "sell": "buy", "Buy": "Sell", "Sell": "Buy"}
    for leg in message.get("price_changes", []):
        leg["side"] = other[leg["side"]]
    if "side" in message:
        message["side"] = other[message["side"]]
    for row in message.get("changes", []):
        row[0] = other[row[0]]
    inner = message.get("data")
    for row in inner if isinstance(inner, list) else []:
        if "S" in row:
            row["S"] = other[row["S"]]


_EPOCH_MS = re.compile(r"(?<![\dA-Fa-fx.])1[5-9]\d{11}(?![\d.])")
_EPOCH_S = re.compile(r"^1[5-9]\d{8}$")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def skewed(text: str) -> str:
    """Every timestamp in a frame, an hour later."""
    if _EPOCH_S.match(text):
        return str(int(text) + SKEW_MS // 1000)
    text = _EPOCH_MS.sub(lambda found: str(int(found[0]) + SKEW_MS), text)
    return _ISO.sub(lambda found: iso(parse_iso_s(found[0] + "+00:00") * 1000 + SKEW_MS)[:19], text)


def spoiled_text(text: str, turn: int) -> str:
    """Malformed, truncated, NaN and huge frames in turn."""
    kinds = (
        "{not json",
        text[: len(text) // 2],
        re.sub(r'"\d+\.?\d*"', '"NaN"', text),
        "[" + "9" * HUGE_CHARACTERS + "]",
    )
    return kinds[turn % len(kinds)]


class HttpReply(NamedTuple):
    """A REST answer as the wire sees it."""

    status: int
    text: str
    headers: dict[str, str]


class FaultyDoor:
    """What a REST venue's answers become."""

    def __init__(self, board: FaultBoard, venue: str) -> None:
        self._board = board
        self._venue = venue
        self._calls = 0  # answers spoiled so far

    def answer(self, reply: HttpReply, now_ms: int) -> HttpReply:
        """The reply after the faults that are on; `slow` is the server's business."""
        if not self._board.active(now_ms):
            return reply
        if self._board.is_on("disconnect", self._venue, now_ms):
            return HttpReply(503, '{"error":"service unavailable"}', {"Retry-After": "1"})
        if self._board.is_on("http_errors", self._venue, now_ms):
            self._calls += 1
            if self._calls % 2:
                return HttpReply(500, '{"error":"internal server error"}', {})
            return HttpReply(429, '{"error":"Too Many Requests"}', {"Retry-After": "1"})
        text = reply.text
        if self._board.is_on("clock_skew", self._venue, now_ms) and self._venue != "gamma":
            text = skewed(text)
        if self._board.is_on("garbage", self._venue, now_ms):
            self._calls += 1
            text = spoiled_text(text, self._calls)
        return reply._replace(text=text)
