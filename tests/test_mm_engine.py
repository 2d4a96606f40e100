from __future__ import annotations

import ast
import json
import math
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import engine.desk
import engine.volatility
import examples.one_call
import examples.quote_loop
import mm_engine
from backtest.session import Session, trading_cores
from engine.patient_quoter import PatientQuoter
from mm_engine import (
    AdvancedMarketMaker,
    ConfigError,
    MarketState,
    MMConfig,
    OptionBook,
    OracleTick,
    Quote,
    Quotes,
    SpotTop,
    Timer,
    create_market_state_from_files,
    load_config,
)
from services.feeds.files import LARGEST_FILE_BYTES
from shared.digital import normal_cdf, open_window, twap_law
from shared.market import NS_PER_S, Series
from shared.messages import (
    AnyMessage,
    FeedStatus,
    Fill,
    OraclePrice,
    OutcomeBook,
    Period,
    Position,
    QuoteSet,
    SettlementRule,
    SpotQuote,
    Volatility,
)
from tests.builders import START_S, build

STRIKE = 80_000.0
NOW_NS = (START_S + 300) * NS_PER_S
REPOSITORY = Path(__file__).parents[1]


def state(at_s: float = 300.0, *, price: float = STRIKE, mid: float = 0.50, **fields: Any) -> MarketState:
    """A whole state, this long into the period: both exchanges and the oracle at `price`, CALL's mid at `mid`."""
    now_ns = round((START_S + at_s) * NS_PER_S)
    age_ns = NS_PER_S // 10
    top = SpotTop(bid=price, ask=price, stamp_ns=now_ns - age_ns)
    books = {
        outcome: OptionBook.top(bid=round(each - 0.01, 2), ask=round(each + 0.01, 2), stamp_ns=now_ns - age_ns)
        for outcome, each in (("call", mid), ("put", 1.0 - mid))
    }
    whole: dict[str, Any] = {
        "now_ns": now_ns,
        "period_start_s": START_S,
        "strike": STRIKE,
        "oracle": OracleTick(price=price, stamp_ns=now_ns - age_ns),
        "spot": {"bybit": top, "coinbase": top},
        **books,
    }
    return MarketState(**whole | fields)


def best(quotes: Sequence[Quote], side: str) -> float:
    """The innermost price of a side."""
    return next(quote.price for quote in quotes if quote.side == side)


def is_empty(quotes: Quotes) -> bool:
    return quotes == {"CALL": [], "PUT": []}


def decision_of(mm: AdvancedMarketMaker) -> Any:
    assert mm.last_decision is not None
    return mm.last_decision


class Folder:
    """The files of somebody's collectors."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents: dict[str, dict[str, Any]] = {}

    def write(self, now_ns: int = NOW_NS, *, price: float = STRIKE, mid: float = 0.50, **changes: Any) -> None:
        """All five, stamped now; `changes` are fields of a file by its name, None: that file is not there."""
        ms = now_ns // 1_000_000
        call_bid, call_ask = round(mid - 0.01, 2), round(mid + 0.01, 2)
        fields: dict[str, dict[str, Any]] = {
            "bybit": {"price": price},
            "coinbase": {"price": price},
            "chainlink": {"price": price, "strike": STRIKE},
            "call": {"best_bid": call_bid, "best_ask": call_ask},
            "put": {"best_bid": round(1 - call_ask, 2), "best_ask": round(1 - call_bid, 2)},
        }
        for name, standing in fields.items():
            changed = changes.get(name, {})
            if changed is None:
                (self.path / f"{name}.json").unlink(missing_ok=True)
                continue
            whole = {"timestamp": ms, **standing, **changed}
            (self.path / f"{name}.json").write_text(json.dumps({k: v for k, v in whole.items() if v is not ...}))

    def spoil(self, name: str, raw: bytes) -> None:
        (self.path / f"{name}.json").write_bytes(raw)

    def state(self, now_ns: int | None = NOW_NS, *, start_ms: float = START_S * 1000, **options: Any) -> MarketState:
        return create_market_state_from_files(
            bybit_path=self.path / "bybit.json",
            chainlink_path=self.path / "chainlink.json",
            coinbase_path=str(self.path / "coinbase.json"),
            call_path=self.path / "call.json",
            put_path=self.path / "put.json",
            period_start_timestamp=start_ms,
            now_ns=now_ns,
            **options,
        )


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


# -- one call ----------------------------------------------------------------------------------------------------------


def test_the_usage_as_it_is_written_quotes_on_one_call(folder: Folder) -> None:
    folder.write()
    mm = AdvancedMarketMaker(MMConfig(base_spread=0.02))
    quotes = mm.generate_all_quotes(folder.state())
    assert set(quotes) == {"CALL", "PUT"}
    for outcome, ladder in quotes.items():
        assert {quote.side for quote in ladder} == {"bid", "ask"}
        assert {quote.outcome for quote in ladder} == {outcome}
        assert sorted({quote.layer for quote in ladder}) == [0, 1, 2, 3]
        assert best(ladder, "bid") < 0.5 < best(ladder, "ask")
    decision = decision_of(mm)
    assert (decision.action, decision.problems) == ("WIDEN_SPREADS", ())
    assert decision.fair_value == pytest.approx(0.5, abs=0.01)
    assert decision.reasons["flow_missing"] == "no fresh flow signal"
    assert decision.breakdown["base_spread"] == 0.02
    assert (decision.phase, decision.time_to_expiry_s) == ("early", 600.0)


def test_without_now_the_clock_is_read_once(folder: Folder) -> None:
    folder.write()
    read = folder.state(None)
    assert read.now_ns > NOW_NS
    assert AdvancedMarketMaker().generate_all_quotes(read) == {"CALL": [], "PUT": []}


@pytest.mark.parametrize(
    ("price", "mid", "basis", "words"),
    [
        (80_090.0, 0.66, "implied", "implied by the CALL book"),
        (80_010.0, 0.52, "prior", "CALL at 0.510 / 0.530 implies none"),
        (80_090.0, 0.40, "prior", "against spot"),
        (80_010.0, 0.90, "prior", "0.05 x it, beyond a factor of 3"),
    ],
)
def test_one_call_says_what_its_volatility_rests_on(price: float, mid: float, basis: str, words: str) -> None:
    mm = AdvancedMarketMaker()
    is_quoted = not is_empty(mm.generate_all_quotes(state(price=price, mid=mid)))
    assert is_quoted == ("model_market_disagreement" not in decision_of(mm).reasons) == (0.5 < mid < 0.7)
    decision = decision_of(mm)
    assert decision.volatility_basis == basis
    assert words in decision.volatility_note
    assert words in mm.explain()


def test_an_implied_volatility_is_blended_with_the_prior_and_both_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    blended, unblended = AdvancedMarketMaker(), AdvancedMarketMaker()
    blended.generate_all_quotes(state(price=80_090.0, mid=0.63))
    monkeypatch.setattr(engine.volatility, "PRIOR_ERROR", 1e6)
    unblended.generate_all_quotes(state(price=80_090.0, mid=0.63))
    assert decision_of(unblended).fair_value == pytest.approx(0.63, abs=1e-3)  # all of it
    prior = MMConfig().reference_sigma_per_sqrt_s
    implied = decision_of(unblended).breakdown["sigma"]
    weight = (1 / 0.3**2) / (1 / 0.3**2 + 1 / 0.5**2)
    expected = prior ** (1.0 - weight) * implied**weight
    decision = decision_of(blended)
    assert decision.breakdown["sigma"] == pytest.approx(expected, rel=1e-6)
    assert f"{implied / prior:.2f} x the prior, blended with it: {expected / prior:.2f} x" in decision.volatility_note
    said = blended._desk.volatility.said
    assert said is not None
    gap = math.log(implied / prior)
    error = math.sqrt(((1 - weight) * 0.5) ** 2 + (weight * 0.3) ** 2 + weight * (1 - weight) * gap**2)
    assert said.relative_error == pytest.approx(error)
    assert 0.64 < decision.fair_value < 0.69


def test_an_implied_volatility_that_agrees_with_the_prior_is_never_believed_better_than_0_3() -> None:
    mm = AdvancedMarketMaker()
    mm.generate_all_quotes(state(price=80_090.0, mid=0.70))
    said = mm._desk.volatility.said
    assert said is not None
    assert (said.basis, said.relative_error) == ("implied", 0.3)


def perfect_market(seed: int, *, at_s: float, settlement: SettlementRule) -> Iterator[tuple[MarketState, float]]:
    """States each 0.1 s for 25 s, and CALL's true probability in each.

    The true volatility is the prior, the book stands a tick on either side of the truth, and the oracle prints each
    second what the exchanges showed 1.5 s before.
    """
    config, drawn, lag = MMConfig(), random.Random(seed), 15
    sigma, start_ns = config.reference_sigma_per_sqrt_s, START_S * NS_PER_S
    ends_ns = (start_ns, start_ns + 900 * NS_PER_S)
    windows = np.concatenate(
        [open_window(end_ns=each, lookback_s=60, offset_s=config.window_offset_s) for each in ends_ns]
    )
    logs = [math.log(STRIKE) + sigma * math.sqrt(at_s / 2) * drawn.gauss(0.0, 1.0)]
    for _ in range(lag + 260):
        logs.append(logs[-1] + sigma * math.sqrt(0.1) * drawn.gauss(0.0, 1.0))
    for step in range(250):
        now_ns = start_ns + round(at_s * NS_PER_S) + step * NS_PER_S // 10
        log_price, ref_ns = logs[step + lag], now_ns + lag * NS_PER_S // 10
        mean, variance_s = log_price - math.log(STRIKE), (ends_ns[1] - ref_ns) / NS_PER_S
        if settlement == "twap":
            mean, _, variance_s, _ = twap_law(windows, True, math.log(STRIKE), ref_ns, log_price)
        true = float(normal_cdf(mean / (sigma * math.sqrt(variance_s))))
        if not 0.03 < true < 0.97:  # out of the reach of such a book
            return
        mid, printed = round(true, 2), step - step % 10
        top = SpotTop(bid=math.exp(log_price), ask=math.exp(log_price), stamp_ns=now_ns)
        books = {
            name: OptionBook.top(bid=round(each - 0.01, 2), ask=round(each + 0.01, 2), stamp_ns=now_ns)
            for name, each in (("call", mid), ("put", 1.0 - mid))
        }
        oracle = OracleTick(price=math.exp(logs[printed]), stamp_ns=now_ns - (step - printed) * NS_PER_S // 10)
        spot = {"bybit": top, "coinbase": top}
        fields = {"now_ns": now_ns, "oracle": oracle, "spot": spot, "settlement": settlement, **books}
        yield state(**fields), true


@pytest.mark.parametrize("settlement", ["twap", "spot"])
@pytest.mark.parametrize("at_s", [200.0, 700.0])
def test_an_implied_volatility_is_no_worse_than_the_prior_where_the_prior_is_true(
    settlement: SettlementRule, at_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors, errors_of_prior = [], []
    for seed in range(4):
        mm, unread = AdvancedMarketMaker(), AdvancedMarketMaker()
        for each, true in perfect_market(seed, at_s=at_s, settlement=settlement):
            monkeypatch.setattr(engine.volatility, "FARTHEST_FROM_PRIOR", 3.0)
            mm.generate_all_quotes(each)
            monkeypatch.setattr(engine.volatility, "FARTHEST_FROM_PRIOR", 1.0)  # nothing read is near enough
            unread.generate_all_quotes(each)
            ours, prior = decision_of(mm), decision_of(unread)
            assert prior.volatility_basis == "prior"
            if ours.volatility_basis == "implied":
                errors.append(abs(ours.fair_value - true))
                errors_of_prior.append(abs(prior.fair_value - true))
    assert len(errors) > 200
    assert np.mean(errors) < np.mean(errors_of_prior) + 0.001


def test_readings_at_the_unprojected_price_end_with_the_projection() -> None:
    mm = AdvancedMarketMaker()
    bases = {}
    for step in range(30):  # a print with every state: five of them warm the projection
        mm.generate_all_quotes(state(300.0 + step / 10.0, price=80_090.0, mid=0.63))
        bases.setdefault("projection_missing" in decision_of(mm).reasons, set()).add(decision_of(mm).volatility_basis)
    assert bases == {True: {"implied"}, False: {"prior"}}
    assert "at the projected price" in decision_of(mm).volatility_note
    for step in range(30, 80):  # five readings of the analyzer's, a second apart
        mm.generate_all_quotes(state(300.0 + step / 10.0, price=80_090.0, mid=0.63))
    assert decision_of(mm).volatility_basis == "implied"


@pytest.mark.parametrize("stale_mid", [0.51, 0.60, 0.70, 0.80])
def test_a_stale_option_price_is_not_made_true_by_an_implied_volatility(stale_mid: float) -> None:
    mm = AdvancedMarketMaker()
    for step in range(40):
        mm.generate_all_quotes(state(780.0 + step / 10.0, price=STRIKE + 500.0, mid=stale_mid))
        decision = decision_of(mm)
        assert decision.fair_value > 0.98
        assert decision.volatility_basis == "prior"
    assert "model_market_disagreement" in decision.reasons  # after two seconds of it


def test_the_put_ladder_mirrors_the_call_ladder() -> None:
    quotes = AdvancedMarketMaker().generate_all_quotes(state(price=80_060.0, mid=0.60))
    mirrored = {
        ({"bid": "ask", "ask": "bid"}[each.side], round(1.0 - each.price, 9), each.size, each.layer)
        for each in quotes["PUT"]
    }
    assert {(each.side, each.price, each.size, each.layer) for each in quotes["CALL"]} == mirrored
    assert {each.execution for each in quotes["CALL"] if each.side == "ask"} == {"buy_opposite"}


def test_the_settlement_rule_of_the_state_is_priced() -> None:
    values = {}
    for settlement in ("twap", "spot"):
        mm = AdvancedMarketMaker()
        mm.generate_all_quotes(state(700.0, price=80_050.0, mid=0.50, settlement=settlement))
        values[settlement] = decision_of(mm).fair_value
    assert 0.5 < values["spot"] < values["twap"]  # an average has less left to move


# -- what it refuses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bybit", "coinbase", "chainlink", "call", "put"])
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("missing", "the file is not there"),
        ("malformed", "is malformed"),
        ("half", "is half-written"),
        ("empty", "is empty"),
        ("no_timestamp", "timestamp is not there"),
        ("seconds", "not in milliseconds"),
        ("future", "ahead of our clock"),
        ("absurd", "is not a price"),
        ("not_an_object", "is half-written, or not a JSON object"),
    ],
)
def test_a_file_that_cannot_be_used_empties_the_ladders_and_is_named(
    folder: Folder, name: str, fault: str, words: str
) -> None:
    priced = "best_bid" if name in ("call", "put") else "price"
    fields: dict[str, dict[str, Any] | None] = {
        "missing": None,
        "no_timestamp": {"timestamp": ...},
        "seconds": {"timestamp": START_S + 300},
        "future": {"timestamp": (START_S + 300) * 1000 + 1100},
        "absurd": {priced: -1},
    }
    folder.write(**{name: fields.get(fault, {})})
    raw = {"malformed": b'{"timestamp": [1]}', "half": b'{"timestamp": 17', "empty": b" ", "not_an_object": b"[1]"}
    if fault in raw:
        folder.spoil(name, raw[fault])
    mm = AdvancedMarketMaker()
    assert is_empty(mm.generate_all_quotes(folder.state()))
    decision = decision_of(mm)
    assert decision.action == "PULL_QUOTES"
    assert next(iter(decision.reasons)) == "input_unusable"
    assert any(problem.startswith(f"{name}.json: ") and words in problem for problem in decision.problems)
    assert words in str(decision)


@pytest.mark.parametrize("name", ["bybit", "coinbase", "chainlink", "call", "put"])
def test_a_stale_file_empties_the_ladders_however_often_it_is_read(folder: Folder, name: str) -> None:
    folder.write(**{name: {"timestamp": (START_S + 240) * 1000}})
    mm = AdvancedMarketMaker()
    for _ in range(3):
        assert is_empty(mm.generate_all_quotes(folder.state()))
        assert "60.0 s old, the limit is" in " ".join(decision_of(mm).problems)


@pytest.mark.parametrize("key", ["oracle", "call", "put", "spot"])
def test_what_a_state_does_not_hold_is_not_quoted_without(key: str) -> None:
    mm = AdvancedMarketMaker()
    assert is_empty(mm.generate_all_quotes(state(**{key: {} if key == "spot" else None})))
    wanted = {"oracle": "oracle_missing", "call": "book_missing", "put": "book_missing", "spot": "spot_missing"}[key]
    assert wanted in decision_of(mm).reasons


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("oracle", r"oracle: there is no price, and it is required: MarketState\(oracle=...\), or chainlink_path of"),
        ("call", r"CALL: there is no book, and it is required: MarketState\(call=...\), or call_path of"),
        ("put", r"PUT: there is no book, and it is required: MarketState\(put=...\), or put_path of"),
        (
            "spot",
            r"spot: there is no exchange, and it is required: MarketState\(spot=...\), or bybit_path or coinbase_",
        ),
    ],
)
@pytest.mark.parametrize("is_known", [False, True])
def test_a_required_part_that_is_not_there_is_named_with_what_brings_it(key: str, words: str, is_known: bool) -> None:
    mm = AdvancedMarketMaker()
    if is_known:
        mm.generate_all_quotes(state(299.9))
        assert decision_of(mm).problems == ()
    mm.generate_all_quotes(state(**{key: {} if key == "spot" else None}))
    (problem,) = decision_of(mm).problems
    assert re.match(words, problem)


def test_a_required_file_that_is_not_named_is_a_problem_and_one_of_two_exchanges_is_not(folder: Folder) -> None:
    folder.write()
    read = create_market_state_from_files(
        bybit_path=folder.path / "bybit.json", period_start_timestamp=START_S * 1000, now_ns=NOW_NS
    )
    mm = AdvancedMarketMaker()
    assert is_empty(mm.generate_all_quotes(read))
    told = " ".join(decision_of(mm).problems)
    assert [name for name in ("bybit", "chainlink", "call_path", "put_path") if name in told] == [
        "chainlink",
        "call_path",
        "put_path",
    ]


@pytest.mark.parametrize(
    ("name", "missing"),
    [("chainlink", "oracle_missing"), ("call", "book_missing"), ("put", "book_missing")],
)
def test_a_file_that_vanishes_is_missing_and_no_feed_is_spoken_of(folder: Folder, name: str, missing: str) -> None:
    mm = AdvancedMarketMaker()
    for step in range(120):  # until the last price is too old as well
        now_ns = NOW_NS + step * NS_PER_S // 2
        folder.write(now_ns, **({} if step == 0 else {name: None}))
        mm.generate_all_quotes(folder.state(now_ns))
        reasons = decision_of(mm).reasons
        assert (missing in reasons) == (step > 0)
        assert not [label for label in reasons if label.endswith(("_feed_not_live", "_stale"))]


@pytest.mark.parametrize("at_s", [-1.0, 300.0, 899.0])
def test_without_a_strike_there_is_no_fair_value(at_s: float) -> None:
    mm = AdvancedMarketMaker()
    assert is_empty(mm.generate_all_quotes(state(at_s, strike=None)))
    decision = decision_of(mm)
    assert (decision.fair_value, decision.fair_low, decision.fair_high, decision.breakdown) == (None, None, None, {})
    assert "no fair value" in str(decision)


def test_a_strike_that_comes_by_event_gives_a_fair_value() -> None:
    mm = AdvancedMarketMaker()
    for event in market_events(2):
        is_period = isinstance(event, Period)
        mm.update(build(Period, at_s=event.ts_recv_ns / NS_PER_S, strike=None, strike_state="PENDING")
                  if is_period else event)  # fmt: skip
    assert decision_of(mm).fair_value is None
    mm.update(build(Period, at_s=START_S + 102))
    mm.update(Timer((START_S + 102) * NS_PER_S))
    assert decision_of(mm).fair_value == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("part", ["bybit", "oracle", "CALL", "PUT"])
@pytest.mark.parametrize(("ahead_s", "is_refused"), [(0.9, False), (1.1, True), (4.0, True)])
def test_a_part_stamped_more_than_a_second_ahead_is_refused_by_name(
    part: str, ahead_s: float, is_refused: bool
) -> None:
    whole = state()
    changed = {"oracle": whole.oracle, "CALL": whole.call, "PUT": whole.put, **whole.spot}[part]
    ahead = msgspec.structs.replace(changed, stamp_ns=whole.now_ns + round(ahead_s * NS_PER_S))
    field = {part.lower(): ahead} if part != "bybit" else {"spot": whole.spot | {"bybit": ahead}}
    mm = AdvancedMarketMaker()
    assert is_empty(mm.generate_all_quotes(state(**field))) == is_refused
    problem = f"{part}: stamped {ahead_s} s ahead of now_ns: check both clocks"
    assert decision_of(mm).problems == ((problem,) if is_refused else ())
    assert (next(iter(decision_of(mm).reasons)) == "input_unusable") == is_refused


@pytest.mark.parametrize(("key", "reason"), [("oracle", "oracle"), ("call", "book"), ("put", "book"), ("spot", "spot")])
def test_what_a_later_state_no_longer_holds_pulls_at_once_and_its_return_quotes(key: str, reason: str) -> None:
    mm = AdvancedMarketMaker()
    assert not is_empty(mm.generate_all_quotes(state(300.0)))
    assert is_empty(mm.generate_all_quotes(state(300.1, **{key: {} if key == "spot" else None})))
    reasons = decision_of(mm).reasons
    assert f"{reason}_missing" in reasons
    assert f"{reason}_feed_not_live" not in reasons
    assert not is_empty(mm.generate_all_quotes(state(300.2)))


def test_a_path_of_none_is_done_without(folder: Folder) -> None:
    folder.write()
    paths = {f"{name}_path": folder.path / f"{name}.json" for name in ("coinbase", "chainlink", "call", "put")}
    read = create_market_state_from_files(**paths, period_start_timestamp=START_S * 1000, now_ns=NOW_NS)
    assert not is_empty(AdvancedMarketMaker().generate_all_quotes(read))


@pytest.mark.parametrize(
    ("strike", "words"), [(..., "there is none"), (100_000.0, "more than 5% from the price"), ("x", "is not a price")]
)
def test_a_strike_that_is_not_there_or_cannot_be_is_not_quoted(folder: Folder, strike: Any, words: str) -> None:
    folder.write(chainlink={"strike": strike})
    mm = AdvancedMarketMaker()
    assert is_empty(mm.generate_all_quotes(folder.state()))
    assert "strike_not_proven" in decision_of(mm).reasons
    assert any(words in problem for problem in decision_of(mm).problems)


def test_a_strike_file_from_before_the_period_does_not_know_its_strike(folder: Folder) -> None:
    folder.write((START_S + 1) * NS_PER_S, chainlink={"timestamp": (START_S - 1) * 1000})
    assert folder.state((START_S + 1) * NS_PER_S).strike is None


def test_a_strike_file_that_was_not_renewed_for_the_new_period_is_not_believed(folder: Folder) -> None:
    mm = AdvancedMarketMaker()
    folder.write()
    assert not is_empty(mm.generate_all_quotes(folder.state()))
    later_ns = (START_S + 1000) * NS_PER_S
    folder.write(later_ns)
    assert is_empty(mm.generate_all_quotes(folder.state(later_ns, start_ms=(START_S + 900) * 1000)))
    assert "still that of the period before" in " ".join(decision_of(mm).problems)
    folder.write(later_ns + NS_PER_S // 10, chainlink={"strike": STRIKE + 0.01})
    renewed = folder.state(later_ns + NS_PER_S // 10, start_ms=(START_S + 900) * 1000)
    assert not is_empty(mm.generate_all_quotes(renewed))


@pytest.mark.parametrize(("at_s", "reason"), [(-1.0, "period_not_open"), (900.0, "period_ended")])
def test_out_of_the_period_nothing_is_quoted(at_s: float, reason: str) -> None:
    mm = AdvancedMarketMaker()
    assert is_empty(mm.generate_all_quotes(state(at_s)))
    assert reason in decision_of(mm).reasons


@pytest.mark.parametrize(("offset_s", "reason"), [(900, "period_not_open"), (-900, "period_ended")])
def test_a_state_of_another_period_is_never_answered_with_the_quotes_of_the_running_one(
    offset_s: int, reason: str
) -> None:
    mm = AdvancedMarketMaker()
    assert not is_empty(mm.generate_all_quotes(state()))
    assert is_empty(mm.generate_all_quotes(state(300.1, period_start_s=START_S + offset_s)))
    assert (decision_of(mm).slug, reason in decision_of(mm).reasons) == (f"btc-updown-15m-{START_S + offset_s}", True)


def test_the_book_of_the_period_before_is_not_taken_for_the_new_one() -> None:
    old = OptionBook.top(bid=0.49, ask=0.51, stamp_ns=(START_S - 1) * NS_PER_S)
    mm = AdvancedMarketMaker()
    assert is_empty(mm.generate_all_quotes(state(2.0, put=old)))
    assert "another token's" in " ".join(decision_of(mm).problems)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"period_start_s": START_S + 1}, "the one that holds that second starts at"),
        ({"period_start_s": START_S * 1000}, "period_start_s must be whole seconds since 1970"),
        ({"period_start_s": START_S * NS_PER_S}, "period_start_s must be whole seconds since 1970"),
        ({"period_start_s": str(START_S)}, "period_start_s must be whole seconds since 1970"),
        ({"period_start_s": 0}, "period_start_s must be whole seconds since 1970"),
        ({"market": "bitcoin"}, "is not a series"),
        ({"now_ns": START_S}, "now_ns must be whole nanoseconds"),
        ({"strike": math.nan}, "strike must be a price"),
        ({"settlement": "asian"}, "settlement must be"),
        ({"call": OptionBook.top(bid=0.495, ask=0.51, stamp_ns=NOW_NS)}, "call price 0.495 is not a multiple"),
    ],
)
def test_a_state_that_cannot_be_is_refused_by_name(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        state(**fields)


@pytest.mark.parametrize(
    "timestamp",
    [START_S, START_S * NS_PER_S, START_S * 1_000_000, str(START_S * 1000), None, math.nan, math.inf, True, 0, -1],
)
def test_a_period_start_that_is_not_in_milliseconds_is_refused_by_name(folder: Folder, timestamp: Any) -> None:
    with pytest.raises(ValueError, match=r"period_start_timestamp must be milliseconds since 1970, from 2020 to 2100"):
        folder.state(start_ms=timestamp)
    assert folder.state(start_ms=np.int64(START_S * 1000)).period_start_s == START_S


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        (OracleTick, {"price": 0.0}, "oracle's price"),
        (SpotTop, {"bid": 2.0, "ask": 1.0}, "crossed"),
        (OptionBook, {"bids": ((0.5, 1.0),), "asks": ((0.5, 1.0),)}, "crossed"),
        (OptionBook, {"bids": ((0.4, 1.0), (0.5, 1.0)), "asks": ()}, "best first"),
        (OptionBook, {"bids": ((1.0, 1.0),), "asks": ()}, "in \\(0, 1\\)"),
        (OptionBook, {"bids": ((0.5, 0.0),), "asks": ()}, "size"),
    ],
)
def test_a_part_that_cannot_be_is_refused_by_name(kind: type[Any], fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        kind(stamp_ns=NOW_NS, **fields)


def test_a_huge_file_is_not_read_whole(folder: Folder) -> None:
    folder.write()
    folder.spoil("call", b" " * (LARGEST_FILE_BYTES + 1) + b"{}")
    assert any("call.json: is empty" in problem for problem in folder.state().problems)


def test_finer_prices_set_the_finer_tick(folder: Folder) -> None:
    folder.write(call={"best_bid": "0.495", "best_ask": "0.505"}, put={"best_bid": 0.495, "best_ask": 0.505})
    read = folder.state()
    assert (read.tick_size, read.problems) == (0.001, ())
    folder.write(call={"best_bid": 0.4951})
    assert "0.4951 is on neither the 0.01 nor the 0.001 grid" in folder.state().problems[0]


# -- a loop ------------------------------------------------------------------------------------------------------------


def test_a_loop_on_changing_files_warms_up_and_then_rests_on_an_estimate(folder: Folder) -> None:
    drawn = random.Random(7)
    mm = AdvancedMarketMaker(MMConfig(base_spread=0.02))
    price, bases = STRIKE, []
    for step in range(900):
        now_ns = NOW_NS - 200 * NS_PER_S + step * NS_PER_S // 10
        price *= 1.0 + drawn.gauss(0.0, 2.5e-5)
        value = min(max(0.5 + (price - STRIKE) / 450.0, 0.1), 0.9)
        folder.write(now_ns, price=price, mid=round(value, 2))
        assert not is_empty(mm.generate_all_quotes(folder.state(now_ns))), decision_of(mm)
        bases.append(decision_of(mm).volatility_basis)
    assert bases[0] in ("prior", "implied")
    assert bases[-1] == "estimated"
    decision = decision_of(mm)
    assert not {"projection_missing", "regime_missing", "flow_missing"} & set(decision.reasons)
    assert decision.breakdown["sigma"] == pytest.approx(2.5e-5 * math.sqrt(10.0), rel=0.3)


def test_calls_that_are_seconds_apart_quote_like_a_first_one() -> None:
    mm = AdvancedMarketMaker()
    for at_s in (100.0, 104.0, 120.0, 180.0):
        assert not is_empty(mm.generate_all_quotes(state(at_s))), decision_of(mm)


def test_the_same_states_give_the_same_bytes() -> None:
    def run() -> bytes:
        drawn = random.Random(3)
        mm, answers = AdvancedMarketMaker(), []
        for step in range(300):
            answers.append(mm.generate_all_quotes(state(100 + step / 10, price=STRIKE + drawn.gauss(0.0, 10.0))))
            answers.append(decision_of(mm))
        return msgspec.msgpack.encode(answers)

    assert run() == run()


class ImpatientQuoter(PatientQuoter):
    """Answers every message at once, as the live one does."""

    def __setattr__(self, name: str, given: object) -> None:
        if name != "is_waiting":
            super().__setattr__(name, given)


def test_one_answer_a_state_is_the_last_of_the_answers_to_its_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    patient = AdvancedMarketMaker()
    monkeypatch.setattr(engine.desk, "PatientQuoter", ImpatientQuoter)
    impatient = AdvancedMarketMaker()
    drawn, price = random.Random(11), STRIKE
    for step in range(700):
        price *= 1.0 + drawn.gauss(0.0, 2.5e-5)
        mid = round(min(max(0.5 + (price - STRIKE) / 450.0, 0.1), 0.9), 2)
        each = state(100 + step / 10, price=price, mid=mid)
        assert patient.generate_all_quotes(each) == impatient.generate_all_quotes(each)
        assert list(decision_of(patient).reasons) == list(decision_of(impatient).reasons)


def test_the_same_state_again_is_answered_alike() -> None:
    mm = AdvancedMarketMaker()
    first = mm.generate_all_quotes(state())
    assert mm.generate_all_quotes(state()) == first
    assert not is_empty(first)


def test_time_that_goes_back_starts_the_market_afresh_and_says_so() -> None:
    mm, fresh = AdvancedMarketMaker(), AdvancedMarketMaker()
    mm.generate_all_quotes(state(300.0), positions={"CALL": 50.0})
    assert mm.generate_all_quotes(state(200.0)) == fresh.generate_all_quotes(state(200.0), positions={"CALL": 50.0})
    assert decision_of(mm).problems == ("time went back by 100.0 s: started afresh, with cold analyzers",)
    mm.generate_all_quotes(state(199.5))
    assert (decision_of(mm).problems, decision_of(mm).now_ns) == ((), (START_S + 200) * NS_PER_S)


def test_another_market_is_quoted_beside_the_first() -> None:
    mm = AdvancedMarketMaker()
    mm.generate_all_quotes(state(), positions={"CALL": 10.0})
    assert not is_empty(mm.generate_all_quotes(state(market="eth-15m")))
    assert (mm.market, mm.positions) == ("eth-15m", {"CALL": 0.0, "PUT": 0.0})
    mm.generate_all_quotes(state(300.1))
    assert (mm.market, mm.positions["CALL"]) == ("btc-15m", 10.0)


# -- single events -----------------------------------------------------------------------------------------------------


def market_events(seconds: int) -> list[AnyMessage | Timer]:
    """A healthy market of messages: ticks each 100 ms, books, oracle prints and health each second."""
    drawn = random.Random(5)
    events: list[AnyMessage | Timer] = []
    price = STRIKE
    for step in range(seconds * 10):
        at_s = START_S + 100 + step / 10
        price *= 1.0 + drawn.gauss(0.0, 2.5e-5)
        if step % 10 == 0:
            events.append(build(Period, at_s=at_s))
            for venue, channel, subject in (
                ("bybit", "SpotQuote", "BTC"),
                ("coinbase", "SpotQuote", "BTC"),
                ("chainlink", "OraclePrice", "BTC.spot"),
                ("polymarket", "OutcomeBook", "btc-15m.CALL"),
                ("polymarket", "OutcomeBook", "btc-15m.PUT"),
            ):
                events.append(build(FeedStatus, at_s=at_s, venue=venue, channel=channel, subject=subject))
            events.append(build(OraclePrice, at_s=at_s, price=price))
        mid = min(max(round(50 + (price - STRIKE) / 4.5), 5), 95)
        for venue in ("bybit", "coinbase"):
            events.append(build(SpotQuote, at_s=at_s, venue=venue, bid=price - 0.5, ask=price + 0.5))
        for outcome, ticks in (("CALL", mid), ("PUT", 100 - mid)):
            events.append(
                build(OutcomeBook, at_s=at_s, outcome=outcome, bid_ticks=(ticks - 1,), ask_ticks=(ticks + 1,),
                      bid_sizes=(100.0,), ask_sizes=(100.0,))
            )  # fmt: skip
        events.append(Timer(round(at_s * NS_PER_S)))
    return events


def test_updates_give_the_quotes_of_the_live_cores() -> None:
    config, series = MMConfig(), [Series.parse("btc-15m")]
    session = Session(trading_cores(config, series), series)
    said: dict[type, AnyMessage] = {}
    session.listeners.append(lambda message: said.update({type(message): message}))
    mm = AdvancedMarketMaker(config)
    ours: Quotes = {"CALL": [], "PUT": []}
    compared = 0
    for event in market_events(150):
        if isinstance(event, Timer):
            session.timer(event.ts_ns)
        else:
            session.publish(event)
        ours = mm.update(event) or ours
        theirs, volatility = said.get(QuoteSet), said.get(Volatility)
        if not isinstance(event, Timer) or not isinstance(volatility, Volatility) or not volatility.warm:
            continue
        assert isinstance(theirs, QuoteSet)
        assert ours["CALL"] == [Quote.of("CALL", layer) for layer in theirs.call]
        assert ours["PUT"] == [Quote.of("PUT", layer) for layer in theirs.put]
        assert (decision_of(mm).action, tuple(decision_of(mm).reasons)) == (theirs.action, theirs.reasons)
        compared += len(theirs.call) > 0
    assert compared > 300


def test_ticks_one_by_one_quote_without_anybody_speaking_of_health() -> None:
    mm = AdvancedMarketMaker()
    answers = [mm.update(event) for event in market_events(3) if not isinstance(event, FeedStatus)]
    assert any(answer and not is_empty(answer) for answer in answers)
    assert answers[0] is not None  # the period alone is answered: with a refusal


def test_a_stream_whose_health_the_caller_reports_is_not_vouched_for() -> None:
    mm = AdvancedMarketMaker()
    for event in market_events(2):
        mm.update(event)
    at_s = START_S + 102
    mm.update(build(FeedStatus, at_s=at_s, venue="chainlink", channel="OraclePrice", subject="BTC.spot", state="DOWN"))
    mm.update(build(OraclePrice, at_s=at_s))
    assert "oracle_feed_not_live" in decision_of(mm).reasons


def test_states_and_events_may_be_mixed() -> None:
    mm = AdvancedMarketMaker()
    before = mm.generate_all_quotes(state(300.0))
    moved = mm.update(build(OraclePrice, at_s=START_S + 300.1, price=80_050.0))
    assert moved is not None
    assert best(moved["CALL"], "ask") > best(before["CALL"], "ask")
    again = mm.generate_all_quotes(state(300.2))
    assert best(again["CALL"], "ask") == best(before["CALL"], "ask")


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(TypeError, match=r"a message of shared\.messages or a Timer, not int"):
        AdvancedMarketMaker().update(5)  # type: ignore[arg-type]


# -- what we hold ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("outcome", "sign"), [("CALL", -1), ("PUT", 1)])
@pytest.mark.parametrize("way", ["fill", "positions", "message"])
def test_what_we_hold_leans_both_quotes(outcome: Any, sign: int, way: str) -> None:
    mm = AdvancedMarketMaker(MMConfig(inventory_skew_factor=0.003))
    flat = mm.generate_all_quotes(state(300.0))
    positions = None
    if way == "fill":
        mm.record_fill(outcome=outcome, side="buy", price=0.48, size=300.0)
    elif way == "positions":
        positions = {outcome: 300.0}
    else:
        mm.update(build(Position, **{f"{outcome.lower()}_shares": 300.0}))
    held = mm.generate_all_quotes(state(300.1), positions=positions)
    assert mm.positions[outcome] == 300.0
    for side in ("bid", "ask"):
        assert sign * (best(held["CALL"], side) - best(flat["CALL"], side)) > 0


def test_a_fill_is_sold_again_and_counts_once() -> None:
    mm = AdvancedMarketMaker()
    mm.generate_all_quotes(state())
    for _ in range(2):
        mm.record_fill(outcome="PUT", side="buy", price=0.48, size=30.0, fill_id="f1")
    mm.record_fill(outcome="PUT", side="sell", price=0.52, size=10.0)
    mm.record_fill(outcome="PUT", side="sell", price=0.52, size=5.0)
    assert mm.positions == {"CALL": 0.0, "PUT": 15.0}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"outcome": "UP"}, "outcome must be CALL or PUT"),
        ({"side": "bid"}, "side must be buy or sell, not 'bid'"),
        ({"price": 1.0}, "price must be dollars"),
        ({"price": math.nan}, "price must be dollars"),
        ({"size": 0.0}, "size must be"),
        ({"side": "sell", "size": 11.0}, "cannot sell 11 CALL, only 10 are held"),
    ],
)
def test_a_fill_that_cannot_be_is_refused_by_name(fields: dict[str, Any], words: str) -> None:
    mm = AdvancedMarketMaker()
    mm.generate_all_quotes(state(), positions={"CALL": 10.0})
    with pytest.raises(ValueError, match=words):
        mm.record_fill(**{"outcome": "CALL", "side": "buy", "price": 0.5, "size": 5.0} | fields)
    assert mm.positions == {"CALL": 10.0, "PUT": 0.0}


def test_a_fill_before_any_period_is_refused() -> None:
    with pytest.raises(ValueError, match="no period is open yet"):
        AdvancedMarketMaker().record_fill(outcome="CALL", side="buy", price=0.5, size=5.0)


@pytest.mark.parametrize(
    ("positions", "words"), [({"UP": 1.0}, "not 'UP'"), ({"CALL": -1.0}, "CALL"), ({"PUT": math.inf}, "PUT")]
)
def test_positions_that_cannot_be_are_refused_by_name(positions: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AdvancedMarketMaker().generate_all_quotes(state(), positions=positions)


def test_another_period_starts_with_nothing_held() -> None:
    mm = AdvancedMarketMaker()
    mm.generate_all_quotes(state(), positions={"CALL": 100.0})
    mm.generate_all_quotes(state(301.0, period_start_s=START_S + 900))
    assert mm.positions == {"CALL": 0.0, "PUT": 0.0}
    mm.generate_all_quotes(state(302.0))  # only looked ahead
    assert mm.positions == {"CALL": 100.0, "PUT": 0.0}


def test_a_fill_is_told_to_the_analyzers_and_the_quoter() -> None:
    mm = AdvancedMarketMaker()
    mm.generate_all_quotes(state())
    heard: list[AnyMessage] = []
    mm._desk._session.listeners.append(heard.append)
    mm.record_fill(outcome="CALL", side="buy", price=0.48, size=50.0, fill_id="f1")
    (fill,) = [message for message in heard if isinstance(message, Fill)]
    (position,) = [message for message in heard if isinstance(message, Position)]
    assert (fill.fill_id, fill.outcome, fill.side, fill.price, fill.size) == ("f1", "CALL", "buy", 0.48, 50.0)
    assert (position.slug, position.call_shares, fill.slug) == (state().bounds.slug, 50.0, state().bounds.slug)


# -- the door ----------------------------------------------------------------------------------------------------------


def test_nothing_is_said_before_anything_was_asked() -> None:
    mm = AdvancedMarketMaker()
    assert (mm.last_decision, mm.explain(), mm.market) == (None, "nothing was asked yet", "btc-15m")


@pytest.mark.parametrize("config", [{"base_spread": 0.02}, "aggressive", MMConfig])
def test_a_config_of_another_type_is_refused_with_how_to_make_one(config: Any) -> None:
    with pytest.raises(TypeError, match=r"config must be an MMConfig, not \w+: .*load_config\(preset="):
        AdvancedMarketMaker(config)


def test_a_config_by_preset_and_overrides_suggests_the_right_name() -> None:
    config = load_config(preset="aggressive", overrides=["base_spread=0.03"])
    assert AdvancedMarketMaker(config).config.base_spread == 0.03
    with pytest.raises(ConfigError, match="base_spread"):
        load_config(overrides=["base_spred=1"])
    assert "load_config(preset=" in (mm_engine.__doc__ or "")
    assert "load_config(preset=" in (AdvancedMarketMaker.__doc__ or "")


def test_importing_the_door_reads_no_clock_or_environment_and_configures_no_log() -> None:
    script = (
        "import logging, sys, time\n"
        "time.time_ns = time.time = None\n"
        "import mm_engine\n"
        "assert not logging.getLogger().handlers\n"
        "assert not {'zmq', 'aiohttp', 'structlog', 'prometheus_client'} & set(sys.modules), 'too much'\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=REPOSITORY, timeout=60)


def test_the_example_of_one_call_runs(capsys: pytest.CaptureFixture[str]) -> None:
    examples.one_call.main()
    told = capsys.readouterr().out
    assert "CALL bid" in told
    assert "(sell)" in told
    assert "volatility: implied by the CALL book" in told


def test_the_example_of_a_loop_runs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examples.quote_loop, "INTERVAL_S", 0.0)
    examples.quote_loop.main(rounds=3)
    told = capsys.readouterr().out
    assert told.count("CALL") >= 3
    assert "fair value" in told
    assert "not live" not in told


def test_only_the_file_reader_of_the_engine_touches_the_world() -> None:
    world = {"asyncio", "logging", "os", "pathlib", "random", "socket", "time"}
    for path in [REPOSITORY / "mm_engine.py", *(REPOSITORY / "engine").glob("*.py")]:
        tree = ast.parse(path.read_text())
        named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not named & world or path.name == "files_io.py", path


def test_a_market_that_settles_by_a_candle_is_refused_unless_its_rule_is_named() -> None:
    hourly = AdvancedMarketMaker()
    start_s = Series.parse("btc-1h").start_of(NOW_NS)
    at_s = (NOW_NS - START_S * NS_PER_S) / NS_PER_S
    assert is_empty(hourly.generate_all_quotes(state(at_s, market="btc-1h", period_start_s=start_s)))
    assert "period_refused" in decision_of(hourly).reasons
    named = AdvancedMarketMaker()
    whole = state(at_s, market="btc-1h", period_start_s=start_s, settlement="spot")
    assert not is_empty(named.generate_all_quotes(whole)), decision_of(named)


def test_partial_sales_of_odd_sizes_end_flat() -> None:
    mm = AdvancedMarketMaker()
    mm.generate_all_quotes(state())
    mm.record_fill(outcome="CALL", side="buy", price=0.5, size=50.3)
    for size in (20.1, 20.1, 10.1):
        mm.record_fill(outcome="CALL", side="sell", price=0.52, size=size)
    assert mm.positions == {"CALL": 0.0, "PUT": 0.0}
    with pytest.raises(ValueError, match="only 0 are held"):
        mm.record_fill(outcome="CALL", side="sell", price=0.52, size=0.001)


def test_a_clock_set_back_does_not_make_an_inherited_strike_believed() -> None:
    mm = AdvancedMarketMaker()
    shown: dict[str, Any] = {"strike_source": "file", "period_start_s": START_S + 900}
    mm.generate_all_quotes(state(880.0, strike_source="file"))
    for at_s in (905.0, 903.0):  # of the next period, which still shows the strike of the last
        assert is_empty(mm.generate_all_quotes(state(at_s, **shown)))
        assert any("still that of the period before" in each for each in decision_of(mm).problems)


@pytest.mark.parametrize(
    ("field", "number"),
    [
        ("min_size_shares", math.nan),
        ("min_size_shares", -5.0),
        ("fee_rate", -1.0),
        ("fee_rate", 1e9),
        ("fee_exponent", -1.0),
        ("rebate_rate", 50.0),
        ("taker_delay_s", -5.0),
        ("twap_lookback_s", 0),
    ],
)
def test_a_rule_of_the_market_that_cannot_be_is_refused_by_name(field: str, number: float) -> None:
    with pytest.raises(ValueError, match=f"{field} must be from"):
        state(**{field: number})


def test_the_explanation_of_a_refusal_names_it(folder: Folder) -> None:
    folder.write()
    (folder.path / "bybit.json").write_text("{")
    mm = AdvancedMarketMaker()
    mm.generate_all_quotes(folder.state())
    table = mm.explain().partition("guards")[2]
    assert "input_unusable" in table
