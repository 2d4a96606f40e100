from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from services.hedger.core import HedgerCore
from services.hedger.hedge_report import group_rows
from services.hedger.journal import MemoryJournal
from shared.config import MMConfig
from shared.core import Delivery, Timer
from shared.messages import AnyMessage, Fill, OpenOrders, OutcomeBook, Period, Position, QuoteSet, Settlement
from shared.money import MICRO
from shared.requests import Answer, FillsQuery, HedgeQuery, PnlQuery, PositionQuery, PositionsQuery
from tests.builders import NS, SLUG, START_S, build
from tests.services.hedger.scene import (
    AT_NS,
    END_NS,
    BreakableJournal,
    ask,
    ask_all,
    cash,
    deliver,
    fill,
    hedger_in_a_period,
    merge,
    outcome,
    reversal,
)

DEEP = b"\x82\xa5query\xa9positions\xa1x" + b"\x91" * 200_000 + b"\xc0"


def ask_raw(hedger: HedgerCore, **query: str) -> Answer:
    return msgspec.msgpack.decode(hedger.answer(msgspec.msgpack.encode(query)), type=Answer)


def hedger_with_a_period() -> HedgerCore:
    hedger = HedgerCore(["btc-15m", "eth-15m"])
    hedger.update(Delivery("Period.btc-15m.current", 1, 1, build(Period)))
    return hedger


def test_a_period_opens_flat_and_is_published_twice_a_second() -> None:
    hedger = hedger_with_a_period()
    assert hedger.update(Timer(round((START_S + 300.4) * NS))) == []
    (position,) = hedger.update(Timer((START_S + 302) * NS))
    assert isinstance(position, Position)
    assert (position.slug, position.call_shares, position.put_shares) == (SLUG, 0.0, 0.0)
    assert position.ts_recv_ns == (START_S + 302) * NS


def test_a_query_is_answered_with_a_version() -> None:
    answer = ask_raw(hedger_with_a_period(), query="position", market="btc-15m")
    assert (answer.version, answer.status, len(answer.positions)) == (3, "ok", 1)
    assert ask_raw(hedger_with_a_period(), query="positions").positions == answer.positions


def test_a_market_without_a_period_yet_has_no_position() -> None:
    assert ask_raw(hedger_with_a_period(), query="position", market="eth-15m").positions == ()


def test_an_unknown_market_is_named() -> None:
    answer = ask_raw(hedger_with_a_period(), query="position", market="sol-15m")
    assert answer.status == "unknown_market"
    assert "btc-15m, eth-15m" in answer.detail


def test_a_malformed_query_is_an_answer_not_a_crash() -> None:
    hedger = hedger_with_a_period()
    for question in (b"", b"junk", msgspec.msgpack.encode({"query": "rob"}), msgspec.msgpack.encode([1]), DEEP):
        assert msgspec.msgpack.decode(hedger.answer(question), type=Answer).status == "malformed"


def the_position(messages: list[AnyMessage]) -> Position:
    (position,) = (each for each in messages if isinstance(each, Position))
    return position


def test_a_booked_fill_is_published_once_and_the_position_after_it() -> None:
    hedger = hedger_in_a_period()
    rebated = fill(rebate_micro=20_000)
    assert ask_all(hedger, rebated, fill("f2", outcome="PUT"), rebated)[2].status == "ok"
    first, second, position = hedger.take_messages()
    assert isinstance(first, Fill)
    assert isinstance(second, Fill)
    assert (first.fill_id, first.price, first.size, first.rebate_usd, first.is_maker) == ("f1", 0.49, 10.0, 0.02, True)
    assert second.outcome == "PUT"
    assert isinstance(position, Position)
    assert (position.call_shares, position.put_shares, position.mergeable_pairs) == (10.0, 10.0, 10.0)
    assert (position.fills, position.rebates_usd, position.call_average_price) == (2, 0.02, 0.49)
    assert ask(hedger, rebated).status == "ok"
    assert hedger.take_messages() == []


def test_a_refused_booking_publishes_nothing() -> None:
    hedger = hedger_in_a_period()
    ask(hedger, fill(price_micro=0))
    assert hedger.take_messages() == []


def test_the_position_is_worth_its_fair_value_only_while_the_quotes_stand() -> None:
    hedger = hedger_in_a_period()
    ask(hedger, fill())
    deliver(hedger, build(QuoteSet, fair_value=0.6, valid_until_ns=(START_S + 400) * NS))
    assert the_position(list(hedger.update(Timer((START_S + 399) * NS)))).unrealized_pnl_usd == pytest.approx(1.1)
    assert the_position(list(hedger.update(Timer((START_S + 401) * NS)))).unrealized_pnl_usd is None


def test_liquidation_is_at_the_books_of_this_period_net_of_its_fees_and_not_at_an_old_book() -> None:
    hedger = hedger_in_a_period()
    ask(hedger, fill())
    deliver(hedger, build(OutcomeBook, slug=SLUG.replace("15m-1", "15m-2"), bid_ticks=(99,), bid_sizes=(100.0,)))
    deliver(hedger, build(OutcomeBook, bid_ticks=(50,), bid_sizes=(100.0,)))
    position = the_position(list(hedger.update(Timer((START_S + 302) * NS))))
    assert position.liquidation_pnl_usd == pytest.approx(10 * 0.5 - 10 * 0.07 * 0.25 - 4.9)
    position = the_position(list(hedger.update(Timer((START_S + 331) * NS))))
    assert position.liquidation_pnl_usd is None


def test_open_orders_change_the_worst_case_at_once() -> None:
    hedger = hedger_in_a_period()
    position = the_position(deliver(hedger, build(OpenOrders)))
    assert position.worst_case_usd == pytest.approx(-24.5)
    assert deliver(hedger, build(OpenOrders)) == []
    assert deliver(hedger, build(OpenOrders, slug="btc-updown-15m-1791240300", orders=())) == []
    assert the_position(deliver(hedger, build(OpenOrders, orders=()))).worst_case_usd == 0.0


def test_only_the_official_outcome_settles_and_only_the_first() -> None:
    hedger = hedger_in_a_period()
    ask(hedger, fill())
    hedger.take_messages()
    assert deliver(hedger, build(Settlement, official=None, recomputed="CALL")) == []
    assert hedger.books.accounts[SLUG].outcome is None
    position = the_position(deliver(hedger, build(Settlement, official="CALL", recomputed="PUT", agrees=False)))
    assert (position.call_shares, position.realized_pnl_usd, position.worst_case_usd) == (0.0, 5.1, 5.1)
    for _ in range(2):
        assert deliver(hedger, build(Settlement, official="PUT")) == []
    assert hedger.books.sequence == 2
    assert [note for note in hedger.notices if "now says PUT" in note] == hedger.notices
    assert len(hedger.notices) == 1


def test_of_a_period_without_a_booking_the_first_outcome_counts_and_a_contradiction_is_said_once() -> None:
    hedger = hedger_in_a_period()
    for official in ("CALL", "CALL", "PUT", "PUT"):
        deliver(hedger, build(Settlement, official=official))
    (notice,) = hedger.notices
    assert f"{SLUG} was settled as CALL; the venue now says PUT" in notice
    assert ask(hedger, fill()).status == "ok"
    assert hedger.books.accounts[SLUG].outcome == "CALL"


def test_of_an_outcome_that_waits_for_the_ledger_the_first_counts() -> None:
    journal = BreakableJournal()
    hedger = hedger_in_a_period(journal)
    ask(hedger, fill())
    journal.is_broken = True
    for official in ("CALL", "PUT"):
        deliver(hedger, build(Settlement, official=official))
    assert [note for note in hedger.notices if "the venue now says PUT" in note]
    journal.is_broken = False
    hedger.update(Timer((START_S + 304) * NS))
    assert hedger.books.accounts[SLUG].outcome == "CALL"


def test_a_settlement_of_no_period_of_the_market_is_ignored() -> None:
    hedger = hedger_in_a_period()
    deliver(hedger, build(Settlement, slug="junk"))
    assert hedger.books.sequence == 0


def test_a_settlement_the_ledger_cannot_take_is_booked_when_it_can() -> None:
    journal = BreakableJournal()
    hedger = hedger_in_a_period(journal)
    ask(hedger, fill())
    journal.is_broken = True
    deliver(hedger, build(Settlement))
    assert hedger.books.accounts[SLUG].outcome is None
    hedger.update(Timer((START_S + 302) * NS))
    assert hedger.notices[0] == "the ledger is unavailable, nothing is booked: database or disk is full"
    journal.is_broken = False
    hedger.update(Timer((START_S + 304) * NS))
    assert hedger.books.accounts[SLUG].outcome == "CALL"
    assert len(journal.entries) == 2


def test_a_broken_ledger_books_nothing_and_questions_are_still_answered() -> None:
    journal = BreakableJournal()
    hedger = hedger_in_a_period(journal)
    ask(hedger, fill())
    hedger.take_messages()
    journal.is_broken = True
    answers = ask_all(hedger, fill("f2"), fill(), fill("bad", price_micro=0), PositionQuery(market="btc-15m"))
    assert [each.status for each in answers] == ["unavailable", "ok", "unavailable", "ok"]
    assert answers[3].positions[0].call_shares == 10.0
    assert hedger.take_messages() == []
    assert (hedger.refused, hedger.delayed) == ({}, {"ledger": 2})
    assert hedger.books.sequence == 1
    journal.is_broken = False
    assert [each.status for each in ask_all(hedger, fill("f2"), fill("bad", price_micro=0))] == ["ok", "refused"]
    assert [entry.sequence for entry in journal.entries] == [1, 2]


def test_a_restart_is_as_before() -> None:
    journal = MemoryJournal()
    hedger = hedger_in_a_period(journal)
    ask_all(
        hedger, fill(fee_micro=3), fill("p", outcome="PUT"), merge(MICRO), cash("rebate", 9), fill("x"), reversal("x")
    )
    again = hedger_in_a_period(journal)
    assert again.positions() == hedger.positions()
    assert ask(again, PnlQuery()).rows == ask(hedger, PnlQuery()).rows
    assert again.books.sequence == hedger.books.sequence == 6
    assert not [each for each in again.take_messages() if isinstance(each, Fill)]


def test_an_older_period_without_outcome_stays_in_the_answer_until_it_settles() -> None:
    hedger = hedger_in_a_period()
    ask(hedger, fill())
    later = f"btc-updown-15m-{START_S + 900}"
    opened = the_position(deliver(hedger, build(Period, slug=later, at_s=START_S + 900)))
    assert (opened.slug, opened.call_shares) == (later, 0.0)
    assert [each.slug for each in ask(hedger, PositionsQuery()).positions] == [later, SLUG]
    assert [each.slug for each in ask(hedger, PositionQuery(market="btc-15m")).positions] == [later]
    deliver(hedger, build(Settlement))
    assert [each.slug for each in ask(hedger, PositionsQuery()).positions] == [later]


def test_profit_and_loss_is_per_period_newest_first() -> None:
    hedger = hedger_in_a_period()
    later = f"btc-updown-15m-{START_S + 900}"
    ask_all(hedger, fill(fee_micro=10_000), fill("g", slug=later), cash("rebate", 50_000))
    deliver(hedger, build(Settlement))
    newest, settled = ask(hedger, PnlQuery(market="btc-15m")).rows
    assert (newest["slug"], newest["outcome"], newest["unrealized_usd"]) == (later, None, None)
    assert (settled["realized_usd"], settled["total_usd"], settled["fees_usd"]) == (5.09, 5.14, 0.01)
    assert settled["outcome"] == "CALL"
    assert len(ask(hedger, PnlQuery(periods=1)).rows) == 1
    assert ask(hedger, PnlQuery(market="eth-15m")).rows == ()
    assert ask(hedger, PnlQuery(periods=0)).status == "refused"


def test_the_last_bookings_are_rows_in_dollars() -> None:
    hedger = hedger_in_a_period()
    ask_all(hedger, fill(fee_micro=10_000), reversal())
    taken_back, booked = ask(hedger, FillsQuery(market="btc-15m", count=2)).rows
    assert (taken_back["kind"], taken_back["reverses"], taken_back["cash_usd"]) == ("reversal", "f1", 4.91)
    assert (booked["id"], booked["price"], booked["shares"], booked["fee_usd"]) == ("f1", 0.49, 10.0, 0.01)
    assert ask(hedger, FillsQuery(count=1001)).status == "refused"
    assert ask(hedger, FillsQuery(market="sol-15m")).status == "unknown_market"


def test_every_answer_says_how_far_the_ledger_was() -> None:
    hedger = hedger_in_a_period()
    ask(hedger, fill())
    for question in (PositionsQuery(), PositionQuery(market="btc-15m"), PnlQuery(), FillsQuery(), PnlQuery(periods=0)):
        answer = ask(hedger, question)
        assert (answer.version, answer.sequence) == (3, 1)


# -- outcomes that were missed ---------------------------------------------------------------------------------------


def restarted(*, settlement: Settlement | None = None, at_ns: int = END_NS + NS) -> HedgerCore:
    """A hedger that was down when its period ended, after its first second."""
    journal = MemoryJournal()
    ask(hedger_in_a_period(journal), fill())
    hedger = HedgerCore(["btc-15m", "eth-15m"], journal)
    if settlement is not None:
        deliver(hedger, settlement)
    hedger.update(Timer(at_ns))
    return hedger


def test_a_missed_outcome_is_named_once_after_the_start_with_its_time_and_remedy() -> None:
    hedger = restarted()
    (notice,) = hedger.notices
    assert f"{SLUG} since 2026-10-05T23:15:00Z" in notice
    assert "book-settlement" in notice
    hedger.update(Timer(END_NS + 2 * NS))
    assert len(hedger.notices) == 1
    assert restarted(at_ns=END_NS - 1).notices == []
    assert restarted(settlement=build(Settlement)).notices == []


def test_a_period_that_begins_to_wait_later_is_named_then_and_only_it() -> None:
    hedger = restarted()
    later = f"btc-updown-15m-{START_S + 900}"
    assert ask(hedger, fill("g", slug=later)).status == "ok"
    hedger.notices.clear()
    for at_s in (60, 899, 901, 960, 1020):
        hedger.update(Timer(END_NS + at_s * NS))
    (notice,) = hedger.notices
    assert f"{later} since" in notice
    assert SLUG not in notice


def test_a_period_without_outcome_is_shown_as_waiting_since_its_end_until_it_is_booked() -> None:
    hedger = restarted()
    assert ask(hedger, PositionsQuery()).waiting == {SLUG: END_NS}
    assert [row["waiting_since_ns"] for row in ask(hedger, PnlQuery()).rows] == [END_NS]
    assert ask(hedger, outcome()).status == "ok"
    assert ask(hedger, PositionsQuery()).waiting == {}
    assert [row["waiting_since_ns"] for row in ask(hedger, PnlQuery()).rows] == [None]
    running = hedger_in_a_period()
    ask(running, fill())
    assert ask(running, PositionQuery(market="btc-15m")).waiting == {}
    assert ask(running, PositionQuery(market="btc-15m"), now_ns=END_NS).waiting == {SLUG: END_NS}


# -- time ------------------------------------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_does_not_mute_the_positions() -> None:
    hedger = hedger_with_a_period()
    hedger.update(Timer((START_S + 800) * NS))
    (position,) = hedger.update(Timer((START_S + 400) * NS))
    assert isinstance(position, Position)
    assert position.ts_recv_ns == (START_S + 400) * NS
    assert len(hedger.update(Timer((START_S + 401) * NS))) == 1


def test_a_clock_that_steps_back_less_than_a_second_is_no_new_time() -> None:
    hedger = hedger_with_a_period()
    hedger.update(Timer((START_S + 400) * NS))
    assert hedger.update(Timer((START_S + 400) * NS - NS // 2)) == []
    assert hedger.now_ns == (START_S + 400) * NS


def test_a_receipt_moves_time_at_most_a_second_ahead_of_the_timer() -> None:
    hedger = hedger_with_a_period()
    hedger.update(Timer((START_S + 400) * NS))
    deliver(hedger, build(OutcomeBook, ts_recv_ns=(START_S + 460) * NS))
    assert hedger.now_ns == (START_S + 400) * NS
    deliver(hedger, build(OutcomeBook, ts_recv_ns=(START_S + 401) * NS))
    assert hedger.now_ns == (START_S + 401) * NS


# -- hedge -----------------------------------------------------------------------------------------------------------


def quoted(hedger: HedgerCore, at_ns: int = AT_NS, **fields: Any) -> None:
    """Quotes and the books of the period, now."""
    deliver(hedger, build(OutcomeBook, ts_recv_ns=at_ns))
    deliver(hedger, build(OutcomeBook, ts_recv_ns=at_ns, outcome="PUT"))
    defaults = {"fair_value": 0.5, "fair_low": 0.45, "fair_high": 0.55, "breakdown": {"sigma": 9e-5}}
    deliver(hedger, build(QuoteSet, **({"valid_until_ns": at_ns + NS} | defaults | fields)))


def hedge(hedger: HedgerCore) -> dict[str, Any]:
    answer = ask(hedger, HedgeQuery(market="btc-15m"))
    assert answer.status == "ok", answer.detail
    return group_rows(answer.rows)


def test_the_hedge_question_is_answered_from_the_ledger_the_books_the_quotes_and_the_open_orders() -> None:
    hedger = hedger_in_a_period()
    ask_all(hedger, fill(), fill("p", outcome="PUT", units=4 * MICRO, fee_micro=10_000))
    quoted(hedger)
    free = hedge(hedger)
    assert (free["position"]["call_shares"], free["position"]["put_shares"]) == (10.0, 4.0)
    assert free["position"]["cost_usd"] == pytest.approx(14 * 0.49)
    assert (free["position"]["fair"], free["position"]["fair_low"], free["position"]["time_left_s"]) == (0.5, 0.45, 600)
    assert free["position"]["gamma_per_usd"] == MMConfig().inventory_skew_factor
    assert free["perpetual"] is not None
    status = {each["name"]: each["status"] for each in free["alternatives"]}
    assert {status[name] for name in ("close_now", "buy_opposite_and_merge", "merge_pairs")} == {"possible"}
    deliver(hedger, build(OpenOrders))
    worst = [each["worst_case_usd"] for found in (free, hedge(hedger)) for each in found["alternatives"][:1]]
    assert worst[1] == pytest.approx(worst[0] - 50 * 0.49)


def test_a_position_names_the_last_entry_that_is_in_it() -> None:
    hedger = hedger_in_a_period()
    ask_all(hedger, fill(), fill("other", market="eth-15m", slug=SLUG.replace("btc", "eth")))
    assert the_position(hedger.update(Timer(AT_NS + NS))).sequence == 2
    (asked,) = ask(hedger, PositionQuery(market="btc-15m")).positions
    assert asked.sequence == 2


def test_the_orders_of_an_executor_that_fell_silent_count_as_filled_and_are_not_called_resting() -> None:
    hedger = hedger_in_a_period()
    ask(hedger, fill())
    deliver(hedger, build(OpenOrders))
    quoted(hedger)
    known = hedge(hedger)
    assert known["position"]["warnings"] == ["1 resting orders count in every worst case: cancel them first"]
    hedger.update(Timer(AT_NS + 42 * NS))
    quoted(hedger, AT_NS + 42 * NS)
    unknown = hedge(hedger)
    (warning,) = unknown["position"]["warnings"]
    assert "last heard of 42 s ago and may rest, be filled or be gone" in warning
    assert "resting orders" not in warning
    assert unknown["alternatives"][0]["worst_case_usd"] == known["alternatives"][0]["worst_case_usd"]
    assert the_position(hedger.update(Timer(AT_NS + 43 * NS))).worst_case_usd == pytest.approx(-59 * 0.49 - 0.49)


def test_the_risk_aversion_is_the_configured_one_and_a_linear_lean_is_none() -> None:
    hedger = hedger_in_a_period(config=MMConfig(inventory_skew_factor=0.004))
    ask(hedger, fill())
    quoted(hedger)
    assert hedge(hedger)["position"]["gamma_per_usd"] == 0.004
    linear = hedger_in_a_period(config=MMConfig(inventory_skew_mode="linear"))
    answer = ask(linear, HedgeQuery(market="btc-15m"))
    assert (answer.status, answer.detail.partition(":")[0]) == ("unavailable", "inventory_skew_mode")


def test_a_book_older_than_five_seconds_is_not_traded_on() -> None:
    hedger = hedger_in_a_period()
    ask(hedger, fill())
    quoted(hedger)
    deliver(hedger, build(OutcomeBook, ts_recv_ns=AT_NS - 4 * NS))
    (closed,) = (each for each in hedge(hedger)["alternatives"] if each["name"] == "close_now")
    assert closed["status"] == "possible"
    deliver(hedger, build(OutcomeBook, ts_recv_ns=AT_NS - 6 * NS))
    (closed,) = (each for each in hedge(hedger)["alternatives"] if each["name"] == "close_now")
    assert "the CALL book is 6.0 s old" in closed["why_not"]


@pytest.mark.parametrize("fields", [{"fair_value": None}, {"valid_until_ns": AT_NS - 1}])
def test_without_a_fair_value_there_is_no_hedge_and_the_answer_says_so(fields: dict[str, Any]) -> None:
    hedger = hedger_in_a_period()
    quoted(hedger, **fields)
    answer = ask(hedger, HedgeQuery(market="btc-15m"))
    assert (answer.status, "no fair value now" in answer.detail) == ("unavailable", True)
    answer = ask(hedger, HedgeQuery(market="eth-15m"))
    assert (answer.status, "no period of 'eth-15m' is current" in answer.detail) == ("unavailable", True)
    assert ask(hedger, HedgeQuery(market="sol-15m")).status == "unknown_market"


def test_what_other_windows_of_the_asset_hold_is_netted_and_what_has_no_value_is_named() -> None:
    hedger = HedgerCore(["btc-15m", "btc-5m", "eth-5m"])
    deliver(hedger, build(Period))
    for market in ("btc-5m", "eth-5m"):
        slug = f"{market[:3]}-updown-5m-{START_S + 300}"
        deliver(hedger, build(Period, market=market, slug=slug, end_ns=(START_S + 600) * NS))
        assert ask(hedger, fill(market, market=market, slug=slug, outcome="PUT", units=20 * MICRO)).status == "ok"
    ask(hedger, fill())
    quoted(hedger)
    alone = hedge(hedger)
    assert alone["netting"] is None
    assert alone["position"]["warnings"] == ["btc-5m is held too and has no fair value now: not netted"]
    fields: dict[str, Any] = {
        "market": "btc-5m",
        "slug": f"btc-updown-5m-{START_S + 300}",
        "valid_until_ns": AT_NS + NS,
    }
    deliver(hedger, build(QuoteSet, fair_value=0.5, breakdown={"sigma": 9e-5}, **fields))
    netting = hedge(hedger)["netting"]
    per_bp = 1e-4 / 9e-5 / math.sqrt(2 * math.pi)  # phi(0) / (sigma sqrt(tau - 2 L / 3)) of a basis point
    assert netting["own_usd_per_bp"] == pytest.approx(10 * per_bp / math.sqrt(600 - 40), abs=1e-6)
    assert netting["others_usd_per_bp"] == pytest.approx(-20 * per_bp / math.sqrt(300 - 40), abs=1e-6)
    assert netting["unnettable_usd_per_bp"] == 0.0
