from __future__ import annotations

import math
from concurrent.futures import Executor, Future
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pydantic import ValidationError

from backtest.events import ORACLE_KINDS, OUTCOMES, Events
from backtest.sample import (
    AFTER_S,
    NO_EDGE,
    PLANTED_EDGE,
    SOURCE,
    BookRows,
    SampleSettings,
    generate,
    in_order,
    joined,
    make_chunk,
)
from services.simulator.events import Event, LevelChange, OutcomeTrade
from services.simulator.world import World
from shared.market import NS_PER_S
from shared.messages import AnyMessage, OraclePrice, OutcomeBook, Period, SpotQuote
from shared.messages import OutcomeTrade as TradeMessage
from tests.services.simulator.test_settings import OTHER
from tests.system.virtual import BASE_S, Virtual

START_S = BASE_S + 120
CONNECTED_NS = (BASE_S + 65) * NS_PER_S  # the wire must subscribe first
END_NS = (START_S + 120 + AFTER_S) * NS_PER_S
SMALL = SampleSettings(series="btc-90s", periods=3, chunk_periods=2, warm_up_s=30, book_rate=0.2, quote_rate=0.2)


@pytest.fixture(scope="module")
def small() -> list[Events]:
    """The chunks of `SMALL`."""
    return list(generate(SMALL, workers=1))


def with_settings(**changes: Any) -> SampleSettings:
    return SampleSettings.model_validate({**SMALL.model_dump(), **changes})


def test_every_knob_of_the_world_reaches_it_as_in_the_simulator() -> None:
    world = SampleSettings(**OTHER).world_config(0)
    assert {name: getattr(world, name) for name in OTHER} == OTHER
    assert world.seed != SampleSettings(**OTHER).world_config(1).seed
    assert SampleSettings(**OTHER).name != SampleSettings().name


class Wire:
    """The same world through the venue sessions, their frames and the feeds' protocols: what is published."""

    def __init__(self, settings: SampleSettings, *, until_s: float) -> None:
        config = settings.world_config(0)
        self.heard: list[AnyMessage] = []
        self.system = Virtual(
            settings.series,
            start_s=60.0,
            seed=config.seed,
            parts=(),
            missing_share=config.missing_share,
            informed_share=config.informed_share,
            sigma_scale=config.sigma_scale,
        )
        self.system.session.listeners.append(self.heard.append)
        self.system.run_to(until_s)
        assert not self.system.drops

    def of(self, kind: type[AnyMessage]) -> list[Any]:
        return [each for each in self.heard if isinstance(each, kind) and each.ts_recv_ns < END_NS]


def lived(*, until_s: float = 245.0, **changes: Any) -> tuple[Events, Wire]:
    settings = SampleSettings(
        series="btc-2m", periods=1, start_s=START_S, warm_up_s=60, network_delay_ms=0, **{"seed": 3, **changes}
    )
    return make_chunk(settings, 0), Wire(settings, until_s=until_s)


@pytest.fixture(scope="module")
def both() -> tuple[Events, Wire]:
    """A whole period after a minute's warm-up: from the sample, and through the wire. It comes to the fine tick."""
    return lived(sigma_scale=3.0)


def name_of(events: Events, place: int) -> str:
    return events.names[place]


def test_books_are_those_that_the_feed_publishes_at_the_same_instants(both: tuple[Events, Wire]) -> None:
    events, wire = both
    wanted = [
        (b.ts_event_ns, b.ts_recv_ns, b.outcome, b.tick_size, b.bid_ticks, b.bid_sizes, b.ask_ticks, b.ask_sizes)
        for b in wire.of(OutcomeBook)
        if b.slug == events.labels[0].slug
    ]
    made = []
    for book in events.books:
        first, bids, asks = int(book["first"]), int(book["bids"]), int(book["asks"])
        middle = first + bids
        sides = events.levels[first:middle], events.levels[middle : middle + asks]
        levels = [tuple(side[field].tolist()) for side in sides for field in ("ticks", "shares")]
        head = int(book["ts_event_ns"]), int(book["ts_recv_ns"]), OUTCOMES[book["outcome"]], float(book["tick_size"])
        made.append((*head, *levels))
    assert len(made) > 5_000
    assert {book[3] for book in made} == {0.01, 0.001}
    assert len(made) == len(wanted)
    assert made == wanted


def test_trades_are_those_that_the_feed_publishes(both: tuple[Events, Wire]) -> None:
    events, wire = both
    wanted = [
        (t.ts_event_ns, t.ts_recv_ns, t.slug, t.outcome, t.aggressor, t.price, t.size)
        for t in wire.of(TradeMessage)
        if t.slug == events.labels[0].slug
    ]
    made = [
        (
            int(t["ts_event_ns"]),
            int(t["ts_recv_ns"]),
            name_of(events, t["slug"]),
            OUTCOMES[t["outcome"]],
            "buy" if t["side"] > 0 else "sell",
            float(t["price"]),
            float(t["shares"]),
        )
        for t in events.trades
    ]
    assert len(made) > 100
    assert made == wanted
    assert len(set(events.trades["number"].tolist())) == len(made)
    assert not events.trades["is_inferred"].any()


def test_spot_quotes_are_those_that_the_feeds_publish(both: tuple[Events, Wire]) -> None:
    events, wire = both
    wanted = [
        (q.ts_event_ns, q.ts_recv_ns, q.asset, q.venue, q.bid, q.bid_size, q.ask, q.ask_size)
        for q in wire.of(SpotQuote)
        if q.ts_recv_ns >= CONNECTED_NS
    ]
    made = [
        (int(q[0]), int(q[1]), name_of(events, q["asset"]), name_of(events, q["venue"]), *q.tolist()[4:])
        for q in events.spot
        if q["ts_recv_ns"] >= CONNECTED_NS
    ]
    assert {row[3] for row in made} == {"bybit", "coinbase"}
    assert made == wanted


def test_oracle_prints_are_those_that_the_feed_publishes(both: tuple[Events, Wire]) -> None:
    events, wire = both
    wanted = [
        (p.ts_event_ns, p.ts_recv_ns, p.asset, p.venue, p.kind, p.price)
        for p in wire.of(OraclePrice)
        if p.ts_recv_ns >= CONNECTED_NS
    ]
    made = [
        (
            int(p["ts_event_ns"]),
            int(p["ts_recv_ns"]),
            name_of(events, p["asset"]),
            name_of(events, p["venue"]),
            ORACLE_KINDS[p["kind"]],
            float(p["price"]),
        )
        for p in events.oracle
        if p["ts_recv_ns"] >= CONNECTED_NS
    ]
    assert {row[4] for row in made} == set(ORACLE_KINDS)
    assert made == wanted


def announced(periods: list[Period], slug: str) -> list[Period]:
    """What was said of a period, without repetitions."""
    said: list[Period] = []
    for period in periods:
        if period.slug == slug and period.role != "next2" and period.refusal is None:
            last = msgspec.structs.replace(said[-1], ts_event_ns=0, ts_recv_ns=0) if said else None
            if msgspec.structs.replace(period, ts_event_ns=0, ts_recv_ns=0) != last:
                said.append(period)
    return said


def test_periods_are_announced_as_the_feed_announces_them(both: tuple[Events, Wire]) -> None:
    events, wire = both
    wanted = announced(wire.of(Period), events.labels[0].slug)
    made = list(events.periods)
    assert [(p.role, p.strike_state, p.tick_size) for p in made] == [
        ("next", "PENDING", 0.01),
        ("current", "PENDING", 0.01),
        ("current", "PROVEN", 0.01),
        ("current", "PROVEN", 0.001),
    ]
    assert made[1:] == wanted[1:]
    # The live feed knows of it two REST answers after its start, the sample at once.
    when = {"ts_event_ns": wanted[0].ts_event_ns, "ts_recv_ns": wanted[0].ts_recv_ns}
    assert msgspec.structs.replace(made[0], **when) == wanted[0]


def test_the_label_is_the_outcome_that_the_feed_recomputes(both: tuple[Events, Wire]) -> None:
    events, wire = both
    (label,) = events.labels
    assert label.source == SOURCE
    assert wire.system.settlements[label.slug].recomputed == label.outcome


def test_a_strike_whose_print_was_lost_is_proven_when_the_venue_publishes_it() -> None:
    events, wire = lived(missing_share=0.9, seed=1, until_s=210.0)
    slug = events.labels[0].slug
    stamps = events.oracle["ts_event_ns"][events.oracle["kind"] == ORACLE_KINDS.index("twap60")]
    assert START_S * NS_PER_S not in stamps
    made, wanted = events.periods[-1], announced(wire.of(Period), slug)[-1]
    assert made.strike_state == wanted.strike_state == "PROVEN"
    assert made.strike == wanted.strike
    assert made.strike_source == wanted.strike_source
    # The feed counts its 15 s from the answer and at the next timer: up to 0.2 s more with each of five questions.
    assert 0 <= wanted.ts_recv_ns - made.ts_recv_ns <= NS_PER_S


def equal(one: Events, other: Events) -> bool:
    return all(
        np.array_equal(left, right) if isinstance(left, np.ndarray) else left == right
        for left, right in zip(one, other, strict=True)
    )


def test_the_same_settings_give_the_same_events_whatever_the_workers(small: list[Events]) -> None:
    elsewhere = list(generate(SMALL, workers=2))
    assert [len(each.labels) for each in small] == [2, 1]
    assert all(equal(one, other) for one, other in zip(small, elsewhere, strict=True))
    assert not equal(small[1], make_chunk(with_settings(seed=2), 1))


def test_a_long_chunk_has_a_label_and_a_proven_strike_for_each_of_its_periods() -> None:
    events = make_chunk(with_settings(periods=9, chunk_periods=9, book_rate=0.05, missing_share=0.2), 0)
    assert len({label.slug for label in events.labels}) == 9
    assert {label.outcome for label in events.labels} == {"CALL", "PUT"}
    assert {p.slug for p in events.periods if p.strike_state == "PROVEN"} == {label.slug for label in events.labels}
    assert [p.ts_recv_ns for p in events.periods] == sorted(p.ts_recv_ns for p in events.periods)


def test_another_chunk_is_another_world(small: list[Events]) -> None:
    first, second = small
    assert first.names == second.names
    assert first.spot["bid"][0] != second.spot["bid"][0]


def test_chunks_follow_each_other_on_the_grid_and_do_not_overlap(small: list[Events]) -> None:
    parts = small
    made = [start_s for chunk in range(2) for start_s in SMALL.starts(chunk)]
    assert [label.slug for part in parts for label in part.labels] == [f"btc-updown-90s-{each}" for each in made]
    starts = [start_s for chunk in range(3) for start_s in with_settings(periods=5).starts(chunk)]
    assert starts[:3] == made
    assert all((later - earlier) % 90 == 0 and later > earlier for earlier, later in pairwise(starts))
    for kind in ("spot", "oracle", "books", "trades"):
        received = np.concatenate([getattr(part, kind)["ts_recv_ns"] for part in parts])
        assert (np.diff(received) >= 0).all()


def test_a_chunk_warms_up_with_prices_and_has_books_only_of_its_running_periods(small: list[Events]) -> None:
    events = small[0]
    start_ns, end_ns = SMALL.starts(0)[0] * NS_PER_S, (SMALL.starts(0)[-1] + 90) * NS_PER_S
    for kind in (events.spot, events.oracle):
        assert start_ns - kind["ts_recv_ns"][0] == pytest.approx(30 * NS_PER_S, abs=3 * NS_PER_S)
    for kind in (events.books, events.trades):
        assert (kind["ts_recv_ns"] >= start_ns).all()
        assert (kind["ts_recv_ns"] < end_ns).all()
    assert events.books["ts_recv_ns"][0] == start_ns


def test_the_time_between_two_chunks_is_an_outage_of_every_stream(small: list[Events]) -> None:
    first, second = small
    assert len(first.outages) == 0
    subjects = {second.names[each["subject"]] for each in second.outages}
    assert {"BTC", "BTC.spot", "BTC.twap60", "btc-90s.CALL", "btc-90s.PUT"} == subjects
    for outage in second.outages:
        is_book = second.names[outage["channel"]] == "OutcomeBook"
        kinds = ("books", "trades") if is_book else ("spot", "oracle")
        for kind in kinds:
            assert getattr(first, kind)["ts_recv_ns"][-1] <= outage["start_ns"]
            assert outage["end_ns"] <= getattr(second, kind)["ts_recv_ns"][0]


def test_a_network_delay_moves_the_receipt_of_exchanges_and_market_not_of_the_oracle() -> None:
    near, far = (make_chunk(with_settings(network_delay_ms=each, chunk_periods=1), 0) for each in (0, 250))
    delay_ns = 250_000_000
    assert len(near.oracle) - len(far.oracle) < 5, "both end at the same receipt of the exchanges"
    assert_array_equal(near.oracle[: len(far.oracle)], far.oracle)
    assert_array_equal(far.spot["ts_recv_ns"] - delay_ns, near.spot["ts_recv_ns"][: len(far.spot)])
    assert set((far.trades["ts_recv_ns"] - far.trades["ts_event_ns"]).tolist()) == {delay_ns}
    assert (far.books["ts_recv_ns"] - far.books["ts_event_ns"])[2:].min() == delay_ns
    assert {SMALL.starts(0)[0] * NS_PER_S} <= set(far.books["ts_recv_ns"].tolist())


def test_depth_keeps_the_best_levels(small: list[Events]) -> None:
    whole, cut = small[1], make_chunk(with_settings(depth=3), 1)
    assert cut.books["bids"].max() == cut.books["asks"].max() == 3
    for one, other in zip(whole.books[::97], cut.books[::97], strict=True):
        for side, skipped in (("bids", 0), ("asks", 1)):
            count = int(other[side])
            best = whole.levels[one["first"] + skipped * one["bids"] :][:count]
            assert_array_equal(best, cut.levels[other["first"] + skipped * other["bids"] :][:count])


def test_joined_chunks_are_one_sample(small: list[Events]) -> None:
    parts = small
    events = joined(iter(parts))
    assert events.total == sum(part.total for part in parts)
    assert len(events.labels) == 3
    last, there = events.books[-1], parts[-1].books[-1]
    count = int(last["bids"] + last["asks"])
    assert_array_equal(events.levels[last["first"] :][:count], parts[-1].levels[there["first"] :][:count])
    assert parts[0].books["first"][0] == 0
    with pytest.raises(ValueError, match="no chunk"):
        joined([])
    with pytest.raises(ValueError, match="different samples"):
        joined([parts[0], make_chunk(with_settings(series="eth-90s"), 1)])


class Interrupted:
    """A progress display during which Ctrl-C is pressed once a number of periods is there."""

    def __init__(self, after: int) -> None:
        self.total: float | None = None
        self.done = 0.0
        self._after = after

    def add_task(self, description: str, *, total: float | None) -> int:
        assert description
        self.total = total
        return 7

    def advance(self, task_id: int, advance: float) -> None:
        assert task_id == 7
        self.done += advance
        if self.done >= self._after:
            raise KeyboardInterrupt


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupt_keeps_the_chunks_that_are_there(workers: int) -> None:
    settings = with_settings(periods=6, chunk_periods=1, warm_up_s=5, book_rate=0.05, quote_rate=0.05)
    progress = Interrupted(after=2)
    kept = list(generate(settings, workers=workers, progress=progress))
    assert [len(each.labels) for each in kept] == [1, 1]
    assert (progress.total, progress.done) == (6, 2.0)


class Promised(Future[Events]):
    """A chunk that is made when asked for. Ctrl-C may be pressed meanwhile, once or again and again."""

    def __init__(self, made: Events, *, interrupts: int, is_begun: bool) -> None:
        super().__init__()
        self._made, self._interrupts = made, interrupts
        if is_begun:
            self.set_running_or_notify_cancel()

    def result(self, timeout: float | None = None) -> Events:
        assert timeout is None
        if self._interrupts:
            self._interrupts -= 1
            raise KeyboardInterrupt
        return self._made


class Pool(Executor):
    """Two processes that have begun two chunks; others wait. The interrupts come while the second is waited for."""

    def __init__(self, interrupts: int) -> None:
        self.submitted: list[int] = []
        self._interrupts = interrupts

    def submit(self, fn: Any, /, *terms: Any, **_kwargs: Any) -> Any:
        chunk = terms[1]
        self.submitted.append(chunk)
        return Promised(fn(*terms), interrupts=self._interrupts if chunk == 1 else 0, is_begun=chunk < 3)


def test_an_interrupt_while_processes_work_lets_them_finish_and_begins_no_more() -> None:
    settings = with_settings(periods=9, chunk_periods=1, warm_up_s=5, book_rate=0.05, quote_rate=0.05)
    pool = Pool(interrupts=1)
    made = list(in_order(settings, pool, at_once=4))
    assert [each.labels[0].slug for each in made] == [f"btc-updown-90s-{settings.starts(c)[0]}" for c in range(3)]
    assert pool.submitted == [0, 1, 2, 3, 4]


def test_a_second_interrupt_does_not_wait_for_them() -> None:
    settings = with_settings(periods=9, chunk_periods=1, warm_up_s=5, book_rate=0.05, quote_rate=0.05)
    chunks = in_order(settings, Pool(interrupts=2), at_once=2)
    next(chunks)
    with pytest.raises(KeyboardInterrupt):
        next(chunks)


def far_bid_waits() -> BookRows:
    """Rows of a period whose book had a bid changed far from the touch, 3 ms after its start."""
    world = World(SMALL.world_config(0), start_ms=SMALL.starts(0)[0] * 1000)
    period = world.current_period(world.series[0])
    rows = BookRows(None)
    rows.enter(period, 0, receipt_ms=1_000_000)
    mills = period.book.levels(is_bid=True)[0][0]
    period.book.put(mills, is_bid=True, micro_shares=777, ts_ms=1_000_003)
    rows.update(LevelChange(mills, is_bid=True), 1_000_003, receipt_ms=1_000_003)
    return rows


def receipts_ms(rows: BookRows) -> list[int]:
    return sorted(set((rows.records()[0]["ts_recv_ns"] // 1_000_000).tolist()))


def test_a_far_change_waits_for_the_timer_of_the_feed() -> None:
    rows = far_bid_waits()
    assert receipts_ms(rows) == [1_000_000, 1_000_100]


def test_a_book_that_is_repeated_after_a_trade_brings_what_waits() -> None:
    rows = far_bid_waits()
    rows.flush(receipt_ms=1_000_042)
    assert receipts_ms(rows) == [1_000_000, 1_000_042]
    rows.flush(receipt_ms=1_000_060)
    assert receipts_ms(rows) == [1_000_000, 1_000_042]


def test_what_waits_when_the_period_ends_is_never_published() -> None:
    rows = far_bid_waits()
    rows.leave(receipt_ms=1_000_100)
    books, levels = rows.records()
    assert receipts_ms(rows) == [1_000_000]
    assert len(levels) == (books["bids"] + books["asks"]).sum()


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"series": "doge-15m"}, "no simulated coin"), ({"series": "btc"}, "not a series"), ({"periods": 0}, "periods")],
)
def test_settings_that_cannot_be_simulated_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SampleSettings(**changes)


def crowd_edge(**knobs: Any) -> tuple[float, float]:
    """What the makers of the world earn a share, in cents, rebate included, against the true probability; its error."""
    earned: list[float] = []
    for seed in range(2):
        settings = SampleSettings(series="btc-5m", periods=1, seed=seed, quote_rate=0.05, **knobs)
        world = World(settings.world_config(0), start_ms=settings.start_s * 1000)

        def hear(event: Event, world: World = world) -> None:
            if isinstance(event, OutcomeTrade) and event.period is world.current_period(world.series[0]):
                up = world.fair_value(event.period, event.ts_ms, informed=True)
                price, fair = event.mills / 1000.0, up if event.outcome_index == 0 else 1.0 - up
                rebate = 0.2 * 0.07 * price * (1.0 - price)
                earned.append(100.0 * ((price - fair) * (1 if event.taker_side == "buy" else -1) + rebate))

        world.advance((settings.start_s + 600) * 1000, hear)
    return float(np.mean(earned)), float(np.std(earned)) / math.sqrt(len(earned))


def test_a_planted_edge_pays_the_half_spread_and_no_edge_pays_nothing() -> None:
    planted, planted_error = crowd_edge(**PLANTED_EDGE)
    none, none_error = crowd_edge(**NO_EDGE)
    assert planted_error < 0.05
    assert none_error < 0.05
    assert planted > 0.5
    assert abs(none) < 0.12
