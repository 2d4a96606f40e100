"""The quoter quotes a market in good order, and names what is wrong with any other."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.quoter.action import RULES
from services.quoter.core import QuoterCore
from services.quoter.records import breakdown_names
from shared.codec import decode, encode
from shared.config import Limits, MMConfig, load_config
from shared.core import Delivery, Timer
from shared.market import phase_at
from shared.messages import SCHEMA_VERSION, Envelope, QuoteSet, topic_of
from tests.services.quoter.scene import (
    END,
    LENGTH_S,
    MARKET,
    SECOND,
    SIGMA,
    SLUG,
    START,
    Scene,
    book,
    moneyness,
    prices,
)

SILENT_LEDGER = MMConfig(limits=Limits(position_s=10.0))  # time passes without its repeats


def test_a_market_in_good_order_is_quoted_on_both_sides_of_both_outcomes() -> None:
    quotes = Scene().latest()
    assert (quotes.action, quotes.reasons) == ("QUOTE_BOTH", ())
    assert quotes.fair_value == pytest.approx(0.5, abs=0.01)
    for outcome in ("CALL", "PUT"):
        for side in ("bid", "ask"):
            ladder = prices(quotes, outcome=outcome, side=side)
            assert len(ladder) == len(set(ladder)) == 4
    sizes = [layer.size for layer in quotes.call if layer.side == "bid"]
    assert sizes == sorted(sizes)
    assert sum(sizes) <= 500.0


def test_a_quote_set_is_a_lease_that_names_its_inputs_and_trigger() -> None:
    scene = Scene()
    scene.spot *= 1.0001
    (quotes,) = scene.say(scene.quote())
    assert quotes.valid_until_ns == scene.now + 1_500_000_000
    assert (quotes.trigger, quotes.trigger_recv_ns) == ("SpotQuote.BTC.coinbase", scene.now)
    assert quotes.inputs["SpotQuote.BTC.coinbase"] == scene.seqs["SpotQuote.BTC.coinbase"]
    needed = {f"OutcomeBook.{MARKET}.CALL", "OraclePrice.BTC.spot", f"Volatility.{MARKET}", f"Position.{MARKET}"}
    assert needed <= set(quotes.inputs)


def test_a_quote_set_survives_the_wire() -> None:
    quotes = Scene().latest()
    envelope = Envelope(SCHEMA_VERSION, "quoter-1", 1, 1, quotes.ts_recv_ns, quotes)
    assert decode(encode(envelope)).body == quotes


def test_an_identical_set_is_repeated_only_every_third_of_the_lease() -> None:
    scene = Scene()
    scene.latest()
    assert scene.tick(0.1) == []
    assert scene.say(scene.books()[0]) == []
    assert len(scene.tick(0.5)) == 1


def test_sets_that_differ_only_in_value_are_bounded() -> None:
    scene = Scene()
    scene.spot = moneyness(0.08)
    scene.say(scene.quote())
    scene.latest()
    before = len(scene.published)
    for step in range(100):
        scene.now += SECOND // 100
        scene.spot = moneyness(0.08 + 0.0005 * step)
        scene.say(scene.quote())
    same_ladder = [quotes for quotes in scene.published[before:] if quotes.call == scene.published[before - 1].call]
    assert 1 <= len(same_ladder) <= 6


SILENCES: list[tuple[str, float, str]] = [
    ("OutcomeBook.btc-15m.CALL", 31.0, "book_stale"),
    ("FeedStatus.btc-15m.CALL.polymarket.OutcomeBook", 3.1, "book_feed_not_live"),
    ("OraclePrice.BTC.spot", 5.1, "oracle_stale"),
    ("FeedStatus.BTC.spot.chainlink.OraclePrice", 3.1, "oracle_feed_not_live"),
    ("Position.btc-15m", 5.1, "position_unknown"),
    ("Volatility.btc-15m", 5.1, "volatility_stale"),
    ("Regime.btc-15m", 10.1, "regime_missing"),
    ("Flow.btc-15m", 10.1, "flow_missing"),
    ("LeadLag.btc-15m", 60.1, "lead_lag_missing"),
]


@pytest.mark.parametrize(("topic", "seconds", "reason"), SILENCES)
def test_silence_about_an_input_is_named_and_heals(topic: str, seconds: float, reason: str) -> None:
    scene = Scene()
    assert scene.latest().action == "QUOTE_BOTH"
    scene.silent.add(topic)
    scene.run(seconds + 1.0)
    silent = scene.latest()
    assert reason in silent.reasons
    assert (silent.action == "PULL_QUOTES") == ("missing" not in reason)
    scene.silent.clear()
    scene.run(20.0 if topic.startswith("OraclePrice") else 1.0)
    assert scene.latest().reasons == ()


@pytest.mark.parametrize(("seconds", "reason"), [(5.5, "spot_stale"), (0.0, "spot_feed_not_live")])
def test_without_any_usable_exchange_the_quotes_are_pulled(seconds: float, reason: str) -> None:
    scene = Scene()
    if seconds:
        scene.silent = {"SpotQuote"}
        scene.run(seconds + 1.0)
    else:
        for venue in ("coinbase", "bybit"):
            scene.say(scene.status("BTC", venue, "SpotQuote", state="DOWN"))
    quotes = scene.latest()
    assert quotes.action == "PULL_QUOTES"
    assert reason in quotes.reasons


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("OraclePrice", "oracle_missing"),
        ("SpotQuote", "spot_missing"),
        ("OutcomeBook", "book_missing"),
        ("Volatility", "volatility_missing"),
        ("Position", "position_unknown"),
        ("Period", "no_period"),
    ],
)
def test_what_was_never_seen_is_missing(name: str, reason: str) -> None:
    quotes = Scene(silent={name}).latest()
    assert quotes.action == "PULL_QUOTES"
    assert reason in quotes.reasons
    assert quotes.call == quotes.put == ()


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("OutcomeBook.btc-15m.PUT", "book_gap"),
        ("OraclePrice.BTC.spot", "oracle_gap"),
        ("Volatility.btc-15m", "volatility_stale"),
        ("Position.btc-15m", "position_unknown"),
        ("Flow.btc-15m", "flow_missing"),
        ("SpotQuote.BTC.coinbase", "leader_unusable"),
        ("FeedStatus.btc-15m.CALL.polymarket.OutcomeBook", "book_feed_not_live"),
        ("FeedStatus.BTC.spot.chainlink.OraclePrice", "oracle_feed_not_live"),
        ("FeedStatus.BTC.coinbase.SpotQuote", "leader_unusable"),
    ],
)
def test_lost_messages_stale_their_input_until_the_next_one(topic: str, reason: str) -> None:
    scene = Scene()
    scene.latest()
    scene.lose(topic)
    assert reason in scene.latest().reasons
    scene.run(1.0)
    assert scene.latest().reasons == ()


@pytest.mark.parametrize("name", ["Volatility", "Regime", "Flow", "LeadLag"])
def test_an_analyzer_that_takes_a_market_over_pulls_nothing(name: str) -> None:
    scene = Scene()
    scene.latest()
    scene.lose(f"{name}.btc-15m", lost=0)
    assert scene.latest().reasons == ()


@pytest.mark.parametrize(
    ("topic", "reason"),
    [("OutcomeBook.btc-15m.PUT", "book_gap"), ("Position.btc-15m", "position_unknown")],
)
def test_a_feed_or_a_ledger_that_begins_anew_is_a_gap(topic: str, reason: str) -> None:
    scene = Scene()
    scene.latest()
    scene.lose(topic, lost=0)
    assert reason in scene.latest().reasons


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"period": {"strike": None, "strike_state": "PENDING"}}, "strike_not_proven"),
        ({"period": {"strike_state": "PENDING"}}, "strike_not_proven"),
        ({"period": {"refusal": "unknown fee form"}}, "period_refused"),
        ({"period": {"twap_lookback_s": 1000}}, "period_refused"),
        ({"period": {"tick_size": 0.03}, "silent": {"OutcomeBook"}}, "period_refused"),
        ({"volatility": {"warm": False}}, "volatility_cold"),
        ({"volatility": {"sigma_per_sqrt_s": None}}, "volatility_cold"),
        ({"volatility": {"spike": True}}, "volatility_spike"),
        ({"flow": {"toxicity": 0.95}}, "extreme_toxicity"),
        ({"book": (1, 99)}, "book_placeholder"),
        ({"book": (51, 51)}, "book_crossed"),
        ({"book": (56, 58)}, "model_market_disagreement"),
        ({"position": {"slug": "another"}}, "position_unknown"),
        ({"at_s": 870.0, "spot": moneyness(30.0), "book": (97, 99)}, "final_phase"),
        ({"at_s": 820.0}, "gamma_danger"),
        ({"volatility": {"relative_error": 3.0}, "spot": moneyness(20.0), "book": (76, 78)}, "fair_value_uncertain"),
        ({"at_s": 60.0, "period": {"start_ns": START + 100 * SECOND}}, "period_not_open"),
    ],
)
def test_a_state_that_cannot_be_defended_is_not_quoted(state: dict[str, Any], reason: str) -> None:
    quotes = Scene(**state).latest()
    assert quotes.action == "PULL_QUOTES"
    assert reason in quotes.reasons
    assert quotes.call == quotes.put == ()


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"regime": {"regime": "volatile"}}, "volatile_regime"),
        ({"regime": {"momentum_z": 3.5}}, "extreme_momentum"),
        ({"flow": {"toxicity": 0.75}}, "high_toxicity"),
        ({"lead_lag": {"leader": None, "lead_s": None}}, "no_leader"),
        ({"lead_lag": {"leader": "kraken"}}, "leader_unusable"),
        ({"volatility": {"implied_per_sqrt_s": 2 * SIGMA}}, "volatility_disagreement"),
        ({"silent": {"Regime"}}, "regime_missing"),
        ({"silent": {"Flow"}}, "flow_missing"),
    ],
)
def test_a_doubtful_state_is_quoted_wider(state: dict[str, Any], reason: str) -> None:
    calm, doubtful = Scene().latest(), Scene(**state).latest()
    assert doubtful.action == "WIDEN_SPREADS"
    assert reason in doubtful.reasons
    assert doubtful.breakdown["spread"] > calm.breakdown["spread"]


@pytest.mark.parametrize(("z", "action", "side"), [(2.0, "QUOTE_BID_ONLY", "bid"), (-2.0, "QUOTE_ASK_ONLY", "ask")])
def test_momentum_with_medium_toxicity_bars_the_side_it_would_run_over(z: float, action: str, side: str) -> None:
    quotes = Scene(regime={"regime": "trending_up", "momentum_z": z}, flow={"toxicity": 0.5}).latest()
    assert quotes.action == action
    assert {layer.side for layer in quotes.call} == {side}
    assert {layer.side for layer in quotes.put} == {"ask" if side == "bid" else "bid"}


def test_at_the_inventory_limit_the_adding_side_disappears() -> None:
    long = Scene(position={"call_shares": 498.0}).latest()
    assert (long.action, long.reasons) == ("QUOTE_ASK_ONLY", ("inventory_limit_long",))
    assert {layer.side for layer in long.call} == {"ask"}
    short = Scene(position={"put_shares": 498.0}).latest()
    assert (short.action, short.reasons) == ("QUOTE_BID_ONLY", ("inventory_limit_short",))
    assert {layer.side for layer in short.call} == {"bid"}


def test_a_jump_of_the_leader_pulls_the_quotes_for_the_cool_down_and_no_longer() -> None:
    scene = Scene(MMConfig(max_model_mid_disagreement=0.9))
    assert scene.latest().action == "QUOTE_BOTH"
    scene.spot *= 1.0021
    (pulled,) = scene.say(scene.quote())
    assert pulled.action == "PULL_QUOTES"
    assert "volatility_spike" in pulled.reasons
    scene.run(4.0)
    assert "volatility_spike" in scene.latest().reasons
    scene.run(2.0)
    assert "volatility_spike" not in scene.latest().reasons


def test_a_disagreement_with_the_book_is_excused_while_the_spot_just_moved() -> None:
    scene = Scene()
    scene.spot = moneyness(5.0)  # about 9 cents
    assert "model_market_disagreement" not in scene.say(scene.quote())[-1].reasons
    scene.run(3.0)
    assert "model_market_disagreement" not in scene.latest().reasons
    scene.run(2.0)
    assert "model_market_disagreement" in scene.latest().reasons


def test_a_disagreement_halts_no_longer_than_it_lasts() -> None:
    scene = Scene(SILENT_LEDGER, book=(56, 58))
    assert "model_market_disagreement" in scene.latest().reasons
    scene.call_bid, scene.call_ask = 51, 53
    for message in scene.books():
        scene.say(message)
    assert scene.published[-1].action == "QUOTE_BOTH"
    scene.call_bid, scene.call_ask = 56, 58
    for message in scene.books():
        scene.say(message)
    assert scene.tick(1.5)[-1].reasons == ()  # patience begins anew
    assert scene.tick(0.6)[-1].reasons == ("model_market_disagreement",)


def test_a_disagreement_with_a_book_in_doubt_does_not_use_up_the_patience() -> None:
    scene = Scene()
    scene.latest()
    scene.say(book("CALL", bid=57, ask=56))
    scene.run(0.0)
    for _ in range(4):
        scene.tick(1.0)
    scene.call_bid, scene.call_ask = 56, 58
    scene.silent = {"SpotQuote.BTC.nobody"}
    scene.refresh()
    assert scene.published[-1].reasons == ()
    scene.run(3.0)
    assert scene.latest().reasons == ("model_market_disagreement",)


def test_a_spot_that_just_moved_ends_a_halt_for_disagreement() -> None:
    scene = Scene()
    assert scene.latest().reasons == ()
    scene.call_bid, scene.call_ask = 56, 58
    scene.run(3.0)
    assert "model_market_disagreement" in scene.latest().reasons
    scene.spot = moneyness(-4.0)
    assert "model_market_disagreement" not in scene.say(scene.quote())[-1].reasons


@pytest.mark.parametrize("mid", [42, 57, 80, 97])
def test_before_value_and_book_ever_agreed_there_is_no_patience(mid: int) -> None:
    """However far apart they are: a strike that is wrong from the start makes the value certain, and wrong."""
    scene = Scene(book=(mid - 1, mid + 1))
    assert not any(quotes.call or quotes.put for quotes in scene.published)
    scene.say(scene.quote())
    assert "model_market_disagreement" in scene.latest().reasons
    assert not any(quotes.call or quotes.put for quotes in scene.published)


@pytest.mark.parametrize(
    ("at_s", "away"), [(200.0, 0.0), (500.0, 0.0), (780.0, 6.0), (835.0, 12.0), (860.0, 12.0), (890.0, 12.0)]
)
def test_the_aggressive_preset_quotes_in_every_phase_that_the_danger_limits_allow(at_s: float, away: float) -> None:
    config = load_config("aggressive", overrides=["max_model_mid_disagreement=0.9"])
    quotes = Scene(config, at_s=at_s, spot=moneyness(away), book=(90, 92) if away else (49, 51)).latest()
    assert quotes.action != "PULL_QUOTES", quotes.reasons
    cautious = Scene(MMConfig(max_model_mid_disagreement=0.9), at_s=at_s, spot=moneyness(away), book=(90, 92)).latest()
    assert (cautious.action == "PULL_QUOTES") == (cautious.phase == "final"), cautious.reasons


def test_a_stale_book_does_not_hold_the_fair_value() -> None:
    quotes = Scene(at_s=780.0, spot=60_500.0, book=(50, 52)).latest()
    assert quotes.fair_value == pytest.approx(1.0, abs=1e-3)
    assert "model_market_disagreement" in quotes.reasons


def test_a_put_book_that_stops_mirroring_pulls_after_a_moment() -> None:
    scene = Scene(SILENT_LEDGER)
    scene.latest()
    scene.say(book("PUT", bid=45, ask=47))
    assert scene.tick(0.7)[-1].reasons == ()
    assert scene.tick(0.7)[-1].reasons == ("mirror_broken",)


def test_a_tick_size_change_pulls_until_both_books_stand_on_the_new_grid() -> None:
    scene = Scene(SILENT_LEDGER)
    scene.latest()
    scene.say(book("CALL", bid=490, ask=510, tick_size=0.001))
    assert scene.latest().reasons == ("mirror_broken",)
    scene.say(book("PUT", bid=490, ask=510, tick_size=0.001))
    quotes = scene.latest()
    assert (quotes.action, quotes.tick_size) == ("QUOTE_BOTH", 0.001)
    assert all(layer.price == layer.ticks / 1000 for layer in quotes.call)


def test_books_of_another_period_are_not_used() -> None:
    scene = Scene(silent={"OutcomeBook"})
    scene.say(book("CALL", bid=49, ask=51, slug="btc-updown-15m-1"))
    assert "book_missing" in scene.latest().reasons


def test_the_next_period_takes_over_at_its_start_with_books_that_came_early() -> None:
    scene = Scene(at_s=LENGTH_S - 1.0, spot=moneyness(30.0), book=(97, 99))
    following = f"btc-updown-15m-{START // SECOND + LENGTH_S}"
    for outcome in ("CALL", "PUT"):
        scene.say(book(outcome, bid=49, ask=51, slug=following))
    scene.say(
        scene.period_message(
            slug=following, role="next", start_ns=END, end_ns=END + LENGTH_S * SECOND, strike_state="PENDING"
        )
    )
    assert scene.latest().slug == SLUG
    scene.now = END
    quotes = scene.tick()[-1]
    assert (quotes.slug, quotes.phase) == (following, "early")
    assert "strike_not_proven" in quotes.reasons
    assert "book_missing" not in quotes.reasons
    assert "position_unknown" in quotes.reasons  # the hedger still speaks of the period that ended
    assert list(scene.core.markets[MARKET].periods) == [following]


def test_after_the_end_without_a_successor_nothing_is_quoted() -> None:
    scene = Scene(at_s=LENGTH_S - 1.0)
    quotes = scene.tick(1.5)[-1]
    assert quotes.action == "PULL_QUOTES"
    assert quotes.reasons[0] == "period_ended"
    assert quotes.phase == "after"


def test_a_late_joiner_gets_the_window_from_the_history() -> None:
    cold = Scene(at_s=850.0, spot=moneyness(2.0), book=(80, 82), silent={"OraclePrice.BTC.spot"})
    cold.silent.clear()
    cold.say(cold.oracle())
    assert cold.latest().breakdown["missing_prints"] > 0.0
    first = cold.now // SECOND - 70
    cold.say(cold.history(range(first, first + 70), [moneyness(2.0)] * 70))
    assert cold.latest().breakdown["missing_prints"] == 0.0


def test_the_breakdown_adds_up_to_the_first_quote() -> None:
    for state in ({}, {"position": {"call_shares": 120.0}}, {"spot": moneyness(9.0), "book": (61, 63)}):
        quotes = Scene(MMConfig(max_model_mid_disagreement=0.5), **state).latest()
        part = quotes.breakdown
        assert set(breakdown_names(MMConfig())) <= set(part)
        assert quotes.fair_value is not None
        assert quotes.fair_value == pytest.approx(part["model_value"] + part["projection"], abs=1e-12)
        reservation = quotes.fair_value + part["momentum_skew"] + part["inventory_skew"]
        assert part["reservation"] == pytest.approx(reservation, abs=1e-12)
        product = part["base_spread"]
        for name in ("time", "regime", "toxicity", "volatility", "phase", "inputs"):
            product *= part[f"factor_{name}"]
        assert part["spread"] == pytest.approx(product + part["clamp"], abs=1e-12)
        tier_half = part["tier_base"] * part["spread"] / part["base_spread"]
        assert part["half_spread"] == pytest.approx(tier_half + part["floor"], abs=1e-12)
        bid = part["reservation"] - part["half_spread"] - part["rounding_bid"] - part["post_only_bid"]
        ask = part["reservation"] + part["half_spread"] + part["rounding_ask"] + part["post_only_ask"]
        assert prices(quotes)[0] == pytest.approx(bid, abs=1e-9)
        assert prices(quotes, side="ask")[0] == pytest.approx(ask, abs=1e-9)


def test_shares_held_are_sold_before_the_opposite_is_bought() -> None:
    quotes = Scene(position={"call_shares": 60.0}).latest()
    asks = [layer for layer in quotes.call if layer.side == "ask"]
    assert [layer.execution for layer in asks] == ["sell", "buy_opposite", "buy_opposite", "buy_opposite"]
    assert asks[1].execution_price == pytest.approx(1.0 - asks[1].price)
    assert {layer.execution for layer in quotes.call if layer.side == "bid"} == {"buy"}


def test_the_published_phase_is_the_shared_one() -> None:
    for at_s in (80.0, 359.0, 361.0, 719.0, 721.0, 839.0, 841.0, 899.0):
        quotes = Scene(at_s=at_s).tick()[-1:] or Scene(at_s=at_s).published[-1:]
        assert quotes[0].phase == phase_at(quotes[0].ts_recv_ns, start_ns=START, end_ns=END)


def test_the_twap_of_the_oracle_is_shown_as_a_cross_check() -> None:
    scene = Scene()
    scene.say(scene.oracle(kind="twap60", price=60_001.5))
    assert scene.latest().breakdown["oracle_twap60"] == 60_001.5


def test_the_same_events_give_the_same_quotes() -> None:
    assert Scene().published == Scene().published


def test_absurd_prices_neither_crash_nor_move_anything() -> None:
    scene = Scene()
    before = scene.latest()
    for price in (0.0, -1.0, float("nan"), float("inf")):
        scene.say(scene.oracle(price=price))
        scene.say(scene.quote(mid=price))
        scene.say(scene.history([scene.now // SECOND], [price]))
    scene.say(msgspec.structs.replace(scene.oracle(price=1.0), ts_event_ns=scene.now + 3600 * SECOND))
    assert scene.latest().fair_value == pytest.approx(before.fair_value, abs=1e-3)


def test_a_venue_whose_clock_is_an_hour_off_is_read_by_our_clock() -> None:
    scene = Scene()
    ahead = msgspec.structs.replace(scene.quote(), ts_event_ns=scene.now + 3600 * SECOND)
    scene.say(ahead)
    scene.run(2.0)
    scene.spot = moneyness(1.0)
    scene.run(2.0)
    assert scene.latest().fair_value == pytest.approx(0.517, abs=0.01)


def test_a_market_of_another_asset_or_name_is_left_alone() -> None:
    scene = Scene()
    assert scene.say(msgspec.structs.replace(scene.quote(), asset="ETH")) == []
    assert scene.say(msgspec.structs.replace(scene.books()[0], market="eth-15m")) == []
    assert scene.lose("OutcomeBook.eth-15m.CALL") == []


def test_every_core_is_told_its_markets() -> None:
    with pytest.raises(ValueError, match="at least one market"):
        QuoterCore(MMConfig(), [])
    with pytest.raises(ValueError, match="not a series"):
        QuoterCore(MMConfig(), ["bitcoin"])


def test_two_markets_of_one_asset_share_its_prices() -> None:
    core = QuoterCore(MMConfig(), ["btc-15m", "btc-5m"])
    assert core.markets["btc-15m"].asset is core.markets["btc-5m"].asset
    out = core.update(Timer(START))
    assert [quotes.market for quotes in out if isinstance(quotes, QuoteSet)] == ["btc-15m", "btc-5m"]
    assert core.update(Delivery("x", 1, 1, Scene().quote())) != ()


def test_every_label_of_the_table_is_unique() -> None:
    labels = [rule.label for rule in RULES]
    assert len(labels) == len(set(labels))


def test_a_clock_that_was_set_back_makes_everything_missing_until_it_comes_again() -> None:
    scene = Scene()
    assert scene.latest().action == "QUOTE_BOTH"
    (pulled,) = scene.tick(-120.0)
    assert pulled.action == "PULL_QUOTES"
    assert {"oracle_missing", "spot_missing", "book_missing", "volatility_missing"} <= set(pulled.reasons)
    assert pulled.ts_event_ns == scene.now
    scene.run(20.0)
    assert scene.latest().reasons == ()


def test_a_clock_that_was_set_back_a_little_changes_nothing() -> None:
    scene = Scene()
    scene.latest()
    scene.tick(-0.9)
    assert scene.tick(1.5)[-1].reasons == ()


def test_a_receipt_far_in_the_future_does_not_move_time() -> None:
    scene = Scene()
    scene.latest()
    ahead = msgspec.structs.replace(scene.quote(), ts_recv_ns=scene.now + 3600 * SECOND)
    scene.core.update(Delivery("SpotQuote.BTC.coinbase", 1, 10_000, ahead))
    assert scene.core.now_ns == scene.now
    assert scene.latest().reasons == ()
    scene.silent = {"SpotQuote"}
    scene.run(6.0)
    assert "spot_stale" in scene.latest().reasons


def test_a_last_value_from_before_a_restart_is_as_old_as_its_receipt() -> None:
    scene = Scene()
    held = [scene.oracle(), *scene.signals(), *scene.books(), scene.period_message(), scene.quote()]
    later = QuoterCore(MMConfig(), [MARKET])
    now_ns = scene.now + 40 * SECOND
    later.update(Timer(now_ns))
    for seq, message in enumerate(held):
        stamped = msgspec.structs.replace(message, ts_recv_ns=scene.now)
        later.update(Delivery(topic_of(message), 1, seq, stamped))
    (quotes,) = later.update(Timer(now_ns + SECOND))
    assert isinstance(quotes, QuoteSet)
    assert {"oracle_stale", "book_stale", "volatility_stale", "position_unknown"} <= set(quotes.reasons)


def test_the_value_knows_less_the_older_the_quote_it_projects() -> None:
    fresh, old = Scene(), Scene()
    fresh.tick(0.0)
    old.silent = {"SpotQuote"}
    for scene in (fresh, old):
        scene.run(4.0)
    sd, older_sd = (scene.latest().breakdown["projection_sd"] for scene in (fresh, old))
    assert older_sd**2 - sd**2 == pytest.approx(4.0 * SIGMA**2, rel=1e-3)


@pytest.mark.parametrize("toxicity", [0.69, 0.71])
def test_more_toxicity_never_frees_a_side_that_momentum_bars(toxicity: float) -> None:
    quotes = Scene(regime={"momentum_z": 2.0}, flow={"toxicity": toxicity}).latest()
    assert "momentum_up" in quotes.reasons
    assert {layer.side for layer in quotes.call} == {"bid"}
    assert {layer.side for layer in quotes.put} == {"ask"}


def test_an_estimate_that_cannot_say_how_wrong_it_is_counts_as_cold() -> None:
    quotes = Scene(volatility={"relative_error": None}).latest()
    assert (quotes.action, "volatility_cold" in quotes.reasons) == ("PULL_QUOTES", True)


def test_the_age_of_a_signal_is_that_of_its_data() -> None:
    scene = Scene(silent={"Flow"})
    volatility = msgspec.structs.replace(scene.signals()[0], ts_event_ns=scene.now - 3 * SECOND)
    scene.say(volatility)
    ages = scene.core.signal_ages(scene.now + SECOND)
    assert ages[(MARKET, "volatility")] == pytest.approx(4.0)
    assert ages[(MARKET, "lead_lag")] == pytest.approx(1.0)
    assert (MARKET, "flow") not in ages
