"""Any sequence of events: never a crash, a quote that cannot be sent, or a judgment that outlived its inputs."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.codec import encode
from shared.config import Limits, MMConfig
from shared.messages import SCHEMA_VERSION, Envelope, QuoteSet
from tests.services.quoter.scene import MARKET, SECOND, SLUG, Scene, book, moneyness

HEALTHY = Scene()

GAPS = (
    "OutcomeBook.btc-15m.CALL",
    "SpotQuote.BTC.coinbase",
    "OraclePrice.BTC.spot",
    "Volatility.btc-15m",
    "Position.btc-15m",
    "FeedStatus.BTC.spot.chainlink.OraclePrice",
    "FeedStatus.btc-15m.CALL.polymarket.OutcomeBook",
    "nonsense",
)

events = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([0.001, 0.3, 1.0, 2.9, 5.0, 31.0])),
    st.tuples(st.just("healthy"), st.integers(1, 3)),
    st.tuples(st.just("spot"), st.floats(-40.0, 40.0)),
    st.tuples(st.just("oracle"), st.floats(-40.0, 40.0)),
    st.tuples(st.just("book"), st.tuples(st.integers(-2, 102), st.integers(-2, 102))),
    st.tuples(st.just("position"), st.tuples(st.floats(0, 2000), st.floats(0, 2000))),
    st.tuples(
        st.just("down"),
        st.sampled_from([("BTC", "coinbase", "SpotQuote"), (f"{MARKET}.CALL", "polymarket", "OutcomeBook")]),
    ),
    st.tuples(st.just("gap"), st.sampled_from(GAPS)),
    st.tuples(st.just("toxicity"), st.floats(0.0, 1.0)),
    st.tuples(st.just("sigma"), st.one_of(st.none(), st.floats(0.0, 0.1))),
)


def happen(scene: Scene, kind: str, change: Any) -> None:
    if kind == "wait":
        scene.tick(change)
    elif kind == "healthy":
        scene.run(change)
    elif kind == "spot":
        scene.now += SECOND // 50
        scene.spot = moneyness(change)
        scene.say(scene.quote())
    elif kind == "oracle":
        scene.say(scene.oracle(price=moneyness(change)))
    elif kind == "book":
        scene.say(book("CALL", bid=change[0], ask=change[1]))
        scene.say(book("PUT", bid=100 - change[1], ask=100 - change[0]))
    elif kind == "position":
        scene.position = {"call_shares": change[0], "put_shares": change[1]}
        scene.say(scene.signals()[4])
    elif kind == "down":
        scene.say(scene.status(*change, state="DOWN"))
    elif kind == "gap":
        scene.lose(change)
    elif kind == "toxicity":
        scene.flow = {"toxicity": change}
        scene.say(scene.signals()[2])
    else:
        scene.volatility = {"sigma_per_sqrt_s": change, "realized_per_sqrt_s": change}
        scene.say(scene.signals()[0])


def check(quotes: QuoteSet) -> None:
    encode(Envelope(SCHEMA_VERSION, "quoter-1", 1, 1, 1, quotes))  # refuses NaN and infinity
    assert quotes.slug == SLUG
    assert (quotes.action == "PULL_QUOTES") == (quotes.call == () and quotes.put == ())
    per_dollar = round(1.0 / quotes.tick_size)
    mirror = {
        (side, per_dollar - each.ticks, each.size, each.layer) for each in quotes.put for side in _other(each.side)
    }
    assert {(each.side, each.ticks, each.size, each.layer) for each in quotes.call} == mirror
    for layer in quotes.call + quotes.put:
        assert 1 <= layer.ticks <= per_dollar - 1
        assert layer.price == layer.ticks / per_dollar
        assert layer.size >= 5.0
        sold = layer.execution == "buy_opposite"
        assert layer.execution_price == ((per_dollar - layer.ticks) / per_dollar if sold else layer.price)
    call_bids = [layer.ticks for layer in quotes.call if layer.side == "bid"]
    put_bids = [layer.ticks for layer in quotes.put if layer.side == "bid"]
    if call_bids and put_bids:
        assert max(call_bids) + max(put_bids) < per_dollar


def _other(side: str) -> tuple[str]:
    return ("ask",) if side == "bid" else ("bid",)


@settings(max_examples=60, deadline=None)
@given(story=st.lists(events, max_size=25))
def test_every_published_set_can_be_sent_and_mirrors_itself(story: list[tuple[str, Any]]) -> None:
    scene = copy.deepcopy(HEALTHY)
    scene.published.clear()
    for kind, change in story:
        happen(scene, kind, change)
    for quotes in scene.published:
        check(quotes)


@settings(max_examples=60, deadline=None)
@given(story=st.lists(events, max_size=25))
def test_remembering_a_judgment_of_the_inputs_changes_no_quote(story: list[tuple[str, Any]]) -> None:
    remembering, forgetting = copy.deepcopy(HEALTHY), copy.deepcopy(HEALTHY)
    market = forgetting.core.markets[MARKET]
    requote = market.requote

    def requote_anew(now_ns: int, **trigger: Any) -> QuoteSet | None:
        market.recheck_ns = 0
        return requote(now_ns, **trigger)

    market.requote = requote_anew  # type: ignore[method-assign]
    for kind, change in story:
        happen(remembering, kind, change)
        happen(forgetting, kind, change)
    assert remembering.published == forgetting.published


def test_every_limit_is_noticed_at_its_own_moment_in_silence() -> None:
    """Limits at distinct instants, so that no other limit's turn can cover for a forgotten one."""
    limits = Limits(
        feed_status_s=2.35,
        position_s=4.25,
        volatility_s=5.45,
        oracle_s=6.65,
        spot_s=7.75,
        regime_s=8.85,
        flow_s=9.95,
        lead_lag_s=11.05,
        book_s=12.15,
    )
    scene = Scene(MMConfig(limits=limits))
    first_seen: dict[str, float] = {}
    since = scene.now
    for _ in range(140):
        for quotes in scene.tick(0.1):
            for reason in quotes.reasons:
                first_seen.setdefault(reason, (scene.now - since) / SECOND)
    expected = {
        "oracle_feed_not_live": 2.4,
        "book_feed_not_live": 2.4,
        "leader_unusable": 2.4,
        "position_unknown": 4.3,
        "volatility_stale": 5.5,
        "oracle_stale": 6.7,
        "regime_missing": 8.9,
        "flow_missing": 10.0,
        "lead_lag_missing": 11.1,
        "book_stale": 12.2,
    }
    assert {reason: round(first_seen[reason], 3) for reason in expected} == expected
