from __future__ import annotations

from pathlib import Path

from bot.results_io import Results, ask_results, results_of
from services.hedger.core import HedgerCore
from shared.bus import Endpoints
from shared.core import Delivery, Timer
from shared.messages import Period, Settlement
from shared.requests import BookFill, PnlQuery, decode_answer, encode_question
from tests.builders import NS, SLUG, START_S, build
from tests.processes import running

NOW = (START_S + 300) * NS


def bought(fill_id: str) -> BookFill:
    return BookFill(
        fill_id=fill_id,
        order_id=fill_id,
        order_units=10_000_000,
        market="btc-15m",
        slug=SLUG,
        outcome="CALL",
        side="buy",
        price_micro=400_000,
        units=10_000_000,
        fee_micro=0,
        rebate_micro=0,
        is_maker=True,
        ts_ns=(START_S + 10) * NS,
    )


def asked(hedger: HedgerCore) -> Results:
    return results_of(decode_answer(hedger.answer(encode_question(PnlQuery(market="btc-15m", periods=100)))))


def test_the_results_are_the_sums_of_what_the_hedger_answers() -> None:
    hedger = HedgerCore(["btc-15m"])
    hedger.update(Timer(NOW))
    hedger.update(Delivery("", 1, 1, build(Period)))
    hedger.answer_all([encode_question(bought("a"))], now_ns=NOW)
    assert asked(hedger) == Results(periods=1, fills=1, total_usd=0.0, open_periods=1)
    hedger.update(Delivery("", 1, 1, build(Settlement, official="CALL")))
    assert asked(hedger) == Results(periods=1, fills=1, total_usd=6.0, open_periods=0)


def test_a_hedger_that_is_silent_has_no_results(tmp_path: Path) -> None:
    assert ask_results(Endpoints.of(f"ipc://{tmp_path}/bus").hedger, ["btc-15m"]) == {}


def test_the_running_hedger_is_asked_over_the_bus(tmp_path: Path) -> None:
    bus = f"ipc://{tmp_path}/bus"
    with running("services.broker", bus=bus), running("services.hedger", bus=bus):
        found: dict[str, Results] = {}
        while not found:  # until it listens; the test's own time limit is the deadline
            found = ask_results(Endpoints.of(bus).hedger, ["btc-15m"])
    assert found == {"btc-15m": Results(periods=0, fills=0, total_usd=0.0, open_periods=0)}
