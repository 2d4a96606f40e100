from __future__ import annotations

from rich.console import Console

from services.hedger.client.tables import table_of
from shared.messages import Position
from shared.requests import Answer, FillsQuery, PnlQuery
from tests.builders import SLUG, build
from tests.services.hedger.scene import ask, fill, hedger_in_a_period


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


def test_rows_of_another_question_are_printed_as_they_come() -> None:
    assert "save 3 cents" in printed(Answer(rows=({"advice": "save 3 cents"},)), "hedge")


def test_an_empty_answer_says_so() -> None:
    assert "nothing yet" in printed(Answer(), "fills")
