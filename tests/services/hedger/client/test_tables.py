from __future__ import annotations

from rich.console import Console

from services.hedger.client.tables import table_of
from services.hedger.rows import utc_text
from shared.messages import Position
from shared.requests import Answer, FillsQuery, PnlQuery
from tests.builders import NS, SLUG, START_S, build
from tests.services.hedger.scene import ask, fill, hedger_in_a_period
from tests.services.hedger.test_hedge import analyze


def printed(answer: Answer, command: str) -> str:
    console = Console(width=220)
    with console.capture() as capture:
        console.print(table_of(answer, command))
    return capture.get()


def test_positions_and_rows_are_printed_with_their_numbers() -> None:
    hedger = hedger_in_a_period()
    ask(hedger, fill())
    assert "-4.9" in printed(ask(hedger, PnlQuery()), "pnl")
    assert "f1" in printed(ask(hedger, FillsQuery()), "fills")
    shown = printed(Answer(positions=(build(Position, call_shares=1234.5, unrealized_pnl_usd=None),)), "positions")
    assert SLUG in shown
    assert "1,234.5" in shown
    assert "-" in shown


def test_a_hedge_is_the_page_of_the_analyzer() -> None:
    page = printed(Answer(rows=analyze().rows()), "hedge")
    assert "sell 85 CALL at ≥0.54" in page
    assert "the books mirror exactly: the same trade" in page


def test_what_waits_for_its_outcome_is_shown_with_its_end() -> None:
    end_ns = (START_S + 900) * NS
    for answer, command in (
        (Answer(positions=(build(Position),), waiting={SLUG: end_ns}), "positions"),
        (Answer(rows=({"slug": SLUG, "waiting_since_ns": end_ns},)), "pnl"),
    ):
        page = printed(answer, command)
        assert "waiting since" in page
        assert utc_text(end_ns) in page


def test_an_empty_answer_says_so() -> None:
    assert "nothing yet" in printed(Answer(), "fills")
