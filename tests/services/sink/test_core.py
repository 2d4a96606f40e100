from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.sink.core import SinkCore, file_names, pulled_files
from services.sink.view import FORGET_AFTER_S, LAST_FILLS
from shared.core import Delivery, Timer
from shared.market import Series
from shared.messages import (
    AnyMessage,
    FeedStatus,
    Fill,
    Flow,
    Heartbeat,
    Layer,
    OpenOrders,
    Period,
    Position,
    QuoteSet,
    Settlement,
    SpotQuote,
    topic_of,
)
from tests.builders import NS, SLUG, START_S, build

NOW = (START_S + 300) * NS
MS = NS // 1000


class Files:
    """A sink without a folder: what was written when, by file name."""

    def __init__(self, *markets: str, heartbeat_ms: int = 100) -> None:
        self.core = SinkCore([Series.parse(each) for each in markets or ("btc-15m",)], heartbeat_ms=heartbeat_ms)
        self.now = NOW
        self.written: list[tuple[int, str]] = []
        self.content: dict[str, Any] = {}
        self._seq = 0
        self.at(0)

    def at(self, offset_ms: float) -> Files:
        """Time passes, to this many milliseconds after the beginning."""
        self.now = NOW + round(offset_ms * MS)
        self.core.update(Timer(self.now))
        return self.write()

    def hear(self, *messages: AnyMessage) -> Files:
        for message in messages:
            self._seq += 1
            self.core.update(Delivery(topic_of(message), 1, self._seq, message))
        return self.write()

    def write(self) -> Files:
        for name, content in self.core.due():
            self.written.append(((self.now - NOW) // MS, name))
            self.content[name] = json.loads(content)
        return self

    @property
    def quotes(self) -> dict[str, Any]:
        quotes: dict[str, Any] = self.content["mm_quotes.json"]
        return quotes

    def writes_of(self, name: str = "mm_quotes.json") -> list[int]:
        return [at_ms for at_ms, written in self.written if written == name]


def quotes_until(offset_ms: float, **fields: Any) -> QuoteSet:
    return build(QuoteSet, valid_until_ns=NOW + round(offset_ms * MS), **fields)


def test_before_any_quote_the_file_says_pull_because_it_is_starting() -> None:
    quotes = Files().quotes
    assert (quotes["action"], quotes["reasons"]) == ("PULL_QUOTES", ["starting"])
    assert quotes["quotes"] == {"CALL": [], "PUT": []}


def test_the_file_has_the_shape_its_readers_know() -> None:
    bid = Layer(side="bid", ticks=42, price=0.42, size=50.0, layer=0, execution="buy", execution_price=0.42)
    ask = Layer(side="ask", ticks=58, price=0.58, size=50.0, layer=0, execution="buy_opposite", execution_price=0.42)
    files = Files().hear(build(Period), quotes_until(1000, call=(bid,), put=(ask,))).at(10)
    assert files.quotes == {
        "timestamp": NOW // MS + 10,
        "time_to_expiry_seconds": 599.99,
        "phase": "early",
        "regime": "quiet",
        "quotes": {
            "CALL": [
                {
                    "side": "bid",
                    "price": 0.42,
                    "size": 50.0,
                    "layer": 0,
                    "ticks": 42,
                    "execution": "buy",
                    "execution_price": 0.42,
                }
            ],
            "PUT": [
                {
                    "side": "ask",
                    "price": 0.58,
                    "size": 50.0,
                    "layer": 0,
                    "ticks": 58,
                    "execution": "buy_opposite",
                    "execution_price": 0.42,
                }
            ],
        },
        "market": "btc-15m",
        "slug": SLUG,
        "action": "QUOTE_BOTH",
        "reasons": [],
        "fair_value": 0.5,
        "fair_low": 0.48,
        "fair_high": 0.52,
        "tick_size": 0.01,
        "quoted_at": NOW // MS,
        "valid_until": NOW // MS + 1000,
        "position": None,
        "open_orders": None,
        "breakdown": {"model_value": 0.5},
        "inputs": {},
        "version": 1,
    }


def test_time_to_expiry_and_phase_go_on_between_quote_sets() -> None:
    files = Files().hear(build(Period), quotes_until(1000)).at(200)
    assert (files.quotes["time_to_expiry_seconds"], files.quotes["phase"]) == (599.8, "early")
    files.at(70_000)
    assert (files.quotes["time_to_expiry_seconds"], files.quotes["phase"]) == (530.0, "mid")


def test_when_the_lease_runs_out_the_file_pulls_and_names_who_is_silent() -> None:
    files = Files().hear(build(Heartbeat, instance="quoter"), quotes_until(1500)).at(100)
    assert files.quotes["action"] == "QUOTE_BOTH"
    files.at(1499)
    assert files.quotes["action"] == "QUOTE_BOTH"
    files.hear(build(Heartbeat, instance="bybit", service="bybit")).at(1500)
    assert files.writes_of()[-1] == 1500
    assert files.quotes["action"] == "PULL_QUOTES"
    assert files.quotes["reasons"] == ["lease_expired", "silent: no part; the quoter lives and sends no quotes"]
    assert files.quotes["quotes"] == {"CALL": [], "PUT": []}
    assert files.quotes["fair_value"] is None
    files.at(3000).hear(build(Heartbeat, instance="bybit", service="bybit")).at(4000)
    assert files.quotes["reasons"] == ["lease_expired", "silent: quoter 4 s"]


def test_a_quoter_that_never_spoke_is_named() -> None:
    files = Files().hear(quotes_until(50)).at(200)
    assert files.quotes["reasons"] == ["lease_expired", "silent: quoter never spoke"]


def test_each_lease_that_runs_out_counts_once() -> None:
    files = Files().hear(quotes_until(50)).at(60).at(70).at(500)
    assert files.core.lease_expiries == {"btc-15m": 1}
    files.hear(quotes_until(600)).at(590).hear(quotes_until(900)).at(800)
    assert files.core.lease_expiries == {"btc-15m": 1}
    assert files.at(900).core.lease_expiries == {"btc-15m": 2}


def test_a_quote_set_that_arrives_already_expired_never_stands() -> None:
    files = Files().at(20).hear(quotes_until(10))
    assert files.quotes["action"] == "PULL_QUOTES"


def test_no_quote_stands_after_the_end_of_its_period() -> None:
    files = Files().hear(build(Period)).at(599_000).hear(quotes_until(605_000)).at(599_999)
    assert files.quotes["action"] == "QUOTE_BOTH"
    files.at(600_100)
    assert (files.quotes["action"], files.quotes["reasons"]) == ("PULL_QUOTES", ["period_ended"])
    assert files.quotes["time_to_expiry_seconds"] == 0.0


def test_a_clock_that_steps_back_ends_the_quotes_it_would_have_prolonged() -> None:
    files = Files().hear(quotes_until(1500)).at(1000).at(-3_600_000)
    assert (files.quotes["action"], files.quotes["reasons"]) == ("PULL_QUOTES", ["clock_stepped_back"])
    files.hear(quotes_until(-3_599_000)).at(-3_599_900)
    assert files.quotes["action"] == "QUOTE_BOTH"


def test_a_step_back_voids_what_was_heard_before_until_a_plausible_set_comes() -> None:
    files = Files().hear(quotes_until(1500)).at(1000).at(-3_600_000)
    in_flight = quotes_until(2500)  # sent before the step, or by a quoter whose clock did not step
    files.at(-3_599_990).hear(in_flight).at(-3_599_000)
    assert (files.quotes["action"], files.quotes["reasons"]) == ("PULL_QUOTES", ["lease_implausible"])
    files.hear(quotes_until(-3_598_000)).at(-3_598_900)
    assert files.quotes["action"] == "QUOTE_BOTH"


def test_a_small_step_back_neither_ends_a_lease_nor_prolongs_it() -> None:
    files = Files().hear(quotes_until(1500)).at(1000).at(200)
    assert files.quotes["action"] == "QUOTE_BOTH"
    assert files.quotes["valid_until"] == NOW // MS + 700
    assert files.at(700).quotes["reasons"][0] == "lease_expired"


def test_several_small_steps_back_do_not_prolong_a_lease_either() -> None:
    files = Files().hear(quotes_until(1500))
    for _ in range(3):
        files.at(600).at(0)
    assert files.quotes["reasons"][0] == "lease_expired"


def test_a_lease_longer_than_any_may_be_is_none() -> None:
    files = Files().hear(quotes_until(10_001)).at(10)
    assert (files.quotes["action"], files.quotes["reasons"]) == ("PULL_QUOTES", ["lease_implausible"])
    assert (files.quotes["quotes"], files.quotes["fair_value"]) == ({"CALL": [], "PUT": []}, None)
    assert files.at(5000).quotes["reasons"] == ["lease_implausible"]
    assert files.at(60_000).quotes["action"] == "PULL_QUOTES"
    assert files.hear(quotes_until(70_000)).at(60_010).quotes["action"] == "QUOTE_BOTH"


def test_a_pulling_quote_set_empties_the_ladders_whatever_it_carries() -> None:
    files = Files().hear(quotes_until(1000, action="PULL_QUOTES", reasons=("volatility_spike",))).at(10)
    assert (files.quotes["reasons"], files.quotes["quotes"]) == (["volatility_spike"], {"CALL": [], "PUT": []})


def test_a_new_quote_set_is_written_at_once_and_a_burst_once_each_ten_milliseconds() -> None:
    files = Files(heartbeat_ms=1000).at(500)
    assert files.writes_of() == [0]
    for offset_ms in range(501, 521):
        files.at(offset_ms).hear(quotes_until(5000, fair_value=offset_ms / 1000))
    assert files.writes_of() == [0, 501, 511]
    files.at(521)
    assert files.writes_of() == [0, 501, 511, 521]
    assert files.quotes["fair_value"] == 0.52


def test_without_news_the_file_is_refreshed_at_each_heartbeat() -> None:
    files = Files(heartbeat_ms=100)
    for offset_ms in range(0, 400, 10):
        files.at(offset_ms)
    assert files.writes_of() == [0, 100, 200, 300]
    assert files.writes_of("mm_status.json") == [0, 100, 200, 300]


def test_several_markets_have_a_file_each_and_the_first_the_plain_name_too() -> None:
    files = Files("btc-15m", "eth-15m")
    assert set(files.content) == {
        "mm_quotes.btc-15m.json",
        "mm_quotes.eth-15m.json",
        "mm_quotes.json",
        "mm_status.json",
    }
    assert files.quotes == files.content["mm_quotes.btc-15m.json"]
    assert files.content["mm_quotes.eth-15m.json"]["market"] == "eth-15m"
    assert file_names(["btc-15m"]) == {"btc-15m": ("mm_quotes.json",)}


def test_a_market_that_is_not_ours_is_ignored() -> None:
    files = Files().hear(build(QuoteSet, market="eth-15m"), build(SpotQuote, asset="ETH")).at(200)
    assert files.quotes["reasons"] == ["starting"]


def test_the_last_word_of_a_sink_is_a_complete_file() -> None:
    (file,) = pulled_files(["btc-15m"], NOW, "stopped")
    assert json.loads(file.content).keys() == Files().quotes.keys()


def test_the_status_has_every_part_feed_signal_and_settlement() -> None:
    files = Files().hear(
        build(Period),
        build(Settlement),
        build(FeedStatus, state="STALE", reason="quiet"),
        build(SpotQuote),
        build(Heartbeat, instance="quoter", counters={"published": 7.0}),
        build(QuoteSet),
    )
    status = files.at(100).content["mm_status.json"]
    market = status["markets"]["btc-15m"]
    assert status["parts"]["quoter"]["state"] == "LIVE"
    assert status["parts"]["quoter"]["counters"] == {"published": 7.0}
    assert market["feeds"][0]["state"] == "STALE"
    assert market["settlement"]["agrees"] is True
    assert market["periods"]["current"]["strike_state"] == "PROVEN"
    assert market["action"] == "QUOTE_BOTH"
    later = files.at(5000).content["mm_status.json"]
    assert (later["parts"]["quoter"]["state"], later["silent"]) == ("SILENT", ["quoter"])


def test_the_quotes_file_says_what_is_held_and_which_orders_are_open() -> None:
    held = build(
        Position, call_shares=12.5, call_average_price=0.4, unrealized_pnl_usd=None, worst_case_usd=-5.0, fills=2
    )
    files = Files().hear(held, build(OpenOrders)).at(100)
    assert files.quotes["reasons"] == ["starting"]  # before any quote too
    files.hear(quotes_until(1000)).at(200)
    assert files.quotes["position"] == {
        "slug": SLUG,
        "call_shares": 12.5,
        "put_shares": 0.0,
        "call_average_price": 0.4,
        "put_average_price": None,
        "mergeable_pairs": 0.0,
        "realized_pnl_usd": 0.0,
        "unrealized_pnl_usd": None,
        "liquidation_pnl_usd": 0.0,
        "worst_case_usd": -5.0,
        "fees_usd": 0.0,
        "rebates_usd": 0.0,
        "fills": 2,
    }
    assert files.quotes["open_orders"] == [
        {
            "order_id": "o1",
            "outcome": "CALL",
            "side": "buy",
            "price": 0.49,
            "left": 50.0,
            "ahead": 100.0,
            "state": "resting",
        }
    ]
    assert files.content["mm_status.json"]["markets"]["btc-15m"]["position"] == files.quotes["position"]
    assert files.content["mm_status.json"]["markets"]["btc-15m"]["open_orders"] == files.quotes["open_orders"]


def test_before_any_quote_the_position_is_in_the_file_already() -> None:
    files = Files().hear(build(Position, put_shares=3.0), build(OpenOrders, orders=())).at(100)
    assert (files.quotes["action"], files.quotes["position"]["put_shares"]) == ("PULL_QUOTES", 3.0)
    assert files.quotes["open_orders"] == []


def test_a_position_nobody_vouches_for_any_more_is_unknown() -> None:
    files = Files().hear(build(Position), build(OpenOrders)).at(3500)
    assert (files.quotes["position"] is None, files.quotes["open_orders"] is None) == (False, False)
    files.at(3600)
    assert (files.quotes["position"], files.quotes["open_orders"]) == (None, None)
    assert files.hear(build(Position)).at(3700).quotes["position"]["slug"] == SLUG


def test_a_last_value_from_before_our_time_is_as_old_as_it_is() -> None:
    files = Files().hear(build(Position, at_s=START_S + 290), build(OpenOrders, at_s=START_S + 290)).at(100)
    assert (files.quotes["position"], files.quotes["open_orders"]) == (None, None)


def test_a_clock_that_steps_back_keeps_no_position_alive() -> None:
    files = Files().hear(build(Position), build(OpenOrders)).at(3000).at(0)
    assert files.quotes["position"] is not None
    files.at(600)
    assert (files.quotes["position"], files.quotes["open_orders"]) == (None, None)


def test_orders_of_a_period_that_is_over_are_forgotten() -> None:
    next_slug = "btc-updown-15m-1791242100"
    files = Files().hear(build(Period), build(OpenOrders)).at(100)
    files.hear(build(OpenOrders, slug=next_slug)).at(200)
    assert len(files.quotes["open_orders"]) == 2
    files.hear(build(Period, slug=next_slug), build(OpenOrders, slug=next_slug, orders=())).at(300)
    assert files.quotes["open_orders"] == []


def test_the_status_has_the_last_fills_and_what_they_earned() -> None:
    fills = [build(Fill, fill_id=f"f{number}") for number in range(LAST_FILLS + 2)]
    files = Files().hear(*fills, build(Flow, own_markout=0.0125)).at(100)
    market = files.content["mm_status.json"]["markets"]["btc-15m"]
    assert [each["fill_id"] for each in market["last_fills"]] == [each.fill_id for each in fills[2:]]
    assert market["own_markout"] == 0.0125
    assert Files().at(200).content["mm_status.json"]["markets"]["btc-15m"]["own_markout"] is None


def test_a_part_that_began_anew_counts_as_restarted() -> None:
    first, second = (build(Heartbeat, instance="quoter", started_ns=each) for each in (1, 2))
    files = Files().hear(first, first, second, second).at(100)
    assert files.content["mm_status.json"]["parts"]["quoter"]["restarts"] == 1


def test_parts_that_are_long_gone_leave_the_status() -> None:
    files = Files().hear(*(build(Heartbeat, instance=f"quoter-{pid}") for pid in range(50)))
    files.at(FORGET_AFTER_S * 1000 + 1)
    assert files.content["mm_status.json"]["parts"] == {}


@given(steps=st.lists(st.tuples(st.integers(-2000, 3000), st.booleans(), st.integers(1, 3000)), max_size=40))
def test_an_expired_lease_never_stands_in_the_file_whatever_time_does(steps: list[tuple[int, bool, int]]) -> None:
    files = Files(heartbeat_ms=50)
    offset_ms = 0
    for step_ms, has_news, lease_ms in steps:
        offset_ms += step_ms
        if has_news:
            files.hear(quotes_until(offset_ms + lease_ms))
        files.at(offset_ms)
        if files.quotes["action"] != "PULL_QUOTES":
            age_ms = NOW // MS + offset_ms - files.quotes["timestamp"]
            assert files.quotes["valid_until"] > files.quotes["timestamp"]
            assert age_ms < 50
