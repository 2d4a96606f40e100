"""Texts and JSON objects as the inputs of the hedge analysis: what the command line and the files of others hold.

Position file, one object, any of these (more keys do no harm; a top-level "position" holding one of them is fine too):

    {"call_shares": 100, "call_average_price": 0.52, "put_shares": 0}     also with "cost_usd" instead of averages
    {"call": {"shares": 100, "average_price": 0.52}, "put": {"shares": 0}}

Prices file, one object; `timestamp` is milliseconds since 1970, whatever is not there is not known:

    {"call": {"bids": [[0.55, 30], ...], "asks": [{"price": "0.57", "size": "50"}, ...], "timestamp": 1795408000123},
     "put": {"best_bid": 0.43, "best_ask": 0.45, "timestamp": 1795408000123},
     "fair_value": 0.56, "fair_low": 0.54, "fair_high": 0.58, "time_left_s": 600, "sigma_per_sqrt_s": 0.00009}

A book of `best_bid` and `best_ask` has no sizes: they must be given, nothing is assumed.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from services.hedger.hedge_inputs import HedgeBook, HedgeError, HedgePosition, OtherPosition
from shared.messages import Outcome

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000
_MOST_AHEAD_S = 5.0  # clocks differ, but not by more than a book may be old
_LEVEL = re.compile(r"^\s*([0-9.eE+-]+)\s*x\s*([0-9.eE+-]+)\s*$")
_SIDES = re.compile(r"\b(bids?|asks?)\b")
Pairs = tuple[tuple[float, float], ...]


def parse_holding(text: str) -> tuple[float, float | None]:
    """`100@0.52` or `100` as shares and their average price (None when it is not said). Raises ValueError."""
    shares, at, average = text.partition("@")
    try:
        return float(shares), float(average) if at else None
    except ValueError:
        raise ValueError(f"{text!r}: write shares@average price, such as 100@0.52") from None


def parse_book(text: str, outcome: Outcome, *, age_s: float | None = None) -> HedgeBook:
    """`bid 0.55x30,0.54x60 ask 0.57x50` as a book. Raises ValueError."""
    remedy = "write it as: bid 0.55x30,0.54x60 ask 0.57x50"
    pieces = _SIDES.split(text)
    if pieces[0].strip() or len(pieces) < 3:
        raise ValueError(f"{text!r} is no book: {remedy}")
    sides: dict[str, Pairs] = {}
    for side, levels in zip(pieces[1::2], pieces[2::2], strict=True):
        name = side.rstrip("s")
        if name in sides:
            raise ValueError(f"{text!r}: {name} stands there twice: {remedy}")
        sides[name] = tuple(_level(level, remedy) for level in levels.split(",") if level.strip())
    return HedgeBook(outcome=outcome, bids=sides.get("bid", ()), asks=sides.get("ask", ()), age_s=age_s)


def _level(text: str, remedy: str) -> tuple[float, float]:
    found = _LEVEL.match(text)
    try:
        if found is not None:
            return float(found[1]), float(found[2])
    except ValueError:
        pass  # 0.5.5 looks like a number and is none: refused below, like everything else
    raise ValueError(f"{text.strip()!r} is no level of a book: {remedy}")


def parse_other(text: str) -> OtherPosition:
    """`btc-5m:delta=-1.2` or `eth-15m:delta=0.8,correlation=0.9` (dollars per basis point). Raises ValueError."""
    remedy = "write it as btc-5m:delta=-1.2 ($ per basis point), with ,correlation=0.9 where it differs"
    market, _, rest = text.partition(":")
    given: dict[str, float] = {}
    for part in rest.split(","):
        key, _, number = part.partition("=")
        try:
            given[key.strip()] = float(number)
        except ValueError:
            raise ValueError(f"{text!r}: {remedy}") from None
    if "delta" not in given or set(given) - {"delta", "correlation"}:
        raise ValueError(f"{text!r}: {remedy}")
    return OtherPosition(market=market.strip(), usd_per_bp=given["delta"], correlation=given.get("correlation"))


def parse_object(raw: bytes, *, name: str) -> dict[str, Any]:
    """The JSON object in a file. Raises HedgeError."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise HedgeError(name, f"not JSON ({error})", "give one JSON object") from None
    if not isinstance(found, dict):
        raise HedgeError(name, f"a JSON {type(found).__name__}", "give one JSON object")
    return found


def number_of(contents: Mapping[str, Any], key: str, *, name: str) -> float | None:
    """The number (or a text that is one) under this key, None when it is not there. Raises HedgeError."""
    given = contents.get(key)
    if given is None:
        return None
    try:
        number = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise HedgeError(f"{name}: {key}", f"{given!r} is no number", "give a number")
    return number


def position_of(contents: Mapping[str, Any], *, name: str) -> HedgePosition:
    """The position in a position file's object. Raises HedgeError."""
    contents = part_of(contents, "position") or contents
    shares: dict[str, float | None] = {}
    averages: dict[str, float | None] = {}
    for outcome in ("call", "put"):
        part = part_of(contents, outcome)
        if part is None:
            shares[outcome] = number_of(contents, f"{outcome}_shares", name=name)
            averages[outcome] = number_of(contents, f"{outcome}_average_price", name=name)
        else:
            shares[outcome] = number_of(part, "shares", name=f"{name}: {outcome}")
            averages[outcome] = number_of(part, "average_price", name=f"{name}: {outcome}")
    if shares["call"] is None and shares["put"] is None:
        raise HedgeError(name, "no position in it", 'give {"call_shares": 100, "call_average_price": 0.52}')
    return HedgePosition(
        call_shares=shares["call"] or 0.0,
        put_shares=shares["put"] or 0.0,
        call_average_price=averages["call"],
        put_average_price=averages["put"],
        cost_usd=number_of(contents, "cost_usd", name=name),
    )


def book_of(
    contents: Mapping[str, Any], outcome: Outcome, *, name: str, now_ns: int, top_size_shares: float | None
) -> HedgeBook:
    """The book in an object: full depth, or the top of the book with sizes given beside it. Raises HedgeError."""
    age_s = _age_s(contents, name=name, now_ns=now_ns)
    if "bids" in contents or "asks" in contents:
        bids, asks = (_levels(contents.get(side), f"{name}: {side}") for side in ("bids", "asks"))
        return HedgeBook(outcome=outcome, bids=bids, asks=asks, age_s=age_s)
    bid, ask = (number_of(contents, key, name=name) for key in ("best_bid", "best_ask"))
    if bid is None and ask is None:
        raise HedgeError(name, "no book in it", "give bids and asks, or best_bid and best_ask")
    if top_size_shares is None:
        raise HedgeError(
            f"{name}: size",
            "only the top of the book is known, and not how many shares stand there",
            "say how many to count on with --top-size, or give bids and asks",
        )
    return HedgeBook(
        outcome=outcome,
        bids=() if bid is None else ((bid, top_size_shares),),
        asks=() if ask is None else ((ask, top_size_shares),),
        age_s=age_s,
        has_assumed_sizes=True,
    )


def _age_s(contents: Mapping[str, Any], *, name: str, now_ns: int) -> float | None:
    stamp_ms = number_of(contents, "timestamp", name=name)
    if stamp_ms is None:
        return None
    age_s = (now_ns - stamp_ms * _NS_PER_MS) / _NS_PER_S
    if age_s < -_MOST_AHEAD_S:
        raise HedgeError(
            f"{name}: timestamp",
            f"{-age_s:.0f} s ahead of this machine's clock",
            "give milliseconds since 1970, and set the clocks",
        )
    return max(0.0, age_s)


def _levels(given: object, name: str) -> Pairs:
    if given is None:
        return ()
    remedy = 'give [[0.55, 30], ...] or [{"price": 0.55, "size": 30}, ...]'
    if not isinstance(given, list):
        raise HedgeError(name, "not a list", remedy)
    pairs = []
    for level in given:
        if isinstance(level, list) and len(level) == 2:
            level = {"price": level[0], "size": level[1]}
        if not isinstance(level, dict):
            raise HedgeError(name, f"{level!r} is no level", remedy)
        price, size = number_of(level, "price", name=name), number_of(level, "size", name=name)
        if price is None or size is None:
            raise HedgeError(name, f"{level!r} is no level", remedy)
        pairs.append((price, size))
    return tuple(pairs)


def part_of(contents: Mapping[str, Any], key: str) -> dict[str, Any] | None:
    """The object under this key, in lower or upper case; None when there is none."""
    found = contents.get(key, contents.get(key.upper()))
    return found if isinstance(found, dict) else None
