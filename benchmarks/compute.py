"""Cost of each step on its own: parse, codec, each analyzer, a full requote. Microseconds a call, in process."""

from __future__ import annotations

import itertools
import json
import random
import time
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from benchmarks import scene
from benchmarks.report import Row, microseconds_a_call
from engine.market_maker import AdvancedMarketMaker
from engine.state import MarketState, OptionBook, OracleTick, SpotTop
from services.analyzers.core import KINDS, AnalyzerCore
from services.feeds.bybit import BybitProtocol
from services.feeds.polymarket.market_channel import MarketChannelProtocol
from services.quoter.core import QuoterCore
from shared.codec import decode, encode
from shared.config import MMConfig
from shared.core import Core, Delivery, Event
from shared.market import NS_PER_S
from shared.messages import SCHEMA_VERSION, AnyMessage, Envelope, OracleHistory, QuoteSet, SpotQuote, topic_of
from tests.backtest.arnavbhatia import clob_market_of, event_of
from tests.builders import build

REQUOTE_TARGET_US = 20.0
ENGINE_TARGET_US = 50.0


def measure() -> list[Row]:
    """All of them."""
    return [*_parsers(), *_codec(), *_analyzers(), *_requote(), *_engine()]


def _parsers() -> Iterator[Row]:
    bybit = BybitProtocol(["BTC"])
    bybit.on_open(0)
    updates = itertools.count(1)
    frames = (scene.bybit_frame(time.time_ns(), scene.SPOT_USD + number % 7, number) for number in updates)
    batch = list(itertools.islice(frames, 20_000))
    turn = itertools.cycle(batch)
    cost = microseconds_a_call(lambda: bybit.on_frame(next(turn), time.time_ns()))
    floor = microseconds_a_call(lambda: json.loads(batch[0]))
    yield Row(
        "parse one Bybit level-1 frame into a quote",
        f"{cost:.1f} µs",
        f"{floor:.1f} µs json.loads alone",
        f"{cost / floor:.2f}",
    )
    protocol, changes = _polymarket()
    turn_of_changes = itertools.cycle(changes)
    cost = microseconds_a_call(lambda: protocol.on_frame(next(turn_of_changes), _NOW_NS), calls=1000)
    floor = microseconds_a_call(lambda: json.loads(changes[0]))
    yield Row(
        "apply one price_change frame to both books, 45 levels",
        f"{cost:.1f} µs",
        f"{floor:.1f} µs json.loads alone",
        f"{cost / floor:.2f}",
    )


_START_S = 1_787_236_800
_NOW_NS = (_START_S + 100) * NS_PER_S
_WINDOW = {"window_ts": _START_S, "token_up": "1" * 60, "token_down": "2" * 60, "label": {"resolved_up": 1}}


def _polymarket() -> tuple[MarketChannelProtocol, list[str]]:
    protocol = MarketChannelProtocol(["btc-5m"])
    protocol.on_timer(_NOW_NS)
    protocol.on_open(_NOW_NS)
    event = json.dumps(event_of(_WINDOW, resolved=False)).encode()
    protocol.on_response(f"event:btc-updown-5m-{_START_S}", 200, event, _NOW_NS)
    market = clob_market_of(_WINDOW)
    protocol.on_response(f"clob:{market['c']}", 200, json.dumps(market).encode(), _NOW_NS)
    ms = str(_NOW_NS // 1_000_000)
    levels = [{"price": f"0.{tick:02d}", "size": "100"} for tick in range(5, 50)]
    far = [{"price": f"0.{tick:02d}", "size": "100"} for tick in range(95, 50, -1)]
    books = [
        {
            "market": market["c"],
            "asset_id": _WINDOW[token],
            "timestamp": ms,
            "hash": "",
            "bids": levels,
            "asks": far,
            "tick_size": "0.01",
            "event_type": "book",
        }
        for token in ("token_up", "token_down")
    ]
    protocol.on_frame(json.dumps(books), _NOW_NS)
    changes = []
    for number in range(1000):
        size = str(100 + number % 50)
        legs = [
            {
                "asset_id": _WINDOW["token_up"],
                "price": "0.47",
                "size": size,
                "side": "BUY",
                "hash": "a",
                "best_bid": "0.49",
                "best_ask": "0.51",
            },
            {
                "asset_id": _WINDOW["token_down"],
                "price": "0.53",
                "size": size,
                "side": "SELL",
                "hash": "b",
                "best_bid": "0.49",
                "best_ask": "0.51",
            },
        ]
        changes.append(
            json.dumps({"market": market["c"], "price_changes": legs, "timestamp": ms, "event_type": "price_change"})
        )
    if len(protocol.on_frame(changes[1], _NOW_NS)) != 2:
        raise RuntimeError("a price_change published no books: the benchmark's market is not set up")
    return protocol, changes


def _codec() -> Iterator[Row]:
    (book, _) = scene.books(time.time_ns(), "s")
    for name, message in (
        ("a spot quote", build(SpotQuote)),
        ("a book of 45 levels a side", book),
        ("a quote set", _quote_set()),
    ):
        envelope = Envelope(SCHEMA_VERSION, "bench-1", 1, 1, 1, message)
        encoded = encode(envelope)
        cost = microseconds_a_call(lambda e=envelope: encode(e))  # type: ignore[misc]
        back = microseconds_a_call(lambda b=encoded: decode(b))  # type: ignore[misc]
        yield Row(f"encode and decode {name}", f"{cost:.1f} + {back:.1f} µs", f"{len(encoded)} bytes")


def _deliveries(messages: Iterator[AnyMessage]) -> Iterator[Delivery]:
    numbers = itertools.count(1)
    for message in messages:
        yield Delivery(topic_of(message), 1, next(numbers), message)


def _feed(core: Core, events: Iterator[Event]) -> list[AnyMessage]:
    return [message for event in events for message in core.update(event)]


def _moving_spot(begin_ns: int) -> Iterator[SpotQuote]:
    """A quote each 20 ms, within a basis point of the strike: two cents of fair value, so that ladders change."""
    drawn = random.Random(1)
    for number in itertools.count(1):
        ts_ns = begin_ns + number * 20_000_000
        price = scene.SPOT_USD * (1 + drawn.uniform(-1e-4, 1e-4))
        yield build(SpotQuote, at_s=ts_ns / NS_PER_S, bid=price - 0.05, ask=price + 0.05)


def _analyzers() -> Iterator[Row]:
    now_ns = time.time_ns()
    for kind in KINDS:
        core = AnalyzerCore(kind, ["btc-15m"])
        _feed(core, _deliveries(scene.standing(now_ns)))
        ticks = _deliveries(_moving_spot(now_ns))
        cost = microseconds_a_call(lambda c=core, t=ticks: c.update(next(t)))  # type: ignore[misc]
        yield Row(f"{kind}: one spot tick", f"{cost:.1f} µs")


def _quoting() -> tuple[QuoterCore, Iterator[list[Delivery]]]:
    """A quoter in full swing, and the ticks of each next second; taking a second renews everything else."""
    core = QuoterCore(MMConfig(), ["btc-15m"])
    begin_ns = time.time_ns()
    standing = list(scene.standing(begin_ns))
    numbers = itertools.count(1)

    def seconds() -> Iterator[list[Delivery]]:
        spot = _moving_spot(begin_ns)
        for second in itertools.count():
            at_ns = begin_ns + second * NS_PER_S
            for message in standing:
                if second == 0 or not isinstance(message, OracleHistory):
                    renewed = msgspec.structs.replace(message, ts_event_ns=at_ns, ts_recv_ns=at_ns)
                    core.update(Delivery(topic_of(message), 1, next(numbers), renewed))
            yield [Delivery(topic_of(each), 1, next(numbers), each) for each in itertools.islice(spot, 50)]

    turns = seconds()
    for tick in itertools.chain.from_iterable(itertools.islice(turns, 20)):  # warm: the venue's basis is believed
        core.update(tick)
    return core, turns


def _is_full(message: AnyMessage, core: QuoterCore) -> bool:
    return isinstance(message, QuoteSet) and len(message.call) == len(message.put) == 2 * len(core.config.tier_sizes)


def _quote_set() -> QuoteSet:
    core, turns = _quoting()
    for tick in itertools.chain.from_iterable(itertools.islice(turns, 4)):
        for message in core.update(tick):
            if isinstance(message, QuoteSet) and _is_full(message, core):
                return message
    raise RuntimeError("no full quote set stands in the benchmark's scene")


def _requote() -> Iterator[Row]:
    core, turns = _quoting()
    costs, published, ticks = [], 0, 0
    standing: QuoteSet | None = None
    for tick in itertools.chain.from_iterable(itertools.islice(turns, 100)):
        begin = time.perf_counter_ns()
        produced = core.update(tick)
        for message in produced:
            encode(Envelope(SCHEMA_VERSION, "q", 1, 1, 1, message))
        cost = (time.perf_counter_ns() - begin) / 1e3
        ticks += 1
        for message in produced:
            assert isinstance(message, QuoteSet)
            published += 1
            if _is_full(message, core) and (standing is None or standing.call != message.call):
                costs.append(cost)
            standing = message
    median, slow = (float(np.percentile(costs, share)) for share in (50, 99))
    yield Row(
        "decoded tick to encoded quotes: both outcomes, four layers, another ladder",
        f"{median:.1f} µs (p99 {slow:.1f})",
        f"{len(costs)} of {ticks} ticks; {published} sets published",
        target=f"at most {REQUOTE_TARGET_US:.0f} µs",
        met=median <= REQUOTE_TARGET_US,
    )


_TICK_NS, _LOOP_NS = 20_000_000, 100_000_000
_WARM_TURNS, _TURNS = 600, 1500


def _state(now_ns: int, price: float, start_s: int) -> MarketState:
    top = SpotTop(bid=price - 0.05, ask=price + 0.05, stamp_ns=now_ns)
    book = OptionBook.top(bid=0.49, ask=0.51, stamp_ns=now_ns)
    return MarketState(
        now_ns=now_ns,
        period_start_s=start_s,
        strike=scene.SPOT_USD,
        oracle=OracleTick(price=price, stamp_ns=now_ns),
        spot={"bybit": top, "coinbase": top},
        call=book,
        put=book,
    )


def _engine() -> Iterator[Row]:
    """The library, warm: what differs between the states is the row's name.

    Analyzers speak at most every 200 ms, and a call in which they do costs a new judgment of all inputs: nearly every
    second call of a loop each 100 ms, every tenth of one each 20 ms.
    """
    start_s = scene.SERIES.start_of(time.time_ns())
    drawn = random.Random(1)
    everything = ("bybit", "coinbase", "oracle", "call", "put")
    for name, pace_ns, parts, target in (
        ("nothing changed, each 100 ms", _LOOP_NS, (), None),
        ("one exchange changed, each 20 ms", _TICK_NS, ("coinbase",), ENGINE_TARGET_US),
        ("one exchange changed, each 100 ms", _LOOP_NS, ("coinbase",), None),
        ("everything changed, each 100 ms", _LOOP_NS, everything, None),
    ):
        maker = AdvancedMarketMaker()
        now_ns = (start_s + 60) * NS_PER_S
        before = _state(now_ns, scene.SPOT_USD, start_s)
        costs = []
        quoted = 0
        for turn in range(_TURNS):
            is_warm = turn >= _WARM_TURNS
            now_ns += pace_ns if is_warm else _LOOP_NS
            state = _state(now_ns, scene.SPOT_USD * (1.0 + drawn.uniform(-1e-4, 1e-4)), start_s)
            is_measured = is_warm and turn % 10 > 0  # every tenth renews all, so that nothing grows stale
            if is_measured:
                state = _with_parts(before, state, parts)
            begin = time.perf_counter_ns()
            quotes = maker.generate_all_quotes(state)
            if is_measured:
                costs.append((time.perf_counter_ns() - begin) / 1e3)
                quoted += bool(quotes["CALL"])
            before = state
        median, slow = (float(np.percentile(costs, share)) for share in (50, 99))
        yield Row(
            f"library, state to quotes: {name}",
            f"{median:.1f} µs (p99 {slow:.1f})",
            f"quotes in {quoted} of {len(costs)} calls",
            target="" if target is None else f"at most {target:.0f} µs",
            met=None if target is None else median <= target,
        )


def _with_parts(before: MarketState, after: MarketState, parts: Sequence[str]) -> MarketState:
    """The state before, at the instant of the one after, with only these parts of it."""
    spot = {venue: (after if venue in parts else before).spot[venue] for venue in before.spot}
    changed = {name: getattr(after, name) for name in ("oracle", "call", "put") if name in parts}
    return msgspec.structs.replace(before, now_ns=after.now_ns, spot=spot, **changed)
