from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.feeds.freshness import FILE_LIMITS, LIMITS, Freshness, Rate, asset_of
from services.feeds.protocol import Status
from shared.messages import AnyMessage, FeedStatus, OraclePrice, OutcomeBook, SpotQuote, SpotTrade

S = 1_000_000_000
NOW = 1_788_600_000 * S


def quote(at_s: float, *, price: float = 100.0, venue: str = "bybit", asset: str = "BTC") -> SpotQuote:
    ts_ns = NOW + int(at_s * S)
    return SpotQuote(
        ts_event_ns=ts_ns, ts_recv_ns=ts_ns, asset=asset, venue=venue,
        bid=price, bid_size=1.0, ask=price + 0.01, ask_size=1.0,
    )  # fmt: skip


def trade(at_s: float, *, price: float = 100.0) -> SpotTrade:
    ts_ns = NOW + int(at_s * S)
    return SpotTrade(
        ts_event_ns=ts_ns, ts_recv_ns=ts_ns, asset="BTC", venue="bybit",
        price=price, size=1.0, aggressor="buy", trade_id="1",
    )  # fmt: skip


def oracle(at_s: float, *, stamped_s: float, price: float = 100.0) -> OraclePrice:
    return OraclePrice(
        ts_event_ns=NOW + int(stamped_s * S), ts_recv_ns=NOW + int(at_s * S),
        asset="BTC", kind="twap60", price=price, venue="chainlink",
    )  # fmt: skip


class Watched:
    """A `Freshness` whose clock is a number of seconds; remembers every state told."""

    def __init__(self, *expected: tuple[str, str]) -> None:
        self.freshness = Freshness("bybit", expected=expected or [("SpotQuote", "BTC")])
        self.told: list[FeedStatus] = []

    def open(self, at_s: float) -> None:
        self.told += self.freshness.on_open(NOW + int(at_s * S))

    def close(self, at_s: float) -> None:
        self.told += self.freshness.on_close(NOW + int(at_s * S), "close_1006")

    def hear(self, message: AnyMessage) -> None:
        self.told += self.freshness.on_message(message, message.ts_recv_ns)

    def judge(
        self, at_s: float, state: str, reason: str = "said", *, subject: str = "BTC", channel: str = "SpotQuote"
    ) -> None:
        status = Status(channel, subject, state, reason)  # type: ignore[arg-type]
        self.told += self.freshness.on_status(status, NOW + int(at_s * S))

    def wait(self, at_s: float) -> None:
        self.told += self.freshness.on_timer(NOW + int(at_s * S))

    def state(self, channel: str = "SpotQuote") -> tuple[str, str]:
        last = [each for each in self.told if each.channel == channel][-1]
        return last.state, last.reason

    def overdue(self, at_s: float) -> str | None:
        return self.freshness.overdue(NOW + int(at_s * S))


def live() -> Watched:
    watched = Watched()
    watched.open(0)
    watched.hear(quote(0))
    return watched


def test_a_stream_is_down_until_its_first_data() -> None:
    watched = Watched()
    watched.wait(0)
    assert watched.state() == ("DOWN", "not connected")
    watched.open(1)
    watched.wait(2)
    assert watched.state() == ("DOWN", "no data yet")
    watched.hear(quote(3))
    assert watched.state() == ("LIVE", "")


def test_a_silent_stream_is_stale_at_its_limit_and_live_at_its_next_data() -> None:
    watched = live()
    watched.wait(5.0)
    assert watched.state()[0] == "LIVE"
    watched.wait(5.1)
    assert watched.state() == ("STALE", "no data for more than 5 s")
    watched.hear(quote(6))
    assert watched.state()[0] == "LIVE"


def test_a_change_is_told_at_once_and_everything_once_a_second() -> None:
    watched = live()
    watched.wait(0.1)
    before = len(watched.told)
    for tick in range(2, 11):
        watched.wait(tick / 10)
    assert len(watched.told) == before
    watched.wait(1.1)
    assert len(watched.told) == before + 1
    watched.judge(1.2, "GAP")
    assert len(watched.told) == before + 2


def test_a_lost_connection_is_down_and_counted() -> None:
    watched = live()
    watched.close(1)
    assert watched.state() == ("DOWN", "close_1006")
    assert watched.told[-1].reconnects == 1
    watched.open(2)
    watched.wait(2)
    assert watched.state() == ("DOWN", "no data yet")


@pytest.mark.parametrize("state", ["GAP", "STALE", "DOWN"])
def test_the_protocols_doubt_stands_whatever_arrives_until_it_is_withdrawn(state: str) -> None:
    watched = live()
    watched.judge(1, state, "crossed")
    watched.hear(quote(2))
    assert watched.state() == (state, "crossed")
    watched.judge(3, "LIVE")
    assert watched.state()[0] == "LIVE"


def test_a_doubt_ends_with_its_connection() -> None:
    watched = live()
    watched.judge(1, "GAP")
    watched.close(2)
    watched.open(3)
    watched.hear(quote(4))
    assert watched.state()[0] == "LIVE"


def test_a_quiet_stream_that_is_proven_is_not_halted() -> None:
    watched = live()
    for second in range(1, 60):
        watched.judge(second, "LIVE", "nothing happened since")
        watched.wait(second + 0.9)
        assert watched.state()[0] == "LIVE"
    watched.wait(70)
    assert watched.state()[0] == "STALE"


def test_oracle_prices_age_by_their_own_stamps() -> None:
    watched = Watched(("OraclePrice", "BTC.twap60"))
    watched.open(0)
    watched.hear(oracle(1, stamped_s=-0.7))
    assert watched.state("OraclePrice")[0] == "LIVE"
    for second in range(2, 12):  # frames keep coming, prices do not get younger
        watched.hear(oracle(second, stamped_s=-0.7))
    assert watched.state("OraclePrice")[0] == "STALE"
    watched.wait(12)
    assert watched.told[-1].age_s == pytest.approx(12.7)
    assert watched.overdue(12) == "stale_OraclePrice"


def test_nothing_makes_an_old_stamp_younger() -> None:
    watched = Watched(("OraclePrice", "BTC.twap60"))
    watched.open(0)
    watched.hear(oracle(1, stamped_s=0))
    watched.judge(5, "LIVE", "resumed", subject="BTC.twap60", channel="OraclePrice")
    watched.wait(6.1)
    assert watched.state("OraclePrice")[0] == "STALE"


def test_a_slow_stream_is_not_suspected_while_the_underlying_moves() -> None:
    watched = Watched(("SpotQuote", "BTC"), ("SpotTrade", "BTC"))
    watched.open(0)
    for second in range(60):
        watched.hear(trade(second))
        if second % 2 == 0:
            watched.hear(quote(second))
    watched.hear(trade(61, price=105.0))
    watched.wait(62.5)
    assert watched.state() == ("LIVE", "")


def busy(reference: float) -> Watched:
    """Ten quotes and trades a second for a minute, then only trades, at another price, for four seconds."""
    watched = Watched(("SpotQuote", "BTC"), ("SpotTrade", "BTC"))
    watched.open(0)
    for tick in range(600):
        watched.hear(quote(tick / 10))
        watched.hear(trade(tick / 10))
    for tick in range(600, 640):
        watched.hear(trade(tick / 10, price=reference))
    watched.wait(64)
    return watched


def test_a_busy_stream_that_falls_silent_while_the_underlying_moves_is_stale_before_its_limit() -> None:
    assert busy(reference=101.0).state() == ("STALE", "silent while the underlying moved")


def test_a_busy_stream_that_falls_silent_in_a_still_market_is_only_quiet() -> None:
    assert busy(reference=100.005).state() == ("LIVE", "quiet")


def test_a_reference_from_elsewhere_counts_too() -> None:
    watched = Watched()
    watched.open(0)
    for tick in range(600):
        watched.hear(quote(tick / 10))
        watched.freshness.on_reference(quote(tick / 10, venue="coinbase"), NOW + tick * S // 10)
    watched.freshness.on_reference(quote(63, venue="coinbase", price=102.0), NOW + 63 * S)
    watched.wait(63.5)
    assert watched.state() == ("STALE", "silent while the underlying moved")


def test_trades_that_never_came_do_not_halt_a_stream_that_lives() -> None:
    watched = Watched(("SpotQuote", "BTC"), ("SpotTrade", "BTC"))
    watched.open(0)
    watched.hear(quote(1))
    watched.wait(2)
    assert watched.state("SpotTrade") == ("LIVE", "nothing happened yet")


def test_a_stale_connection_is_made_anew_and_each_time_with_more_patience() -> None:
    watched = live()
    watched.wait(9)
    assert watched.overdue(9.9) is None
    assert watched.overdue(10) == "stale_SpotQuote"
    watched.close(10)
    watched.open(11)
    watched.wait(12)
    assert watched.overdue(30) is None
    assert watched.overdue(31) == "down_SpotQuote"
    watched.hear(quote(32))
    watched.wait(42)
    assert watched.overdue(42) == "stale_SpotQuote"  # it lived: patience starts over


def test_a_gap_that_does_not_heal_is_overdue_although_data_come() -> None:
    watched = live()
    watched.judge(1, "GAP")
    for second in range(2, 12):
        watched.hear(quote(second))
    assert watched.overdue(10.9) is None
    assert watched.overdue(11) == "gap_SpotQuote"


def test_a_stream_the_venue_refused_is_no_reason_to_connect_again() -> None:
    watched = live()
    watched.judge(1, "DOWN", "unknown product")
    assert watched.overdue(1000) is None


def test_files_are_never_reconnected_and_age_by_their_stamps() -> None:
    freshness = Freshness("bybit", limits=FILE_LIMITS)
    freshness.on_open(NOW)
    freshness.on_message(quote(0), NOW)
    (status,) = freshness.on_timer(NOW + 6 * S)
    assert status.state == "STALE"
    assert freshness.overdue(NOW + 1000 * S) is None


def test_every_subject_names_its_underlying() -> None:
    assert [asset_of(("", subject)) for subject in ("BTC", "BTC.twap60", "btc-15m", "btc-15m.CALL")] == ["BTC"] * 4


def test_the_rate_of_a_regular_stream_is_its_rate() -> None:
    rate = Rate(time_s=5.0)
    for tick in range(2000):
        rate.count(NOW + tick * S // 20)
    assert rate.per_s(NOW + 100 * S) == pytest.approx(20.0, rel=0.02)


@given(st.lists(st.floats(0.001, 30.0), min_size=1, max_size=60))
def test_the_rate_agrees_with_the_sum_it_stands_for(gaps_s: list[float]) -> None:
    rate, ts_ns, times = Rate(time_s=5.0), NOW, []
    for gap_s in gaps_s:
        rate.count(ts_ns)
        times.append(ts_ns)
        ts_ns += int(gap_s * S)
    weights = sum(math.exp(-(ts_ns - each) / S / 5.0) for each in times)
    watched_s = 5.0 * (1.0 - math.exp(-(ts_ns - NOW) / S / 5.0))
    assert rate.per_s(ts_ns) == pytest.approx(weights / watched_s, rel=1e-6)


events = st.lists(
    st.tuples(st.sampled_from(["open", "close", "quote", "trade", "timer", "LIVE", "GAP", "DOWN"]), st.floats(0, 20)),
    max_size=80,
)


@given(events)
def test_no_quote_stream_is_called_live_that_has_neither_data_nor_proof_within_its_limit(
    steps: list[tuple[str, float]],
) -> None:
    watched, now_s, proof_s, is_open = Watched(), 0.0, -math.inf, False
    for kind, wait_s in steps:
        now_s += wait_s
        match kind:
            case "open":
                is_open, proof_s = True, -math.inf
                watched.open(now_s)
            case "close":
                is_open = False
                watched.close(now_s)
            case "quote":
                proof_s = now_s
                watched.hear(quote(now_s))
            case "trade":
                watched.hear(trade(now_s))
            case "timer":
                pass
            case state:
                proof_s = now_s if state == "LIVE" else proof_s
                watched.judge(now_s, state)
        watched.wait(now_s)
        watched.overdue(now_s)
        if watched.state()[0] == "LIVE":
            assert is_open
            assert now_s - proof_s <= (LIMITS["SpotQuote"].stale_s or 0.0) + 1e-6


def test_books_of_both_outcomes_are_streams_of_their_own() -> None:
    book = OutcomeBook(
        ts_event_ns=NOW, ts_recv_ns=NOW, market="btc-15m", slug="s", outcome="CALL",
        tick_size=0.01, bid_ticks=(40,), bid_sizes=(1.0,), ask_ticks=(41,), ask_sizes=(1.0,),
    )  # fmt: skip
    freshness = Freshness("polymarket")
    freshness.on_open(NOW)
    (status,) = freshness.on_message(book, NOW)
    assert (status.channel, status.subject, status.state) == ("OutcomeBook", "btc-15m.CALL", "LIVE")
